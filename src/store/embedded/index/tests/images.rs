//! Tests of images: what is recorded and removed.

use std::collections::{HashMap, HashSet};

use super::*;
use crate::store::images::{ImageKey, ImageOrder, KnownTotals, Pulls, Removal};

fn key(group: GroupId, reference: &str) -> ImageKey {
    ImageKey { group, origin: origin(Account::Anonymous), reference: reference.parse().unwrap() }
}

#[test]
fn an_image_has_its_pulls_its_time_and_what_it_was_before() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let (index, _) = opened(data.path());
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 200)).unwrap();
    index.set_tag(A, &origin, &latest(), entry(2, 300)).unwrap();
    let pulls = Pulls { count: 3, last: Timestamp::from_second(4_000_000_000).unwrap() };
    index.record_pulls(&HashMap::from([(key(A, "latest"), pulls), (key(B, "latest"), pulls)])).unwrap();
    let images = index.images_of_group(A).unwrap();
    let record = images[0].1;
    assert_eq!((images.len(), record.digest, record.pulls), (1, digest(2), 3));
    assert_eq!((record.cached_at.as_second(), record.last_pulled_at), (300, pulls.last));
    let earlier = index.earlier(&key(A, "latest")).unwrap();
    assert_eq!(
        earlier.iter().map(|one| (one.digest, one.cached_at.as_second())).collect::<Vec<_>>(),
        [(digest(1), 100)]
    );
    assert_eq!(index.images_of_group(B).unwrap(), []);
}

#[test]
fn a_time_of_a_pull_that_is_ahead_of_the_clock_is_replaced_by_the_next_pull() {
    let data = tempfile::tempdir().unwrap();
    let (index, _) = opened(data.path());
    index.set_tag(A, &origin(Account::Anonymous), &latest(), entry(1, 100)).unwrap();
    let last = || index.images_of_group(A).unwrap()[0].1.last_pulled_at;
    let pull = |last| index.record_pulls(&HashMap::from([(key(A, "latest"), Pulls { count: 1, last })])).unwrap();
    // Written with a precision of seconds.
    let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
    let ahead = now + jiff::SignedDuration::from_hours(2_400);
    pull(ahead);
    assert_eq!(last(), ahead, "the clock is trusted");
    pull(now);
    assert_eq!(last(), now);
    pull(now - jiff::SignedDuration::from_hours(1));
    assert_eq!(last(), now, "a pull that is recorded late");
    pull(ahead);
    index.put_pulls(&[(key(A, "latest"), Pulls { count: 9, last: now })]).unwrap();
    assert_eq!(last(), now, "what other replicas have recorded");
}

#[test]
fn images_come_back_without_the_index_and_pins_with_them() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Username("robot".into()));
    {
        let (index, _) = opened(data.path());
        index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
        index.add_digest(A, &origin, entry(7, 100)).unwrap();
        let image = ImageKey { group: A, origin: origin.clone(), reference: Reference::Tag(latest()) };
        assert!(index.pin(&image, true).unwrap());
        assert!(!index.pin(&key(B, "latest"), true).unwrap(), "no group but A has pulled it");
    }
    fs::remove_dir_all(data.path().join("index")).unwrap();
    let (index, _) = opened(data.path());
    let images = index.images_of_group(A).unwrap();
    let of = |(key, record): &(ImageKey, ImageRecord)| (key.reference.clone(), record.digest, record.pinned);
    let by_digest = (Reference::Digest(digest(7)), digest(7), false);
    assert_eq!(images.iter().map(of).collect::<Vec<_>>(), [(Reference::Tag(latest()), digest(1), true), by_digest]);
    assert_eq!(index.pinned_images().unwrap(), [(images[0].0.clone(), digest(1))]);
    assert_eq!(totals(&index, A).images, 2);
}

#[test]
fn a_page_of_images_is_in_the_order_of_their_names() {
    let data = tempfile::tempdir().unwrap();
    let (index, _) = opened(data.path());
    for name in ["c", "a", "d", "b"] {
        index.set_tag(A, &origin(Account::Anonymous), &tag(name), entry(1, 100)).unwrap();
        index.set_tag(B, &origin(Account::Anonymous), &tag(name), entry(1, 100)).unwrap();
    }
    let page = |descending, skip| -> Vec<String> {
        let order = ImageOrder::Name;
        let (page, total) = index.listed_page(A, PageOf { order, descending, skip, limit: 2 }).unwrap();
        assert_eq!(total, 4);
        page.into_iter().map(|(key, _)| key.reference.to_string()).collect()
    };
    assert_eq!([page(false, 0), page(false, 2), page(false, 4)], [vec!["a", "b"], vec!["c", "d"], vec![]]);
    assert_eq!(page(true, 1), ["c", "b"]);
}

#[test]
fn a_list_waits_neither_for_the_comparison_with_the_files_nor_for_the_totals() {
    let data = tempfile::tempdir().unwrap();
    {
        let (index, _) = opened(data.path());
        for (name, pulls, second) in [("a", 2, 4_000_000_000), ("b", 3, 4_000_000_100), ("c", 1, 4_000_000_200)] {
            index.set_tag(A, &origin(Account::Anonymous), &tag(name), entry(1, 100)).unwrap();
            let pulls = Pulls { count: pulls, last: Timestamp::from_second(second).unwrap() };
            index.record_pulls(&HashMap::from([(key(A, name), pulls)])).unwrap();
        }
        index.flush().unwrap();
    }
    let (index, _) = opened(data.path());
    for trust in [Trust::Unchecked, Trust::Checked] {
        let page = |order, descending| -> String {
            let (page, total) = index.listed_page(A, PageOf { order, descending, skip: 0, limit: 3 }).unwrap();
            assert_eq!(total, 3);
            page.into_iter().map(|(key, _)| key.reference.to_string()).collect()
        };
        let pages =
            [page(ImageOrder::Name, true), page(ImageOrder::Pulls, false), page(ImageOrder::LastPulledAt, true)];
        assert_eq!(pages, ["cba", "cab", "cba"]);
        assert_eq!(index.listed_images(A).unwrap().len(), 3);
        assert_eq!(index.trust(), trust);
        if trust == Trust::Unchecked {
            assert_eq!(index.known_totals(), KnownTotals::NotYet);
            index.totals().unwrap();
        }
    }
    assert_eq!(index.known_totals().of(A).unwrap().images, 3);
    assert_eq!(index.without_database().known_totals(), KnownTotals::Damaged);
}

#[test]
fn records_of_the_first_version_are_replaced_by_the_comparison() {
    let data = tempfile::tempdir().unwrap();
    let image = key(A, "latest");
    {
        let (index, _) = opened(data.path());
        index.set_tag(A, &image.origin, &latest(), entry(1, 100)).unwrap();
        let digest = digest(1);
        let times = r#""cached_at":"1970-01-01T00:01:40Z","last_pulled_at":"2026-01-02T03:05:00Z""#;
        let json = format!(r#"{{"digest":"{digest}",{times},"pulls":3,"pinned":false}}"#);
        index.images.insert(key::image(&image), json.as_bytes()).unwrap();
        index.flush().unwrap();
    }
    let (index, _) = opened(data.path());
    assert_eq!(index.listed_images(A).unwrap()[0].1.pulls, 3);
    assert_eq!(index.check_against_files().unwrap(), 0);
    assert!(image_record::is_present_version(&index.images.get(key::image(&image)).unwrap().unwrap()));
    assert_eq!(index.listed_images(A).unwrap()[0].1.pulls, 3);
}

#[test]
fn a_removal_that_is_prepared_keeps_nobody_waiting_and_undoes_no_link_that_comes_meanwhile() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let (index, _) = opened(data.path());
    index.add_links(A, &origin, &[(digest(1), GRANTED), (digest(2), GRANTED)]).unwrap();
    let prepared = {
        let _pulling = index.adding.read().unwrap();
        index.prepare_removal(A, &origin, &HashSet::from([digest(1)])).unwrap()
    };
    let other = index.prepare_removal(A, &origin, &HashSet::from([digest(2)])).unwrap();
    index.add_links(A, &origin, &[(digest(3), GRANTED)]).unwrap();
    assert_eq!(index.remove_prepared(prepared).unwrap().unwrap().orphans, [digest(1)]);
    assert!(index.remove_prepared(other).unwrap().is_none(), "the file was replaced");
    drop(index);
    fs::remove_dir_all(data.path().join("index")).unwrap();
    let (index, _) = opened(data.path());
    let left = [1, 2, 3].map(|byte| index.link(A, &origin, &digest(byte)).unwrap());
    assert_eq!(left, [None, Some(GRANTED), Some(GRANTED)]);
}

#[test]
fn a_removal_that_was_recorded_is_there_after_a_start_and_images_that_came_back_stay() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let (index, _) = opened(data.path());
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.set_tag(B, &origin, &latest(), entry(1, 100)).unwrap();
    let references = vec![Reference::Tag(latest())];
    let mut removal = Removal { origin: origin.clone(), references, unpulled_since: None, digests: vec![digest(1)] };
    let note = index.begin_removal(A, &mut removal).unwrap();
    assert!(index.images_of_group(A).unwrap().is_empty() && !has_tag(&index, A, &origin));
    assert!(has_tag(&index, B, &origin) && index.tag(&origin, &latest()).unwrap().is_some());
    index.set_tag(A, &origin, &latest(), entry(1, 200)).unwrap();
    drop(index);
    let (index, _) = opened(data.path());
    let removals = index.removals().unwrap();
    assert_eq!(removals, [(A, note.clone(), removal)]);
    assert!(removals[0].2.references.is_empty(), "the image was pulled again since");
    assert_eq!(index.images_of_group(A).unwrap().len(), 1);
    index.end_removal(A, &note).unwrap();
    assert_eq!(index.removals().unwrap(), []);
}

#[test]
fn an_image_that_is_pulled_in_the_middle_of_a_purge_goes_with_it_and_can_be_pinned_after_its_next_pull() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let (index, _) = opened(data.path());
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.mark_forgotten(A).unwrap();
    index.forget_group(A).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 200)).unwrap();
    index.remove_files(A).unwrap();
    assert_eq!((index.images_of_group(A).unwrap(), index.tag(&origin, &latest()).unwrap()), (Vec::new(), None));
    index.set_tag(A, &origin, &latest(), entry(1, 300)).unwrap();
    let images = index.images_of_group(A).unwrap();
    assert_eq!(images.len(), 1);
    assert!(index.pin(&images[0].0, true).unwrap());
    drop(index);
    let (index, _) = opened(data.path());
    index.check_against_files().unwrap();
    let images = index.images_of_group(A).unwrap();
    assert!(images.len() == 1 && images[0].1.pinned && images[0].1.cached_at == entry(1, 300).checked_at);
    assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(1, 300)));
}

#[test]
fn a_tag_that_is_confirmed_after_a_purge_has_removed_its_image_is_an_image_again() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let (index, _) = opened(data.path());
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    // A purge removes images after tags, and the tag may be recorded in between.
    index.forget_images(A).unwrap();
    index.set_tag(A, &origin, &latest(), entry(1, 200)).unwrap();
    assert_eq!(index.images_of_group(A).unwrap().len(), 1);
}

#[test]
fn a_tag_that_a_group_records_late_undoes_neither_a_refusal_nor_a_move() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    let (index, _) = opened(data.path());
    index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
    index.deny_tag(&origin, &latest()).unwrap();
    index.set_tag(B, &origin, &latest(), entry(1, 100)).unwrap();
    assert!(index.tag(&origin, &latest()).unwrap().unwrap().denied);
    index.set_tag(A, &origin, &latest(), entry(2, 200)).unwrap();
    index.set_tag(B, &origin, &latest(), entry(1, 100)).unwrap();
    assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(2, 200)));
    assert_eq!(index.tag_of_group(B, &origin, &latest()).unwrap(), Some(digest(1)));
}

#[test]
fn an_earlier_confirmation_of_a_tag_that_is_recorded_late_is_no_difference_to_its_file() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    {
        let (index, _) = opened(data.path());
        index.set_tag(A, &origin, &latest(), entry(1, 200)).unwrap();
        index.set_tag(A, &origin, &latest(), entry(1, 199)).unwrap();
        assert_eq!(index.tag(&origin, &latest()).unwrap(), Some(entry(1, 200)));
        index.flush().unwrap();
    }
    let (index, _) = opened(data.path());
    assert_eq!(index.check_against_files().unwrap(), 0);
}

#[test]
fn a_pin_that_the_database_has_lost_holds_from_the_start() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    {
        let (index, _) = opened(data.path());
        index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
        assert!(index.pin(&index.images_of_group(A).unwrap()[0].0, true).unwrap());
        index.pins.clear().unwrap();
        index.flush().unwrap();
    }
    let (index, _) = opened(data.path());
    assert_eq!(index.pinned_images().unwrap().len(), 1);
}

#[test]
fn an_index_without_images_of_an_earlier_version_gets_them_at_a_start() {
    let data = tempfile::tempdir().unwrap();
    let origin = origin(Account::Anonymous);
    {
        let (index, _) = opened(data.path());
        index.set_tag(A, &origin, &latest(), entry(1, 100)).unwrap();
        index.images.clear().unwrap();
        index.flush().unwrap();
    }
    let (index, _) = opened(data.path());
    index.check_against_files().unwrap();
    assert_eq!(index.images_of_group(A).unwrap()[0].1.digest, digest(1));
}
