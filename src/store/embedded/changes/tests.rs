//! Tests of the format: after any damage, a file yields what was written, or less at its end, or is rejected.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proptest::prelude::*;

use super::*;
use crate::domain::directory::{Record, RecordKey, Service, Write};

fn put(last_user: u64) -> Entry {
    Entry::of(&Write::Put(Record::Service(Service { last_user, ..Service::default() }))).unwrap()
}

/// Returns a file whose changes count users from 1 to `changes`, and the positions after the snapshot and each
/// change.
fn file(base: u64, changes: u64) -> (Vec<u8>, Vec<Position>) {
    let mut bytes = Vec::new();
    let mut positions = vec![Position::of_new_history(base)];
    write_snapshot(&mut bytes, positions[0], &Records::from([("service".to_owned(), put(0).value.unwrap())])).unwrap();
    for user in 1..=changes {
        let at = "2026-01-31T09:00:00Z".parse().unwrap();
        let (line, position) = line_of(positions[positions.len() - 1], at, &[put(user)]).unwrap();
        bytes.extend(line.as_bytes());
        positions.push(position);
    }
    (bytes, positions)
}

fn last_user(history: &History) -> u64 {
    directory_of(&history.records).unwrap().service().last_user
}

/// Reads damaged bytes, and checks that the result is an error or the state after the change that its end names.
fn is_true(bytes: &[u8], positions: &[Position]) -> Option<History> {
    let history = read(bytes).ok()?;
    let at = positions.iter().position(|position| *position == history.end()).unwrap();
    assert_eq!(last_user(&history), at as u64);
    Some(history)
}

#[test]
fn what_was_written_is_read_with_every_position() {
    let (bytes, positions) = file(41, 3);
    let history = read(bytes.as_slice()).unwrap();
    assert_eq!((history.end(), last_user(&history), &history.rest), (positions[3], 3, &Rest::Nothing));
    assert_eq!(history.whole_bytes, bytes.len() as u64);
    for position in &positions {
        assert_eq!(history.digest_at(position.number), Some(position.digest));
    }
    assert_eq!((history.digest_at(40), history.digest_at(45)), (None, None));
    assert_eq!(position_of_snapshot(bytes.as_slice()).unwrap(), positions[0]);
}

#[test]
fn the_format_is_the_one_that_is_documented() {
    let mut bytes = Vec::new();
    let base = Position { number: 41, digest: sha256::digest(b"41"), installation: None };
    write_snapshot(&mut bytes, base, &Records::from([("service".to_owned(), put(1).value.unwrap())])).unwrap();
    let remove = Entry::of(&Write::Remove(RecordKey::Service)).unwrap();
    bytes.extend(line_of(base, "2026-01-31T09:00:00Z".parse().unwrap(), &[remove]).unwrap().0.into_bytes());
    let lines: Vec<String> = String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect();
    let digest = base.digest;
    assert_eq!(
        lines[0],
        format!(r#"{{"format":"dependency-proxy identities","version":2,"number":41,"digest":"{digest}"}}"#)
    );
    let value = r#"{"record":"service","proxy_enabled":null,"last_user":1,"last_group":0,"last_token":0}"#;
    assert_eq!(lines[1], format!(r#"{{"key":"service","value":{value}}}"#));
    let sha256 = sha256::digest(format!("{}\n{}\n", lines[0], lines[1]).as_bytes());
    assert_eq!(lines[2], format!(r#"{{"records":1,"sha256":"{sha256}"}}"#));
    let body = format!(
        r#"{{"number":42,"previous":"{digest}","at":"2026-01-31T09:00:00Z","writes":[{{"key":"service","value":null}}]"#
    );
    assert_eq!(lines[3], format!(r#"{body},"digest":"{}"}}"#, sha256::digest(body.as_bytes())));
}

#[test]
fn no_flipped_bit_is_overlooked() {
    let (bytes, positions) = file(7, 4);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        if let Some(history) = is_true(&damaged, &positions) {
            assert!(history.end().number < positions[4].number, "bit {bit} is overlooked");
            assert_ne!(history.rest, Rest::Nothing, "bit {bit} is overlooked");
        }
    }
}

#[test]
fn a_file_that_is_cut_anywhere_holds_the_changes_before_the_cut_or_is_refused() {
    let (bytes, positions) = file(7, 4);
    for length in 0..bytes.len() {
        let Some(history) = is_true(&bytes[..length], &positions) else { continue };
        assert!(history.whole_bytes <= length as u64 && history.end().number < positions[4].number);
        assert_eq!(history.rest == Rest::Nothing, history.whole_bytes == length as u64, "cut to {length}");
        assert!(!matches!(history.rest, Rest::Damaged(_)), "cut to {length}");
    }
}

#[test]
fn zeros_in_the_last_line_are_an_append_that_was_cut_short_and_zeros_before_it_are_damage() {
    let (bytes, positions) = file(0, 3);
    let last = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let mut torn = bytes.clone();
    torn[last..].fill(0);
    let history = is_true(&torn, &positions).unwrap();
    assert_eq!((history.end(), history.rest), (positions[2], Rest::Torn((bytes.len() - last) as u64)));
    let mut damaged = bytes;
    damaged[last - 10..last - 1].fill(0);
    let history = is_true(&damaged, &positions).unwrap();
    assert_eq!(history.end(), positions[1]);
    assert!(matches!(history.rest, Rest::Damaged(_)));
}

#[test]
fn a_whole_line_that_does_not_follow_is_damage_also_at_the_end() {
    let (bytes, positions) = file(0, 2);
    let (other, _) = file(0, 2);
    let last = other[..other.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let history = is_true(&[&bytes, &other[last..]].concat(), &positions).unwrap();
    assert!(matches!(history.rest, Rest::Damaged(_)));
}

#[test]
fn another_version_and_a_record_under_another_key_are_refused() {
    let (bytes, _) = file(0, 0);
    let text = String::from_utf8(bytes).unwrap();
    let refusal = read(text.replace("\"version\":2", "\"version\":3").as_bytes()).unwrap_err().to_string();
    assert!(refusal.contains("version 3"), "{refusal}");
    assert!(directory_of(&Records::from([("user/1".to_owned(), put(0).value.unwrap())])).is_err());
}

proptest! {
    #[test]
    fn several_damages_are_not_overlooked_either(
        changes in 0..6_u64,
        damages in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let (bytes, positions) = file(3, changes);
        let mut damaged = bytes.clone();
        for (at, byte) in damages {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        if let Some(cut) = cut {
            damaged.truncate(cut.index(damaged.len()));
        }
        let history = is_true(&damaged, &positions);
        if damaged != bytes && history.is_some_and(|history| history.end().number == positions[changes as usize].number) {
            prop_assert!(false, "a damage is overlooked");
        }
    }
}
