//! API calls of an administrator to a service that may end during a call.

use reqwest::Method;
use serde_json::Value;

use crate::service::{ADMIN_TOKEN, Service};

/// Client of the API of one run of the service.
#[derive(Clone)]
pub(super) struct Caller {
    http: reqwest::Client,
    base: String,
}

impl Caller {
    pub(super) fn new(service: &Service) -> Self {
        Self { http: reqwest::Client::builder().no_proxy().build().unwrap(), base: service.url() }
    }

    /// Returns the response, if it arrived completely: then the change was acknowledged. It must be a success.
    pub(super) async fn call(&self, method: Method, path: &str, body: &Value) -> Option<Value> {
        let request = self.http.request(method, format!("{}/api/v4{path}", self.base));
        let request = request.header("private-token", ADMIN_TOKEN);
        let request = if body.is_null() { request } else { request.json(body) };
        let response = request.send().await.ok()?;
        let status = response.status();
        let text = response.text().await.ok()?;
        assert!(status.is_success(), "{path}: {status} {text}");
        Some(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    /// Returns all pages of a list. The service must be running.
    pub(super) async fn list(&self, path: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let sign = if path.contains('?') { '&' } else { '?' };
        for page in 1.. {
            let path = format!("{path}{sign}per_page=100&page={page}");
            let Some(Value::Array(items)) = self.call(Method::GET, &path, &Value::Null).await else {
                panic!("{path} is no list");
            };
            let last = items.len() < 100;
            all.extend(items);
            if last {
                break;
            }
        }
        all
    }

    /// Returns the status of a `GET`.
    pub(super) async fn status(&self, path: &str) -> u16 {
        let request = self.http.get(format!("{}/api/v4{path}", self.base)).header("private-token", ADMIN_TOKEN);
        request.send().await.unwrap().status().as_u16()
    }
}
