//! A container client, one request at a time.

use std::net::SocketAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use reqwest::{Method, RequestBuilder, header::HeaderMap};
use serde_json::Value;

use super::{Service, Token, secure};

/// A client of the service with a credential.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    /// Value of `Authorization`, if any.
    authorization: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    /// Received part of the body.
    pub body: Bytes,
    /// True where the body ended before its announced length.
    pub cut: bool,
}

impl Service {
    /// Returns a client without credentials.
    pub fn stranger(&self) -> Client {
        let http = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).build().unwrap();
        Client { http, base: self.url(), authorization: None }
    }

    /// Returns a client with a bearer token for these credentials, as for a pull.
    pub async fn log_in(&self, username: &str, secret: &str) -> Client {
        let answer = self.token(username, secret, "&scope=repository:any/thing:pull").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let token = answer.json()["token"].as_str().unwrap().to_owned();
        self.stranger().with_authorization(&format!("Bearer {token}"))
    }

    /// Returns a client with a bearer token for this credential, as for a pull.
    pub async fn log_in_with(&self, token: &Token) -> Client {
        self.log_in(&token.username, &token.secret).await
    }

    /// Returns the response of the token endpoint to these credentials; `more` is added to the query.
    pub async fn token(&self, username: &str, secret: &str, more: &str) -> Answer {
        let path = format!("/jwt/auth?service=dependency_proxy{more}");
        self.stranger().with_basic(username, secret).get(&path).await
    }
}

impl Client {
    pub fn with_authorization(&self, value: &str) -> Self {
        Self { authorization: Some(value.to_owned()), ..self.clone() }
    }

    /// Returns a client that sends its requests to this address.
    pub fn at(&self, base: &str) -> Self {
        Self { base: base.to_owned(), ..self.clone() }
    }

    pub fn with_basic(&self, username: &str, secret: &str) -> Self {
        self.with_authorization(&format!("Basic {}", STANDARD.encode(format!("{username}:{secret}"))))
    }

    /// Returns the value of `Authorization`; empty where the client sends none.
    pub fn authorization(&self) -> &str {
        self.authorization.as_deref().unwrap_or_default()
    }

    /// Requests a manifest of an image as docker names it: `manifest("team", "alpine", "latest")`.
    pub async fn manifest(&self, group: &str, image: &str, reference: &str) -> Answer {
        self.get(&format!("/v2/{group}/dependency_proxy/containers/{image}/manifests/{reference}")).await
    }

    /// Requests the headers of a manifest.
    pub async fn manifest_head(&self, group: &str, image: &str, reference: &str) -> Answer {
        let path = format!("/v2/{group}/dependency_proxy/containers/{image}/manifests/{reference}");
        self.send(self.request(Method::HEAD, &path)).await
    }

    pub async fn blob(&self, group: &str, image: &str, digest: &str) -> Answer {
        self.get(&format!("/v2/{group}/dependency_proxy/containers/{image}/blobs/{digest}")).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// Requests a path, and follows no redirect.
    pub async fn get_without_redirects(&self, path: &str) -> Answer {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        let client = Self { http: http.build().unwrap(), ..self.clone() };
        client.get(path).await
    }

    /// Returns the address of the service, and the value of `Authorization`.
    pub(super) fn whereto(&self) -> (SocketAddr, String) {
        (secure::address(&self.base), self.authorization.clone().unwrap_or_default())
    }

    /// Creates a request without sending it; see [`Client::send`].
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    /// Returns the response; `None` where the service is not running.
    pub async fn try_get(&self, path: &str) -> Option<Answer> {
        Self::try_send(self.request(Method::GET, path)).await
    }

    /// Returns the response; `None` where the service is not running.
    pub async fn try_send(request: RequestBuilder) -> Option<Answer> {
        Some(Self::read(request.send().await.ok()?).await)
    }

    pub async fn send(&self, request: RequestBuilder) -> Answer {
        Self::read(request.send().await.unwrap()).await
    }

    async fn read(mut response: reqwest::Response) -> Answer {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let (mut body, mut cut) = (BytesMut::new(), false);
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => break,
                Err(_) => {
                    cut = true;
                    break;
                }
            }
        }
        Answer { status, headers, body: body.freeze(), cut }
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the code of a registry error.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the message of a registry error.
    pub fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned()
    }
}
