//! Tests of login tokens: what is signed is accepted in its time, and nothing else is.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::ToSpan;
use proptest::prelude::*;

use super::*;

fn signer(keys: &KeySet) -> Signer {
    Signer::new(keys, "dependency_proxy", 3600).unwrap()
}

#[test]
fn a_signed_token_says_who_and_by_which_credential() {
    let signer = signer(&KeySet::generate());
    let credential = random::credential_id();
    let token = signer.sign("user:7".to_owned(), Some(credential), Timestamp::now()).unwrap();
    let claims = signer.verify(&token, Timestamp::now()).unwrap();
    assert_eq!((claims.sub.as_str(), claims.cred), ("user:7", Some(credential)));
    assert_eq!(claims.nbf, claims.iat - 5);
}

#[test]
fn tokens_of_other_keys_and_other_times_are_refused() {
    let (keys, now) = (KeySet::generate(), Timestamp::now());
    let (signer, stranger) = (signer(&keys), signer(&KeySet::generate()));
    let foreign = stranger.sign("user:7".to_owned(), None, now).unwrap();
    let expired = signer.sign("user:7".to_owned(), None, now - 2.hours()).unwrap();
    let early = signer.sign("user:7".to_owned(), None, now + 1.hours()).unwrap();
    for token in [&foreign, &expired, &early, "", "a.b.c"] {
        assert!(signer.verify(token, now).is_err());
    }
    let other_audience = Signer::new(&keys, "another", 3600).unwrap();
    assert!(other_audience.verify(&signer.sign("user:7".to_owned(), None, now).unwrap(), now).is_err());
}

#[test]
fn a_token_that_was_verified_before_is_over_in_its_time() {
    let (signer, now) = (signer(&KeySet::generate()), Timestamp::now());
    let token = signer.sign("user:7".to_owned(), None, now).unwrap();
    assert!(signer.verify(&token, now).is_ok());
    assert!(signer.verify(&token, now + 3660.seconds()).is_ok(), "clocks may differ by a minute");
    assert!(signer.verify(&token, now + 3661.seconds()).is_err());
    assert!(signer.verify(&token, now - 66.seconds()).is_err());
    assert!(signer.verify(&token, now).is_ok());
}

#[test]
fn the_header_cannot_choose_the_algorithm() {
    let signer = signer(&KeySet::generate());
    let token = signer.sign("user:7".to_owned(), None, Timestamp::now()).unwrap();
    let kid = &signer.keys[0].kid;
    let claims = token.split('.').nth(1).unwrap();
    let none = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"none","typ":"JWT","kid":"{kid}"}}"#));
    let hs512 = URL_SAFE_NO_PAD.encode(format!(r#"{{"alg":"HS512","typ":"JWT","kid":"{kid}"}}"#));
    let signature = token.rsplit('.').next().unwrap();
    for forged in [format!("{none}.{claims}."), format!("{hs512}.{claims}.{signature}")] {
        assert!(signer.verify(&forged, Timestamp::now()).is_err());
    }
}

#[test]
fn an_older_key_still_verifies_and_only_the_first_signs() {
    let old = KeySet::generate();
    let token = signer(&old).sign("user:7".to_owned(), None, Timestamp::now()).unwrap();
    let both = old.rotated();
    let rotated = signer(&KeySet::from_json(&both.to_json().unwrap()).unwrap());
    assert!(rotated.verify(&token, Timestamp::now()).is_ok());
    let new = rotated.sign("user:7".to_owned(), None, Timestamp::now()).unwrap();
    assert_eq!(decode_header(new).unwrap().kid.as_ref(), Some(&both.keys[0].kid));
}

#[test]
fn a_token_with_any_changed_byte_is_refused() {
    let known = properties::Known::new().unwrap();
    for place in 0..600 {
        for other in *b"Ab0-_.=/ " {
            known.holds_without_byte(place, other);
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_a_token_that_was_not_signed(
        bytes: Vec<u8>, text in "[A-Za-z0-9_.-]{0,60}", place: usize, other: u8,
    ) {
        let known = properties::Known::new().unwrap();
        known.hold(&bytes);
        known.hold(text.as_bytes());
        known.holds_without_byte(place, other);
    }

    #[test]
    fn signed_claims_count_only_from_this_service_and_in_their_time(
        iss in "dependency-proxy|x", aud in "dependency_proxy|x", cred in "0{32}|x|", nbf in seconds(),
        exp in seconds(),
    ) {
        let cred = if cred.is_empty() { String::new() } else { format!(r#""cred":"{cred}","#) };
        let claims = format!(
            r#"{{"iss":"{iss}","aud":"{aud}","sub":"user:7",{cred}"jti":"","iat":0,"nbf":{nbf},"exp":{exp}}}"#
        );
        properties::Known::new().unwrap().hold(claims.as_bytes());
    }
}

/// Returns times of every kind, as they may stand in claims.
fn seconds() -> impl Strategy<Value = String> {
    let times = ["0", "1795000000", "4000000000", "-1", "1.5", "null", "9223372036854775807", "-9223372036854775808"];
    prop_oneof![
        prop::sample::select(times.to_vec()).prop_map(str::to_owned),
        any::<i64>().prop_map(|at| at.to_string())
    ]
}
