//! `--if-missing`: lets a script that creates objects run again. Objects that exist already are printed and never
//! changed.

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{Columns, Output};

/// The option `--if-missing`: an object that exists already is not an error.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct IfMissing {
    /// Succeed without a change if it exists already; `created` in the JSON output is then false
    #[arg(long)]
    if_missing: bool,
}

/// An object that was found or created.
pub(super) enum Outcome {
    /// The object existed already.
    Existing(Value),
    /// The object was created.
    Made(Value),
}

impl IfMissing {
    /// Creates an object with `make`, unless the option is set and `look_up` finds the object.
    pub(super) async fn make(
        self,
        look_up: impl AsyncFn() -> Result<Option<Value>, Failure>,
        make: impl Future<Output = Result<Value, Failure>>,
    ) -> Result<Outcome, Failure> {
        if !self.if_missing {
            return make.await.map(Outcome::Made);
        }
        if let Some(existing) = look_up().await? {
            return Ok(Outcome::Existing(marked(existing, false)));
        }
        match make.await {
            // Another process may have created it after the first look-up.
            Err(refusal @ Failure::Refused { status: 400 | 409, .. }) => match look_up().await? {
                Some(existing) => Ok(Outcome::Existing(marked(existing, false))),
                None => Err(refusal),
            },
            made => Ok(Outcome::Made(marked(made?, true))),
        }
    }
}

impl Outcome {
    /// Returns the output: the fields, after the sentence if the object existed already.
    pub(super) fn output(self, columns: Columns, sentence: impl FnOnce(&Value) -> String) -> Output {
        match self {
            Self::Existing(value) => Output::Existing(sentence(&value), columns, value),
            Self::Made(value) => Output::One(columns, value),
        }
    }
}

fn marked(mut value: Value, created: bool) -> Value {
    if let Some(fields) = value.as_object_mut() {
        fields.insert("created".to_owned(), json!(created));
    }
    value
}

/// Converts the result of a look-up: `None` where the service responded with 404.
pub(super) fn found(result: Result<Value, Failure>) -> Result<Option<Value>, Failure> {
    match result {
        Err(Failure::Refused { status: 404, .. }) => Ok(None),
        other => other.map(Some),
    }
}
