//! Content of a data folder, beside its index, that is needed before the service starts in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use benches::filled::GROUPS;
use dependency_proxy::domain::directory::{Record, Write};
use dependency_proxy::domain::group::{Group, GroupCacheLimits, Visibility};
use dependency_proxy::domain::id::{GroupId, UserId};
use dependency_proxy::domain::user::User;
use dependency_proxy::store::embedded::identity::EmbeddedIdentities;
use jiff::Timestamp;
use rustix::fs::{Advice, fadvise};

/// Creates the groups of the entries, which would be purged otherwise, and an administrator, without whom
/// the store counts as empty.
pub fn make_groups(folder: &Path) {
    let identities = EmbeddedIdentities::open(folder).unwrap();
    if identities.load().unwrap().is_empty() {
        let records: Vec<Write> = (1..=GROUPS).map(group).chain([administrator()]).map(Write::Put).collect();
        identities.commit(&records, &[]).unwrap();
    }
}

/// Drops the files of this folder from the page cache.
pub fn evict(folder: &Path) {
    for entry in folder.read_dir().unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_file() {
            let file = File::open(entry.path()).unwrap();
            file.sync_all().unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        }
    }
}

fn group(id: u64) -> Record {
    Record::Group(Group {
        id: GroupId(id),
        name: format!("Team {id}"),
        path: format!("team-{id}").parse().unwrap(),
        description: String::new(),
        parent: None,
        visibility: Visibility::Private,
        proxy_enabled: None,
        created_at: Timestamp::UNIX_EPOCH,
        cache: GroupCacheLimits::default(),
        upstream_accounts: BTreeMap::new(),
    })
}

fn administrator() -> Record {
    let root = User::new(UserId(1), "root".parse().unwrap(), "root", Timestamp::UNIX_EPOCH);
    Record::User(User { admin: true, ..root })
}
