//! Free ports for servers that cannot tell which one the system gave them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::group::Group;

const PATIENCE: Duration = Duration::from_secs(15);
const TRIES: usize = 5;

/// Starts a server on a port that was free a moment ago, and waits until it accepts; tries other ports where it ends instead.
pub(super) fn start(mut spawn: impl FnMut(SocketAddr) -> io::Result<Group>) -> io::Result<(Group, SocketAddr)> {
    for _ in 0..TRIES {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut group = spawn(address)?;
        let deadline = Instant::now() + PATIENCE;
        while group.is_alive() && Instant::now() < deadline {
            if TcpStream::connect(address).is_ok() {
                return Ok((group, address));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Err(io::Error::other(format!("it did not listen on any of {TRIES} free ports; its log says why")))
}
