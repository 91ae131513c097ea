//! Logins by every route that accepts a secret.

use reqwest::Method;

use super::Walk;
use crate::service::{ADMIN_TOKEN, Service};

impl Walk {
    /// Logs in correctly and wrongly by every route.
    pub(in super::super) async fn logins(&mut self, service: &Service) {
        let mut pairs: Vec<(String, String)> =
            self.tokens.iter().map(|token| (token.username.clone(), token.secret.clone())).collect();
        pairs.push(("person".into(), "canary%20changed+password/of them".into()));
        pairs.push(("root".into(), ADMIN_TOKEN.into()));
        let wrong = "canary-typed-wrongly+by/a person";
        self.secret("a wrong password", wrong);
        for name in ["person", "root", "nobody", "example-pull"] {
            pairs.push((name.into(), wrong.into()));
        }
        // A mistyped token, and a token in the place of a user name.
        pairs.push(("old-fleet".into(), format!("{}x", self.tokens[3].secret)));
        pairs.push((self.tokens[3].secret.clone(), self.tokens[0].secret.clone()));
        for (username, secret) in &pairs {
            for path in [
                "/jwt/auth?service=dependency_proxy&scope=repository:team/dependency_proxy/containers/x:pull",
                "/jwt/auth?service=another",
                "/v2/",
                "/v2/team/dependency_proxy/containers/nothing/manifests/latest",
                "/api/v4/user",
            ] {
                self.basic(service, path, username, secret).await;
            }
            self.form(username, secret).await;
            self.api_headers(secret).await;
        }
        self.bearers(service).await;
    }

    async fn form(&mut self, username: &str, secret: &str) {
        for grant in ["password", "refresh_token"] {
            let fields = [
                ("grant_type", grant),
                ("service", "dependency_proxy"),
                ("client_id", "docker"),
                ("username", username),
                ("password", secret),
                ("refresh_token", secret),
            ];
            let request = self.stranger.request(Method::POST, "/jwt/auth").form(&fields);
            self.send(request, "a form login").await;
        }
    }

    async fn api_headers(&mut self, secret: &str) {
        for (name, value) in [("private-token", secret.to_owned()), ("authorization", format!("Bearer {secret}"))] {
            for path in ["/api/v4/user", "/api/v4/personal_access_tokens/self", "/api/v4/users"] {
                let request = self.stranger.request(Method::GET, path).header(name, &value);
                self.send(request, path).await;
            }
            let request = self.stranger.request(Method::GET, "/v2/").header(name, &value);
            self.send(request, "/v2/").await;
        }
        let query = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
        for path in
            ["/api/v4/user?private_token=", "/api/v4/nothing?access_token=", "/nothing?token=", "/jwt/auth?password="]
        {
            let request = self.stranger.request(Method::GET, &format!("{path}{query}"));
            self.send(request, path).await;
        }
    }

    /// Sends our own tokens: valid, corrupted, and in the wrong place.
    async fn bearers(&mut self, service: &Service) {
        let token = &self.tokens[3];
        let answer = service.token(&token.username, &token.secret, "").await;
        if answer.status != 200 {
            return;
        }
        let jwt = answer.json()["token"].as_str().unwrap().to_owned();
        let spoilt = format!("{}AAAAAAAA", &jwt[..jwt.len() - 8]);
        for (kind, token) in [("our bearer token", &jwt), ("a spoilt bearer token", &spoilt)] {
            // The middle part identifies the caller and is no secret; the last part is the signature.
            self.secret(kind, token);
            self.secret(kind, token.rsplit('.').next().unwrap());
            self.api_headers(token).await;
            let client = self.stranger.with_authorization(&format!("Bearer {token}"));
            for path in ["/v2/", "/v2/team/dependency_proxy/containers/nothing/tags/list", "/v2/_catalog", "/nothing"] {
                self.note(client.get(path).await, path);
            }
            self.basic(service, "/v2/", "anyone", token).await;
        }
    }
}
