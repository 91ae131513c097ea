//! The configured upstreams and their limits.

use std::collections::HashMap;
use std::sync::Arc;

use super::limits::UpstreamLimits;
use crate::domain::repository::UpstreamName;
use crate::domain::upstream::NetworkMode;
use crate::upstream::{Registries, SetupError, UpstreamOptions};

/// The configured upstreams and their limits. Each request uses the snapshot of its beginning.
pub(super) struct Current {
    pub(super) registries: Registries,
    pub(super) limits: HashMap<UpstreamName, Arc<UpstreamLimits>>,
    pub(super) mode: NetworkMode,
}

impl Current {
    /// Returns the state for these upstreams. Limits that did not change are kept, so that requests under
    /// way still count.
    pub(super) fn changed_to(&self, upstreams: Vec<UpstreamOptions>, mode: NetworkMode) -> Result<Self, SetupError> {
        let limits = |options: &UpstreamOptions| {
            let known = self.limits.get(&options.name).filter(|limits| limits.are_of(&options.connection)).cloned();
            (
                options.name.clone(),
                known.unwrap_or_else(|| Arc::new(UpstreamLimits::new(options.name.clone(), &options.connection))),
            )
        };
        let limits = upstreams.iter().map(limits).collect();
        Ok(Self { registries: self.registries.changed_to(upstreams)?, limits, mode })
    }
}
