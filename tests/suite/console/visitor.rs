//! A browser without a script: it keeps the cookie of its session, and sends the forms of pages.

use std::net::IpAddr;

use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, RequestBuilder};

use crate::service::Service;

/// A browser at one service.
pub struct Visitor {
    client: Client,
    base: String,
    pub cookie: Option<String>,
}

/// A response as a browser gets it.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    /// The address to which it leads; empty for a page.
    pub leads_to: String,
    pub text: String,
    /// Number of bytes of the body.
    pub size: usize,
    headers: reqwest::header::HeaderMap,
}

impl Visitor {
    /// Returns a browser that nobody has signed in.
    pub fn stranger(service: &Service) -> Self {
        Self::with(service, |client| client)
    }

    /// Returns a browser at this address, which is one of this machine.
    pub fn stranger_at(service: &Service, address: IpAddr) -> Self {
        Self::with(service, |client| client.local_address(address))
    }

    /// Returns the same browser, whose requests a load balancer sends to this service.
    pub fn at(&self, service: &Service) -> Self {
        Self { client: self.client.clone(), base: service.url(), cookie: self.cookie.clone() }
    }

    fn with(service: &Service, configured: impl FnOnce(ClientBuilder) -> ClientBuilder) -> Self {
        let client = Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).redirect(Policy::none());
        Self { client: configured(client).build().unwrap(), base: service.url(), cookie: None }
    }

    /// Returns a browser of a user who has signed in.
    pub async fn signed_in(service: &Service, username: &str, password: &str) -> Self {
        let mut visitor = Self::stranger(service);
        let page = visitor.sign_in(username, password, "/").await;
        assert_eq!((page.status, page.leads_to.as_str()), (303, "/"), "{}", page.text);
        visitor
    }

    /// Sends the form for signing in, and keeps the cookie.
    pub async fn sign_in(&mut self, username: &str, password: &str, back: &str) -> Page {
        let fields = [("username", username), ("password", password), ("return", back)];
        let page = self.send(self.request("POST", "/-/sign-in").form(&fields)).await;
        if let Some(cookie) = page.header("set-cookie").split(';').next().filter(|cookie| !cookie.is_empty()) {
            self.cookie = Some(cookie.to_owned());
        }
        page
    }

    /// Returns a page.
    pub async fn get(&self, address: &str) -> Page {
        self.send(self.request("GET", address)).await
    }

    /// Sends a form with these fields and the token of a page of this session.
    pub async fn post(&self, address: &str, fields: &[(&str, &str)]) -> Page {
        let token = self.get("/").await.form_token();
        let fields: Vec<_> = fields.iter().copied().chain([("csrf", token.as_str())]).collect();
        self.send(self.request("POST", address).form(&fields)).await
    }

    /// Returns a request with the cookie.
    pub fn request(&self, method: &str, address: &str) -> RequestBuilder {
        let request = self.client.request(method.parse().unwrap(), format!("{}{address}", self.base));
        self.cookie.iter().fold(request, |request, cookie| request.header("cookie", cookie))
    }

    pub async fn send(&self, request: RequestBuilder) -> Page {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let leads_to = headers.get("location").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
        let body = response.bytes().await.unwrap();
        Page { status, leads_to, text: String::from_utf8_lossy(&body).into_owned(), size: body.len(), headers }
    }
}

impl Page {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the value of the hidden field of this name.
    pub fn field(&self, name: &str) -> String {
        let (_, rest) = self.text.split_once(&format!(r#"name="{name}" value=""#)).unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    /// Returns the token in the first form.
    pub fn form_token(&self) -> String {
        self.field("csrf")
    }

    /// Checks that the page is shown and contains all of these texts.
    #[track_caller]
    pub fn shows(&self, texts: &[&str]) {
        assert_eq!(self.status, 200, "{}", self.text);
        for text in texts {
            assert!(self.text.contains(text), "{text} is not in {}", self.text);
        }
    }

    /// Checks that the page is of this status and contains this text.
    #[track_caller]
    pub fn is(&self, status: u16, text: &str) {
        assert_eq!(self.status, status, "{}", self.text);
        assert!(self.text.contains(text), "{text} is not in {}", self.text);
    }
}
