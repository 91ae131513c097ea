//! Unavailable upstream: whether cached images can be pulled, and the latency of their manifests. Beside each
//! server runs another one of the same kind whose upstream is available, and both are measured in alternation.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fake_registry::Counts;

use super::crowd;
use super::round::{finding, watched};
use super::small::Small;
use crate::throughput::contender::Running;
use crate::throughput::lab::Lab;
use crate::throughput::options::Options;
use crate::throughput::results::{Aim, Bound, Figure, Finding, Sample};
use crate::throughput::row::Row;

/// Number of images and of tags for each: five hundred tags, so that the slowest hundredth has several.
pub(super) const IMAGES: usize = 50;
pub(super) const TAGS_EACH: usize = 10;

/// Number of concurrent clients.
const CLIENTS: usize = 8;

/// Time to live of a tag in seconds, for rows with stale tags, and the time after which it has surely passed.
const TTL_SECONDS: u32 = 1;
const STALE_AFTER: Duration = Duration::from_millis(1_500);

const AIMS: [Aim; 2] = [
    Aim { figure: Figure::P99TimesReference, against: None, bound: Bound::AtMost(2.0) },
    Aim { figure: Figure::Errors, against: None, bound: Bound::AtMost(0.0) },
];

/// Measures the row twice: with upstream available, and without it. `run_out`: all tags are stale when
/// they are requested.
pub(super) fn run(row: &Row, run_out: bool, options: &Options) -> io::Result<Vec<Finding>> {
    eprintln!("{}", row.name);
    let (living, dying) = (lab(run_out)?, lab(run_out)?);
    let small = [&living, &dying].map(|lab| Small::publish(lab, IMAGES, TAGS_EACH));
    let [with, without] = [(&living, &small[0]), (&dying, &small[1])].map(|(lab, small)| servers(row, lab, small));
    let pairs: Vec<(Running, Running)> = with?.into_iter().zip(without?).collect();
    // From now on its port refuses connections. The folder with the servers' data stays.
    drop(dying.upstream);
    let mut samples = [(); 2].map(|()| pairs.iter().map(|(server, _)| (server.kind, Vec::new())).collect::<Vec<_>>());
    for _ in 0..options.rounds() {
        for (place, (with, without)) in pairs.iter().enumerate() {
            let alive = once(with, &small[0], run_out, || living.upstream.counts())?;
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

/// Returns a lab whose tags are fresh for a second if they shall run out, and else for an hour.
pub(super) fn lab(run_out: bool) -> io::Result<Lab> {
    let mut lab = Lab::new()?;
    lab.tag_freshness = run_out.then_some(TTL_SECONDS);
    Ok(lab)
}

/// Starts those servers of the row that are installed, and fills their caches.
pub(super) fn servers(row: &Row, lab: &Lab, small: &Small) -> io::Result<Vec<Running>> {
    let started = row.contenders.iter().filter_map(|kind| kind.start(lab, false).transpose());
    let servers = started.collect::<io::Result<Vec<Running>>>()?;
    servers.iter().try_for_each(|server| small.warm(lab, server))?;
    Ok(servers)
}

/// Pulls every tag once. Only manifests are timed; everything must succeed.
pub(super) fn once(server: &Running, small: &Small, run_out: bool, asked: impl Fn() -> Counts) -> io::Result<Sample> {
    if run_out {
        std::thread::sleep(STALE_AFTER);
    }
    let pulls = small.pulls(server);
    watched(server, asked, || {
        crowd::run(CLIENTS, Duration::ZERO, async |client, state| {
            for pull in pulls.iter().skip(client).step_by(CLIENTS) {
                match pull.run(state, false).await {
                    Ok(pulled) => state.tally.borrow_mut().received(pulled.manifest),
                    Err(error) => state.tally.borrow_mut().failed(&error),
                }
            }
            Ok(())
        })
    })
}

fn named(finding: Finding, upstream: &str, aims: &[Aim]) -> Finding {
    Finding { name: format!("{}, upstream {upstream}", finding.name), aims: aims.to_vec(), ..finding }
}
