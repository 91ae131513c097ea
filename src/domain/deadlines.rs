//! Time limits that bound one response or the stop of the service. They only work together, so they are in one place;
//! the assertions below fail the build where their sums do not fit. Other limits, of one connection or one file, are
//! beside the code that they bound.
//!
//! | limit | value | bounds | what happens then |
//! |---|---|---|---|
//! | [`CLIENT`] | 30 s | the time until a response begins | docker, containerd and podman give up |
//! | [`RESPONSE`] | 24 s | a pull of a manifest, the first byte of a blob, a list | the client gets a 503 that states why |
//! | [`MEMORY`] | 20 s | the wait for memory, within [`RESPONSE`] | 503: no memory |
//! | [`CONTENT_PERMIT`] | 20 s | the wait for a permit to download, within [`RESPONSE`] | 503: too many pulls |
//! | [`SHORT_PERMIT`] | 10 s | the wait for a permit of another request, within [`RESPONSE`] | 503: too many pulls |
//! | [`MAX_HEADER`] | 12 s | the setting `header_timeout`: one response of upstream, with login and redirects | 503, or stale |
//! | [`HEAD`] | 18 s | a `HEAD` of a manifest when nothing is stored: permit and half a `header_timeout` | 503 |
//! | [`LIST`] | 20 s | a whole list from upstream, within [`RESPONSE`] | 503 |
//! | [`RATE_LIMIT`] | 18 s | the wait for upstream's rate limit to pass, within [`RESPONSE`] | 503 with `Retry-After` |
//! | [`FETCH_WITH_STALE`] | 10 s | a `GET` when a stale manifest can be served | stale |
//! | [`REPEATED_FETCH`] | 23 s | a fetch that is repeated for lack of memory | 503: no memory |
//! | [`EVICTION`] | 8 s | the wait of a download or manifest for an eviction | it is passed through, not stored |
//! | [`FETCH`] | 60 s | a fetch that goes on after its callers have left | later callers start a new one |
//! | [`PROBE`] | 90 s | a request that tries whether upstream works again | the next one is tried |
//! | [`IDENTITIES`] | 1 s | in a fleet: the wait of a request for identities that are new enough | 503 with `Retry-After` |
//! | [`REFUSAL`] | 5 s | in a fleet: the wait of a refusal for the change that it follows from | 503 |
//! | [`CONFIRMATION`] | 20 s | in a fleet: the wait of a response of the API for the change that it shows | 503 |
//! | [`LOOK_UP`] | 0.25 s | in a fleet: a lookup in the shared index | upstream gets the request, as if nothing were known |
//! | [`CLAIM`] | 0.5 s | in a fleet: the question which replica downloads | this replica downloads for itself |
//! | [`OBJECT_MANIFEST`] | 2 s | in a fleet: a manifest from the object store | upstream gets the request |
//! | [`VERSION`] | 3 s | in a fleet: a request to another replica for the change that it has | it counts as silent |
//! | [`VERSION_WAIT`] | 2 s | in a fleet: the wait of that replica for a change, within [`VERSION`] | it says what it has |
//! | [`KILL`] | 30 s | the whole stop | an orchestrator kills the process |
//! | [`SHUTDOWN`] | 22 s | the default of `shutdown_timeout`: responses under way | they are cut off |
//! | [`COMMIT`] | 3 s | blobs that were just sent, at the stop | they are downloaded again |
//! | [`CLOSE`] | 1 s | changes of the cache under way, at the stop | the next start corrects what they leave |
//! | [`LEAVE`] | 1 s | the end of the registration of a replica, and what it hands over, at the stop | others wait for it; the next start goes on |
//! | [`LAST_SPANS`] | 2 s | the last spans, at the stop: `telemetry` has this limit itself | they are lost |
//! | [`LAST_LINES`] | 1 s | the last log lines, at the stop: `telemetry` has this limit itself | they are lost |

use std::time::Duration;

/// Time after which clients give up if no response has begun (containerd's `ResponseHeaderTimeout`).
pub const CLIENT: Duration = Duration::from_secs(30);

/// Maximum time until a response to a pull begins.
pub const RESPONSE: Duration = Duration::from_secs(24);

/// Maximum time that a request waits for memory.
pub const MEMORY: Duration = Duration::from_secs(20);

/// Maximum time that a request for content waits for its permit; about as long as a client waits.
pub const CONTENT_PERMIT: Duration = Duration::from_secs(20);

/// Maximum time that any other upstream request waits for its permit.
pub const SHORT_PERMIT: Duration = Duration::from_secs(10);

/// Maximum of the setting `header_timeout` of an upstream.
pub const MAX_HEADER: Duration = Duration::from_secs(12);

/// Maximum time of a `HEAD` of a manifest when there is no stale manifest to serve instead.
pub const HEAD: Duration = Duration::from_secs(18);

/// Maximum time for a whole page of a list from upstream.
pub const LIST: Duration = Duration::from_secs(20);

/// Maximum time that a pull waits for upstream's rate limit to pass.
pub const RATE_LIMIT: Duration = Duration::from_secs(18);

/// Maximum time of a fetch when a stale manifest can be served instead.
pub const FETCH_WITH_STALE: Duration = Duration::from_secs(10);

/// Time since the request at which a fetch that is repeated for lack of memory is given up. It is below [`RESPONSE`],
/// whose failure would state that upstream is late.
pub const REPEATED_FETCH: Duration = Duration::from_secs(23);

/// Maximum time that a download or a manifest waits for an eviction, which goes on after it.
pub const EVICTION: Duration = Duration::from_secs(8);

/// Maximum time of a fetch. Without it, a manifest that trickles in would keep all later pulls of its tag waiting.
pub const FETCH: Duration = Duration::from_secs(60);

/// Time after which a probe without a result no longer holds up the next one: longer than any request takes.
pub const PROBE: Duration = Duration::from_secs(90);

/// Maximum time that a request to one of several replicas waits for identities that are new enough to decide by.
pub const IDENTITIES: Duration = Duration::from_secs(1);

/// Maximum time that a refusal waits until no replica decides without the change that it follows from.
pub const REFUSAL: Duration = Duration::from_secs(5);

/// Maximum time that a response of the API waits until no replica decides without what it shows: longer than that takes
/// where one replica or the object store does not respond.
pub const CONFIRMATION: Duration = Duration::from_secs(20);

/// Maximum time of a lookup in the index that replicas share.
pub const LOOK_UP: Duration = Duration::from_millis(250);

/// Maximum time until the database says which replica downloads.
pub const CLAIM: Duration = Duration::from_millis(500);

/// Maximum time to read a manifest from the object store.
pub const OBJECT_MANIFEST: Duration = Duration::from_secs(2);

/// Maximum time until another replica says which change it has.
pub const VERSION: Duration = Duration::from_secs(3);

/// Maximum time that a replica waits for a change before it says which one it has.
pub const VERSION_WAIT: Duration = Duration::from_secs(2);

/// Time after which orchestrators kill a process to which they have sent the signal to stop (Kubernetes'
/// `terminationGracePeriodSeconds`).
pub const KILL: Duration = Duration::from_secs(30);

/// Default of the setting `shutdown_timeout`.
pub const SHUTDOWN: Duration = Duration::from_secs(22);

/// Maximum time that the stop waits for blobs that are being committed.
pub const COMMIT: Duration = Duration::from_secs(3);

/// Maximum time that the stop waits for changes of the cache, such as the removal of images.
pub const CLOSE: Duration = Duration::from_secs(1);

/// Maximum time that the stop of a replica waits for the end of its registration, and for an engine that does not
/// respond. Uploads that go on also get what the limits before have left.
pub const LEAVE: Duration = Duration::from_secs(1);

/// Maximum time that the end of the process waits for the collector of traces.
pub const LAST_SPANS: Duration = Duration::from_secs(2);

/// Maximum time that the end of the process waits for the reader of the log.
pub const LAST_LINES: Duration = Duration::from_secs(1);

/// Time that is left for the client to receive the head of a response.
const MARGIN: Duration = Duration::from_secs(5);

const fn fits(parts: &[Duration], whole: Duration) -> bool {
    let (mut sum, mut part) = (Duration::ZERO, 0);
    while part < parts.len() {
        sum = sum.saturating_add(parts[part]);
        part += 1;
    }
    sum.as_nanos() <= whole.as_nanos()
}

const _: () = {
    assert!(fits(&[RESPONSE, MARGIN], CLIENT));
    // A `HEAD` that fails in its half of `header_timeout`, and a `GET` after it.
    assert!(fits(&[SHORT_PERMIT, MAX_HEADER], RESPONSE));
    assert!(fits(&[MAX_HEADER, MAX_HEADER], RESPONSE));
    // A `HEAD` gets half of `header_timeout`.
    assert!(fits(&[SHORT_PERMIT, SHORT_PERMIT, MAX_HEADER], HEAD.saturating_mul(2)));
    assert!(fits(&[HEAD], RESPONSE) && fits(&[CONTENT_PERMIT], RESPONSE) && fits(&[LIST], RESPONSE));
    assert!(fits(&[MEMORY], REPEATED_FETCH) && fits(&[REPEATED_FETCH], RESPONSE));
    assert!(fits(&[MAX_HEADER, EVICTION], RESPONSE));
    assert!(fits(&[IDENTITIES, REFUSAL, MARGIN], CLIENT) && fits(&[IDENTITIES, CONFIRMATION, MARGIN], CLIENT));
    // What a replica asks the engines, and upstream after it.
    assert!(fits(&[LOOK_UP, OBJECT_MANIFEST, CLAIM, MAX_HEADER, EVICTION], RESPONSE));
    assert!(fits(&[VERSION_WAIT, LOOK_UP], VERSION));
    // After the last wait there is time for a request.
    assert!(fits(&[RATE_LIMIT, MARGIN], RESPONSE));
    assert!(fits(&[SHORT_PERMIT, MAX_HEADER], FETCH) && fits(&[FETCH, SHORT_PERMIT, MAX_HEADER], PROBE));
    assert!(fits(&[SHUTDOWN, COMMIT, CLOSE, LEAVE, LAST_SPANS, LAST_LINES], KILL));
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    /// Returns the rest of each line that begins like this, split at these two separators.
    fn pairs<'a>(start: &str, separators: [&str; 2]) -> BTreeMap<&'a str, &'a str> {
        let lines = include_str!("deadlines.rs").lines().filter_map(|line| line.strip_prefix(start));
        let pair = |line: &'a str| {
            let (name, rest) = line.split_once(separators[0])?;
            Some((name, rest.split_once(separators[1])?.0))
        };
        lines.filter_map(pair).collect()
    }

    #[test]
    fn the_table_has_each_limit_with_its_value() {
        let in_table = pairs("//! | [`", ["`] | ", " s |"]);
        let seconds = pairs("pub const ", [": Duration = Duration::from_secs(", ");"]);
        let millis = pairs("pub const ", [": Duration = Duration::from_millis(", ");"]);
        let limits = include_str!("deadlines.rs").lines().filter(|line| line.starts_with("pub const ")).count();
        assert_eq!((in_table.len(), seconds.len() + millis.len()), (limits, limits));
        for (name, value) in seconds {
            assert_eq!(in_table.get(name), Some(&value), "{name}");
        }
        for (name, value) in millis {
            let stated = in_table.get(name).and_then(|value| value.parse::<f64>().ok());
            assert_eq!(stated.map(|value| value * 1000.0), value.parse::<f64>().ok(), "{name}");
        }
    }
}
