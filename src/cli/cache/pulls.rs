//! `cache pulls`: who pulled an image, when and from where.

use serde_json::{Value, json};

use super::OfGroup;
use crate::cli::client::Api;
use crate::cli::failure::Failure;
use crate::cli::group::named;
use crate::cli::image::Image;
use crate::cli::output::{Columns, Output};

const COLUMNS: Columns = &["date", "user", "token", "pulls", "last", "from"];

/// Lists the credentials that pulled the image, the latest day first.
pub(super) async fn list(api: &Api, OfGroup { group }: &OfGroup, image: &Image) -> Result<Output, Failure> {
    let path = ["groups", &named(api, group).await?, "dependency_proxy", "pulls", &image.to_string()];
    let values = api.list(&path, &[]).await?;
    Ok(Output::Table { columns: COLUMNS, rows: values.iter().map(row).collect(), values })
}

/// Returns a record as a line of a table.
fn row(record: &Value) -> Value {
    let text = |field: &str| record[field].as_str().unwrap_or_default();
    let ended = if record["credential_active"] == json!(false) { " (no longer valid)" } else { "" };
    let token = match (record["token_name"].as_str(), record["username"].as_str()) {
        (Some(name), _) => json!(format!("{name}{ended}")),
        (None, Some(_)) => json!(format!("password{ended}")),
        (None, None) => Value::Null,
    };
    let user = match (record["username"].as_str(), record["user_id"].as_u64()) {
        (Some(name), Some(_)) => name.to_owned(),
        // Its owner chose the user name, which may be that of a user.
        (Some(name), None) => format!("{name} (deploy token)"),
        (None, _) => "(without a login)".to_owned(),
    };
    let mut from = record["ip_addresses"].as_array().cloned().unwrap_or_default();
    from.extend((record["more_ip_addresses"] == json!(true)).then(|| json!("others before")));
    json!({
        "date": record["date"],
        "user": user,
        "token": token,
        "pulls": record["pulls"],
        "last": text("last_pulled_at").split('.').next().map(|seconds| format!("{seconds}Z")),
        "from": from,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_a_line_with_who_and_all_addresses() {
        let record = json!({
            "date": "2026-11-28", "pulls": 3, "last_pulled_at": "2026-11-28T14:20:00.000Z", "username": "alice", "user_id": 2,
            "token_name": "ci", "credential_active": false, "ip_addresses": ["10.0.0.2", "10.0.0.1"],
            "more_ip_addresses": true,
        });
        let line = json!({
            "date": "2026-11-28", "user": "alice", "token": "ci (no longer valid)", "pulls": 3,
            "last": "2026-11-28T14:20:00Z", "from": ["10.0.0.2", "10.0.0.1", "others before"],
        });
        assert_eq!(row(&record), line);
        assert_eq!(row(&json!({"username": null}))["user"], "(without a login)");
        assert_eq!(row(&json!({"username": "root", "user_id": null}))["user"], "root (deploy token)");
    }
}
