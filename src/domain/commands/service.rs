//! Commands for the switches of the whole service.

use super::CommandResult;
use crate::domain::directory::{Directory, Record, Service, Write};

/// Switches the proxy on or off for all groups; `None`: as configured. Never fails.
pub fn switch_proxy(directory: &Directory, enabled: Option<bool>) -> CommandResult<()> {
    let service = Service { proxy_enabled: enabled, ..directory.service().clone() };
    Ok((vec![Write::Put(Record::Service(service))], ()))
}
