//! `explain`: prints the rule by which somebody may pull through a group or not, the account with which the registry is
//! used, and how fresh the image is.

use clap::Args;
use serde_json::Value;

use super::check::line;
use super::connection::Connection;
use super::failure::Failure;
use super::group::named;
use super::image::Image;
use super::output::print_line;

/// Arguments of `explain`.
#[derive(Debug, Args)]
#[command(after_help = "Example: dependency-proxy explain --group team --user bob --image ghcr.io/acme/app:1.4\n\n\
                        Owners of the group ask about its members and tokens, administrators about anybody. The exit \
                        code is 1 if the pull is refused.")]
pub(super) struct ExplainArgs {
    #[command(flatten)]
    connection: Connection,
    /// Full path of the group
    #[arg(long)]
    group: String,
    /// User name of a person or of a deploy token
    #[arg(long)]
    user: String,
    /// Image, as it is written after /dependency_proxy/containers/
    #[arg(long)]
    image: Option<Image>,
}

impl ExplainArgs {
    /// Prints what each rule finds.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let api = self.connection.api()?;
        let mut query = vec![("user", self.user.clone())];
        query.extend(self.image.iter().map(|image| ("image", image.to_string())));
        let found =
            api.show_with(&["groups", &named(&api, &self.group).await?, "dependency_proxy", "explain"], &query).await?;
        if self.connection.json {
            print_line(&found.to_string());
        } else {
            print(&found);
        }
        if found["allowed"] == true { Ok(()) } else { Err(Failure::Denied { user: self.user, group: self.group }) }
    }
}

fn print(found: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for step in found["steps"].as_array().into_iter().flatten() {
        let word = if step["holds"] == true { "ok" } else { "FAIL" };
        print_line(&line(word, &text(&step["rule"]), &text(&step["sentence"])));
    }
    let image = &found["image"];
    if image.is_null() {
        return;
    }
    let account =
        image["account"].as_str().map_or("without an account".to_owned(), |name| format!("with the account {name}"));
    let holder = match (&image["account_group"], &image["account"]) {
        (Value::String(holder), _) => format!(" of the group {holder}"),
        (_, Value::String(_)) => " of the service".to_owned(),
        _ => String::new(),
    };
    print_line(&line(
        "",
        "registry",
        &format!("{} is pulled from {} {account}{holder}", text(&image["name"]), text(&image["upstream"])),
    ));
    let cached = match image["cached"]["state"].as_str() {
        Some(state) => {
            let tag = image["cached"]["tag"].as_str().filter(|_| is_digest(image));
            let by_tag = tag.map(|tag| format!(" by the tag {tag}")).unwrap_or_default();
            format!("{state}{by_tag}, last pulled at {}", text(&image["cached"]["last_pulled_at"]))
        }
        None => "not cached: a pull needs the registry".to_owned(),
    };
    print_line(&line("", "cache", &cached));
    print_line(&line("", "freshness", &freshness(image)));
}

/// Returns how often a cached image is revalidated at the registry, as text.
fn freshness(image: &Value) -> String {
    let chooser = image["fresh_group"].as_str().map(|group| format!(", as {group} has chosen")).unwrap_or_default();
    match image["fresh_seconds"].as_u64() {
        Some(0) => format!("the registry confirms the tag at every pull{chooser}"),
        Some(seconds) => {
            format!("the registry confirms the tag when it is pulled, at most once in {seconds} s{chooser}")
        }
        None if is_digest(image) => "a digest never changes: the registry does not confirm it again".to_owned(),
        None => "the service is offline: no registry is contacted".to_owned(),
    }
}

fn is_digest(image: &Value) -> bool {
    image["name"].as_str().is_some_and(|name| name.contains('@'))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_tag_that_is_never_fresh_or_always_is_not_explained_by_a_number() {
        let of = |name: &str, seconds: Option<u64>, group: Option<&str>| {
            freshness(&json!({"name": name, "fresh_seconds": seconds, "fresh_group": group}))
        };
        let always = of("app:1", Some(0), Some("team"));
        assert!(always.contains("at every pull") && always.ends_with(", as team has chosen"), "{always}");
        assert!(of("app:1", Some(600), None).ends_with("at most once in 600 s"));
        assert_eq!(of("app:1", None, Some("team")), "the service is offline: no registry is contacted");
        assert!(of("app@sha256:0", None, None).starts_with("a digest never changes"));
    }
}
