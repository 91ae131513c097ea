//! Tests of the reports about content that was not stored.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use super::*;
use crate::domain::min_free::MinFree;
use crate::domain::origin::Account;

fn image(name: &str) -> Origin {
    let (upstream, repository) = ("up.test".parse().unwrap(), name.parse().unwrap());
    Origin { upstream, account: Account::Anonymous, repository }
}

fn reports() -> UnstoredReports {
    UnstoredReports::new(Kind::Blobs, FreeSpace::new(Path::new("/"), MinFree::Bytes(0)))
}

fn digest(number: u8) -> Digest {
    format!("sha256:{}", format!("{number:02x}").repeat(32)).parse().unwrap()
}

#[test]
fn an_image_is_concerned_until_each_of_its_contents_is_stored() {
    let (reports, app) = (reports(), image("team/app"));
    let (layer, config, other) = (digest(1), digest(2), digest(3));
    let concerns = |digests: &[Digest]| reports.concerns(&app, || digests.to_vec());
    assert!(!concerns(&[]));
    reports.report(Unstored::NoSpace, Some((&app, &layer)));
    reports.stored(&app, &config);
    assert!(concerns(&[config, layer]) && concerns(&[]));
    assert!(!concerns(&[other]), "another image of the same repository");
    assert!(!reports.concerns(&image("team/other"), Vec::new));
    reports.stored(&app, &layer);
    assert!(!concerns(&[config, layer]) && !concerns(&[]));
    assert!(!reports.any.load(Ordering::Relaxed));
}

#[test]
fn what_is_remembered_is_bounded_and_forgotten() {
    let (mut last, now) = (Last::default(), Instant::now());
    for number in 0..=255 {
        last.record(&image("team/app"), &digest(number), now);
    }
    assert_eq!(last.images[&image("team/app")].unstored.len(), MAX_UNSTORED_PER_IMAGE);
    for number in 0..2 * MAX_IMAGES {
        last.record(&image(&format!("team/app{number}")), &digest(1), now);
    }
    assert_eq!(last.images.len(), MAX_IMAGES);
    last.forget_old(now + UNSTORED_TTL);
    assert!(last.images.is_empty());
}
