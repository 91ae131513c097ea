//! Filters of the list of a group's images, by state and pin.

use crate::actors::images::{ImageQuery, Only, StateFilter, going_before};
use crate::domain::group::Group;
use crate::domain::policy;
use crate::http::ui::fault::Fault;
use crate::http::ui::visitor::Visitor;

/// The images that are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Filter {
    #[default]
    All,
    Stale,
    Going,
    Pinned,
    Arriving,
}

/// All filters, with their words in addresses and on the page.
pub(super) const FILTERS: [(Filter, &str, &str); 5] = [
    (Filter::All, "", "All"),
    (Filter::Stale, "stale", "Stale"),
    (Filter::Going, "going", "Going"),
    (Filter::Pinned, "pinned", "Pinned"),
    (Filter::Arriving, "arriving", "Arriving"),
];

/// Maximum number of images of a group whose records are read to count those that are going.
const MAX_READ: u64 = 5_000;

/// Numbers of images by filter, as far as they are known without reading the records of very many images.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    all: Option<u64>,
    going: Option<usize>,
    /// Number of pinned images.
    pub(super) pinned: usize,
    stale: usize,
    arriving: usize,
}

impl Filter {
    fn state(self) -> Option<StateFilter> {
        match self {
            Self::Stale => Some(StateFilter::Stale),
            Self::Going => Some(StateFilter::Going),
            Self::Arriving => Some(StateFilter::Arriving),
            Self::All | Self::Pinned => None,
        }
    }

    /// Returns the filter with this word in an address; all images for another one.
    pub(super) fn of_word(word: &str) -> Self {
        FILTERS.into_iter().find(|(_, known, _)| *known == word).unwrap_or(FILTERS[0]).0
    }

    /// Returns its word in addresses.
    pub(super) fn word(self) -> &'static str {
        FILTERS.into_iter().find(|(filter, _, _)| *filter == self).map_or("", |(_, word, _)| word)
    }

    /// Returns why there is no such image, as a sentence.
    pub(super) fn empty(self) -> &'static str {
        match self {
            Self::All => "There is none.",
            Self::Stale => "No image is stale: registries could confirm all that was pulled.",
            Self::Going => "No image is removed within 7 days.",
            Self::Pinned => "No image is pinned.",
            Self::Arriving => "No image is being downloaded.",
        }
    }
}

impl Counts {
    /// Reads the numbers of a group that has `all` images.
    pub(super) async fn read(visitor: &Visitor, group: &Group, all: Option<u64>) -> Result<Self, Fault> {
        let pinned = ImageQuery { pinned: Some(true), ..ImageQuery::default() };
        let of_state = async |filter| {
            let only = only(visitor, group, filter).await;
            count(visitor, group, ImageQuery { only, ..ImageQuery::default() }).await
        };
        let is_small = all.is_some_and(|all| all <= MAX_READ);
        Ok(Self {
            all,
            going: if is_small { Some(of_state(Filter::Going).await?) } else { None },
            pinned: count(visitor, group, pinned).await?,
            stale: of_state(Filter::Stale).await?,
            arriving: of_state(Filter::Arriving).await?,
        })
    }

    /// Returns the number of a filter, if it is known.
    pub(super) fn of(&self, filter: Filter) -> Option<u64> {
        match filter {
            Filter::All => self.all,
            Filter::Going => self.going.map(|going| going as u64),
            Filter::Stale => Some(self.stale as u64),
            Filter::Pinned => Some(self.pinned as u64),
            Filter::Arriving => Some(self.arriving as u64),
        }
    }
}

async fn count(visitor: &Visitor, group: &Group, query: ImageQuery) -> Result<usize, Fault> {
    let found = visitor.caller.state.images.list(group.id, query).await;
    found.map(|page| page.total).map_err(|error| visitor.refused(&error.into()))
}

/// Returns the state that selects the images of a filter; `None` for a filter that does not select by state.
pub(super) async fn only(visitor: &Visitor, group: &Group, filter: Filter) -> Option<Only> {
    let caller = &visitor.caller;
    let days = policy::unpulled_days(&caller.directory, group.id, caller.state.unpulled_days);
    Some(caller.state.images.only(filter.state()?, going_before(days, caller.now)).await)
}
