//! The engines that replicas share, as this process has last found them: which does not respond, since when, and what
//! that means.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Name of the database.
pub const DATABASE: &str = "database";
/// Name of the object store.
pub const OBJECT_STORE: &str = "object store";

/// State of an engine after a look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineState {
    /// It has shown what was looked for.
    Responds,
    /// It does not respond, or refuses.
    Silent,
    /// It has what is signed with another secret than that of this replica.
    OtherSecret,
}

/// The engines that do not show what is looked for, and since when. A process has the engines of one fleet.
static AWAY: Mutex<BTreeMap<&'static str, (EngineState, Instant)>> = Mutex::new(BTreeMap::new());

/// Records how an engine was found.
pub fn note(engine: &'static str, state: EngineState) {
    let mut away = away();
    if state == EngineState::Responds {
        away.remove(engine);
    } else if away.get(engine).is_none_or(|(known, _)| *known != state) {
        away.insert(engine, (state, Instant::now()));
    }
}

/// Returns a sentence for each engine that does not respond: which one, since when, and what that means.
pub fn problems() -> Vec<String> {
    let since = |(name, (state, since)): (&&'static str, &(EngineState, Instant))| (*name, (*state, since.elapsed()));
    let since = away().iter().map(since).collect();
    sentences(&since)
}

fn sentences(away: &BTreeMap<&'static str, (EngineState, Duration)>) -> Vec<String> {
    let one = |(engine, (state, since)): (&&'static str, &(EngineState, Duration))| {
        let seconds = since.as_secs();
        if *state == EngineState::OtherSecret {
            return format!(
                "the change log in the {engine} of the fleet has been signed with another secret for {seconds} s: \
                 fleet.secret_file must have the secrets of all replicas; without the database this one refuses everything"
            );
        }
        let both = away.len() > 1;
        let meaning = match *engine {
            _ if both => "while the other one does not respond, either, everything is refused soon",
            DATABASE => {
                "changes are refused, and each replica downloads for itself; pulls go on for fleet.without_database, by the \
                 changes in the object store"
            }
            _ => {
                "what a replica lacks comes from its registry and is uploaded later; a change is confirmed only while all \
                 replicas respond"
            }
        };
        format!("the {engine} of the fleet has not responded for {seconds} s: {meaning}")
    };
    away.iter().map(one).collect()
}

fn away() -> MutexGuard<'static, BTreeMap<&'static str, (EngineState, Instant)>> {
    AWAY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_that_is_away_is_named_with_what_that_means() {
        assert!(sentences(&BTreeMap::new()).is_empty());
        let database = (DATABASE, (EngineState::Silent, Duration::from_secs(12)));
        let one = sentences(&BTreeMap::from([database]));
        assert!(
            one[0].starts_with("the database of the fleet has not responded for 12 s: changes are refused"),
            "{one:?}"
        );
        let both = sentences(&BTreeMap::from([database, (OBJECT_STORE, (EngineState::Silent, Duration::ZERO))]));
        assert!(
            both.len() == 2 && both.iter().all(|sentence| sentence.ends_with("everything is refused soon")),
            "{both:?}"
        );
        let other = sentences(&BTreeMap::from([(OBJECT_STORE, (EngineState::OtherSecret, Duration::ZERO))]));
        assert!(other[0].contains("signed with another secret for 0 s: fleet.secret_file"), "{other:?}");
    }
}
