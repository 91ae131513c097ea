//! HTTP for the verbs, and the REST API on it (GitLab's v4). Follows no redirect, so that a token goes nowhere but to the
//! service.

mod setup;

use reqwest::header::{HeaderMap, HeaderName};
use reqwest::{Client, Method};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use url::Url;

use super::failure::Failure;
pub(super) use setup::{builder, built, causes};

/// Sends requests and reads whole answers.
pub(super) struct Http(Client);

/// One request.
pub(super) struct Request<'a> {
    url: Url,
    method: Method,
    accept: String,
    login: Login<'a>,
    body: Option<&'a Value>,
}

/// What proves who asks.
#[derive(Clone, Copy)]
pub(super) enum Login<'a> {
    /// Nothing.
    None,
    /// `Authorization: Bearer`.
    Bearer(&'a SecretString),
    /// `Authorization: Basic`.
    Basic(&'a str, &'a SecretString),
}

/// An answer, read to its end.
pub(super) struct Reply {
    /// The HTTP status.
    pub(super) status: u16,
    /// The body.
    pub(super) body: Vec<u8>,
    headers: HeaderMap,
}

/// The REST API of the service.
pub(super) struct Api {
    http: Http,
    base: Url,
    credential: Credential,
}

/// With what the API is asked.
pub(super) enum Credential {
    /// An API token.
    Token(SecretString),
    /// A user name and its password, which are good for making a token.
    Password(String, SecretString),
}

const MAX_BODY: usize = 32 << 20;

impl Http {
    /// A client for this place; `authorities` are trusted besides the system's.
    pub(super) fn new(base: &Url, authorities: Option<&[u8]>) -> Result<Self, Failure> {
        built(builder(base, authorities)?).map(Self)
    }

    /// The answer to this request, whatever its status.
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
        let mut answer = building.send().await.map_err(failed)?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(failed)? {
            if body.len() + piece.len() > MAX_BODY {
                return Err(Failure::Unreachable { url: place, problem: "the answer is too long".to_owned() });
            }
            body.extend_from_slice(&piece);
        }
        Ok(Reply { status, body, headers })
    }
}

impl<'a> Request<'a> {
    /// A `GET` without anything else.
    pub(super) fn get(url: Url) -> Self {
        Self { url, method: Method::GET, accept: "*/*".to_owned(), login: Login::None, body: None }
    }

    /// The same by this login.
    pub(super) fn login(self, login: Login<'a>) -> Self {
        Self { login, ..self }
    }

    /// The same for one of these media types.
    pub(super) fn accept(self, media_types: &[&str]) -> Self {
        Self { accept: media_types.join(", "), ..self }
    }
}

impl Reply {
    /// The value of a header that is text.
    pub(super) fn header(&self, name: &'static str) -> Option<&str> {
        self.headers.get(HeaderName::from_static(name))?.to_str().ok()
    }

    /// An answer as it could have come.
    #[cfg(test)]
    pub(super) fn of(status: u16, headers: &[(&'static str, &str)], body: &str) -> Self {
        let header = |(name, value): &(&'static str, &str)| Some((HeaderName::from_static(name), value.parse().ok()?));
        Self { status, body: body.as_bytes().to_vec(), headers: headers.iter().filter_map(header).collect() }
    }

    /// The body, if it is JSON.
    pub(super) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl Api {
    /// The API of the service at `base`.
    pub(super) fn new(http: Http, base: Url, credential: Credential) -> Self {
        Self { http, base, credential }
    }

    /// `GET`: one thing.
    pub(super) async fn show(&self, path: &[&str]) -> Result<Value, Failure> {
        self.ask(Method::GET, path, &[], None).await?.1
    }

    /// `GET`: all pages of a list.
    pub(super) async fn list(&self, path: &[&str], query: &[(&str, String)]) -> Result<Vec<Value>, Failure> {
        let mut all = Vec::new();
        let mut page = "1".to_owned();
        loop {
            let mut query = query.to_vec();
            query.extend([("per_page", "100".to_owned()), ("page", page)]);
            let (reply, value) = self.ask(Method::GET, path, &query, None).await?;
            let Value::Array(items) = value? else { return Err(Failure::Foreign(self.base.to_string())) };
            all.extend(items);
            match reply.header("x-next-page") {
                Some(next) if !next.is_empty() => page = next.to_owned(),
                _ => return Ok(all),
            }
        }
    }

    /// `POST`, with the answer.
    pub(super) async fn post(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.ask(Method::POST, path, &[], Some(body)).await?.1
    }

    /// `PUT`, with the answer.
    pub(super) async fn put(&self, path: &[&str], body: &Value) -> Result<Value, Failure> {
        self.ask(Method::PUT, path, &[], Some(body)).await?.1
    }

    /// `DELETE`.
    pub(super) async fn delete(&self, path: &[&str]) -> Result<(), Failure> {
        self.ask(Method::DELETE, path, &[], None).await.map(|_| ())
    }

    /// The reply if its status is a success, and its body as JSON.
    async fn ask(
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

/// What an error of the API says: `message` is a text or a list for each field, `error` a text.
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
