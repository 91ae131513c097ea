//! One blob, cold: requested by one client, by many that arrive while it is downloaded, or by many at once.

use std::io;
use std::time::Duration;

use fake_registry::Image;

use super::client::Client;
use super::round::{rounds, watched};
use super::{crowd, round};
use crate::throughput::contender::{Kind, Running};
use crate::throughput::lab::Lab;
use crate::throughput::options::Options;
use crate::throughput::results::{Finding, Sample};
use crate::throughput::row::Row;
use crate::throughput::row::cold::Herd;

const REPOSITORY: &str = "library/cold";

/// Measures the row.
pub(super) fn run(row: &Row, herd: Herd, options: &Options) -> io::Result<Finding> {
    let lab = Lab::with(herd.tls)?;
    lab.upstream.set_pace(herd.pace);
    let image = Image::generated(2, &[herd.size]);
    lab.upstream.push_image(REPOSITORY, "1", &image);
    rounds(row, options, |kind, direct| {
        let Some(server) = kind.start(&lab, herd.tls)? else { return Ok(None) };
        let over = direct.filter(|_| herd.staggered).map_or(0.0, |direct| direct.seconds);
        let clients = if kind == Kind::Direct { 1 } else { herd.clients };
        once(&lab, &server, &image, clients, Duration::from_secs_f64(over)).map(Some)
    })
}

/// Runs the clients. All but the first discard what they receive. The first checks the digest, or, if it is alone,
/// downloads again to check it, so that its hashing is not measured.
fn once(lab: &Lab, server: &Running, image: &Image, clients: usize, over: Duration) -> io::Result<Sample> {
    let blob = &image.layers()[0];
    let request = server.request("GET", &server.blob(REPOSITORY, blob.digest()), None).expecting(blob.size());
    let get = async |state: &crowd::ThreadState, check: bool| {
        let mut client = Client::new(state, server.target)?;
        let received = client.get(&request, check.then_some(blob.digest())).await?;
        state.tally.borrow_mut().received(received);
        Ok(())
    };
    let sample = watched(
        server,
        || lab.upstream.counts(),
        || crowd::run(clients, over, async |client, state| get(state, client == 0 && clients > 1).await),
    )?;
    if clients == 1 {
        let checked = crowd::run(1, Duration::ZERO, async |_, state| get(state, true).await)?;
        return Ok(round::with_errors(sample, checked));
    }
    Ok(sample)
}
