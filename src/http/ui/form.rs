//! Forms that a visitor sends: their fields, with the proof that a page of the same session sent them.

use actix_web::dev::Payload;
use actix_web::http::header::{HOST, HeaderName, ORIGIN};
use actix_web::web::{Bytes, Data};
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use futures::FutureExt;
use futures::future::LocalBoxFuture;

use super::fault::{Fault, Kind, page_of_form};
use super::kept_form::{KeptForm, REOPENED_FIELD};
use super::page::TOKEN_FIELD;
use super::passed::SentBody;
use super::visitor::{Visitor, secrets_of};
use crate::auth::form_token;
use crate::http::api::{ApiError, ApiState};
use crate::http::form_body::BodyFault;

/// A form of a session.
pub(super) struct Form {
    /// The user who sent it.
    pub(super) visitor: Visitor,
    fields: Fields,
}

/// The fields of a form, in the order in which they were sent (`application/x-www-form-urlencoded`).
pub(super) struct Fields(Vec<(String, String)>);

/// The page that has sent a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// A page of this site.
    Own,
    /// A page of another site.
    Other,
    /// The browser does not say.
    Unknown,
}

impl Form {
    async fn of(request: &HttpRequest) -> Result<Self, Fault> {
        let mut visitor = Visitor::of(request).await.map_err(|fault| fault.keeping(kept(request)))?;
        let fields = Fields::read(request).map_err(|sentence| visitor.fault(Kind::Invalid(sentence.to_owned())))?;
        let sender = Sender::of(request, &visitor.host);
        let is_of_session = fields.value(TOKEN_FIELD).is_some_and(|token| visitor.has_issued(token));
        if sender == Sender::Other || !is_of_session {
            let kept = if sender == Sender::Own { fields.kept(request.path()) } else { None };
            return Err(visitor.fault(kept.map_or(Kind::Forged, |kept| Kind::Outdated {
                kept,
                token: visitor.form_token(),
                back: page_of_form(request),
            })));
        }
        if fields.value(REOPENED_FIELD).is_some() {
            visitor.caller.hold_changes();
        }
        Ok(Self { visitor, fields })
    }

    /// Returns the first value of a field.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.fields.value(name)
    }

    /// Returns the value of a field that the form always has, without the spaces around it.
    ///
    /// # Errors
    ///
    /// Fails if the form does not have it. It must not count as empty, because an empty field may have a far-reaching
    /// effect.
    pub(super) fn present(&self, field: &'static str) -> Result<&str, ApiError> {
        let missing = || ApiError::Invalid { field, reason: "is missing".to_owned() };
        self.value(field).map(str::trim).ok_or_else(missing)
    }

    /// Returns the value of a field that is one of these.
    ///
    /// # Errors
    ///
    /// Fails if it is none of them, or is not there.
    pub(super) fn choice(&self, field: &'static str, values: &[&'static str]) -> Result<&'static str, ApiError> {
        let typed = self.present(field)?;
        let unknown = || ApiError::Invalid { field, reason: "is none of those that can be chosen".to_owned() };
        values.iter().copied().find(|value| *value == typed).ok_or_else(unknown)
    }

    /// Returns all values of a field.
    pub(super) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.fields.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl Fields {
    /// Reads the body of a request.
    ///
    /// # Errors
    ///
    /// Fails with a sentence if the body is too large, late or malformed.
    pub(super) fn read(request: &HttpRequest) -> Result<Self, &'static str> {
        let body = request.extensions().get().map_or(Ok(Bytes::new()), |SentBody(body)| body.clone());
        let bytes = body.map_err(|fault| match fault {
            BodyFault::TooLarge => "The form is larger than this service accepts.",
            BodyFault::TooSlow => "The form did not arrive in time.",
            BodyFault::Encoded => "The form is compressed, which this service does not accept.",
            BodyFault::Broken => "The form arrived incomplete.",
        })?;
        serde_urlencoded::from_bytes(&bytes).map(Self).map_err(|_| "The form cannot be read.")
    }

    /// Returns what was typed into the form, which was sent to this address; `None` if nothing was, or it is too long.
    fn kept(&self, address: &str) -> Option<KeptForm> {
        KeptForm::new(address, self.0.iter().map(|(name, value)| (name.as_str(), value.as_str())))
    }

    /// Returns the first value of a field.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

impl FromRequest for Form {
    type Error = Fault;
    type Future = LocalBoxFuture<'static, Result<Self, Fault>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        async move { Self::of(&request).await }.boxed_local()
    }
}

/// Returns what was typed into a form whose session has ended, if a page of that session sent it: a browser still has
/// the cookie, from whose secret the token of the form follows. Nobody else can have something kept in the name of its
/// sender.
fn kept(request: &HttpRequest) -> Option<KeptForm> {
    let (fields, state) = (Fields::read(request).ok()?, request.app_data::<Data<ApiState>>()?);
    let token = fields.value(TOKEN_FIELD)?;
    let is_of = |secret: &String| form_token::is_of(token, &form_token::secret_of(secret));
    let is_own = secrets_of(request, state).iter().any(is_of)
        && Sender::of(request, &state.public_url.host(request)) != Sender::Other;
    is_own.then(|| fields.kept(request.path())).flatten()
}

impl Sender {
    /// Returns the sender that the browser reports (Fetch Metadata, section 2.4; RFC 6454, section 7). `host` is that
    /// of this service. A proxy in front may have changed `Host`, so only an origin that differs from all names counts
    /// as another.
    pub(super) fn of(request: &HttpRequest, host: &str) -> Self {
        let header = |name: &HeaderName| request.headers().get(name).and_then(|value| value.to_str().ok());
        match header(&HeaderName::from_static("sec-fetch-site")) {
            Some("same-origin") => return Self::Own,
            Some("none") => return Self::Unknown,
            Some(_) => return Self::Other,
            None => {}
        }
        let Some(origin) = header(&ORIGIN) else { return Self::Unknown };
        let origin = without_default_port(origin.split_once("://").map_or(origin, |(_, host)| host));
        let forwarded = header(&HeaderName::from_static("x-forwarded-host")).unwrap_or_default();
        let names = [host, header(&HOST).unwrap_or_default()].into_iter().chain(forwarded.split(','));
        let is_own = names.map(|name| without_default_port(name.trim())).any(|name| name.eq_ignore_ascii_case(origin));
        if is_own { Self::Own } else { Self::Other }
    }
}

/// Returns a host without the port that browsers leave out.
fn without_default_port(host: &str) -> &str {
    host.strip_suffix(":443").or_else(|| host.strip_suffix(":80")).unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_form_is_of_this_site_if_its_origin_has_one_of_the_names_of_this_site() {
        let is_foreign = |headers: &[(&'static str, &'static str)]| {
            let request = headers.iter().fold(TestRequest::default(), |request, header| request.insert_header(*header));
            Sender::of(&request.to_http_request(), "images.example") == Sender::Other
        };
        let origin = ("origin", "https://images.example");
        for headers in [
            &[("sec-fetch-site", "same-origin"), ("origin", "https://other.example")][..],
            &[("host", "inner:80"), origin],
            &[("host", "inner"), ("origin", "https://cache.example"), ("x-forwarded-host", "cache.example, middle")],
            &[("host", "cache.example:443"), ("origin", "https://cache.example")],
            &[("host", "inner")],
        ] {
            assert!(!is_foreign(headers), "{headers:?}");
        }
        for headers in [
            &[("sec-fetch-site", "cross-site"), origin][..],
            &[("sec-fetch-site", "same-site"), origin],
            &[("host", "inner"), ("origin", "https://images.example.evil")],
            &[("host", "inner"), ("origin", "null")],
        ] {
            assert!(is_foreign(headers), "{headers:?}");
        }
    }
}
