//! Authentication challenges of registries: the `WWW-Authenticate` header (RFC 9110, section 11; RFC 6750, section 3;
//! Distribution's token authentication specification). Parses challenges; does not decide whether to comply.

use url::Url;

/// One challenge of a scheme that this service supports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Challenge {
    /// A bearer token from a token endpoint.
    Bearer(BearerChallenge),
    /// User name and password, sent to the registry itself.
    Basic,
}

/// The token endpoint of a Bearer challenge, and the token that the registry requires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BearerChallenge {
    /// The URL of the token endpoint, exactly as received.
    pub realm: String,
    /// The service that the token is for.
    pub service: Option<String>,
    /// The scope that the token must have.
    pub scope: Option<String>,
}

impl BearerChallenge {
    /// Returns the URL that requests a token for these scopes, or `None` if the realm is not a URL. The challenge's
    /// own scope is included only if the caller passes it: registries name placeholders
    /// (`repository:user/image:pull`), nothing or everything.
    pub fn token_url(&self, scopes: &[String]) -> Option<Url> {
        let mut url = Url::parse(&self.realm).ok()?;
        let service = self.service.iter().map(|service| ("service", service.as_str()));
        let scopes = scopes.iter().map(|scope| ("scope", scope.as_str()));
        url.query_pairs_mut().extend_pairs(service.chain(scopes));
        Some(url)
    }
}

/// Returns the challenge to meet among all `WWW-Authenticate` fields of a response: Bearer if it is offered, else
/// Basic.
pub fn choose<'a>(fields: impl Iterator<Item = &'a str>) -> Option<Challenge> {
    let mut offered: Vec<Challenge> = fields.flat_map(parse).collect();
    let bearer = offered.iter().position(|challenge| matches!(challenge, Challenge::Bearer(_)));
    (!offered.is_empty()).then(|| offered.swap_remove(bearer.unwrap_or(0)))
}

/// Returns all supported challenges of one field. Malformed ones are skipped; it never fails.
fn parse(field: &str) -> Vec<Challenge> {
    let mut rest = Rest(field);
    let mut found = Vec::new();
    while let Some(scheme) = rest.next_scheme() {
        let parameters = rest.parameters();
        let value = |name: &str| {
            let mut all = parameters.iter();
            all.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
        };
        if scheme.eq_ignore_ascii_case("basic") {
            found.push(Challenge::Basic);
        } else if let (true, Some(realm)) = (scheme.eq_ignore_ascii_case("bearer"), value("realm")) {
            found.push(Challenge::Bearer(BearerChallenge { realm, service: value("service"), scope: value("scope") }));
        }
    }
    found
}

/// The rest of a field that is not parsed yet.
struct Rest<'a>(&'a str);

impl<'a> Rest<'a> {
    fn next_scheme(&mut self) -> Option<&'a str> {
        loop {
            self.0 = self.0.trim_start_matches([' ', '\t', ',']);
            if self.0.is_empty() {
                return None;
            }
            match self.token() {
                "" => self.skip_to_comma(),
                scheme => return Some(scheme),
            }
        }
    }

    /// Reads the parameters up to the next scheme. A token68 (RFC 9110, section 11.2), as in Negotiate, is skipped.
    fn parameters(&mut self) -> Vec<(&'a str, String)> {
        self.skip_token68();
        let mut found = Vec::new();
        loop {
            let before = self.0;
            self.0 = self.0.trim_start_matches([' ', '\t', ',']);
            let name = self.token();
            self.skip_spaces();
            let Some(after) = self.0.strip_prefix('=').filter(|_| !name.is_empty()) else {
                self.0 = before;
                return found;
            };
            self.0 = after;
            self.skip_spaces();
            if let Some(value) = self.value() {
                found.push((name, value));
            }
        }
    }

    fn value(&mut self) -> Option<String> {
        match self.0.strip_prefix('"') {
            Some(quoted) => self.quoted(quoted),
            None => Some(self.token().to_owned()),
        }
    }

    /// Reads up to the closing quote; without one the rest of the field is discarded.
    fn quoted(&mut self, quoted: &'a str) -> Option<String> {
        let mut text = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, char)) = chars.next() {
            match char {
                '"' => {
                    self.0 = &quoted[at + 1..];
                    return Some(text);
                }
                '\\' => text.extend(chars.next().map(|(_, escaped)| escaped)),
                other => text.push(other),
            }
        }
        self.0 = "";
        None
    }

    fn token(&mut self) -> &'a str {
        let end = self.0.find(|c: char| !is_token_char(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        token
    }

    fn skip_token68(&mut self) {
        let start = self.0.trim_start_matches([' ', '\t']);
        let characters = start.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c));
        let end = characters.trim_start_matches('=');
        let ends_here = matches!(end.trim_start_matches([' ', '\t']).bytes().next(), None | Some(b','));
        if start.len() < self.0.len() && characters.len() < start.len() && ends_here {
            self.0 = end;
        }
    }

    fn skip_spaces(&mut self) {
        self.0 = self.0.trim_start_matches([' ', '\t']);
    }

    fn skip_to_comma(&mut self) {
        self.0 = self.0.find(',').map_or("", |at| &self.0[at + 1..]);
    }
}

/// Returns true for a `tchar` (RFC 9110, section 5.6.2).
fn is_token_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod properties;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer(BearerChallenge { realm: realm.to_owned(), service: owned(service), scope: owned(scope) })
    }

    #[test]
    fn a_token_is_requested_for_the_callers_scopes() {
        let url = |realm: &str, scopes: &[&str]| {
            let challenge = BearerChallenge {
                realm: realm.to_owned(),
                service: Some("a b".to_owned()),
                scope: Some("repository:user/image:pull".to_owned()),
            };
            let scopes: Vec<String> = scopes.iter().map(|scope| (*scope).to_owned()).collect();
            challenge.token_url(&scopes).map(String::from)
        };
        let realm = "https://auth.example/token?x=1";
        let service = format!("{realm}&service=a+b");
        assert_eq!(url(realm, &[]).as_ref(), Some(&service));
        assert_eq!(url(realm, &["x:y", "aws"]), Some(format!("{service}&scope=x%3Ay&scope=aws")));
        assert_eq!(url("/token", &["x:y"]), None);
    }

    #[test]
    fn docker_hub_is_understood() {
        let field = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let expected =
            bearer("https://auth.docker.io/token", Some("registry.docker.io"), Some("repository:a/b:pull,push"));
        assert_eq!(parse(field), [expected]);
    }

    #[test]
    fn several_challenges_in_one_field_or_in_several() {
        let one = parse(r#"Negotiate YWJj==, Basic realm="x, Bearer realm=y", bEaReR Realm = "r\"1" , scope=s"#);
        assert_eq!(one, [Challenge::Basic, bearer("r\"1", None, Some("s"))]);
        assert_eq!(choose(["Basic", r#"Bearer realm="r""#].into_iter()), Some(bearer("r", None, None)));
        assert_eq!(choose([r#"Digest realm="d", Basic"#].into_iter()), Some(Challenge::Basic));
    }

    #[test]
    fn what_is_malformed_is_left_out() {
        for field in
            ["", ",,,", "Bearer", "Bearer realm", r#"Bearer realm="open"#, "=x", r#"Bearer service="s""#, "Ä realm=x"]
        {
            assert_eq!(parse(field), [], "{field}");
        }
        assert_eq!(parse(r#"@@@, Bearer realm="r""#), [bearer("r", None, None)]);
    }

    proptest! {
        #[test]
        fn no_challenge_is_found_that_the_field_does_not_name(bytes: Vec<u8>, field in "\\PC*") {
            properties::hold(&bytes);
            properties::hold(field.as_bytes());
        }

        #[test]
        fn nor_in_near_misses(
            first in "(Bearer|Basic|[a-z]{1,3})?( ?realm=)?[ ,=\"\\\\a-z]{0,40}",
            second in "(, (Bearer realm=|Basic)[ ,=\"\\\\a-z]{0,9})?",
        ) {
            properties::hold(format!("{first}{second}").as_bytes());
        }

        #[test]
        fn quoted_values_survive(realm in "[ -~]{0,30}", service in "[ -~]{0,30}", spaces in " {0,2}") {
            let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            let field = format!("Bearer realm={},{spaces}service{spaces}={spaces}{}", quote(&realm), quote(&service));
            prop_assert_eq!(parse(&field), [bearer(&realm, Some(&service), None)]);
        }
    }
}
