//! TLS: the authorities of the operating system and additional ones, and that no request leaves TLS.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use dependency_proxy::upstream::{ConnectionFailure, RealmError, UpstreamError};
use fake_registry::OCI_INDEX;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;

/// A registry at `https://localhost:PORT` that sends this response to every request, and records the requests.
struct TlsRegistry {
    url: String,
    asked: Receiver<String>,
}

impl TlsRegistry {
    fn start(answer: impl Into<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let (answer, config) = (answer.into(), Arc::new(server_config()));
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            while let Ok((socket, _)) = listener.accept() {
                let _ = serve(socket, config.clone(), &answer, &sender);
            }
        });
        Self { url, asked }
    }

    fn options(&self, setup: &Setup) -> UpstreamOptions {
        let options = UpstreamOptions { url: self.url.parse().unwrap(), ..setup.options() };
        with_connection(options, |options| options.ca_file = Some(fixture("authority.pem")))
    }
}

/// Serves one request; `None` where the client does not trust the certificate or disconnects.
fn serve(socket: TcpStream, config: Arc<ServerConfig>, answer: &str, asked: &Sender<String>) -> Option<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), socket);
    let mut request = Vec::new();
    let mut buffer = [0; 4096];
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        let length = stream.read(&mut buffer).ok().filter(|length| *length > 0)?;
        request.extend_from_slice(&buffer[..length]);
    }
    asked.send(String::from_utf8_lossy(&request).into_owned()).ok()?;
    stream.write_all(answer.as_bytes()).ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

fn server_config() -> ServerConfig {
    let certificate = CertificateDer::from_pem_file(fixture("localhost.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(fixture("localhost.key.pem")).unwrap();
    let builder = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
    builder.with_single_cert(vec![certificate], key).unwrap()
}

fn fixture(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/suite/upstream_client/tls_fixture", name].iter().collect()
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\n{headers}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

#[tokio::test]
async fn a_registry_of_ones_own_authority_is_reached_with_its_ca_file_only() {
    let setup = Setup::new(10);
    let registry = TlsRegistry::start(answer("200 OK", &format!("Content-Type: {OCI_INDEX}"), "{}"));
    let content = client(registry.options(&setup)).manifest(&anonymous(), &latest()).await.unwrap();
    assert_eq!(bytes(content).await.unwrap(), b"{}");
    let unknown = with_connection(registry.options(&setup), |options| options.ca_file = None);
    let refused = error(client(unknown).manifest(&anonymous(), &latest()).await);
    assert!(
        matches!(&refused, UpstreamError::Unreachable { failure: ConnectionFailure::Tls, reason, .. } if reason.contains("certificate")),
        "{refused}"
    );
    assert_eq!(registry.asked.try_iter().count(), 1);
}

#[tokio::test]
async fn no_redirect_leaves_encryption_unless_its_target_is_listed() {
    let setup = Setup::new(10);
    let storage = setup.hub.host(Listener::Storage);
    let registry = TlsRegistry::start(answer("307 Away", &format!("Location: http://{storage}/data/x"), ""));
    let digest = setup.layer();
    let unlisted = UpstreamOptions { redirect_hosts: Vec::new(), ..registry.options(&setup) };
    let refused = error(client(unlisted).blob(&anonymous(), &digest, 0).await);
    assert!(matches!(refused, UpstreamError::InvalidResponse { .. }), "{refused}");
    assert_eq!(setup.hub.requests().total(), 0);
    let followed = error(client(registry.options(&setup)).blob(&anonymous(), &digest, 0).await);
    assert_eq!(followed, UpstreamError::Storage { status: 403 });
}

#[tokio::test]
async fn credentials_do_not_leave_encryption_even_for_a_listed_realm() {
    let setup = Setup::new(10);
    let realm = setup.hub.host(Listener::Realm);
    let challenge = format!(r#"WWW-Authenticate: Bearer realm="http://{realm}/token",service="registry.fake""#);
    let registry = TlsRegistry::start(answer("401 Unauthorized", &challenge, ""));
    let refused = error(client(registry.options(&setup)).manifest(&robot(), &latest()).await);
    assert_eq!(refused, UpstreamError::TokenRealm(RealmError::Untrusted { host: "127.0.0.1".into() }));
    assert_eq!(setup.hub.requests().total(), 0);
    assert!(registry.asked.try_iter().all(|request| !request.to_ascii_lowercase().contains("authorization")));
}

#[tokio::test]
async fn basic_credentials_go_to_the_registry_itself_once_it_asked() {
    let setup = Setup::new(10);
    let registry = TlsRegistry::start(answer("401 Unauthorized", r#"WWW-Authenticate: Basic realm="r""#, ""));
    let client = client(registry.options(&setup));
    assert_eq!(error(client.manifest(&anonymous(), &latest()).await), DENIED);
    let refused = UpstreamError::TokenRealm(RealmError::Refused { status: 401, message: None });
    assert_eq!(error(client.manifest(&robot(), &latest()).await), refused);
    let shown = |request: &String| request.contains("authorization: Basic cm9ib3Q6aHVudGVyMg==");
    let asked: Vec<String> = registry.asked.try_iter().collect();
    // The last one, without an image, shows that the account is refused.
    assert_eq!(asked.iter().map(shown).collect::<Vec<_>>(), [false, false, true, true]);
    assert!(asked.iter().map(|request| request.starts_with("GET /v2/ ")).eq([false, false, false, true]), "{asked:?}");
}
