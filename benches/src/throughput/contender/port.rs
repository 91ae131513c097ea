//! Free ports for servers that cannot report which port the kernel has assigned.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::throughput::group::Group;

const START_TIMEOUT: Duration = Duration::from_secs(15);
const MAX_ATTEMPTS: usize = 5;

/// Starts a server on a port that was free just before, and waits until it accepts connections; tries
/// other ports if it ends instead.
pub(super) fn start(mut spawn: impl FnMut(SocketAddr) -> io::Result<Group>) -> io::Result<(Group, SocketAddr)> {
    for _ in 0..MAX_ATTEMPTS {
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut group = spawn(address)?;
        let deadline = Instant::now() + START_TIMEOUT;
        while group.is_alive() && Instant::now() < deadline {
            if TcpStream::connect(address).is_ok() {
                return Ok((group, address));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    Err(io::Error::other(format!("it did not listen on any of {MAX_ATTEMPTS} free ports; its log says why")))
}
