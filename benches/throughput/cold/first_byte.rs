//! The first byte of a blob that no server has: how much later it comes than upstream's own.

use std::io;
use std::time::Duration;

use super::client::Client;
use super::round::{rounds, watched};
use super::{FAR, crowd};
use crate::contender::Running;
use crate::lab::Lab;
use crate::load::Request;
use crate::options::Options;
use crate::origin::Image;
use crate::results::{Finding, Sample};
use crate::rows::Row;

const REPOSITORY: &str = "library/first";

/// Bytes that a server fetches in a round, and blobs at most.
const BYTES: u64 = 2 << 30;
const BLOBS: u64 = 40;

/// Measures it, with blobs of so many bytes.
pub(super) fn run(row: &Row, size: u64, options: &Options) -> io::Result<Finding> {
    let lab = Lab::new()?;
    lab.origin.set_pace(FAR);
    // The first blob is small: with it a server learns how to ask upstream.
    let count = (BYTES / size).min(BLOBS) as usize;
    let image = Image::of(3, &[vec![1 << 10], vec![size; count]].concat());
    lab.origin.publish(REPOSITORY, "1", &image);
    rounds(row, options, |kind, _| {
        let Some(server) = kind.start(&lab, false)? else { return Ok(None) };
        once(&lab, &server, &image).map(Some)
    })
}

/// One after another over a connection that is open.
fn once(lab: &Lab, server: &Running, image: &Image) -> io::Result<Sample> {
    let requests = image.layers.iter().map(|blob| {
        let path = server.blob(REPOSITORY, &blob.digest);
        Request::new(server, "GET", &path, None).expecting(blob.size())
    });
    let requests: Vec<Request> = requests.collect();
    crate::load::get(server.target, &requests[0])?;
    watched(
        server,
        || lab.origin.counts(),
        || {
            crowd::run(1, Duration::ZERO, async |_, desk| {
                let mut client = Client::new(desk, server.target)?;
                for request in &requests[1..] {
                    let received = client.get(request, None).await?;
                    desk.tally.borrow_mut().received(received);
                }
                Ok(())
            })
        },
    )
}
