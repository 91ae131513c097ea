//! Tests of the totals of groups: what is counted, and when.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::store::usage::{FileKind, StoredFile};

fn blob(size: u64) -> StoredFile {
    StoredFile { kind: FileKind::Blob, size }
}

/// Stores a file of this digest, and records it.
fn store(index: &Index, usage: &Usage, byte: u8, size: u64) {
    usage.stored(&digest(byte), blob(size));
    index.record_files(usage, &HashMap::new()).unwrap();
}

#[test]
fn a_group_counts_what_it_holds_once_and_what_is_not_stored_not_at_all() {
    let data = tempfile::tempdir().unwrap();
    let (anonymous, robot) = (origin(Account::Anonymous), origin(Account::Username("robot".into())));
    let (index, usage) = opened(data.path());
    store(&index, &usage, 1, 10);
    index.add_links(A, &anonymous, &[(digest(1), GRANTED), (digest(2), GRANTED), (digest(3), REFERENCED)]).unwrap();
    index.add_links(A, &robot, &[(digest(1), GRANTED)]).unwrap();
    index.add_links(B, &anonymous, &[(digest(1), GRANTED)]).unwrap();
    let check =
        |index: &Index, expected: [u64; 2]| assert_eq!([A, B].map(|group| totals(index, group).bytes), expected);
    check(&index, [10, 10]);
    store(&index, &usage, 2, 5);
    store(&index, &usage, 3, 7);
    check(&index, [15, 10]);
    usage.removed(&digest(1), blob(10));
    index.record_files(&usage, &HashMap::new()).unwrap();
    check(&index, [5, 0]);
    store(&index, &usage, 1, 10);
    usage.removed(&digest(2), blob(5));
    store(&index, &usage, 2, 6);
    check(&index, [16, 10]);
    usage.removed(&digest(2), blob(6));
    store(&index, &usage, 2, 5);
    index.remove_links(A, &robot, &HashSet::from([digest(1)])).unwrap();
    check(&index, [15, 10]);
    index.remove_links(A, &anonymous, &HashSet::from([digest(1)])).unwrap();
    check(&index, [5, 10]);
    drop(index);
    check(&opened(data.path()).0, [5, 10]);
}

#[test]
fn a_link_that_opened_content_of_another_group_is_held_from_then_on() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let (index, usage) = opened(data.path());
    store(&index, &usage, 1, 7);
    index.add_links(A, &origin, &[(digest(1), GRANTED)]).unwrap();
    index.add_links(B, &origin, &[(digest(1), REFERENCED)]).unwrap();
    assert_eq!(totals(&index, B).bytes, 0);
    assert_eq!(index.link(B, &origin, &digest(1)).unwrap(), Some(GRANTED));
    index.record_used_links().unwrap();
    assert_eq!(totals(&index, B).bytes, 7);
}

/// A step of the property test: what changes, for which group, and of which content.
type Step = (u8, u64, u8);

fn take(index: &Index, usage: &Usage, (what, group, byte): Step) {
    let (group, origin) = (GroupId(group), origin(Account::Anonymous));
    let is_stored = index.file(&digest(byte)).unwrap().is_some();
    match what {
        0 if !is_stored => store(index, usage, byte, u64::from(byte) + 1),
        1 if is_stored => {
            usage.removed(&digest(byte), blob(u64::from(byte) + 1));
            index.record_files(usage, &HashMap::new()).unwrap();
        }
        2 => index.add_links(group, &origin, &[(digest(byte), GRANTED), (digest(byte + 1), REFERENCED)]).unwrap(),
        3 => drop(index.remove_links(group, &origin, &HashSet::from([digest(byte)])).unwrap()),
        4 => drop(index.set_tag(group, &origin, &tag(&format!("t{byte}")), entry(byte, 1)).unwrap()),
        5 => index.drop_tag(&origin, &tag(&format!("t{byte}"))).unwrap(),
        6 => drop(index.forget_group(group).unwrap()),
        7 => drop(index.totals().unwrap()),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn totals_that_are_kept_are_those_that_are_counted(
        steps in proptest::collection::vec((0u8..8, 1u64..4, 0u8..6), 0..40),
    ) {
        let data = tempfile::tempdir().unwrap();
        let (index, usage) = opened(data.path());
        for step in steps {
            take(&index, &usage, step);
        }
        let mut kept = index.totals().unwrap().unwrap();
        kept.retain(|_, totals| *totals != GroupTotals::default());
        let recounted = Totals::default();
        let mut index = index;
        index.totals = recounted;
        prop_assert_eq!(kept, index.totals().unwrap().unwrap());
    }
}
