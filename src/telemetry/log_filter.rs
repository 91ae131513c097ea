//! The filter of log events: parses it, and refuses what would have no effect. Filters nothing.

use serde::Deserialize;
use tracing_subscriber::EnvFilter;

/// The filter of log events, in the syntax of tracing's `EnvFilter`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct LogFilter(String);

/// The reason why a string is not a log filter.
#[derive(Debug, thiserror::Error)]
pub enum NotAFilter {
    /// The string does not have the form of a filter.
    #[error("'{0}' is not a log filter such as \"info\" or \"info,dependency_proxy::upstream=debug\"")]
    Malformed(String),
    /// A part of the filter would have no effect.
    #[error(
        "'{part}' in '{filter}' is neither a level nor a part of this program, as in dependency_proxy::upstream=debug"
    )]
    Unknown {
        /// The part without effect.
        part: String,
        /// The whole filter.
        filter: String,
    },
}

impl LogFilter {
    /// Returns the filter as `EnvFilter` parses it.
    pub(super) fn directives(&self) -> Result<EnvFilter, NotAFilter> {
        EnvFilter::try_new(&self.0).map_err(|_| NotAFilter::Malformed(self.0.clone()))
    }

    /// Refuses parts that are neither a level nor a known target. `EnvFilter` takes an unknown word for a target, so
    /// that a misspelt level would silence everything.
    fn refuse_unknown(&self) -> Result<(), NotAFilter> {
        let unknown = self.0.split(',').map(str::trim).find(|part| !is_known(part));
        match unknown {
            Some("") => Err(NotAFilter::Malformed(self.0.clone())),
            Some(part) => Err(NotAFilter::Unknown { part: part.to_owned(), filter: self.0.clone() }),
            None => Ok(()),
        }
    }
}

/// Returns true if a part of a filter is a level, or begins with the name of a crate that logs.
fn is_known(part: &str) -> bool {
    if part.parse::<tracing_subscriber::filter::LevelFilter>().is_ok() {
        return !part.is_empty();
    }
    let target = part.split(['=', '[']).next().unwrap_or_default();
    let name = target.split("::").next().unwrap_or_default();
    name == env!("CARGO_CRATE_NAME") || (part.contains('=') && LOGGING_CRATES.contains(&name))
}

/// The other crates in this program that log.
const LOGGING_CRATES: [&str; 14] = [
    "actix",
    "actix_http",
    "actix_rt",
    "actix_server",
    "actix_web",
    "h2",
    "hyper",
    "hyper_util",
    "mio",
    "reqwest",
    "rustls",
    "sled",
    "tokio",
    "want",
];

impl TryFrom<String> for LogFilter {
    type Error = NotAFilter;

    fn try_from(text: String) -> Result<Self, NotAFilter> {
        let filter = Self(text);
        filter.directives()?;
        filter.refuse_unknown()?;
        Ok(filter)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_filter_is_refused() {
        let refused = LogFilter::try_from("dependency_proxy=loud".to_owned()).unwrap_err();
        assert!(refused.to_string().starts_with("'dependency_proxy=loud' is not a log filter"), "{refused}");
        for (filter, part) in
            [("inof", "inof"), ("info,verbose", "verbose"), ("info,dependency_prxy=debug", "dependency_prxy=debug")]
        {
            let refused = LogFilter::try_from(filter.to_owned()).unwrap_err().to_string();
            assert!(refused.starts_with(&format!("'{part}' in '{filter}' is neither a level")), "{refused}");
        }
        for filter in ["", "info,", ","] {
            assert!(LogFilter::try_from(filter.to_owned()).is_err(), "{filter}");
        }
        for filter in ["off", "INFO", "warn,dependency_proxy::http=trace", "dependency_proxy", "info,hyper=error", "3"]
        {
            assert!(LogFilter::try_from(filter.to_owned()).is_ok(), "{filter}");
        }
    }
}
