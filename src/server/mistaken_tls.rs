//! Looks at the first byte of a connection to the port without TLS, because nothing in HTTP tells a client that speaks TLS from
//! noise, and its operator wants to know which setting is missing. Changes nothing about the connection.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// What looks at the first byte of one connection.
pub(super) struct FirstByte {
    peer: IpAddr,
    told: Told,
}

/// The clients whose mistake was told, at most [`MAX_TOLD`] of them. All clones are one.
#[derive(Clone, Default)]
pub(super) struct Told(Arc<Mutex<HashSet<IpAddr>>>);

const MAX_TOLD: usize = 1000;
/// What every TLS connection begins with: the type of a handshake record (RFC 8446, section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;

impl Told {
    /// For a connection of this client.
    pub(super) fn first_byte(&self, peer: IpAddr) -> FirstByte {
        FirstByte { peer: peer.to_canonical(), told: self.clone() }
    }
}

impl FirstByte {
    /// Tells the operator if the byte means TLS, and this client's mistake was not told before.
    pub(super) fn is(self, byte: u8) {
        if byte == TLS_HANDSHAKE && self.is_news() {
            tell(self.peer);
        }
    }

    fn is_news(&self) -> bool {
        let mut told = self.told.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < MAX_TOLD && told.insert(self.peer)
    }
}

fn tell(peer: IpAddr) {
    if peer.is_loopback() {
        // Docker tries TLS first even where it is allowed to go on without.
        tracing::info!(%peer, "a client on this machine spoke TLS to the plain port; some try that first");
    } else {
        tracing::warn!(
            %peer,
            "a client spoke TLS to the plain port. To serve TLS, set tls_certificate and tls_key in [server], or put a \
             proxy that does in front; to do without, tell the client that this registry is insecure"
        );
    }
}
