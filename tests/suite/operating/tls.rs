//! TLS for clients: pulls, a change of the certificate, and unusable files.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use fake_registry::{FakeRegistry, Image, Layer};
use reqwest::{Certificate, Client, Response};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::service::{ADMIN_TOKEN, Config, Service, eventually};

/// A certificate for localhost, its key and its authority.
#[derive(Clone, Copy)]
struct Pair {
    certificate: &'static str,
    key: &'static str,
    authority: &'static str,
}

const ONE: Pair = Pair {
    certificate: "upstream_client/tls_fixture/localhost.pem",
    key: "upstream_client/tls_fixture/localhost.key.pem",
    authority: "upstream_client/tls_fixture/authority.pem",
};
const OTHER: Pair = Pair {
    certificate: "operating/certificates/other.pem",
    key: "operating/certificates/other.key.pem",
    authority: "operating/certificates/other-authority.pem",
};

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/suite", name].iter().collect()
}

/// A folder as Kubernetes mounts a secret: the files are links into a folder that is a link itself, which is replaced.
struct Mounted(tempfile::TempDir);

impl Mounted {
    fn new(certificate: &str, key: &str) -> Self {
        let mounted = Self(tempfile::tempdir().unwrap());
        mounted.mount("1", certificate, key);
        symlink("..data/tls.crt", mounted.certificate()).unwrap();
        symlink("..data/tls.key", mounted.key()).unwrap();
        mounted
    }

    fn mount(&self, version: &str, certificate: &str, key: &str) {
        let folder = self.0.path().join(version);
        fs::create_dir(&folder).unwrap();
        fs::copy(fixture(certificate), folder.join("tls.crt")).unwrap();
        fs::copy(fixture(key), folder.join("tls.key")).unwrap();
        symlink(version, self.0.path().join("..new")).unwrap();
        fs::rename(self.0.path().join("..new"), self.0.path().join("..data")).unwrap();
    }

    fn certificate(&self) -> PathBuf {
        self.0.path().join("tls.crt")
    }

    fn key(&self) -> PathBuf {
        self.0.path().join("tls.key")
    }

    fn start(&self, hub: &FakeRegistry) -> Service {
        self.config(hub).start()
    }

    fn config(&self, hub: &FakeRegistry) -> Config {
        Config::docker_hub(hub)
            .variable("DEPENDENCY_PROXY__SERVER__TLS_CERTIFICATE", self.certificate().to_str().unwrap())
            .variable("DEPENDENCY_PROXY__SERVER__TLS_KEY", self.key().to_str().unwrap())
    }
}

/// A client that trusts only this authority.
struct Trusting {
    http: Client,
    base: String,
}

impl Trusting {
    fn new(pair: Pair, address: SocketAddr) -> Self {
        let authority = Certificate::from_pem(&fs::read(fixture(pair.authority)).unwrap()).unwrap();
        let http = Client::builder().no_proxy().tls_certs_only([authority]).resolve("localhost", address);
        Self { http: http.build().unwrap(), base: format!("https://localhost:{}", address.port()) }
    }

    async fn get(&self, path: &str) -> Response {
        self.http.get(format!("{}{path}", self.base)).send().await.unwrap()
    }

    async fn bearer(&self, path: &str, token: &str) -> Response {
        self.http.get(format!("{}{path}", self.base)).bearer_auth(token).send().await.unwrap()
    }

    async fn api(&self, path: &str, body: Value) -> Value {
        let request = self.http.post(format!("{}/api/v4{path}", self.base));
        request.header("private-token", ADMIN_TOKEN).json(&body).send().await.unwrap().json().await.unwrap()
    }
}

/// Returns true where a new connection of a client that trusts this pair's authority succeeds.
async fn is_served(pair: Pair, address: SocketAddr) -> bool {
    let client = Trusting::new(pair, address);
    client.http.get(format!("{}/healthz", client.base)).send().await.is_ok()
}

#[actix_rt::test]
async fn an_image_is_pulled_over_tls() {
    let hub = FakeRegistry::start();
    let layer = Layer::random(300_000, 1);
    let image = Image::single(std::slice::from_ref(&layer));
    hub.push_image("library/alpine", "latest", &image);
    let service = Mounted::new(ONE.certificate, ONE.key).start(&hub);
    let client = Trusting::new(ONE, service.address);
    let challenge = client.get("/v2/").await.headers()["www-authenticate"].to_str().unwrap().to_owned();
    assert!(challenge.contains(&format!("realm=\"{}/jwt/auth\"", client.base)), "{challenge}");

    let group = client.api("/groups", json!({"name": "team", "path": "team"})).await;
    let token = json!({"name": "ci", "scopes": ["read_registry", "write_registry"]});
    let token = client.api(&format!("/groups/{}/deploy_tokens", group["id"]), token).await;
    let (username, secret) = (token["username"].as_str().unwrap(), token["token"].as_str());
    let login = client.http.get(format!("{}/jwt/auth?service=dependency_proxy", client.base));
    let login: Value = login.basic_auth(username, secret).send().await.unwrap().json().await.unwrap();
    let bearer = login["token"].as_str().unwrap();
    let pull = "/v2/team/dependency_proxy/containers/alpine";
    let manifest = client.bearer(&format!("{pull}/manifests/latest"), bearer).await;
    assert_eq!(manifest.bytes().await.unwrap(), image.bytes());
    let blob = client.bearer(&format!("{pull}/blobs/{}", layer.digest()), bearer).await;
    assert_eq!(blob.bytes().await.unwrap(), layer.bytes());
}

#[actix_rt::test]
async fn a_client_that_stops_in_the_middle_of_a_request_or_asks_no_more_is_cut_off() {
    let (hub, mounted) = (FakeRegistry::start(), Mounted::new(ONE.certificate, ONE.key));
    let service = mounted.config(&hub).variable("DEPENDENCY_PROXY__SERVER__CLIENT_TIMEOUT", "1s").start();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(fixture(ONE.authority)).unwrap()).unwrap();
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider())).with_safe_default_protocol_versions();
    let tls = TlsConnector::from(Arc::new(tls.unwrap().with_root_certificates(roots).with_no_client_auth()));
    for asked_next in [&b"GET /healthz HTTP/1.1\r\n"[..], b""] {
        let tcp = TcpStream::connect(service.address).await.unwrap();
        let mut connection = tls.connect("localhost".try_into().unwrap(), tcp).await.unwrap();
        // The connection stays open after the first request.
        connection.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        connection.write_all(asked_next).await.unwrap();
        let mut rest = Vec::new();
        // With or without a close_notify of TLS.
        let _ = connection.read_to_end(&mut rest).await;
        assert!(!rest.windows(8).any(|bytes| bytes == b"HTTP/1.1"), "half a request was answered");
    }
}

#[actix_rt::test]
async fn a_changed_certificate_is_served_and_a_broken_one_is_not() {
    let hub = FakeRegistry::start();
    let mounted = Mounted::new(ONE.certificate, ONE.key);
    let service = mounted.start(&hub);
    assert!(is_served(ONE, service.address).await && !is_served(OTHER, service.address).await);

    mounted.mount("2", OTHER.certificate, ONE.key);
    eventually("the log tells of the broken pair", async || service.log().contains("the old one stays in use")).await;
    let key = mounted.key().display().to_string();
    assert!(service.log().contains(&format!("server.tls_key: {key} is not the key of the certificate in")));
    assert!(is_served(ONE, service.address).await && !is_served(OTHER, service.address).await);

    mounted.mount("3", OTHER.certificate, OTHER.key);
    eventually("the new one is served", || is_served(OTHER, service.address)).await;
    assert!(!is_served(ONE, service.address).await);
    assert_eq!(service.log().matches("the old one stays in use").count(), 1);
}

#[actix_rt::test]
async fn a_changed_certificate_is_served_at_once_after_sighup() {
    let mounted = Mounted::new(ONE.certificate, ONE.key);
    let service = mounted.start(&FakeRegistry::start());
    for (version, pair) in [("2", OTHER), ("3", ONE), ("4", OTHER)] {
        mounted.mount(version, pair.certificate, pair.key);
        service.signal("HUP");
        eventually("the new one is served", || is_served(pair, service.address)).await;
    }
    assert_eq!(service.log().matches("the new one is served").count(), 3);
}

#[test]
fn files_that_do_not_fit_are_refused_at_the_start_with_key_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.pem");
    let (certificate, key) = (fixture(ONE.certificate), fixture(ONE.key));
    for (files, setting, file, problem) in [
        ([&missing, &key], "tls_certificate", &missing, "cannot be read"),
        ([&key, &key], "tls_certificate", &key, "holds no certificate in the PEM form"),
        ([&certificate, &certificate], "tls_key", &certificate, "holds no private key in the PEM form"),
        ([&certificate, &fixture(OTHER.key)], "tls_key", &fixture(OTHER.key), "is not the key of the certificate"),
    ] {
        let refused = refusal(folder.path(), files);
        assert!(refused.contains(&format!("server.{setting}: {} {problem}", file.display())), "{refused}");
    }
}

/// Returns the error message of a service that does not start.
fn refusal(folder: &Path, [certificate, key]: [&PathBuf; 2]) -> String {
    let ended = Command::new(env!("CARGO_BIN_EXE_dependency-proxy"))
        .env("DEPENDENCY_PROXY__SERVER__LISTEN", "127.0.0.1:0")
        .env("DEPENDENCY_PROXY__SERVER__METRICS_LISTEN", "")
        .env("DEPENDENCY_PROXY__SERVER__TLS_CERTIFICATE", certificate)
        .env("DEPENDENCY_PROXY__SERVER__TLS_KEY", key)
        .env("DEPENDENCY_PROXY__STORAGE__DATA_DIR", folder.join("data"))
        .output()
        .unwrap();
    assert!(!ended.status.success());
    String::from_utf8_lossy(&ended.stderr).into_owned()
}
