//! `admin share`: moves the store of a stopped service into a fleet.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::progress::ShareProgress;
use crate::admin::share::{FoldersToShare, Moved, Shared, share};
use crate::cli::engines::engines_of;
use crate::cli::failure::Failure;
use crate::cli::output::{bytes, number_of, print_line, print_list};
use crate::settings::Settings;

/// Arguments of `admin share`.
#[derive(Debug, Args)]
pub(super) struct ShareArgs {
    /// The settings of the future replica: the data folder of the service, and the section of the fleet
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Print the result as JSON; the progress goes to standard error
    #[arg(long)]
    json: bool,
}

impl ShareArgs {
    /// Moves the store and prints what was moved.
    pub(super) async fn run(self) -> Result<(), Failure> {
        let settings = Settings::load(Some(&self.config), std::env::vars_os())?;
        let engines = engines_of(&settings).ok_or_else(|| {
            let config = self.config.display();
            Failure::Input(format!("{config} has no section [fleet] with database_url, bucket_url and secret_file"))
        })?;
        let folders = FoldersToShare {
            account_keys: settings.auth.account_key_file_in(&settings.storage),
            data: settings.storage.data_dir,
            cache: settings.storage.cache_dir,
        };
        let shown = ShareProgress::new();
        let done = share(&folders, &engines, &|progress| shown.show(progress)).await;
        shown.clear();
        let done = done?;
        if self.json {
            print_line(&format!("{:#}", as_json(&done)));
        } else {
            report(&done, &folders);
        }
        Ok(())
    }
}

fn as_json(done: &Shared) -> Value {
    let moved = |moved: &Moved| {
        json!({
            "users": moved.users,
            "groups": moved.groups,
            "tokens": moved.tokens,
            "events": moved.events,
            "links": moved.links,
            "images": moved.images,
            "accounts_to_enter": moved.to_enter,
        })
    };
    json!({
        "moved": done.moved.as_ref().map(moved),
        "changed_since": done.changed_since,
        "uploaded": done.uploaded,
        "uploaded_bytes": done.uploaded_bytes,
        "there_before": done.there,
        "damaged": done.damaged.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn report(done: &Shared, folders: &FoldersToShare) {
    match &done.moved {
        Some(moved) => report_moved(moved),
        None => print_line("Users, groups, tokens and the index were moved before."),
    }
    if done.changed_since {
        print_line(
            "They have changed in this folder since then, because the service ran without the fleet: these changes are not \
             in the fleet, and are not used any more.",
        );
    }
    let (uploaded, there) = (number_of(done.uploaded, "file"), number_of(done.there, "file"));
    let size = bytes(done.uploaded_bytes);
    print_line(&format!("Uploaded {uploaded} ({size}); {there} were in the bucket before."));
    let damaged: Vec<String> = done.damaged.iter().map(ToString::to_string).collect();
    print_list("The files of these are damaged, so that they are fetched from their registries again:", &damaged);
    print_line(
        "Login tokens that were issued before end, because a fleet has other keys: clients log in again with the same \
         passwords and tokens.",
    );
    let data = folders.data.display();
    print_line(&format!(
        "{data} is the folder of a replica from now on. Its own users, groups and tokens (identity.journal and the files \
         beside it) stay as they are, and are not used any more."
    ));
}

fn report_moved(moved: &Moved) {
    let [users, groups, tokens, events] =
        [(moved.users, "user"), (moved.groups, "group"), (moved.tokens, "token"), (moved.events, "audit event")]
            .map(|(number, thing)| number_of(number as u64, thing));
    let (links, images) = (number_of(moved.links, "link"), number_of(moved.images, "image"));
    print_line(&format!("Moved {users}, {groups}, {tokens} and {events}; {images} and {links} to content."));
    print_list(
        "The passwords of these accounts cannot be decrypted with the keys of this folder, and must be entered again \
         (group upstream-account set):",
        &moved.to_enter,
    );
}
