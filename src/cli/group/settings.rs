//! The settings of a group, as options of `group create` and `group change`.

use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::cli::failure::Failure;
use crate::formats::quantity::{parse_bytes, parse_seconds};

/// The options for what a group is.
#[derive(Debug, Args)]
pub(super) struct Profile {
    /// Display name; by default the last segment of the path
    #[arg(long)]
    name: Option<String>,
    /// Purpose of the group
    #[arg(long)]
    description: Option<String>,
    /// Visibility to callers who are not members
    #[arg(long)]
    visibility: Option<Visibility>,
}

/// The options for pulls from a group and for its cache.
#[derive(Debug, Args)]
pub(super) struct CacheSettings {
    /// Enable or disable pulls from the group; `inherit`: as in the group above it
    #[arg(long)]
    proxy: Option<Switch>,
    /// Maximum size of what the group caches, such as 50GB; `none`: only the maximum of the whole store
    #[arg(long, value_name = "SIZE", value_parser = size_or_none)]
    max_size: Option<Limit>,
    /// Remove images that were not pulled for this number of days; 0: never, `inherit`: as in the group above it
    #[arg(long, value_name = "DAYS", value_parser = days_or_inherit)]
    unpulled_days: Option<Limit>,
    /// Time for which all tags that the group pulls are fresh, such as 10m, and at most a year (8760h); 0: the
    /// registry confirms a tag at every pull, `inherit`: as in the group above it
    #[arg(long, value_name = "TIME", value_parser = time_or_inherit)]
    tag_freshness: Option<Limit>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Visibility {
    Private,
    Internal,
    Public,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Switch {
    On,
    Off,
    Inherit,
}

/// A number; `None` removes the limit of the group's own.
#[derive(Clone, Copy, Debug)]
struct Limit(Option<u64>);

impl Profile {
    /// Returns the fields of the API.
    pub(super) fn fields(self) -> Value {
        let visibility = self.visibility.map(|visibility| match visibility {
            Visibility::Private => "private".to_owned(),
            Visibility::Internal => "internal".to_owned(),
            Visibility::Public => "public".to_owned(),
        });
        let mut body = json!({});
        for (field, value) in [("name", self.name), ("description", self.description), ("visibility", visibility)] {
            if let Some(value) = value {
                body[field] = json!(value);
            }
        }
        body
    }
}

/// The fields of the API, and the options that set them.
const OPTIONS: [(&str, &str); 4] = [
    ("dependency_proxy_max_bytes", "--max-size"),
    ("dependency_proxy_unpulled_days", "--unpulled-days"),
    ("dependency_proxy_tag_freshness_seconds", "--tag-freshness"),
    ("dependency_proxy_enabled", "--proxy"),
];

/// Returns the same failure, with the options in place of the fields of the API.
pub(super) fn in_options(failure: Failure) -> Failure {
    let Failure::Refused { status, message } = failure else { return failure };
    let message = OPTIONS.iter().fold(message, |message, (field, option)| message.replace(field, option));
    Failure::Refused { status, message }
}

impl CacheSettings {
    /// Adds the settings that are given to the fields of a group.
    pub(super) fn add_to(self, body: &mut Value) {
        for (field, limit) in [
            ("dependency_proxy_max_bytes", self.max_size),
            ("dependency_proxy_unpulled_days", self.unpulled_days),
            ("dependency_proxy_tag_freshness_seconds", self.tag_freshness),
        ] {
            if let Some(Limit(number)) = limit {
                body[field] = json!(number);
            }
        }
        match self.proxy {
            Some(Switch::On) => body["dependency_proxy_enabled"] = json!(true),
            Some(Switch::Off) => body["dependency_proxy_enabled"] = json!(false),
            Some(Switch::Inherit) => body["dependency_proxy_enabled"] = Value::Null,
            None => {}
        }
    }
}

fn size_or_none(text: &str) -> Result<Limit, String> {
    if text == "none" {
        return Ok(Limit(None));
    }
    // As in the settings: a number was probably meant in another unit.
    if text.parse().is_ok_and(|number: u64| number > 0) {
        return Err(format!("'{text}' has no unit and would be {text} bytes; write {text}GB, or {text}B for bytes"));
    }
    let bytes = parse_bytes(text).ok_or_else(|| format!("'{text}' is not a size such as 50GB, nor 'none'"))?;
    Ok(Limit(Some(bytes)))
}

fn days_or_inherit(text: &str) -> Result<Limit, String> {
    if text == "inherit" {
        return Ok(Limit(None));
    }
    let days = text.parse().map_err(|_| format!("'{text}' is not a number of days, nor 'inherit'"))?;
    Ok(Limit(Some(days)))
}

fn time_or_inherit(text: &str) -> Result<Limit, String> {
    if text == "inherit" {
        return Ok(Limit(None));
    }
    let seconds = parse_seconds(text);
    let seconds =
        seconds.ok_or_else(|| format!("'{text}' is not a time such as 10m in whole seconds, nor 'inherit'"))?;
    Ok(Limit(Some(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_needs_a_unit_unless_it_is_zero() {
        let refused = size_or_none("5").err().unwrap_or_default();
        assert_eq!(refused, "'5' has no unit and would be 5 bytes; write 5GB, or 5B for bytes");
        let bytes = |text| size_or_none(text).ok().map(|Limit(bytes)| bytes);
        assert_eq!([bytes("0"), bytes("5B"), bytes("none")], [Some(Some(0)), Some(Some(5)), Some(None)]);
    }

    #[test]
    fn a_refusal_names_the_options() {
        let refused = Failure::refused(400, "dependency_proxy_unpulled_days is too large");
        assert_eq!(in_options(refused).to_string(), "--unpulled-days is too large (400)");
    }
}
