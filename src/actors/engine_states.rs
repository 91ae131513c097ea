//! The engines that replicas share, as this process has last found them: which does not respond, since when, and what
//! that means.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Name of the database.
pub const DATABASE: &str = "database";
/// Name of the object store.
pub const OBJECT_STORE: &str = "object store";

/// The engines that do not respond, and since when. A process has the engines of one fleet.
static AWAY: Mutex<BTreeMap<&'static str, Instant>> = Mutex::new(BTreeMap::new());

/// Records whether an engine has responded.
pub fn note(engine: &'static str, responds: bool) {
    let mut away = away();
    if responds {
        away.remove(engine);
    } else {
        away.entry(engine).or_insert_with(Instant::now);
    }
}

/// Returns a sentence for each engine that does not respond: which one, since when, and what that means.
pub fn problems() -> Vec<String> {
    let since: BTreeMap<&'static str, Duration> = away().iter().map(|(name, since)| (*name, since.elapsed())).collect();
    sentences(&since)
}

fn sentences(away: &BTreeMap<&'static str, Duration>) -> Vec<String> {
    let one = |(engine, since): (&&'static str, &Duration)| {
        let seconds = since.as_secs();
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

fn away() -> MutexGuard<'static, BTreeMap<&'static str, Instant>> {
    AWAY.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_that_is_away_is_named_with_what_that_means() {
        assert!(sentences(&BTreeMap::new()).is_empty());
        let database = (DATABASE, Duration::from_secs(12));
        let one = sentences(&BTreeMap::from([database]));
        assert!(
            one[0].starts_with("the database of the fleet has not responded for 12 s: changes are refused"),
            "{one:?}"
        );
        let both = sentences(&BTreeMap::from([database, (OBJECT_STORE, Duration::ZERO)]));
        assert!(
            both.len() == 2 && both.iter().all(|sentence| sentence.ends_with("everything is refused soon")),
            "{both:?}"
        );
    }
}
