//! The section `[console]`.

use std::time::Duration;

use serde::Deserialize;

use crate::formats::quantity;
use crate::settings::ValidationError;

/// The web console.
#[derive(Clone, Debug, Deserialize)]
pub struct Console {
    /// False: there are no pages.
    pub enabled: bool,
    /// Time without a request after which a session ends; at least a second.
    #[serde(deserialize_with = "quantity::duration")]
    pub session_idle: Duration,
    /// Time after which each session ends; at least `session_idle`.
    #[serde(deserialize_with = "quantity::duration")]
    pub session_longest: Duration,
}

impl Console {
    pub(in crate::settings) fn check(&self) -> Result<(), ValidationError> {
        if self.session_idle < Duration::from_secs(1) {
            return Err(ValidationError::new(["console", "session_idle"], "is shorter than a second"));
        }
        if self.session_longest < self.session_idle {
            return Err(ValidationError::new(["console", "session_longest"], "is shorter than session_idle"));
        }
        Ok(())
    }
}
