//! The figures of a group: images, bytes stored, what the cache saved, and the hit ratio.

use maud::{Markup, html};

use crate::actors::images::{GroupTotals, KnownTotals};
use crate::domain::group::Group;
use crate::domain::traffic::{Hour, TRAFFIC_HOURS, Traffic};
use crate::http::ui::chart::{hit_ratio, saved};
use crate::http::ui::formatting::{number, number_of, share, size};
use crate::http::ui::parts::quota_bar;
use crate::http::ui::visitor::Visitor;

/// The known figures of a group.
pub(super) struct Figures {
    /// The totals of its cached content; `None`: unknown.
    totals: Option<GroupTotals>,
    /// True if they are still being counted.
    is_counting: bool,
    /// Its traffic by hour.
    traffic: Vec<(Hour, Traffic)>,
}

impl Figures {
    /// Reads the figures of a group. What cannot be read is unknown.
    pub(super) async fn read(visitor: &Visitor, group: &Group) -> Self {
        let images = &visitor.caller.state.images;
        let totals = images.known_totals().await.unwrap_or(KnownTotals::NotYet);
        let traffic = images.traffic(Some(group.id), TRAFFIC_HOURS, visitor.caller.now).await.unwrap_or_default();
        Self { totals: totals.of(group.id), is_counting: totals == KnownTotals::NotYet, traffic }
    }

    /// Returns the number of images, if it is known.
    pub(super) fn images(&self) -> Option<u64> {
        self.totals.map(|totals| totals.images)
    }

    /// Shows them, with the number of pinned images.
    pub(super) fn show(&self, visitor: &Visitor, group: &Group, pinned: usize) -> Markup {
        html! {
            section aria-labelledby="figures" {
                h2.unseen #figures { "In figures" }
                dl.tiles {
                    div { dt { "Images" } dd { (self.tile_of_images(pinned)) } }
                    div { dt { "Stored" } dd { (self.stored(group.cache.max_bytes)) } }
                    div { dt { "Saved in 30 days" } dd { (saved(&self.traffic)) } }
                    div.wide { dt { "Hit ratio, 24 hours" } (hit_ratio(&self.traffic, visitor.caller.now)) }
                }
            }
        }
    }

    fn tile_of_images(&self, pinned: usize) -> Markup {
        html! {
            span.figure { @match self.totals { Some(totals) => (number(totals.images)), None => "unknown" } }
            @if pinned > 0 { " " (number(pinned as u64)) " pinned" }
        }
    }

    fn stored(&self, quota: Option<u64>) -> Markup {
        let Some(totals) = self.totals else {
            return html! {
                span.figure { "unknown" }
                @if self.is_counting {
                    " This is still being counted after a start of the service. Load the page again in a moment."
                } @else {
                    " The index of the cache is damaged. A restart of the service rebuilds it."
                }
            };
        };
        html! {
            span.figure { (size(totals.bytes)) }
            @match quota {
                Some(quota) => {
                    (quota_bar(totals.bytes, quota))
                    " " (share(totals.bytes, quota)) " % of the quota of " (size(quota))
                },
                None => { " in " (number_of(totals.blobs, "blob")) " and " (number_of(totals.manifests, "manifest")) },
            }
        }
    }
}
