//! The engines of a fleet, from the settings of a replica to the commands that use them.

use crate::admin::engines::Engines;
use crate::settings::{Settings, SharedEngines};

/// Returns the engines of these settings; `None`: they are those of a service without a fleet.
pub(super) fn engines_of(settings: &Settings) -> Option<Engines> {
    let SharedEngines { database, bucket, secret_file, bound, .. } = settings.fleet.shared()?;
    Some(Engines { database, bucket, secret_file, bound })
}
