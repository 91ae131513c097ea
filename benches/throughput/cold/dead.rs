//! Upstream is gone: what was cached can be pulled, and how long a manifest then takes. Beside each server stands another of
//! the same kind whose upstream is alive, and both are measured in turn.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::crowd;
use super::round::{finding, watched};
use super::small::Small;
use crate::contender::Running;
use crate::lab::Lab;
use crate::options::Options;
use crate::origin::Counts;
use crate::results::{Aim, Bound, Figure, Finding, Sample};
use crate::rows::Row;

/// Five hundred tags, so that the slowest hundredth is more than a few.
const IMAGES: usize = 50;
const TAGS_EACH: usize = 10;

/// How many pull at the same time.
const CLIENTS: usize = 8;

/// For how many seconds a tag is believed where its freshness is to run out, and how long it takes until it surely has.
const FRESHNESS: u32 = 1;
const RUN_OUT: Duration = Duration::from_millis(1_500);

const AIMS: [Aim; 2] = [
    Aim { figure: Figure::P99TimesReference, against: None, bound: Bound::AtMost(2.0) },
    Aim { figure: Figure::Errors, against: None, bound: Bound::AtMost(0.0) },
];

/// Measures the row twice: with upstream alive, and without it. `run_out`: no tag is fresh when it is asked for.
pub(super) fn run(row: &Row, run_out: bool, options: &Options) -> io::Result<Vec<Finding>> {
    eprintln!("{}", row.name);
    let (living, dying) = (lab(run_out)?, lab(run_out)?);
    let small = [&living, &dying].map(|lab| Small::publish(lab, IMAGES, TAGS_EACH));
    let [with, without] = [(&living, &small[0]), (&dying, &small[1])].map(|(lab, small)| servers(row, lab, small));
    let pairs: Vec<(Running, Running)> = with?.into_iter().zip(without?).collect();
    // Its port refuses connections from now on. The folder with the servers' data stays.
    drop(dying.origin);
    let mut samples = [(); 2].map(|()| pairs.iter().map(|(server, _)| (server.kind, Vec::new())).collect::<Vec<_>>());
    for _ in 0..options.rounds() {
        for (place, (with, without)) in pairs.iter().enumerate() {
            let alive = once(with, &small[0], run_out, || living.origin.counts())?;
            let mut dead = once(without, &small[1], run_out, Counts::default)?;
            eprintln!("  {}: {:?}", with.kind.name(), [&alive, &dead].map(|sample| sample.read(Figure::P99)));
            dead.reference = Some(Arc::new(alive.clone()));
            samples[0][place].1.push(alive);
            samples[1][place].1.push(dead);
        }
    }
    let [alive, dead] = samples.map(|samples| finding(row, samples));
    Ok(vec![named(alive, "alive", &[]), named(dead, "gone", &AIMS)])
}

fn lab(run_out: bool) -> io::Result<Lab> {
    let mut lab = Lab::new()?;
    lab.tag_freshness = run_out.then_some(FRESHNESS);
    Ok(lab)
}

/// Those of the row that are installed, each with everything in its cache.
fn servers(row: &Row, lab: &Lab, small: &Small) -> io::Result<Vec<Running>> {
    let started = row.contenders.iter().filter_map(|kind| kind.start(lab, false).transpose());
    let servers = started.collect::<io::Result<Vec<Running>>>()?;
    servers.iter().try_for_each(|server| small.warm(lab, server))?;
    Ok(servers)
}

/// Every tag once. Only manifests are timed; everything must succeed.
fn once(server: &Running, small: &Small, run_out: bool, asked: impl Fn() -> Counts) -> io::Result<Sample> {
    if run_out {
        std::thread::sleep(RUN_OUT);
    }
    let pulls = small.pulls(server);
    watched(server, asked, || {
        crowd::run(CLIENTS, Duration::ZERO, async |client, desk| {
            for pull in pulls.iter().skip(client).step_by(CLIENTS) {
                match pull.run(desk, false).await {
                    Ok(pulled) => desk.tally.borrow_mut().received(pulled.manifest),
                    Err(error) => desk.tally.borrow_mut().failed(&error),
                }
            }
            Ok(())
        })
    })
}

fn named(finding: Finding, upstream: &str, aims: &[Aim]) -> Finding {
    Finding { name: format!("{}, upstream {upstream}", finding.name), aims: aims.to_vec(), ..finding }
}
