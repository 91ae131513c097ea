//! Hits: everything that is requested is in every cache before it is measured.

use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use fake_registry::{Image, Kind, Layer};

use super::interleaved::measure;
use crate::throughput::contender::{self, Running};
use crate::throughput::lab::Lab;
use crate::throughput::load::{self, Load, Request, Until};
use crate::throughput::options::Options;
use crate::throughput::results::{Finding, Sample};
use crate::throughput::row::hit::{Hit, Object, Reuse};
use crate::throughput::row::{Row, Work};

const REPOSITORY: &str = "library/warm";
const TAG: &str = "1";
/// Layers that are never requested: the manifest has the usual length, whichever rows are measured.
const OTHER_LAYERS: RangeInclusive<u64> = 1..=8;

const WARM_UP_TIMEOUT: Duration = Duration::from_secs(60);

/// Measures rows that share their servers.
pub(super) fn run(rows: &[Row], options: &Options) -> io::Result<Vec<Finding>> {
    let hits = || rows.iter().filter_map(|row| if let Work::Hit(hit) = &row.work { Some((row, *hit)) } else { None });
    let sizes: BTreeSet<u64> = hits().filter_map(|(_, hit)| hit.object.blob()).collect();
    let image = Image::generated(1, &sizes.into_iter().chain(OTHER_LAYERS).collect::<Vec<_>>());
    let lab = Lab::new()?;
    lab.upstream.push_image(REPOSITORY, TAG, &image);
    let wanted = contender::ALL.iter().filter(|kind| rows.iter().any(|row| row.contenders.contains(kind)));
    let tls = hits().any(|(_, hit)| hit.tls);
    let started = wanted.filter_map(|kind| kind.start(&lab, tls).transpose());
    let mut servers = started.collect::<io::Result<Vec<Running>>>()?;
    servers.retain(|server| {
        let requests = hits().filter(|(row, _)| row.contenders.contains(&server.kind));
        // A `HEAD` does not make caches fetch the object.
        let requests = requests.map(|(_, hit)| request(Hit { method: "GET", ..hit }, server, &image));
        let warmed = warm(&lab, server, &requests.collect::<Vec<_>>());
        warmed.inspect_err(|error| eprintln!("{} is left out: {error}", server.kind.name())).is_ok()
    });
    let measured = hits()
        .map(|(row, hit)| measure(row, &servers, options.rounds(), |server| once(hit, server, &image, &lab, options)));
    Ok(measured.collect())
}

/// Requests everything until no more of it comes from upstream.
pub(in crate::throughput) fn warm(lab: &Lab, server: &Running, requests: &[Request]) -> io::Result<()> {
    let deadline = Instant::now() + WARM_UP_TIMEOUT;
    let fetched = || [Kind::ManifestGet, Kind::BlobDownload].map(|asked| lab.upstream.counts().of(asked));
    loop {
        let before = fetched();
        for request in requests {
            load::get(server.target, request)?;
        }
        if fetched() == before {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(io::Error::other("it does not cache"));
        }
        // Distribution stores content shortly after it has passed it through.
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn once(hit: Hit, server: &Running, image: &Image, lab: &Lab, options: &Options) -> io::Result<Sample> {
    let until = match hit.answers {
        Some(answers) if !options.quick => Until::Answers(answers),
        _ => Until::Elapsed(options.round()),
    };
    let resumption = hit.reuse != Reuse::EachWithoutResumption;
    let load = Load { connections: hit.connections, resumption, until };
    let ready = load.connect(server.target, &request(hit, server, image))?;
    server.reset_peak();
    let (used, asked) = (server.usage(), lab.upstream.counts());
    let outcome = ready.go()?;
    Ok(Sample::new(&outcome, server.usage() - used, lab.upstream.counts() - asked))
}

fn request(hit: Hit, server: &Running, image: &Image) -> Request {
    let get = |path: &str, size| server.request(hit.method, path, None).expecting(size);
    let request = match hit.object {
        Object::Tag => get(&server.manifest(REPOSITORY, TAG), image.size()),
        Object::Digest => get(&server.manifest(REPOSITORY, image.digest()), image.size()),
        Object::Blob(size) => {
            let blob = image.layers().iter().find(|layer| layer.size() == size);
            get(&server.blob(REPOSITORY, blob.map_or(image.digest(), Layer::digest)), size)
        }
        Object::TokenForSecret => token(hit, server, server.access.logins.as_ref().map(|logins| &logins.deploy_token)),
        Object::TokenForPassword => token(hit, server, server.access.logins.as_ref().map(|logins| &logins.password)),
    };
    if hit.reuse == Reuse::KeptAlive { request } else { request.closing() }
}

fn token(hit: Hit, server: &Running, login: Option<&String>) -> Request {
    let path =
        "/jwt/auth?service=dependency_proxy&scope=repository:bench/dependency_proxy/containers/library/warm:pull";
    server.request(hit.method, path, login.map(String::as_str))
}
