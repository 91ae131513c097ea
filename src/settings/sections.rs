//! The sections `[storage]`, `[bootstrap]`, `[auth]`, `[console]`, `[proxy]`, `[cache]`, `[audit]` and `[fleet]`, a
//! file for each but `[proxy]`, and the check of `[telemetry]`. A component that has keys of its own in a section has a
//! struct for them, which is a field here with a name that begins with `*`; see [`deserializer`](super::deserializer).
//! The other keys are those that the composition uses, or several components.

mod audit;
mod auth;
mod bootstrap;
mod cache;
mod console;
mod fleet;
mod storage;

use serde::Deserialize;

pub use self::audit::Audit;
pub use self::auth::Auth;
pub use self::bootstrap::Bootstrap;
pub use self::cache::{Cache, TagTimes};
pub use self::console::Console;
pub use self::fleet::{Fleet, SharedEngines};
pub use self::storage::Storage;
use super::ValidationError;
use crate::domain::upstream::NetworkMode;
use crate::telemetry::TraceOptions;

/// The main switches of the proxy.
#[derive(Clone, Debug, Deserialize)]
pub struct Proxy {
    /// False: nothing can be pulled, and administrators cannot enable the proxy by the API.
    pub enabled: bool,
    /// Mode of the network: upstreams are contacted, or not.
    pub network_mode: NetworkMode,
}

/// Checks the section `[telemetry]`.
pub(super) fn check_traces(options: &TraceOptions) -> Result<(), ValidationError> {
    if options.trace_percent > 100 {
        return Err(ValidationError::new(["telemetry", "trace_percent"], "is more than 100"));
    }
    Ok(())
}
