//! Cache of parsed request paths: clients request few distinct ones, thousands of machines the same ones. The meaning
//! of a path depends on the configured upstreams and on what groups have chosen for their pulls, which are one
//! snapshot, and grants no access.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpRequest;
use percent_encoding::percent_decode_str;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::domain::freshness::Freshness;
use crate::domain::group::GroupPath;
use crate::domain::image_path::{ImagePath, ImagePathError, Target};
use crate::domain::origin::Origin;
use crate::domain::upstream::Upstreams;
use crate::http::query::query_value;

/// The cache of one thread, as `app_data`.
#[derive(Default)]
pub(crate) struct Paths(RefCell<PathCache>);

struct PathCache {
    /// The upstreams with which the paths were parsed. The cache is emptied when they are replaced.
    upstreams: Option<Arc<Upstreams>>,
    paths: Cache<Box<str>, Rc<ParsedPath>, ByLength>,
}

/// A parsed path: the content that a request is for.
#[derive(Debug)]
pub(in crate::http) struct ParsedPath {
    /// The group that pulls.
    pub(in crate::http) group: GroupPath,
    /// The upstream, account and repository from which that group has the image.
    pub(in crate::http) origin: Origin,
    /// The part of the image that is requested.
    pub(in crate::http) target: Target,
    /// Times for which a manifest is served to this group after upstream has confirmed it; zero for other targets.
    pub(in crate::http) freshness: Freshness,
}

/// Estimate of an entry's memory in bytes, from the length of its path.
#[derive(Clone)]
struct ByLength;

/// Initial capacity; the cache is bounded by bytes.
const INITIAL_PATHS: usize = 1_000;
/// Maximum size of one thread's cache, in bytes.
const MAX_CACHE_BYTES: u64 = 512 << 10;

impl Default for PathCache {
    fn default() -> Self {
        Self { upstreams: None, paths: Cache::with_weighter(INITIAL_PATHS, MAX_CACHE_BYTES, ByLength) }
    }
}

impl PathCache {
    /// Returns the paths that were parsed with these upstreams.
    fn with(&mut self, upstreams: &Arc<Upstreams>) -> &mut Cache<Box<str>, Rc<ParsedPath>, ByLength> {
        if !self.upstreams.as_ref().is_some_and(|known| Arc::ptr_eq(known, upstreams)) {
            *self = Self { upstreams: Some(upstreams.clone()), ..Self::default() };
        }
        &mut self.paths
    }
}

impl Weighter<Box<str>, Rc<ParsedPath>> for ByLength {
    fn weight(&self, path: &Box<str>, _: &Rc<ParsedPath>) -> u64 {
        // The parsed path holds copies of the parts of the path, and some fixed fields.
        2 * path.len() as u64 + 256
    }
}

impl Paths {
    /// Parses the path of this request, or returns the cached result.
    ///
    /// # Errors
    /// The path is malformed, names no upstream of this service, or is no route of the registry.
    pub(in crate::http) fn parse(
        request: &HttpRequest,
        upstreams: &Arc<Upstreams>,
    ) -> Result<Rc<ParsedPath>, ImagePathError> {
        let uri = request.uri().path_and_query().map_or("", |uri| uri.as_str());
        let Some(Self(paths)) = request.app_data::<Self>() else {
            return ParsedPath::of(request, upstreams).map(Rc::new);
        };
        let mut cache = paths.borrow_mut();
        let paths = cache.with(upstreams);
        if let Some(parsed) = paths.get(uri) {
            return Ok(parsed.clone());
        }
        let parsed = Rc::new(ParsedPath::of(request, upstreams)?);
        // Each page of a list has a query of its own, and is requested once.
        if !matches!(parsed.target, Target::Tags | Target::Referrers(_)) {
            paths.insert(uri.into(), parsed.clone());
        }
        Ok(parsed)
    }
}

impl ParsedPath {
    fn of(request: &HttpRequest, upstreams: &Upstreams) -> Result<Self, ImagePathError> {
        let path = request.uri().path().strip_prefix("/v2/").unwrap_or_default();
        let path = percent_decode_str(path).decode_utf8_lossy();
        let namespace = query_value(request, "ns");
        let ImagePath { group, upstream, repository, target } =
            ImagePath::parse(&path, namespace.as_deref(), upstreams)?;
        let origin = upstreams.origin(upstream, repository, &group);
        let freshness = match &target {
            Target::Manifest(reference) => upstreams.freshness(&origin, reference, &group),
            Target::Blob(_) | Target::Tags | Target::Referrers(_) => Freshness::default(),
        };
        Ok(Self { group, origin, target, freshness })
    }
}
