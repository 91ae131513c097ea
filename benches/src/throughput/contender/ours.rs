//! The release binary, as an operator would start it, with two groups, each with a deploy token and a member who may
//! pull. Only necessary settings are changed: ports, folders, the upstream and the administrator's token.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, io};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::kind::Kind;
use super::running::{Access, Logins, Running};
use crate::binary;
use crate::throughput::certificates::{AUTHORITY, CERTIFICATE, KEY};
use crate::throughput::group::Group;
use crate::throughput::lab::Lab;
use crate::throughput::load::Target;

const ADMIN_TOKEN: &str = "an-admin-token-for-benches";
const PASSWORD: &str = "a-password-for-benches";
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// Settings of the service that are not the same in all rows.
#[derive(Clone, Debug)]
pub struct Settings {
    /// True where clients use TLS.
    pub tls: bool,
    /// URL of upstream.
    pub upstream: String,
    /// Further lines of the section `[server]`.
    pub server: String,
    /// Further sections.
    pub sections: String,
}

/// Starts the service and creates the objects that a pull needs.
pub(super) fn start(kind: Kind, lab: &Lab, tls: bool) -> io::Result<Running> {
    let settings = Settings { tls, upstream: lab.upstream.url(), server: String::new(), sections: String::new() };
    let mut server = Running { kind, ..launch(lab, &settings)? };
    provision(&mut server)?;
    Ok(server)
}

/// Starts the service with these settings. Nobody has access to it yet.
pub fn launch(lab: &Lab, settings: &Settings) -> io::Result<Running> {
    let folder = lab.folder("ours")?;
    let (config, log) = (folder.path().join("config.toml"), folder.path().join("log"));
    fs::write(&config, text(folder.path(), lab, settings))?;
    let mut command = Command::new(binary::path()?);
    command.arg("serve").arg("--config").arg(&config);
    let mut group = Group::spawn(command, &log)?;
    let target = Target { address: listening(&mut group, &log)?, tls: settings.tls };
    Ok(Running::open(Kind::Ours, target, group, folder))
}

/// Creates both groups, each with its deploy token and its member, and gives this server the access of both.
pub fn provision(server: &mut Running) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let api = Api::new(server.target.address, server.target.tls).map_err(io::Error::other)?;
    let provision = |path| runtime.block_on(api.provision(path)).map_err(io::Error::other);
    server.access = provision("bench")?;
    server.other = Some(provision("other")?);
    Ok(())
}

fn text(folder: &Path, lab: &Lab, settings: &Settings) -> String {
    let Settings { tls, upstream, server, sections } = settings;
    let freshness =
        lab.tag_freshness.map(|seconds| format!("[cache]\ntag_freshness = \"{seconds}s\"\n")).unwrap_or_default();
    let tls = if *tls { format!("tls_certificate = \"{CERTIFICATE}\"\ntls_key = \"{KEY}\"\n") } else { String::new() };
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nmetrics_listen = \"127.0.0.1:0\"\n{tls}{server}\
         [storage]\ndata_dir = \"{}\"\nmin_free = 0\n\
         [bootstrap]\nadmin_token = \"{ADMIN_TOKEN}\"\n\
         {freshness}\
         [upstreams.\"docker.io\"]\nurl = \"{upstream}\"\nca_file = \"{}\"\n\
         {sections}",
        folder.join("data").display(),
        if lab.tls { AUTHORITY } else { "" }
    )
}

/// Waits until the log has the address.
fn listening(group: &mut Group, log: &Path) -> io::Result<SocketAddr> {
    let deadline = Instant::now() + START_TIMEOUT;
    loop {
        let text = fs::read_to_string(log)?;
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let told =
            lines.filter(|line| line["message"] == "listening").find_map(|line| line["address"].as_str()?.parse().ok());
        if let Some(address) = told {
            return Ok(address);
        }
        if !group.is_alive() || Instant::now() > deadline {
            return Err(io::Error::other(format!("the service does not start: {text}")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Client of the REST API and the token endpoint, used once per start.
struct Api {
    http: reqwest::Client,
    base: String,
}

impl Api {
    fn new(address: SocketAddr, tls: bool) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let http = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
        if !tls {
            return Ok(Self { http: http.build()?, base: format!("http://{address}") });
        }
        let authority = reqwest::Certificate::from_pem(&fs::read(AUTHORITY)?)?;
        let http = http.tls_certs_only([authority]).resolve("localhost", address).build()?;
        Ok(Self { http, base: format!("https://localhost:{}", address.port()) })
    }

    /// Creates a group with this path, its deploy token and a member of the same name, and gets a bearer token with the
    /// deploy token.
    async fn provision(&self, path: &str) -> reqwest::Result<Access> {
        let made = self.make("/groups", json!({"name": path, "path": path, "visibility": "private"})).await?;
        let (group, email) = (made, format!("{path}@example.com"));
        let group = format!("/groups/{}", group["id"]);
        let fields = json!({"name": "ci", "scopes": ["read_registry", "write_registry"]});
        let made = self.make(&format!("{group}/deploy_tokens"), fields).await?;
        let user = json!({"username": path, "name": path, "email": email, "password": PASSWORD});
        let user = self.make("/users", user).await?;
        self.make(&format!("{group}/members"), json!({"user_id": user["id"], "access_level": 30})).await?;
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let logins = Logins {
            deploy_token: basic(&word(&made["username"]), &word(&made["token"])),
            password: basic(path, PASSWORD),
        };
        let login = self.http.get(format!("{}/jwt/auth?service=dependency_proxy", self.base));
        let login = login.header("authorization", &logins.deploy_token).send().await?.error_for_status()?;
        let answer: Value = login.json().await?;
        Ok(Access {
            prefix: format!("/v2/{path}/dependency_proxy/containers"),
            authorization: Some(format!("Bearer {}", word(&answer["token"]))),
            logins: Some(logins),
            page: Some((format!("/groups/{path}/-/dependency_proxy"), self.sign_in(path).await?)),
        })
    }

    /// Signs in to the console and returns the cookie of the session.
    async fn sign_in(&self, username: &str) -> reqwest::Result<String> {
        let form = self.http.post(format!("{}/-/sign-in", self.base));
        let signed_in =
            form.form(&[("username", username), ("password", PASSWORD)]).send().await?.error_for_status()?;
        let cookie = signed_in.headers().get("set-cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
        Ok(cookie.split(';').next().unwrap_or_default().to_owned())
    }

    async fn make(&self, path: &str, fields: Value) -> reqwest::Result<Value> {
        let request = self.http.post(format!("{}/api/v4{path}", self.base)).header("private-token", ADMIN_TOKEN);
        request.json(&fields).send().await?.error_for_status()?.json().await
    }
}

fn basic(username: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{secret}")))
}
