//! Faults of the fields of one request, collected so that its response names all of them at once.

use super::error::ApiError;

/// The faults that were found so far.
#[derive(Default)]
pub(in crate::http) struct Faults(Vec<ApiError>);

impl Faults {
    /// Returns the value of a field, or keeps its fault.
    pub(in crate::http) fn take<T>(&mut self, field: Result<T, ApiError>) -> Option<T> {
        field.map_err(|fault| self.0.push(fault)).ok()
    }

    /// Passes on if there is none.
    ///
    /// # Errors
    /// Fails with all of them.
    pub(in crate::http) fn none(self) -> Result<(), ApiError> {
        if self.0.is_empty() { Ok(()) } else { Err(self.into()) }
    }
}

impl From<Faults> for ApiError {
    fn from(Faults(mut faults): Faults) -> Self {
        // What is not about a field, such as a service that is busy, says nothing about the others.
        let is_of_field = |fault: &Self| matches!(fault, Self::Invalid { .. } | Self::Parameter(_));
        match faults.iter().position(|fault| !is_of_field(fault)) {
            Some(other) => faults.remove(other),
            None if faults.len() == 1 => faults.remove(0),
            None => Self::Several(faults),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invalid(field: &'static str) -> ApiError {
        ApiError::Invalid { field, reason: "is wrong".to_owned() }
    }

    #[test]
    fn all_faults_of_fields_are_reported_and_another_alone() {
        let mut faults = Faults::default();
        assert_eq!(faults.take(Ok(1)), Some(1));
        assert_eq!(faults.take::<()>(Err(invalid("name"))), None);
        faults.take::<()>(Err(invalid("path")));
        assert_eq!(ApiError::from(faults).to_string(), "name is wrong, path is wrong");
        let faults = Faults(vec![invalid("name"), ApiError::Busy]);
        assert!(matches!(faults.none(), Err(ApiError::Busy)));
        assert!(Faults::default().none().is_ok());
    }
}
