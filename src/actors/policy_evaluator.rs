//! The PolicyEvaluator is the single writer of the directory of identities: it applies one change after the other,
//! makes them durable in batches together with their audit events, and publishes snapshots. Access decisions are a pure
//! function over a snapshot (`domain::policy`), which callers evaluate without a message.
//!
//! | file | content |
//! |---|---|
//! | [`handle`] | [`PolicyEvaluatorHandle`]: returns snapshots without a message, and sends changes |
//! | [`evaluator`] | the actor: collects changes into batches, publishes snapshots |
//! | [`published`] | the current directory, as the actor publishes it |
//! | [`confirmer`] | waits until no other replica decides without a change |
//! | [`confirmations`] | the changes of which that is known |
//! | [`validity`] | the time for which the directory may be used, on one of several replicas |
//! | [`batch`] | changes that are computed and stored together |

mod batch;
mod confirmations;
mod confirmer;
mod evaluator;
mod handle;
mod published;
#[cfg(test)]
mod tests;
mod validity;

use actix::prelude::*;

pub use self::confirmations::NotConfirmed;
pub use self::confirmer::Confirmer;
pub use self::evaluator::PolicyEvaluator;
pub use self::handle::{PolicyEvaluatorHandle, Shared};
pub use self::validity::{TooOld, Validity, machine_time};
use crate::domain::audit::Event;
use crate::domain::audit::changes::ChangeOrigin;
use crate::domain::directory::{Directory, Write};
pub use crate::store::error::FleetError;
use crate::store::error::StoreError;
use crate::store::fleet::Missed;

/// The writes of a change, by whom they are made, and the result for the caller.
pub struct Edited<T> {
    /// The writes.
    pub writes: Vec<Write>,
    /// The origin, from which the audit events are made.
    pub origin: ChangeOrigin,
    /// The result for the caller.
    pub value: T,
}

/// Reason why a change was not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError<E> {
    /// The change itself was refused.
    #[error(transparent)]
    Refused(E),
    /// Too many changes are waiting already.
    #[error("too many changes wait to be stored")]
    Busy,
    /// The disk is full.
    #[error("the disk that holds the identities is full")]
    Full,
    /// An engine that several replicas share has failed. The change may be stored, see the error.
    #[error(transparent)]
    Fleet(FleetError),
    /// The change could not be stored; the text is the reason.
    #[error("the change could not be stored: {0}")]
    Store(String),
}

impl<E> From<StoreError> for ChangeError<E> {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Full => Self::Full,
            StoreError::Fleet(error) => Self::Fleet(error),
            StoreError::Io(_) | StoreError::Damaged(_) | StoreError::Closed => Self::Store(error.to_string()),
        }
    }
}

/// Applies an edit to the directory. The closure sends the result to its caller itself.
#[derive(Message)]
#[rtype(result = "()")]
struct Change(Edit);

/// Adds what other replicas have changed.
#[derive(Message)]
#[rtype(result = "()")]
struct Follow(Missed);

/// Confirms the published directory, unless that is done or in progress.
#[derive(Message)]
#[rtype(result = "()")]
struct Confirm;

/// Function that makes a change of the newest directory, or gets the error where there is none.
type Edit = Box<dyn FnOnce(Result<&Directory, &StoreError>) -> Prepared + Send>;

/// A change that is not stored yet, or a refusal.
struct Prepared {
    /// The writes and the source of the events; `None`: it was refused.
    change: Option<(Vec<Write>, Audit)>,
    acknowledge: Acknowledge,
}

/// Source of the audit events of a change.
enum Audit {
    /// They are made from the writes.
    Origin(ChangeOrigin),
    /// They are given, for a change of something else than identities.
    Given(Vec<Event>),
}

/// Function that reports the result of a change to its caller.
type Acknowledge = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// Function that is called with each directory that is published, before its changes are acknowledged. It must not
/// block or panic.
type Observer = Box<dyn Fn(&Directory) + Send + Sync>;
