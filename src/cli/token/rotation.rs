//! `token rotate`: a new secret for a token.

use serde_json::{Value, json};

use super::create::{End, MADE};
use super::owner::Owner;
use super::segments;
use crate::cli::client::Api;
use crate::cli::confirmation::note_brought_forward;
use crate::cli::failure::Failure;
use crate::cli::output::{Output, print_note};
use crate::domain::overlap::Overlap;

impl Owner {
    /// Replaces the secret of this owner's token with the number.
    pub(super) async fn rotate(&self, api: &Api, id: u64, end: End, overlap: Overlap) -> Result<Output, Failure> {
        let mut path = self.path(&id.to_string());
        let mut body = json!({ "overlap": overlap.to_string() });
        let number = id.to_string();
        let present = if end.is_given() { Value::Null } else { api.show(&["tokens", &number]).await? };
        // A deploy token keeps its end, unless it has expired.
        let keeps_end = self.is_deploy() && !end.is_given();
        if !keeps_end || present["active"] == json!(false) {
            body["expires_at"] = json!(end.day_or_later(&present["expires_at"])?);
        }
        path.push("rotate".to_owned());
        let rotated = api.post(&segments(&path), &body).await?;
        if present.get("expires_at").is_some_and(Value::is_null) && !rotated["expires_at"].is_null() {
            print_note("The token had no end and has one now; `token extend --never` removes it.");
        }
        note_brought_forward(&rotated);
        Ok(Output::One(MADE, rotated))
    }
}
