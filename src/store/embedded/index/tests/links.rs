//! Tests of links and tags: who may read what, and what a tag stands for.

use super::*;

#[test]
fn a_link_opens_content_for_one_group_and_one_account() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let (anonymous, robot) = (origin(Account::Anonymous), origin(Account::Username("robot".into())));
    index.add_links(A, &anonymous, &[(digest(1), GRANTED)]).unwrap();
    assert_eq!(index.link(A, &anonymous, &digest(1)).unwrap(), Some(GRANTED));
    assert_eq!(index.link(B, &anonymous, &digest(1)).unwrap(), None);
    assert_eq!(index.link(A, &robot, &digest(1)).unwrap(), None);
}

#[test]
fn a_name_in_a_manifest_opens_only_what_came_from_the_same_account() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let (anonymous, robot) = (origin(Account::Anonymous), origin(Account::Username("robot".into())));
    index.add_links(A, &robot, &[(digest(1), GRANTED)]).unwrap();
    index.add_links(B, &anonymous, &[(digest(1), REFERENCED)]).unwrap();
    index.add_links(B, &robot, &[(digest(1), REFERENCED)]).unwrap();
    assert_eq!(index.link(B, &anonymous, &digest(1)).unwrap(), Some(REFERENCED));
    assert_eq!(index.link(B, &robot, &digest(1)).unwrap(), Some(GRANTED));
}

#[test]
fn what_is_known_of_a_link_stays_known() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let origin = origin(Account::Anonymous);
    index.add_links(A, &origin, &[(digest(1), Link::granted(None))]).unwrap();
    index.add_links(A, &origin, &[(digest(1), REFERENCED)]).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(GRANTED));
}

#[test]
fn a_manifest_does_not_change_the_length_that_upstream_gave() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let origin = origin(Account::Anonymous);
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    index.add_links(A, &origin, &[(digest(1), Link::referenced(Some(8)))]).unwrap();
    assert_eq!(index.link(A, &origin, &digest(1)).unwrap(), Some(GRANTED));
}

#[test]
fn a_denied_tag_stays_denied_until_upstream_gives_it_again() {
    let data = tempfile::tempdir().unwrap();
    let index = Index::open(data.path(), data.path()).unwrap();
    let origin = origin(Account::Anonymous);
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.deny_tag(&origin, &latest()).unwrap();
    assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(TagEntry { denied: true, ..entry(1, 100) }));
    index.set_tag(A, &origin, &latest(), entry(1, 200)).unwrap();
    assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(1, 200)));
}

#[test]
fn a_dropped_tag_is_gone_for_every_group() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let index = Index::open(data.path(), data.path()).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.set_tag(B, &origin, &latest(), entry(1, 100)).unwrap();
    index.drop_tag(&origin, &latest()).unwrap();
    assert_eq!(index.tag(&origin, &latest()).unwrap(), None);
    assert!(images(&index, A).is_empty() && images(&index, B).is_empty());
}

#[test]
fn a_manifest_with_very_many_layers_is_added_quickly_also_while_the_files_decide() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    drop(Index::open(data.path(), data.path()).unwrap());
    let index = Index::open(data.path(), data.path()).unwrap();
    assert_eq!(index.trust(), Trust::Unchecked);
    let links: Vec<(Digest, Link)> =
        (0..4_096_u32).map(|number| (crate::auth::sha256::digest(&number.to_be_bytes()), REFERENCED)).collect();
    let begin = std::time::Instant::now();
    for _ in 0..3 {
        index.add_links(A, &origin, &links).unwrap();
    }
    // One read of the file for each link would take minutes.
    assert!(begin.elapsed() < std::time::Duration::from_secs(30), "{:?}", begin.elapsed());
    assert_eq!(index.link(A, &origin, &links[4_095].0).unwrap(), Some(REFERENCED));
}
