//! The rows of fleets, as data, with their aims.

use crate::throughput::contender::Kind;
use crate::throughput::results::{Aim, Bound, Figure};
use crate::throughput::row::fleet::{Content, Engine, Loss, Shared};
use crate::throughput::row::{Row, Work};

use Figure::{
    BlobGets, CpuTimesReference, EngineBytes, EngineConnections, Errors, FollowerFirstByte, ManifestGets,
    P99TimesReference, RateTimesReference, Stall, TimesReference, UpstreamTimesSize,
};

/// Maximum number of bytes to and from the engines per thousand hits beyond those when idle: a byte per hit. What is
/// counted and written every few seconds is less, a message for each hit would be more.
const MAX_ENGINE_BYTES: f64 = 1_000.0;

/// Returns all rows.
pub fn rows() -> Vec<Row> {
    let hits = [Content::Manifest, Content::Blob].map(|content| hit(Shared::Hit(content)));
    let scale = row(Shared::Hits, RateTimesReference, Kind::OneReplica, vec![at_least(RateTimesReference, 2.8)]);
    let lost = [(Loss::Killed, 1.0), (Loss::Stopped, 4.0), (Loss::CutOff, 4.0)].map(|(loss, most)| lost(loss, most));
    let outages = [Engine::Database, Engine::Bucket].map(outage);
    let cold = [false, true].map(|limited| row(Shared::Cold(limited), RateTimesReference, Kind::OneReplica, vec![]));
    hits.into_iter().chain([scale, download()]).chain(lost).chain(outages).chain(cold).collect()
}

fn hit(shared: Shared) -> Row {
    let aims = vec![
        at_most(CpuTimesReference, 1.05),
        at_most(EngineBytes, MAX_ENGINE_BYTES),
        at_most(EngineConnections, 0.0),
        at_most(Errors, 0.0),
    ];
    row(shared, CpuTimesReference, Kind::Embedded, aims)
}

fn download() -> Row {
    let aims = vec![
        at_most(TimesReference, 1.15),
        at_most(ManifestGets, 1.0),
        at_most(BlobGets, 1.0),
        at_most(FollowerFirstByte, 10.0),
        at_most(Errors, 0.0),
    ];
    row(Shared::Download, TimesReference, Kind::Direct, aims)
}

/// Returns the row where the replica that downloads is lost, with this maximum time until the others go on.
fn lost(loss: Loss, most: f64) -> Row {
    let aims =
        vec![at_most(Stall, most), at_most(BlobGets, 2.0), at_most(UpstreamTimesSize, 1.05), at_most(Errors, 0.0)];
    Row { contenders: vec![Kind::Ours], ..row(Shared::Lost(loss), Stall, Kind::Ours, aims) }
}

fn outage(engine: Engine) -> Row {
    let aims = vec![at_most(P99TimesReference, 2.0), at_most(Errors, 0.0)];
    Row { contenders: vec![Kind::Ours], ..row(Shared::Outage(engine), P99TimesReference, Kind::Ours, aims) }
}

fn row(shared: Shared, figure: Figure, beside: Kind, aims: Vec<Aim>) -> Row {
    Row { name: shared.to_string(), contenders: vec![Kind::Ours, beside], figure, aims, work: Work::Fleet(shared) }
}

fn at_most(figure: Figure, most: f64) -> Aim {
    Aim::absolute(figure, Bound::AtMost(most))
}

fn at_least(figure: Figure, least: f64) -> Aim {
    Aim::absolute(figure, Bound::AtLeast(least))
}
