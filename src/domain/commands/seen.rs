//! Values that a person has seen before a change. They keep the change from silently undoing what somebody else has
//! changed meanwhile (a lost update).

use std::collections::BTreeMap;

use super::{CommandError, CommandResult};

/// A value of an object, in the words in which pages show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenValue {
    /// A name that no other value of the same form has.
    pub key: String,
    /// The field of the form that changes it.
    pub field: &'static str,
    /// The value; empty for none.
    pub words: String,
}

/// The values that a page showed, by their keys. A value that it did not show is not compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen(BTreeMap<String, String>);

/// A value that is neither what was seen nor what is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedValue {
    /// The field of the form that changes it.
    pub field: &'static str,
    /// The value that was seen.
    pub seen: String,
    /// The present value.
    pub present: String,
}

impl SeenValue {
    /// Returns the only value of a field.
    pub fn of(field: &'static str, words: impl Into<String>) -> Self {
        Self { key: field.to_owned(), field, words: words.into() }
    }
}

impl Seen {
    /// Passes on a change of an object. `present` are the values before it, and `values` returns those after it from
    /// its result. Called where the change is made, on the directory that it changes, so that nobody can come between
    /// the comparison and the change.
    ///
    /// # Errors
    /// Fails if a value before the change is neither the one that was seen nor the one after the change, or if the
    /// change was refused.
    pub fn unchanged<T>(
        &self,
        present: Vec<SeenValue>,
        change: CommandResult<T>,
        values: impl FnOnce(&T) -> Vec<SeenValue>,
    ) -> CommandResult<T> {
        let (writes, result) = change?;
        let wanted = values(&result);
        let changed: Vec<ChangedValue> =
            present.into_iter().filter_map(|present| self.changed(present, &wanted)).collect();
        if changed.is_empty() { Ok((writes, result)) } else { Err(CommandError::Changed(changed)) }
    }

    fn changed(&self, present: SeenValue, wanted: &[SeenValue]) -> Option<ChangedValue> {
        let SeenValue { key, field, words } = present;
        let seen = self.0.get(&key).filter(|seen| **seen != words)?;
        let is_wanted = wanted.iter().any(|wanted| wanted.key == key && wanted.words == words);
        (!is_wanted).then(|| ChangedValue { field, seen: seen.clone(), present: words })
    }
}

impl FromIterator<(String, String)> for Seen {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(seen: &str, present: &str, wanted: &str) -> CommandResult<String> {
        let seen: Seen = [("quota".to_owned(), seen.to_owned())].into_iter().collect();
        let values = |words: &str| vec![SeenValue::of("quota", words)];
        seen.unchanged(values(present), Ok((Vec::new(), wanted.to_owned())), |wanted| values(wanted))
    }

    #[test]
    fn only_a_value_that_was_neither_seen_nor_is_wanted_refuses_a_change() {
        for (seen, present, wanted) in [("1", "1", "2"), ("1", "2", "2"), ("1", "1", "1")] {
            assert_eq!(outcome(seen, present, wanted), Ok((Vec::new(), wanted.to_owned())), "{seen} {present}");
        }
        for (seen, present, wanted) in [("1", "2", "3"), ("1", "2", "1"), ("", "2", "")] {
            let changed = ChangedValue { field: "quota", seen: seen.to_owned(), present: present.to_owned() };
            assert_eq!(outcome(seen, present, wanted), Err(CommandError::Changed(vec![changed])));
        }
    }

    #[test]
    fn what_was_not_shown_is_not_compared_and_a_refusal_is_passed_on() {
        let present = || vec![SeenValue::of("quota", "1")];
        let changed = Seen::default().unchanged(present(), Ok((Vec::new(), ())), |()| Vec::new());
        assert_eq!(changed, Ok((Vec::new(), ())));
        let refused: CommandResult<()> = Err(CommandError::Forbidden);
        assert_eq!(Seen::default().unchanged(present(), refused, |()| Vec::new()), Err(CommandError::Forbidden));
    }
}
