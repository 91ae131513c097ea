//! Whole images: jobs that all want the same one at once, and nodes that want again what they had.

use std::io;
use std::time::Duration;

use super::pull::Pull;
use super::round::{rounds, watched};
use super::small::Small;
use super::{FAST, SLOW, crowd};
use crate::contender::Kind;
use crate::lab::Lab;
use crate::options::Options;
use crate::origin::Image;
use crate::results::Finding;
use crate::rows::Row;

const REPOSITORY: &str = "library/app";
const JOBS: usize = 200;
const NODES: usize = 8;

/// How many images there are for the nodes, and how often each node pulls each of them in a round.
const IMAGES: usize = 50;
const TIMES: usize = 4;

/// Ten layers with the sizes that layers have, in KiB: 32 MiB together.
const LAYERS: [u64; 10] = [12_288, 8_192, 5_120, 3_072, 2_048, 1_024, 512, 400, 100, 12];

/// All jobs at once, nothing cached. The first of them checks every digest.
pub(super) fn jobs(row: &Row, options: &Options) -> io::Result<Finding> {
    let lab = Lab::new()?;
    lab.origin.set_pace(SLOW);
    let image = Image::of(4, &LAYERS.map(|kib| kib << 10));
    lab.origin.publish(REPOSITORY, "1", &image);
    rounds(row, options, |kind, _| {
        let Some(server) = kind.start(&lab, false)? else { return Ok(None) };
        let pull = Pull::new(&server, REPOSITORY, "1", &image);
        let jobs = if kind == Kind::Direct { 1 } else { JOBS };
        let all = || {
            crowd::run(jobs, Duration::ZERO, async |job, desk| {
                let pulled = pull.run(desk, job == 0 && jobs > 1).await?;
                desk.tally.borrow_mut().received(pulled.received());
                Ok(())
            })
        };
        watched(&server, || lab.origin.counts(), all).map(Some)
    })
}

/// All nodes at once, each beginning with another image, everything cached.
pub(super) fn nodes(row: &Row, options: &Options) -> io::Result<Finding> {
    let lab = Lab::new()?;
    lab.origin.set_pace(FAST);
    let small = Small::publish(&lab, IMAGES, 1);
    rounds(row, options, |kind, _| {
        let Some(server) = kind.start(&lab, false)? else { return Ok(None) };
        let pulls = small.pulls(&server);
        small.warm(&lab, &server)?;
        let all = || {
            crowd::run(NODES, Duration::ZERO, async |node, desk| {
                let first = node * pulls.len() / NODES;
                for pull in pulls.iter().cycle().skip(first).take(TIMES * pulls.len()) {
                    let pulled = pull.run(desk, false).await?;
                    desk.tally.borrow_mut().received(pulled.received());
                }
                Ok(())
            })
        };
        watched(&server, || lab.origin.counts(), all).map(Some)
    })
}
