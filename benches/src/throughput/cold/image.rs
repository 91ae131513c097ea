//! Whole images: jobs that pull the same image at once, and nodes that pull cached images again.

use std::io;
use std::time::Duration;

use fake_registry::Image;

use super::crowd;
use super::pull::Pull;
use super::round::{rounds, watched};
use super::small::Small;
use crate::throughput::contender::Kind;
use crate::throughput::lab::Lab;
use crate::throughput::options::Options;
use crate::throughput::results::Finding;
use crate::throughput::row::Row;
use crate::throughput::row::cold::{FAST, SLOW};

const REPOSITORY: &str = "library/app";
const JOBS: usize = 200;
const NODES: usize = 8;

/// Number of images for the nodes, and of pulls of each by each node in a round.
const IMAGES: usize = 50;
const PULLS_PER_NODE: usize = 4;

/// Sizes of ten typical layers in KiB: 32 MiB together.
const LAYERS: [u64; 10] = [12_288, 8_192, 5_120, 3_072, 2_048, 1_024, 512, 400, 100, 12];

/// Runs all jobs at once, with nothing cached. The first job verifies every digest.
pub(super) fn jobs(row: &Row, options: &Options) -> io::Result<Finding> {
    let lab = Lab::new()?;
    lab.upstream.set_pace(SLOW);
    let image = Image::generated(4, &LAYERS.map(|kib| kib << 10));
    lab.upstream.push_image(REPOSITORY, "1", &image);
    rounds(row, options, |kind, _| {
        let Some(server) = kind.start(&lab, false)? else { return Ok(None) };
        let pull = Pull::new(&server, REPOSITORY, "1", &image);
        let jobs = if kind == Kind::Direct { 1 } else { JOBS };
        let all = || {
            crowd::run(jobs, Duration::ZERO, async |job, state| {
                let pulled = pull.run(state, job == 0 && jobs > 1).await?;
                state.tally.borrow_mut().received(pulled.received());
                Ok(())
            })
        };
        watched(&server, || lab.upstream.counts(), all).map(Some)
    })
}

/// Runs all nodes at once, each starting with another image, with everything cached.
pub(super) fn nodes(row: &Row, options: &Options) -> io::Result<Finding> {
    let lab = Lab::new()?;
    lab.upstream.set_pace(FAST);
    let small = Small::publish(&lab, IMAGES, 1);
    rounds(row, options, |kind, _| {
        let Some(server) = kind.start(&lab, false)? else { return Ok(None) };
        let pulls = small.pulls(&server);
        small.warm(&lab, &server)?;
        let all = || {
            crowd::run(NODES, Duration::ZERO, async |node, state| {
                let first = node * pulls.len() / NODES;
                for pull in pulls.iter().cycle().skip(first).take(PULLS_PER_NODE * pulls.len()) {
                    let pulled = pull.run(state, false).await?;
                    state.tally.borrow_mut().received(pulled.received());
                }
                Ok(())
            })
        };
        watched(&server, || lab.upstream.counts(), all).map(Some)
    })
}
