//! The settings of a group in the state file. Another one is a field of [`GroupSettings`], whose name is the key of the
//! file and which is written with the name of the API, a line of [`SETTINGS`], and a line of `config/company.toml`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::values::{Days, MaxSize, Switch, TagTime};
use crate::domain::group::Visibility;

/// The settings of a group that are given. It is written as the API reads them.
#[derive(Debug, Default, Deserialize, Serialize)]
pub struct GroupSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    visibility: Option<Visibility>,
    #[serde(rename(serialize = "dependency_proxy_enabled"), skip_serializing_if = "Option::is_none")]
    proxy: Option<Switch>,
    #[serde(rename(serialize = "dependency_proxy_max_bytes"), skip_serializing_if = "Option::is_none")]
    max_size: Option<MaxSize>,
    #[serde(rename(serialize = "dependency_proxy_unpulled_days"), skip_serializing_if = "Option::is_none")]
    unpulled_days: Option<Days>,
    #[serde(rename(serialize = "dependency_proxy_tag_freshness_seconds"), skip_serializing_if = "Option::is_none")]
    tag_freshness: Option<TagTime>,
}

/// A setting of a group: its names, and how a value of the API is written in the file.
#[derive(Clone, Copy, Debug)]
pub struct GroupSetting {
    /// The key in the file.
    pub key: &'static str,
    /// The field in the API.
    pub field: &'static str,
    /// Function that returns the value of the file for one of the API.
    pub written: fn(&Value) -> Value,
}

/// All settings of a group, in the order of the file.
pub const SETTINGS: [GroupSetting; 7] = [
    GroupSetting { key: "name", field: "name", written: Value::clone },
    GroupSetting { key: "description", field: "description", written: Value::clone },
    GroupSetting { key: "visibility", field: "visibility", written: Value::clone },
    GroupSetting { key: "proxy", field: "dependency_proxy_enabled", written: switch },
    GroupSetting { key: "max_size", field: "dependency_proxy_max_bytes", written: size },
    GroupSetting { key: "unpulled_days", field: "dependency_proxy_unpulled_days", written: days },
    GroupSetting { key: "tag_freshness", field: "dependency_proxy_tag_freshness_seconds", written: tag_time },
];

impl GroupSettings {
    /// Returns the fields of the API for the given settings.
    pub fn fields(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(fields)) => fields,
            // Texts and numbers can always be written.
            Ok(_) | Err(_) => Map::new(),
        }
    }
}

fn switch(value: &Value) -> Value {
    json!(match value.as_bool() {
        Some(true) => "on",
        Some(false) => "off",
        None => "inherit",
    })
}

/// Writes a number of bytes with the largest unit that keeps it.
fn size(value: &Value) -> Value {
    let Some(bytes) = value.as_u64() else { return json!("none") };
    let units = [
        (1 << 40, "TiB"),
        (1_000_000_000_000, "TB"),
        (1 << 30, "GiB"),
        (1_000_000_000, "GB"),
        (1 << 20, "MiB"),
        (1_000_000, "MB"),
        (1, "B"),
    ];
    let unit = units.into_iter().find(|(unit, _)| bytes % unit == 0).unwrap_or((1, "B"));
    json!(format!("{}{}", bytes / unit.0, unit.1))
}

fn days(value: &Value) -> Value {
    value.as_u64().map_or(json!("inherit"), |days| json!(days))
}

fn tag_time(value: &Value) -> Value {
    value.as_u64().map_or(json!("inherit"), |seconds| json!(format!("{seconds}s")))
}
