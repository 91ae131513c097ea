//! The quota of a group, and the number of days after which images go that nobody pulls.

use maud::{Markup, html};

use super::usage::Usage;
use super::{Shown, action, saved};
use crate::domain::commands::group::GroupChange;
use crate::domain::commands::seen::SeenValue;
use crate::domain::group::Group;
use crate::http::ui::fault::Fault;
use crate::http::ui::fields::{Field, FieldKind};
use crate::http::ui::form::Form;
use crate::http::ui::parts::typed_form;
use crate::http::ui::problem::Problem;
use crate::http::ui::seen;
use crate::http::ui::visitor::Visitor;

/// The form of this part of the page.
pub(super) const SECTION: &str = "limits";

/// The fields of the form, as they were typed.
pub(super) struct Typed {
    quota: String,
    days: String,
}

/// Number of bytes of the unit of the quota.
const GB: f64 = 1e9;

/// Maximum quota that can be typed, in GB.
const MAX_QUOTA_GB: f64 = 1e9;

/// Saves the form. Returns the group and what to show.
pub(super) async fn change(form: &Form, group: &Group) -> Result<(Group, Shown), Fault> {
    let limits = Typed::new(form, group);
    let wanted = limits.change();
    saved(form, group, (wanted, values), |shown| Shown { limits, ..shown }).await
}

/// Shows the form.
pub(super) fn section(
    visitor: &Visitor,
    group: &Group,
    (usage, typed): (&Usage, &Typed),
    problem: Option<&Problem>,
) -> Markup {
    let days_label = "Remove images that nobody pulled for this number of days";
    html! {
        div.split {
            div {
                h2 { "Space and age" }
                p.soft { "Over the quota, what this group has not read for the longest time goes first. Pinned images stay." }
            }
            form.column.stack method="post" action=(action(group)) {
                (typed_form(visitor))
                input type="hidden" name="section" value=(SECTION);
                (seen::field(&values(group)))
                (usage.stored(group.cache.max_bytes))
                (Field::new("quota", "Quota in GB").kind(FieldKind::Decimal).short()
                    .hint("Such as 50. Empty: none but that of the whole store")
                    .value(&typed.quota).show(problem))
                (Field::new("days", days_label).kind(FieldKind::Whole).short()
                    .hint("Such as 90; 0: never. Empty: as in the group above, or the service")
                    .value(&typed.days).show(problem))
                (usage.going())
                button { "Save space and age" }
            }
        }
    }
}

fn values(group: &Group) -> Vec<SeenValue> {
    let Typed { quota, days } = Typed::of(group);
    vec![SeenValue::of("quota", quota), SeenValue::of("days", days)]
}

impl Typed {
    /// Returns the fields with what the group has.
    pub(super) fn of(group: &Group) -> Self {
        let quota = group.cache.max_bytes.map(|bytes| (bytes as f64 / GB).to_string()).unwrap_or_default();
        Self { quota, days: group.cache.unpulled_days.map(|days| days.to_string()).unwrap_or_default() }
    }

    /// Reads the fields. An empty one means no limit; one that is missing stays as it is.
    fn new(form: &Form, group: &Group) -> Self {
        let present = Self::of(group);
        let typed = |name: &str| form.value(name).map(|text| text.trim().to_owned());
        Self { quota: typed("quota").unwrap_or(present.quota), days: typed("days").unwrap_or(present.days) }
    }

    fn change(&self) -> Result<GroupChange, Problem> {
        match (self.bytes(), self.days()) {
            (Ok(bytes), Ok(days)) => {
                Ok(GroupChange { max_cache_bytes: Some(bytes), unpulled_days: Some(days), ..GroupChange::default() })
            }
            (Err(quota), Err(days)) => Err(quota.and(days)),
            (Err(problem), Ok(_)) | (Ok(_), Err(problem)) => Err(problem),
        }
    }

    fn bytes(&self) -> Result<Option<u64>, Problem> {
        if self.quota.is_empty() {
            return Ok(None);
        }
        let gb = self.quota.parse::<f64>().ok().filter(|gb| *gb > 0.0 && *gb <= MAX_QUOTA_GB);
        let gb = gb.ok_or_else(|| Problem::at_field("quota", "is not a number of GB such as 50 or 0.5"))?;
        Ok(Some((gb * GB).round() as u64))
    }

    fn days(&self) -> Result<Option<u32>, Problem> {
        let days = Some(self.days.as_str()).filter(|days| !days.is_empty()).map(str::parse);
        days.transpose().map_err(|_| Problem::at_field("days", "is not a number of days"))
    }
}
