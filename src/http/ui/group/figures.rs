//! The figures of a group: images, bytes stored, what the cache saved, and the hit ratio.

use maud::{Markup, html};

use crate::actors::images::{GroupTotals, KnownTotals};
use crate::domain::group::Group;
use crate::domain::traffic::{Hour, TRAFFIC_HOURS, Traffic};
use crate::http::ui::chart::{hit_ratio, saved};
use crate::http::ui::formatting::{number, number_of, share, size};
use crate::http::ui::visitor::Visitor;

/// The known figures of a group.
pub(super) struct Figures {
    /// The totals of its cached content; `None`: unknown.
    totals: Option<GroupTotals>,
    /// True if they are still being counted.
    is_counting: bool,
    /// Number of pinned images.
    pinned: usize,
    /// Its traffic by hour.
    traffic: Vec<(Hour, Traffic)>,
}

impl Figures {
    /// Reads the figures of a group. What cannot be read is unknown.
    pub(super) async fn read(visitor: &Visitor, group: &Group, pinned: usize) -> Self {
        let images = &visitor.caller.state.images;
        let totals = images.known_totals().await.unwrap_or(KnownTotals::NotYet);
        let traffic = images.traffic(Some(group.id), TRAFFIC_HOURS, visitor.caller.now).await.unwrap_or_default();
        Self { totals: totals.of(group.id), is_counting: totals == KnownTotals::NotYet, pinned, traffic }
    }

    /// Shows them.
    pub(super) fn show(&self, visitor: &Visitor, group: &Group) -> Markup {
        html! {
            section aria-labelledby="figures" {
                h2.unseen #figures { "In figures" }
                dl.tiles {
                    div { dt { "Images" } dd { (self.images()) } }
                    div { dt { "Stored" } dd { (self.stored(group.cache.max_bytes)) } }
                    div { dt { "Saved in 30 days" } dd { (saved(&self.traffic)) } }
                    div.wide { dt { "Hit ratio, 24 hours" } (hit_ratio(&self.traffic, visitor.caller.now)) }
                }
            }
        }
    }

    fn images(&self) -> Markup {
        html! {
            span.figure { @match self.totals { Some(totals) => (number(totals.images)), None => "unknown" } }
            @if self.pinned > 0 { " " (number(self.pinned as u64)) " pinned" }
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
                    svg.share aria-hidden="true" {
                        rect x="0%" width={ (share(totals.bytes, quota)) "%" } height="100%" {}
                    }
                    " " (share(totals.bytes, quota)) " % of the quota of " (size(quota))
                },
                None => { " in " (number_of(totals.blobs, "blob")) " and " (number_of(totals.manifests, "manifest")) },
            }
        }
    }
}
