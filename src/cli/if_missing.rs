//! `--if-missing`: a script that makes something can run again. What is there already is shown and never changed.

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::output::{Columns, Output};

/// The choice that something which is there already is no failure.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct IfMissing {
    /// Succeed where it exists already, and say so; nothing is changed, and `created` in JSON is false
    #[arg(long)]
    if_missing: bool,
}

/// The thing that a verb found or made.
pub(super) enum Outcome {
    /// It was there already.
    Existing(Value),
    /// It was made.
    Made(Value),
}

impl IfMissing {
    /// Makes something, unless `look_up` finds it, also where it was made by another process in between.
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
            Err(refusal @ Failure::Refused { status: 400 | 409, .. }) => match look_up().await? {
                Some(existing) => Ok(Outcome::Existing(marked(existing, false))),
                None => Err(refusal),
            },
            made => Ok(Outcome::Made(marked(made?, true))),
        }
    }
}

impl Outcome {
    /// The output: the fields, and the sentence before them where it was there already.
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

/// The thing that was shown; `None` where the service says that there is nothing.
pub(super) fn found(answer: Result<Value, Failure>) -> Result<Option<Value>, Failure> {
    match answer {
        Err(Failure::Refused { status: 404, .. }) => Ok(None),
        answer => answer.map(Some),
    }
}
