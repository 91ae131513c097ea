//! Memory when idle, with a small store: a server was started, served one pull, and has been idle since.

use std::io;
use std::time::Duration;

use fake_registry::Image;

use super::interleaved::measure;
use crate::throughput::contender::{ALL, Running};
use crate::throughput::lab::Lab;
use crate::throughput::load;
use crate::throughput::options::Options;
use crate::throughput::results::{Aim, Bound, Figure, Finding, Sample};
use crate::throughput::row::{Row, Work};

const IDLE_TIME: Duration = Duration::from_secs(2);

pub(super) fn rows() -> Vec<Row> {
    let aims = vec![Aim::absolute(Figure::Resident, Bound::AtMost(f64::from(32 << 20)))];
    vec![Row {
        name: "idle with a small store".to_owned(),
        contenders: ALL.to_vec(),
        figure: Figure::Resident,
        aims,
        work: Work::Idle,
    }]
}

pub(super) fn run(row: &Row, options: &Options) -> io::Result<Vec<Finding>> {
    let lab = Lab::new()?;
    let image = Image::generated(1, &[1 << 20]);
    lab.upstream.push_image("library/warm", "1", &image);
    let started = row.contenders.iter().filter_map(|kind| kind.start(&lab, false).transpose());
    let servers = started.collect::<io::Result<Vec<Running>>>()?;
    for server in &servers {
        let paths = image.blobs().map(|blob| server.blob("library/warm", blob.digest()));
        for path in [server.manifest("library/warm", "1")].into_iter().chain(paths) {
            load::get(server.target, &server.request("GET", &path, None))?;
        }
    }
    std::thread::sleep(IDLE_TIME);
    let look = |server: &Running| Ok(Sample { usage: server.usage() - server.usage(), ..Sample::default() });
    Ok(vec![measure(row, &servers, options.rounds(), look)])
}
