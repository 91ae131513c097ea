//! Content that a mirror is requested for, and that it sends.

use std::sync::Arc;

use super::MirrorState;
use crate::domain::digest::Digest;
use crate::domain::origin::Origin;
use crate::domain::reference::Reference;

/// Content as a mirror is requested for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::upstream) enum Item {
    /// A manifest or blob.
    Digest(Digest),
    /// A manifest by its tag.
    Tag(String),
    /// A list.
    List,
}

/// Content that a mirror, or another place beside upstream, sends. The receiver, which verifies it, reports here if it
/// is wrong.
#[derive(Clone)]
pub struct MirrorContent(Sender);

#[derive(Clone)]
enum Sender {
    Mirror(Arc<MirrorState>, Item),
    Other(Arc<dyn Fn() + Send + Sync>),
}

/// The mirrors that sent a content, or parts of it.
#[derive(Default)]
pub struct UsedMirrors(Vec<MirrorContent>);

impl UsedMirrors {
    /// Adds the mirror that sends a part; `None`: upstream's own registry does.
    pub fn add(&mut self, sent: Option<MirrorContent>) {
        let sent = sent.filter(|sent| !self.0.iter().any(|known| known.is_of_same(sent)));
        self.0.extend(sent);
    }

    /// Reports that the whole has another digest or length than it must have: each part may be the reason.
    pub fn report_wrong(&self) {
        self.0.iter().for_each(MirrorContent::report_wrong);
    }
}

impl MirrorContent {
    /// Creates a content that this mirror sends.
    pub(in crate::upstream) fn new(mirror: Arc<MirrorState>, item: Item) -> Self {
        Self(Sender::Mirror(mirror, item))
    }

    /// Creates a content that another place sends, with the function that is called if it is wrong.
    pub fn of_other(report_wrong: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Sender::Other(Arc::new(report_wrong)))
    }

    /// Reports that the content has another digest or length than it must have. The next requests for it go to the
    /// next registry.
    pub fn report_wrong(&self) {
        match &self.0 {
            Sender::Mirror(mirror, item) => mirror.report_wrong(item),
            Sender::Other(report) => report(),
        }
    }

    /// Returns the host of the mirror; `None` if another place sends it.
    pub fn name(&self) -> Option<&str> {
        if let Sender::Mirror(mirror, _) = &self.0 { Some(mirror.name()) } else { None }
    }

    fn is_of_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Sender::Mirror(one, _), Sender::Mirror(other, _)) => Arc::ptr_eq(one, other),
            (Sender::Other(one), Sender::Other(other)) => Arc::ptr_eq(one, other),
            (Sender::Mirror(..), Sender::Other(_)) | (Sender::Other(_), Sender::Mirror(..)) => false,
        }
    }
}

impl Item {
    /// Returns the manifest with this reference.
    pub(in crate::upstream) fn of(origin: &Origin, reference: &Reference) -> Self {
        match reference {
            Reference::Digest(digest) => Self::Digest(*digest),
            Reference::Tag(tag) => Self::Tag(format!("{}:{tag}", origin.repository)),
        }
    }
}
