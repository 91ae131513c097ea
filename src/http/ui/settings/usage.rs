//! Stored content of a group beside its quota, and the images that go because nobody pulls them.

use maud::{Markup, html};

use crate::actors::images::{GroupTotals, ImageQuery, KnownTotals, StateFilter, going_before};
use crate::domain::group::Group;
use crate::domain::policy;
use crate::http::ui::formatting::{number_of, share, size};
use crate::http::ui::parts::quota_bar;
use crate::http::ui::visitor::Visitor;

/// Maximum number of images of a group whose records are read to count those that are going.
const MAX_READ: u64 = 5_000;

/// Number of days to compare with those of the group.
const OTHER_DAYS: u32 = 30;

/// Stored content of a group, as far as it is known.
pub(super) struct Usage {
    totals: Option<GroupTotals>,
    /// The days after which images go, and those that go within a week.
    going: Option<Going>,
    /// The images that would go with fewer days.
    with_fewer: Option<Going>,
}

/// Images that go within a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Going {
    /// Number of days without a pull after which they go.
    days: u32,
    images: u64,
    bytes: u64,
}

impl Usage {
    /// Reads what a group has stored. What cannot be read is unknown.
    pub(super) async fn read(visitor: &Visitor, group: &Group) -> Self {
        let caller = &visitor.caller;
        let totals = caller.state.images.known_totals().await.unwrap_or(KnownTotals::NotYet).of(group.id);
        let directory = caller.state.identities.directory();
        let days = policy::unpulled_days(&directory, group.id, caller.state.unpulled_days);
        if totals.is_none_or(|totals| totals.images > MAX_READ) {
            return Self { totals, going: None, with_fewer: None };
        }
        let is_fewer = days.is_none_or(|days| days > OTHER_DAYS);
        let with_fewer = if is_fewer { going_after(visitor, group, OTHER_DAYS).await } else { None };
        let going = if let Some(days) = days { going_after(visitor, group, days).await } else { None };
        Self { totals, going, with_fewer }
    }

    /// Shows what is stored of the quota.
    pub(super) fn stored(&self, quota: Option<u64>) -> Markup {
        let Some(GroupTotals { bytes, .. }) = self.totals else { return html! { p { "What is stored is unknown." } } };
        html! {
            div {
                p {
                    b { (size(bytes)) }
                    @match quota {
                        Some(quota) => { " of " (size(quota)) " stored, " (share(bytes, quota)) " %" },
                        None => " stored",
                    }
                }
                @if let Some(quota) = quota { (quota_bar(bytes, quota)) }
            }
        }
    }

    /// Shows which images go, and which would with fewer days.
    pub(super) fn going(&self) -> Markup {
        html! {
            @if self.going.is_some() || self.with_fewer.is_some() {
                p.hint {
                    @if let Some(Going { days, images, bytes }) = self.going {
                        "With " (number_of(u64::from(days), "day")) " " (number_of(images, "image")) ", " (size(bytes))
                        @if images == 1 { ", goes" } @else { ", go" } " within a week. "
                    }
                    @if let Some(Going { days, images, bytes }) = self.with_fewer {
                        "With " (days) " days it would be " (number_of(images, "image")) ", " (size(bytes)) "."
                    }
                }
            }
        }
    }
}

async fn going_after(visitor: &Visitor, group: &Group, days: u32) -> Option<Going> {
    let images = &visitor.caller.state.images;
    let only = images.only(StateFilter::Going, going_before(Some(days), visitor.caller.now)).await;
    let query = ImageQuery { only: Some(only), limit: usize::MAX, ..ImageQuery::default() };
    let found = images.list(group.id, query).await.ok()?;
    let bytes = found.images.iter().map(|one| one.image.size).fold(0, u64::saturating_add);
    Some(Going { days, images: found.total as u64, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_images_that_go_are_counted_with_the_days_of_the_group_and_with_fewer() {
        let going = |days, images| Some(Going { days, images, bytes: 105_000_000 });
        let shown = |going, with_fewer| Usage { totals: None, going, with_fewer }.going().into_string();
        assert_eq!(shown(None, None), "");
        let both = shown(going(90, 2), going(30, 9));
        assert!(both.contains("With 90 days 2 images, 105 MB, go within a week. With 30 days it would be 9 images"));
        assert!(shown(going(1, 1), None).contains("With 1 day 1 image, 105 MB, goes within a week."));
    }

    #[test]
    fn what_is_stored_is_shown_beside_the_quota() {
        let totals = Some(GroupTotals { bytes: 31_400_000_000, ..GroupTotals::default() });
        let stored = |quota| Usage { totals, going: None, with_fewer: None }.stored(quota).into_string();
        assert!(stored(Some(50_000_000_000)).contains("<b>31.4 GB</b> of 50.0 GB stored, 62.8 %"));
        assert!(stored(None).contains("<b>31.4 GB</b> stored</p>"));
    }
}
