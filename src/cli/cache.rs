//! `cache`: subcommands for the images that groups have cached.

mod progress;
mod pulls;
mod rows;
mod warm;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use super::client::Api;
use super::connection::Connection;
use super::failure::Failure;
use super::group::named;
use super::image::Image;
use super::output::{Output, print_note};

/// Arguments of `cache`.
#[derive(Debug, Args)]
pub(super) struct CacheArgs {
    #[command(flatten)]
    connection: Connection,
    #[command(subcommand)]
    verb: CacheVerb,
}

#[derive(Debug, Subcommand)]
enum CacheVerb {
    /// List the images that a group has cached
    #[command(after_help = "Example: dependency-proxy cache list --group team --order size")]
    List {
        #[command(flatten)]
        group: OfGroup,
        /// Only images whose name, tag or digest contains this text
        #[arg(long)]
        search: Option<String>,
        /// Only pinned images
        #[arg(long)]
        pinned: bool,
        /// Order of the list: names ascending, everything else descending
        #[arg(long, value_enum, default_value_t = Order::Name)]
        order: Order,
    },
    /// Delete images from a group's cache; its next pulls download them again
    #[command(after_help = "Example: dependency-proxy cache delete --group team alpine:3.22")]
    Delete {
        #[command(flatten)]
        group: OfGroup,
        /// Images, such as alpine:3.22, ghcr.io/acme/app:1.4 or alpine@sha256:...
        #[arg(required = true)]
        images: Vec<Image>,
    },
    /// Pin images: they are neither evicted nor removed because nobody pulls them
    ///
    /// Once the registry has removed the tag of a pinned image, pulls by the tag are refused, and those by its digest are
    /// served.
    #[command(after_help = "Example: dependency-proxy cache pin --group team alpine:3.22")]
    Pin {
        #[command(flatten)]
        group: OfGroup,
        /// Images, such as alpine:3.22
        #[arg(required = true)]
        images: Vec<Image>,
    },
    /// End the pinning of images
    #[command(after_help = "Example: dependency-proxy cache unpin --group team alpine:3.22")]
    Unpin {
        #[command(flatten)]
        group: OfGroup,
        /// Images, such as alpine:3.22
        #[arg(required = true)]
        images: Vec<Image>,
    },
    /// Show who pulled an image in the last days, when and from where: a line for each credential and day. Needs an
    /// owner of the group
    #[command(after_help = "Example: dependency-proxy cache pulls --group team alpine:3.22")]
    Pulls {
        #[command(flatten)]
        group: OfGroup,
        /// Image as it was pulled, such as alpine:3.22 or alpine@sha256:...
        image: Image,
    },
    /// Have the registry confirm now what tags stand for, and download what has moved
    #[command(after_help = "Example: dependency-proxy cache refresh --group team alpine:latest")]
    Refresh {
        #[command(flatten)]
        group: OfGroup,
        /// Images, such as alpine:3.22
        #[arg(required = true)]
        images: Vec<Image>,
    },
    /// Pull images into a group's cache before anyone requests them. What is cached already is not pulled again
    #[command(after_help = "Example:\n\
\x20 dependency-proxy cache warm --group team --platform linux/arm64 alpine:3.22 ghcr.io/acme/app:1.4")]
    Warm(warm::WarmArgs),
    /// Show how much each group has cached, the largest first, and for administrators the whole store
    #[command(after_help = "Example: dependency-proxy cache usage --json")]
    Usage,
}

#[derive(Debug, Args)]
struct OfGroup {
    /// Full path or number of the group
    #[arg(long)]
    group: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Order {
    Name,
    Size,
    Cached,
    LastPulled,
    Pulls,
}

impl CacheArgs {
    /// Runs the subcommand and prints its result.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let api = self.connection.api()?;
        let as_json = self.connection.json;
        self.verb.run(&api, as_json).await?.print(as_json);
        Ok(())
    }
}

impl CacheVerb {
    async fn run(self, api: &Api, as_json: bool) -> Result<Output, Failure> {
        match self {
            Self::List { group: OfGroup { group }, search, pinned, order } => {
                let mut query = order.query();
                query.extend(search.map(|search| ("search", search)));
                query.extend(pinned.then(|| ("pinned", "true".to_owned())));
                let images =
                    api.list(&["groups", &named(api, &group).await?, "dependency_proxy", "images"], &query).await?;
                Ok(rows::images(images))
            }
            Self::Warm(args) => args.run(api, as_json).await,
            Self::Delete { group: OfGroup { group }, images } => {
                let named = named(api, &group).await?;
                let delete = async |image: &Image| api.delete(&path(&named, &image.to_string())).await;
                each(&images, "deleted", delete).await?;
                Ok(Output::Done(format!("deleted from the cache of {group}: {}", names(&images))))
            }
            Self::Pin { group: OfGroup { group }, images } => {
                let pinned = pin(api, &group, &images, true).await?;
                note_incomplete(&group, &pinned);
                Ok(Output::Done(format!("pinned in {group}: {}", names(&images))))
            }
            Self::Unpin { group: OfGroup { group }, images } => {
                pin(api, &group, &images, false).await?;
                Ok(Output::Done(format!("no longer pinned in {group}: {}", names(&images))))
            }
            Self::Refresh { group: OfGroup { group }, images } => {
                let named = named(api, &group).await?;
                let refresh = async |image: &Image| {
                    let path = ["groups", &named, "dependency_proxy", "refresh", &image.to_string()];
                    api.post(&path, &json!({})).await
                };
                Ok(rows::images(each(&images, "refreshed", refresh).await?))
            }
            Self::Pulls { group, image } => pulls::list(api, &group, &image).await,
            Self::Usage => usage(api).await,
        }
    }
}

/// Prints how to pull what is missing of pinned images.
fn note_incomplete(group: &str, pinned: &[Value]) {
    let incomplete: Vec<String> =
        pinned.iter().filter(|image| image["state"] == "incomplete").map(rows::name).collect();
    if !incomplete.is_empty() {
        let names = incomplete.join(" ");
        print_note(&format!(
            "Not all of this is cached. To pull what is missing: dependency-proxy cache warm --group {group} {names}"
        ));
    }
}

/// Pins images, or ends that, and returns them.
async fn pin(api: &Api, group: &str, images: &[Image], pinned: bool) -> Result<Vec<Value>, Failure> {
    let named = named(api, group).await?;
    let change = async |image: &Image| api.put(&path(&named, &image.to_string()), &json!({ "pinned": pinned })).await;
    each(images, if pinned { "pinned" } else { "no longer pinned" }, change).await
}

/// Calls this for each image, and returns the results. A failure names its image, and the images before it that are
/// done, if there are several.
async fn each<T>(
    images: &[Image],
    done: &str,
    change: impl AsyncFn(&Image) -> Result<T, Failure>,
) -> Result<Vec<T>, Failure> {
    let mut results = Vec::new();
    for (number, image) in images.iter().enumerate() {
        let result = change(image).await.map_err(|failure| match (images.len(), number) {
            (1, _) => failure,
            (_, 0) => failure.of(&image.to_string()),
            _ => failure.of(&format!("{image} (already {done}: {})", names(&images[..number]))),
        });
        results.push(result?);
    }
    Ok(results)
}

async fn usage(api: &Api) -> Result<Output, Failure> {
    let groups = api.list(&["dependency_proxy", "groups"], &[]).await?;
    // Fails for others: only administrators may read the statistics of the whole store.
    let store = api.show(&["dependency_proxy", "statistics"]).await.ok();
    Ok(rows::sizes(groups, store.as_ref()))
}

fn path<'a>(group: &'a str, image: &'a str) -> [&'a str; 5] {
    ["groups", group, "dependency_proxy", "images", image]
}

fn names(images: &[Image]) -> String {
    images.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

impl Order {
    fn query(self) -> Vec<(&'static str, String)> {
        let order = match self {
            Self::Name => return Vec::new(),
            Self::Size => "size",
            Self::Cached => "cached_at",
            Self::LastPulled => "last_pulled_at",
            Self::Pulls => "pulls",
        };
        vec![("order_by", order.to_owned()), ("sort", "desc".to_owned())]
    }
}
