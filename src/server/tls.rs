//! TLS for clients: serves the certificate that the operator names, and the next one soon after its files change. A pair of
//! files that does not fit is refused at the start; later it is told of, and the old pair stays. Keeps no key but the parsed one.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::auth::sha256;
use crate::domain::digest::Digest;
use crate::settings::Tls;

/// Why there is no TLS with these files. The text names the setting and the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file is not what it should be.
    #[error("server.{key}: {file} {problem}")]
    File {
        /// The setting.
        key: &'static str,
        /// The file that it names.
        file: String,
        /// What is wrong with the file.
        problem: String,
    },
    /// TLS itself.
    #[error("TLS cannot be served: {0}")]
    Setup(String),
}

/// How often the files are looked at. What changed is used once it was the same twice: both files are written by then.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Has the files looked at at once.
pub(super) struct Reload(Arc<Notify>);

impl Reload {
    /// Whoever changed them has written both: what is there now is used.
    pub(super) fn now(&self) {
        self.0.notify_one();
    }
}

/// How to serve TLS with these files. From now on they are looked at every few seconds, by a task on this thread.
pub(super) fn config(files: Tls) -> Result<(ServerConfig, Reload), TlsError> {
    let pair = Pair::read(&files);
    let served = Arc::new(Served(ArcSwap::new(Arc::new(pair.certified(&files)?))));
    let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(setup)?.with_no_client_auth();
    let mut config = config.with_cert_resolver(served.clone());
    // Most clients open a connection for each request: with a ticket the next handshake is short, on any thread.
    config.ticketer = Ticketer::new().map_err(setup)?;
    // Some clients go on only where they are told what is spoken.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let told = Arc::new(Notify::new());
    actix_rt::spawn(watch(files, pair.print(), served, told.clone()));
    Ok((config, Reload(told)))
}

/// All that is wrong with these files: the key of the setting, and the problem.
pub(super) fn faults(files: &Tls) -> Vec<(&'static str, String)> {
    let pair = Pair::read(files);
    match (pair.chain(files), pair.private_key(files)) {
        (Ok(_), Ok(_)) => pair.certified(files).err().and_then(named).into_iter().collect(),
        (chain, key) => [chain.err(), key.err()].into_iter().flatten().filter_map(named).collect(),
    }
}

fn named(error: TlsError) -> Option<(&'static str, String)> {
    match error {
        TlsError::File { key, file, problem } => Some((key, format!("{file} {problem}"))),
        TlsError::Setup(_) => None,
    }
}

/// The certificate and key that handshakes use.
struct Served(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Served {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

impl fmt::Debug for Served {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Served")
    }
}

/// Compares what the files hold, not their times: a link that is set to another folder is a change like any other.
async fn watch(files: Tls, mut known: Print, served: Arc<Served>, told: Arc<Notify>) {
    let mut seen = known;
    loop {
        let told = timeout(LOOK_EVERY, told.notified()).await.is_ok();
        let read = files.clone();
        let Ok(pair) = spawn_blocking(move || Pair::read(&read)).await else { continue };
        let now = pair.print();
        if now != known && (told || now == seen) {
            known = now;
            match pair.certified(&files) {
                Ok(certified) => {
                    served.0.store(Arc::new(certified));
                    tracing::info!(file = %files.certificate.display(), "the certificate changed; the new one is served");
                }
                Err(error) => tracing::warn!(%error, "the certificate changed, but the old one stays in use"),
            }
        }
        seen = now;
    }
}

/// What was in both files, or why they could not be read.
struct Pair {
    certificate: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
}

/// Tells one pair from another without holding a key.
type Print = [Result<Digest, Digest>; 2];

impl Pair {
    fn read(files: &Tls) -> Self {
        let read = |path: &Path| std::fs::read(path).map_err(|error| format!("cannot be read: {error}"));
        Self { certificate: read(&files.certificate), key: read(&files.key) }
    }

    fn print(&self) -> Print {
        [&self.certificate, &self.key].map(|content| match content {
            Ok(bytes) => Ok(sha256::digest(bytes)),
            Err(problem) => Err(sha256::digest(problem.as_bytes())),
        })
    }

    fn certified(&self, files: &Tls) -> Result<CertifiedKey, TlsError> {
        let (chain, key) = (self.chain(files)?, self.private_key(files)?);
        CertifiedKey::from_der(chain, key, &default_provider()).map_err(|error| {
            if let rustls::Error::InvalidCertificate(error) = error {
                return of_certificate(files, format!("is not a usable certificate: {error:?}"));
            }
            if let rustls::Error::InconsistentKeys(_) = error {
                return of_key(files, format!("is not the key of the certificate in {}", files.certificate.display()));
            }
            of_key(files, format!("is not usable: {error}"))
        })
    }

    fn chain(&self, files: &Tls) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let chain = self.certificate.as_ref().map_err(|problem| of_certificate(files, problem.clone()))?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain).collect();
        let chain = chain.map_err(|error| of_certificate(files, not_pem("certificate", &error)))?;
        if chain.is_empty() {
            return Err(of_certificate(files, not_pem("certificate", &PemError::NoItemsFound)));
        }
        Ok(chain)
    }

    fn private_key(&self, files: &Tls) -> Result<PrivateKeyDer<'static>, TlsError> {
        let key = self.key.as_ref().map_err(|problem| of_key(files, problem.clone()))?;
        PrivateKeyDer::from_pem_slice(key).map_err(|error| of_key(files, not_pem("private key", &error)))
    }
}

fn of_certificate(files: &Tls, problem: String) -> TlsError {
    TlsError::File { key: "tls_certificate", file: files.certificate.display().to_string(), problem }
}

fn of_key(files: &Tls, problem: String) -> TlsError {
    TlsError::File { key: "tls_key", file: files.key.display().to_string(), problem }
}

fn not_pem(what: &str, error: &PemError) -> String {
    if let PemError::NoItemsFound = error {
        return format!("holds no {what} in the PEM form");
    }
    format!("is not in the PEM form: {error}")
}
