//! Redirects of clients to the object store of a fleet: who is sent there, and for which blobs.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::Deserialize;

/// The blobs for which clients are redirected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedirectMode {
    /// None.
    #[default]
    Never,
    /// Those that this replica does not have.
    Cold,
    /// All that are in the object store.
    All,
}

/// The clients that are redirected, and for which blobs.
#[derive(Clone, Debug, Default)]
pub struct Redirects {
    /// The blobs.
    pub mode: RedirectMode,
    /// The networks of the clients, which reach the object store.
    pub from: Vec<IpNet>,
}

impl Redirects {
    /// Returns true if a client with this address is redirected for some blobs.
    pub fn applies_to(&self, client: IpAddr) -> bool {
        self.mode != RedirectMode::Never && self.from.iter().any(|network| network.contains(&client))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    #[test]
    fn only_clients_of_the_networks_are_redirected() {
        let from = vec!["10.0.0.0/8".parse().unwrap()];
        let redirects = |mode| Redirects { mode, from: from.clone() };
        for (mode, address, applies) in [
            (RedirectMode::Cold, "10.1.2.3", true),
            (RedirectMode::All, "10.1.2.3", true),
            (RedirectMode::All, "11.1.2.3", false),
            (RedirectMode::All, "::1", false),
            (RedirectMode::Never, "10.1.2.3", false),
        ] {
            assert_eq!(redirects(mode).applies_to(address.parse().unwrap()), applies, "{mode:?} {address}");
        }
    }
}
