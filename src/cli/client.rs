//! HTTP client of the subcommands, and of the REST API (shapes of GitLab's API v4). It follows no redirect, so that
//! credentials are sent to the service only.

mod setup;

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, Method};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::failure::Failure;
pub(super) use setup::{builder, built, causes};

/// HTTP client that reads complete responses.
pub(super) struct Http(Client);

/// A request.
pub(super) struct Request<'a> {
    url: Url,
    method: Method,
    accept: String,
    login: Login<'a>,
    body: Option<&'a Value>,
}

/// Credential of a request.
#[derive(Clone, Copy)]
pub(super) enum Login<'a> {
    /// No credential.
    None,
    /// `Authorization: Bearer`.
    Bearer(&'a SecretString),
    /// `Authorization: Basic`.
    Basic(&'a str, &'a SecretString),
}

/// A complete response.
pub(super) struct Reply {
    /// HTTP status.
    pub(super) status: u16,
    /// Body.
    pub(super) body: Vec<u8>,
    headers: HeaderMap,
}

/// Client of the service's REST API.
pub(super) struct Api {
    http: Http,
    base: Url,
    credential: Credential,
}

/// Credential for the API.
pub(super) enum Credential {
    /// An API token.
    Token(SecretString),
    /// A user name and its password, accepted for few routes, such as the creation of a token.
    Password(String, SecretString),
}

/// Maximum size of a response body.
const MAX_BODY_BYTES: usize = 32 << 20;

impl Http {
    /// Creates a client for this URL; `authorities` (PEM) are trusted in addition to those of the operating system.
    ///
    /// # Errors
    ///
    /// The authorities are no PEM certificates, or TLS cannot be set up.
    pub(super) fn new(base: &Url, authorities: Option<&[u8]>) -> Result<Self, Failure> {
        built(builder(base, authorities)?).map(Self)
    }

    /// Sends a request and returns the response, regardless of its status.
    ///
    /// # Errors
    ///
    /// The service cannot be reached, or its response is cut off or longer than [`MAX_BODY_BYTES`].
    pub(super) async fn send(&self, request: Request<'_>) -> Result<Reply, Failure> {
        let place = request.url.origin().ascii_serialization();
        let failed = |error: reqwest::Error| Failure::Unreachable { url: place.clone(), problem: causes(&error) };
        let mut building = self.0.request(request.method, request.url).header("accept", request.accept);
        building = match request.login {
            Login::None => building,
            Login::Bearer(token) => building.bearer_auth(token.expose_secret()),
            Login::Basic(username, secret) => building.basic_auth(username, Some(secret.expose_secret())),
        };
        if let Some(body) = request.body {
            building = building.json(body);
        }
        let mut response = building.send().await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MAX_BODY_BYTES {
                return Err(Failure::Unreachable { url: place, problem: "the response is too long".to_owned() });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, body, headers })
    }
}

impl<'a> Request<'a> {
    /// Creates a `GET` request without a credential.
    pub(super) fn get(url: Url) -> Self {
        Self { url, method: Method::GET, accept: "*/*".to_owned(), login: Login::None, body: None }
    }

    /// Sets the credential.
    pub(super) fn login(self, login: Login<'a>) -> Self {
        Self { login, ..self }
    }

    /// Sets the accepted media types.
    pub(super) fn accept(self, media_types: &[&str]) -> Self {
        Self { accept: media_types.join(", "), ..self }
    }
}

impl Reply {
    /// Returns the value of a header, if it is text.
    pub(super) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get(HeaderName::from_static(name))?.to_str().ok()
    }

    /// Returns a response with these contents, for tests.
    #[cfg(test)]
    pub(super) fn of(status: u16, headers: &[(&'static str, &str)], body: &str) -> Self {
        let header = |(name, value): &(&'static str, &str)| Some((HeaderName::from_static(name), value.parse().ok()?));
        Self { status, body: body.as_bytes().to_vec(), headers: headers.iter().filter_map(header).collect() }
    }

    /// Returns the body, if it is JSON.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Api {
    /// Creates a client of the API of the service at `base`.
    pub(super) fn new(http: Http, base: Url, credential: Credential) -> Self {
        Self { http, base, credential }
    }

    /// Sends a `GET` and returns the JSON of the response. As with all methods here, a status that is no success is
    /// [`Failure::Refused`].
    pub(super) async fn show(&self, path: &[&str]) -> Result<Value, Failure> {
        self.request(Method::GET, path, &[], None).await?.1
    }

    /// Works as [`Self::show`], with a query.
    pub(super) async fn show_with(&self, path: &[&str], query: &[(&str, String)]) -> Result<Value, Failure> {
        self.request(Method::GET, path, query, None).await?.1
    }

    /// Sends `GET` requests for all pages of a list, and returns their items.
    pub(super) async fn list(&self, path: &[&str], query: &[(&str, String)]) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut page = "1".to_owned();
        loop {
            let mut query = query.to_vec();
            query.extend([("per_page", "100".to_owned()), ("page", page)]);
            let (reply, value) = self.request(Method::GET, path, &query, None).await?;
            let Value::Array(items) = value? else { return Err(Failure::Foreign(self.base.to_string())) };
            all.extend(items);
            match reply.header("x-next-page") {
                Some(next) if !next.is_empty() => page = next.to_owned(),
                _ => return Ok(all),
            }
        }
    }

    /// Sends a `GET` for one page of a list, and returns its items.
    pub(super) async fn page(&self, path: &[&str], query: &[(&str, String)]) -> Result<Vec<Value>, Failure> {
        let value = self.request(Method::GET, path, query, None).await?.1?;
        let Value::Array(items) = value else { return Err(Failure::Foreign(self.base.to_string())) };
        Ok(items)
    }

    /// Sends a `POST` and returns the JSON of the response.
    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.request(Method::POST, path, &[], Some(body)).await?.1
    }

    /// Sends a `PUT` and returns the JSON of the response.
    pub(super) async fn put(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.request(Method::PUT, path, &[], Some(body)).await?.1
    }

    /// Sends a `DELETE`.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<(), Failure> {
        self.request(Method::DELETE, path, &[], None).await.map(|_| ())
    }

    /// Sends a request. Returns the response if its status is a success, and its body as JSON, or an
    /// error where it is not JSON.
    async fn request(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<(Reply, Result<Value, Failure>), Failure> {
        let url = self.url(path, query);
        let login = match &self.credential {
            Credential::Token(token) => Login::Bearer(token),
            Credential::Password(username, password) => Login::Basic(username, password),
        };
        let request = Request { url, method, accept: "application/json".to_owned(), login, body };
        let reply = self.http.send(request).await?;
        let value = reply.json();
        if !(200..300).contains(&reply.status) {
            let message = value.as_ref().map(message).filter(|message| !message.is_empty());
            let status = reply.status;
            return Err(match message {
                Some(message) => Failure::refused(status, &message),
                // The response of a load balancer, for a service that is not running.
                None if matches!(status, 502..=504) => Failure::refused(status, "the service does not respond"),
                None => Failure::Foreign(self.base.to_string()),
            });
        }
        let value = value.ok_or_else(|| Failure::Foreign(self.base.to_string()));
        Ok((reply, value))
    }

    fn url(&self, path: &[&str], query: &[(&str, String)]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.clear().extend(["api", "v4"]).extend(path);
        }
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }
}

/// Returns the text of an API error: `message` is a text or has a list for each field, `error` is a text.
fn message(body: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match (&body["message"], &body["error"]) {
        (Value::Object(fields), _) => {
            let field = |(name, problems): (&String, &Value)| {
                let problems: Vec<String> = problems.as_array().into_iter().flatten().map(text).collect();
                format!("{name} {}", problems.join(", "))
            };
            fields.iter().map(field).collect::<Vec<_>>().join("; ")
        }
        (Value::Null, Value::Null) => String::new(),
        (Value::Null, error) => body["error_description"].as_str().map_or_else(|| text(error), str::to_owned),
        (message, _) => text(message),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_of_groups_are_one_segment() {
        let base: Url = "http://127.0.0.1:5050".parse().unwrap();
        let api = Api::new(Http::new(&base, None).unwrap(), base, Credential::Token("x".into()));
        let url = api.url(&["groups", "team/ci", "members"], &[("search", "a b&c".to_owned())]);
        assert_eq!(url.as_str(), "http://127.0.0.1:5050/api/v4/groups/team%2Fci/members?search=a+b%26c");
    }

    #[test]
    fn refusals_are_told_in_the_words_of_the_service() {
        for (body, expected) in [
            (json!({"message": "404 Group Not Found"}), "404 Group Not Found"),
            (json!({"message": {"path": ["has already been taken", "is bad"]}}), "path has already been taken, is bad"),
            (json!({"error": "name is missing"}), "name is missing"),
            (json!({"error": "insufficient_scope", "error_description": "More is needed"}), "More is needed"),
            (json!({}), ""),
        ] {
            assert_eq!(message(&body), expected);
        }
    }
}
