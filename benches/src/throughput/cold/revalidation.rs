//! Stale tags: the latency of their manifests with an upstream that is far away. Beside each server runs another one of
//! the same kind whose tags are fresh, and both are measured in alternation.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fake_registry::Pace;

use super::dead::{IMAGES, TAGS_EACH, lab, once, servers};
use super::round::finding;
use super::small::Small;
use crate::throughput::options::Options;
use crate::throughput::results::{Aim, Bound, Figure, Finding};
use crate::throughput::row::Row;

/// Time until upstream responds.
const FAR_AWAY: Pace = Pace { latency: Duration::from_millis(200), bytes_per_second: None };

const AIMS: [Aim; 1] = [Aim { figure: Figure::P99TimesReference, against: None, bound: Bound::AtMost(1.2) }];

/// Measures pulls by stale tags, each beside those by fresh ones.
pub(super) fn run(row: &Row, options: &Options) -> io::Result<Vec<Finding>> {
    eprintln!("{}", row.name);
    let (fresh, stale) = (lab(false)?, lab(true)?);
    let small = [&fresh, &stale].map(|lab| Small::publish(lab, IMAGES, TAGS_EACH));
    let pairs: Vec<_> = servers(row, &fresh, &small[0])?.into_iter().zip(servers(row, &stale, &small[1])?).collect();
    stale.upstream.set_pace(FAR_AWAY);
    let mut samples: Vec<_> = pairs.iter().map(|(server, _)| (server.kind, Vec::new())).collect();
    for _ in 0..options.rounds() {
        for ((of_fresh, of_stale), (_, samples)) in pairs.iter().zip(&mut samples) {
            let reference = once(of_fresh, &small[0], false, || fresh.upstream.counts())?;
            // Since the last round, more time may have passed than a stale tag is served without waiting.
            once(of_stale, &small[1], false, || stale.upstream.counts())?;
            let mut sample = once(of_stale, &small[1], true, || stale.upstream.counts())?;
            eprintln!("  {}: {:?}", of_stale.kind.name(), [&reference, &sample].map(|sample| sample.read(Figure::P99)));
            sample.reference = Some(Arc::new(reference));
            samples.push(sample);
        }
    }
    Ok(vec![Finding { aims: AIMS.to_vec(), ..finding(row, samples) }])
}
