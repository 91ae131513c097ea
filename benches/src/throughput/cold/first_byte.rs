//! Time to the first byte of a blob that no server has, beyond upstream's own.

use std::io;
use std::time::Duration;

use fake_registry::Image;

use super::client::Client;
use super::crowd;
use super::round::{rounds, watched};
use crate::throughput::contender::Running;
use crate::throughput::lab::Lab;
use crate::throughput::load::Request;
use crate::throughput::options::Options;
use crate::throughput::results::{Finding, Sample};
use crate::throughput::row::Row;
use crate::throughput::row::cold::FAR;

const REPOSITORY: &str = "library/first";

/// Number of bytes that a server fetches in a round, and maximum number of blobs.
const MAX_FETCHED_BYTES: u64 = 2 << 30;
const MAX_BLOBS: u64 = 40;

/// Measures the row, with blobs of `size` bytes.
pub(super) fn run(row: &Row, size: u64, options: &Options) -> io::Result<Finding> {
    let lab = Lab::new()?;
    lab.upstream.set_pace(FAR);
    // The first blob is small: with it a server gets its upstream connection and token.
    let count = (MAX_FETCHED_BYTES / size).min(MAX_BLOBS) as usize;
    let image = Image::generated(3, &[vec![1 << 10], vec![size; count]].concat());
    lab.upstream.push_image(REPOSITORY, "1", &image);
    rounds(row, options, |kind, _| {
        let Some(server) = kind.start(&lab, false)? else { return Ok(None) };
        once(&lab, &server, &image).map(Some)
    })
}

/// Requests the blobs one after another over an open connection.
fn once(lab: &Lab, server: &Running, image: &Image) -> io::Result<Sample> {
    let requests = image.layers().iter().map(|blob| {
        let path = server.blob(REPOSITORY, blob.digest());
        server.request("GET", &path, None).expecting(blob.size())
    });
    let requests: Vec<Request> = requests.collect();
    crate::throughput::load::get(server.target, &requests[0])?;
    watched(
        server,
        || lab.upstream.counts(),
        || {
            crowd::run(1, Duration::ZERO, async |_, state| {
                let mut client = Client::new(state, server.target)?;
                for request in &requests[1..] {
                    let received = client.get(request, None).await?;
                    state.tally.borrow_mut().received(received);
                }
                Ok(())
            })
        },
    )
}
