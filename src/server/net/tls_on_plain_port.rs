//! Detects TLS handshakes on the plain-HTTP port from their first byte, to log which setting is missing. The HTTP
//! parser could not distinguish such a client from a malformed request. The connection itself is not affected.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Check of the first byte of one connection.
pub(super) struct FirstByte {
    peer: IpAddr,
    warned: WarnedPeers,
}

/// The peers that were warned about, at most [`MAX_WARNED_PEERS`]. All clones share them.
#[derive(Clone, Default)]
pub(super) struct WarnedPeers(Arc<Mutex<HashSet<IpAddr>>>);

/// Maximum number of peers that are warned about.
const MAX_WARNED_PEERS: usize = 1000;
/// First byte of every TLS connection: the type of a handshake record (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

impl WarnedPeers {
    /// Creates the check for a connection of this peer.
    pub(super) fn first_byte(&self, peer: IpAddr) -> FirstByte {
        FirstByte { peer: peer.to_canonical(), warned: self.clone() }
    }
}

impl FirstByte {
    /// Warns the operator if the byte begins a TLS handshake, once per peer.
    pub(super) fn check(self, byte: u8) {
        if byte == TLS_HANDSHAKE && self.is_first_of_peer() {
            warn(self.peer);
        }
    }

    fn is_first_of_peer(&self) -> bool {
        let mut warned = self.warned.0.lock().unwrap_or_else(PoisonError::into_inner);
        warned.len() < MAX_WARNED_PEERS && warned.insert(self.peer)
    }
}

fn warn(peer: IpAddr) {
    if peer.is_loopback() {
        // Docker tries TLS first even if the registry is configured as insecure.
        tracing::info!(%peer, "a client on this machine spoke TLS to the plain port; some try that first");
    } else {
        tracing::warn!(
            %peer,
            "a client spoke TLS to the plain port. To serve TLS, set tls_certificate and tls_key in [server], or put a \
             proxy that speaks TLS in front; to use no TLS, configure the client to accept this registry as insecure"
        );
    }
}
