//! Hits: everything that is requested is in every cache before it is measured.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};
use std::{fmt, io};

use fake_registry::{Image, Kind, Layer};

use super::{Row, Work};
use crate::throughput::contender::{self, Running};
use crate::throughput::lab::Lab;
use crate::throughput::load::{self, Load, Request, Until};
use crate::throughput::options::Options;
use crate::throughput::results::{Finding, Sample};

const REPOSITORY: &str = "library/warm";
const TAG: &str = "1";
/// Layers that are never requested: the manifest has the usual length, whichever rows are measured.
const OTHER_LAYERS: RangeInclusive<u64> = 1..=8;

const WARM_UP_TIMEOUT: Duration = Duration::from_secs(60);

/// A request that is served from the cache, with the load that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// Requested object.
    pub object: Object,
    /// `GET` or `HEAD`.
    pub method: &'static str,
    /// Number of concurrent connections.
    pub connections: usize,
    /// Reuse of connections.
    pub reuse: Reuse,
    /// True where the servers use TLS.
    pub tls: bool,
    /// Number of responses in a round. `None`: as many as fit into the time of a round.
    pub answers: Option<u64>,
    /// True where the servers are started for this row only, because it measures memory.
    pub alone: bool,
}

/// Requested object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Object {
    /// A manifest by its tag.
    Tag,
    /// A manifest by its digest.
    Digest,
    /// A blob of this size in bytes.
    Blob(u64),
    /// A token for the secret of a deploy token.
    TokenForSecret,
    /// A token for a password that was verified shortly before.
    TokenForPassword,
}

/// Reuse of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// One connection for all requests.
    KeptAlive,
    /// A connection per request; TLS sessions are resumed.
    Each,
    /// A connection per request; with full TLS handshakes.
    EachWithoutResumption,
}

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
        let requests = requests.map(|(_, hit)| Hit { method: "GET", ..hit }.request(server, &image));
        let warmed = warm(&lab, server, &requests.collect::<Vec<_>>());
        warmed.inspect_err(|error| eprintln!("{} is left out: {error}", server.kind.name())).is_ok()
    });
    let measured = hits()
        .map(|(row, hit)| row.measure(&servers, options.rounds(), |server| hit.once(server, &image, &lab, options)));
    Ok(measured.collect())
}

/// Requests everything until no more of it comes from upstream.
fn warm(lab: &Lab, server: &Running, requests: &[Request]) -> io::Result<()> {
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

impl Hit {
    fn once(self, server: &Running, image: &Image, lab: &Lab, options: &Options) -> io::Result<Sample> {
        let until = match self.answers {
            Some(answers) if !options.quick => Until::Answers(answers),
            _ => Until::Elapsed(options.round()),
        };
        let resumption = self.reuse != Reuse::EachWithoutResumption;
        let load = Load { connections: self.connections, resumption, until };
        let ready = load.connect(server.target, &self.request(server, image))?;
        server.reset_peak();
        let (used, asked) = (server.usage(), lab.upstream.counts());
        let outcome = ready.go()?;
        Ok(Sample::new(&outcome, server.usage() - used, lab.upstream.counts() - asked))
    }

    fn request(self, server: &Running, image: &Image) -> Request {
        let request = match self.object {
            Object::Tag => self.expecting(server, &server.manifest(REPOSITORY, TAG), image.size()),
            Object::Digest => {
                let path = server.manifest(REPOSITORY, image.digest());
                self.expecting(server, &path, image.size())
            }
            Object::Blob(size) => {
                let blob = image.layers().iter().find(|layer| layer.size() == size);
                let digest = blob.map_or(image.digest(), Layer::digest);
                self.expecting(server, &server.blob(REPOSITORY, digest), size)
            }
            Object::TokenForSecret => self.token(server, server.logins.as_ref().map(|logins| &logins.deploy_token)),
            Object::TokenForPassword => self.token(server, server.logins.as_ref().map(|logins| &logins.password)),
        };
        if self.reuse == Reuse::KeptAlive { request } else { request.closing() }
    }

    fn expecting(self, server: &Running, path: &str, size: u64) -> Request {
        Request::new(server, self.method, path, None).expecting(size)
    }

    fn token(self, server: &Running, login: Option<&String>) -> Request {
        let path =
            "/jwt/auth?service=dependency_proxy&scope=repository:bench/dependency_proxy/containers/library/warm:pull";
        Request::new(server, self.method, path, login.map(String::as_str))
    }
}

impl Object {
    fn blob(self) -> Option<u64> {
        if let Self::Blob(size) = self { Some(size) } else { None }
    }
}

impl fmt::Display for Hit {
    /// Formats the name of the row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls { "tls " } else { "" };
        let reuse = match self.reuse {
            Reuse::KeptAlive => "kept alive",
            Reuse::Each if self.tls => "a connection per request, resumed",
            Reuse::EachWithoutResumption => "a connection per request, full handshakes",
            Reuse::Each => "a connection per request",
        };
        let clients = if self.connections == 1 { "1 client" } else { &format!("{} clients", self.connections) };
        write!(f, "{tls}{} {}, {clients}, {reuse}", self.object, self.method)
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag => f.write_str("manifest by tag"),
            Self::Digest => f.write_str("manifest by digest"),
            Self::Blob(size) if *size >= 1 << 20 => write!(f, "blob {} MiB", size >> 20),
            Self::Blob(size) => write!(f, "blob {} KiB", size >> 10),
            Self::TokenForSecret => f.write_str("token for a secret"),
            Self::TokenForPassword => f.write_str("token for a remembered password"),
        }
    }
}
