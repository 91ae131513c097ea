//! Parsing of the `Authorization` header: Basic (RFC 7617) and Bearer (RFC 6750, section 2.1). Does not check the
//! credential.

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;

/// A parsed header.
#[derive(Debug)]
pub(super) enum AuthorizationHeader<'a> {
    /// The request has no such header.
    Nothing,
    /// A user name and a password, or a token in its place.
    Basic(String, SecretString),
    /// A bearer token.
    Bearer(&'a str),
    /// Another scheme, malformed, or more than one header. Of several, a proxy in front may have checked another
    /// one.
    Malformed,
}

impl<'a> AuthorizationHeader<'a> {
    /// Parses the header of this request.
    pub(super) fn by(request: &'a HttpRequest) -> Self {
        let mut headers = request.headers().get_all(AUTHORIZATION);
        let Some(header) = headers.next() else { return Self::Nothing };
        let parts = str::from_utf8(header.as_bytes())
            .ok()
            .filter(|_| headers.next().is_none())
            .and_then(|text| text.split_once(' '));
        match parts {
            Some((scheme, value)) if scheme.eq_ignore_ascii_case("bearer") => Self::Bearer(value.trim()),
            Some((scheme, value)) if scheme.eq_ignore_ascii_case("basic") => Self::basic(value.trim()),
            _ => Self::Malformed,
        }
    }

    fn basic(encoded: &str) -> Self {
        let decoded = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        match decoded.as_deref().and_then(|text| text.split_once(':')) {
            Some((username, secret)) => Self::Basic(username.to_owned(), secret.to_owned().into()),
            None => Self::Malformed,
        }
    }
}

#[cfg(test)]
#[expect(clippy::panic, reason = "a panic is a failed test")]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use proptest::prelude::*;
    use secrecy::ExposeSecret;

    fn request(header: &str) -> HttpRequest {
        TestRequest::default().insert_header((AUTHORIZATION, header)).to_http_request()
    }

    #[test]
    fn a_secret_may_contain_colons() {
        let header = format!("bAsIc {}", STANDARD.encode("alice:a:b"));
        let request = request(&header);
        let AuthorizationHeader::Basic(username, secret) = AuthorizationHeader::by(&request) else {
            panic!("not basic")
        };
        assert_eq!((username.as_str(), secret.expose_secret()), ("alice", "a:b"));
    }

    #[test]
    fn what_cannot_be_read_is_malformed() {
        for header in ["Basic", "Basic !!!", "Basic YWxpY2U=", "Digest x", ""] {
            assert!(matches!(AuthorizationHeader::by(&request(header)), AuthorizationHeader::Malformed), "{header}");
        }
        let twice = TestRequest::default().append_header((AUTHORIZATION, "Bearer a"));
        let twice = twice.append_header((AUTHORIZATION, "Bearer b")).to_http_request();
        assert!(matches!(AuthorizationHeader::by(&twice), AuthorizationHeader::Malformed));
    }

    proptest! {
        #[test]
        fn a_user_name_and_a_secret_are_read_as_they_were_sent(
            username in "[^:]{0,20}", secret in ".{0,20}", scheme in "[bB][aA][sS][iI][cC]",
        ) {
            let header = format!("{scheme} {}", STANDARD.encode(format!("{username}:{secret}")));
            let request = request(&header);
            let AuthorizationHeader::Basic(name, password) = AuthorizationHeader::by(&request) else {
                return Err(TestCaseError::fail("not basic"));
            };
            prop_assert_eq!((name.as_str(), password.expose_secret()), (username.as_str(), secret.as_str()));
        }

        #[test]
        fn no_header_proves_more_than_it_says(bytes: Vec<u8>, text in "([bB]earer |[bB]asic |BASIC)?[ -~]{0,30}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let Ok(value) = actix_web::http::header::HeaderValue::from_bytes(bytes) else { continue };
                let request = TestRequest::default().insert_header((AUTHORIZATION, value)).to_http_request();
                match AuthorizationHeader::by(&request) {
                    AuthorizationHeader::Bearer(token) => {
                        prop_assert!(str::from_utf8(bytes).is_ok_and(|all| all.trim_end().ends_with(token)));
                        prop_assert!(bytes[..7].eq_ignore_ascii_case(b"bearer "));
                    }
                    AuthorizationHeader::Basic(username, _) => {
                        prop_assert!(bytes[..6].eq_ignore_ascii_case(b"basic ") && !username.contains(':'));
                    }
                    AuthorizationHeader::Malformed => {}
                    AuthorizationHeader::Nothing => prop_assert!(false, "a header is not nothing"),
                }
            }
        }
    }
}
