//! Paths of requests that were understood before: a pull asks for few, and thousands of machines ask for the same ones. What a
//! path means depends on the upstreams that are configured alone; it says nothing of who may have it.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use actix_web::HttpRequest;
use percent_encoding::percent_decode_str;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::authorized::query_value;
use crate::domain::group::GroupPath;
use crate::domain::image_path::{ImagePath, ImagePathError, Target};
use crate::domain::origin::Origin;
use crate::domain::upstream::Upstreams;

/// The paths that one thread remembers, as `app_data`.
#[derive(Default)]
pub(crate) struct Paths(RefCell<Remembered>);

struct Remembered {
    /// Those with which the paths were understood; with others all of them are forgotten.
    upstreams: Option<Arc<Upstreams>>,
    paths: Cache<Box<str>, Rc<Wanted>, ByLength>,
}

/// What a request wants.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The group that is to pull.
    pub(super) group: GroupPath,
    /// Where that group has the image from.
    pub(super) origin: Origin,
    /// What is wanted of it.
    pub(super) target: Target,
}

#[derive(Clone)]
struct ByLength;

/// A guess, for a start: what bounds them is their length.
const PATHS: usize = 1_000;
/// In bytes.
const MOST: u64 = 512 << 10;

impl Default for Remembered {
    fn default() -> Self {
        Self { upstreams: None, paths: Cache::with_weighter(PATHS, MOST, ByLength) }
    }
}

impl Remembered {
    /// The paths that were understood with these upstreams.
    fn with(&mut self, upstreams: &Arc<Upstreams>) -> &mut Cache<Box<str>, Rc<Wanted>, ByLength> {
        if !self.upstreams.as_ref().is_some_and(|known| Arc::ptr_eq(known, upstreams)) {
            *self = Self { upstreams: Some(upstreams.clone()), ..Self::default() };
        }
        &mut self.paths
    }
}

impl Weighter<Box<str>, Rc<Wanted>> for ByLength {
    fn weight(&self, path: &Box<str>, _: &Rc<Wanted>) -> u64 {
        // What it means is made of its parts.
        2 * path.len() as u64 + 256
    }
}

impl Paths {
    /// What this request wants.
    pub(super) fn wanted(request: &HttpRequest, upstreams: &Arc<Upstreams>) -> Result<Rc<Wanted>, ImagePathError> {
        let uri = request.uri().path_and_query().map_or("", |uri| uri.as_str());
        let Some(Self(paths)) = request.app_data::<Self>() else { return Wanted::by(request, upstreams).map(Rc::new) };
        let mut remembered = paths.borrow_mut();
        let paths = remembered.with(upstreams);
        if let Some(wanted) = paths.get(uri) {
            return Ok(wanted.clone());
        }
        let wanted = Rc::new(Wanted::by(request, upstreams)?);
        // Each page of a list has a query of its own, and is requested once.
        if !matches!(wanted.target, Target::Tags | Target::Referrers(_)) {
            paths.insert(uri.into(), wanted.clone());
        }
        Ok(wanted)
    }
}

impl Wanted {
    fn by(request: &HttpRequest, upstreams: &Upstreams) -> Result<Self, ImagePathError> {
        let path = request.uri().path().strip_prefix("/v2/").unwrap_or_default();
        let path = percent_decode_str(path).decode_utf8_lossy();
        let namespace = query_value(request, "ns");
        let ImagePath { group, upstream, repository, target } =
            ImagePath::parse(&path, namespace.as_deref(), upstreams)?;
        let origin = upstreams.origin(upstream, repository, &group);
        Ok(Self { group, origin, target })
    }
}
