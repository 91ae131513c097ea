//! TLS for clients: serves the certificate that the settings name, and its successor soon after the files change.
//! Files that do not belong together are refused at the start; later they are logged, and the old pair stays in
//! use. Only the parsed key is kept in memory.

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
use crate::server::error::TlsError;
use crate::settings::Tls;

/// Interval of reading the files. A change takes effect when two reads in a row find the same content, because both
/// files have then been written.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Request to read the files again at once.
pub(in crate::server) struct Reload(Arc<Notify>);

impl Reload {
    /// Reads the files now. The caller states that both have been written, so their content takes effect without a
    /// second read.
    pub(in crate::server) fn now(&self) {
        self.0.notify_one();
    }
}

/// Returns the TLS configuration with these files. A task on this thread reads them every few seconds from now on.
///
/// # Errors
/// A file cannot be read, is not in PEM format, or does not belong to the other one.
pub(in crate::server) fn config(files: Tls) -> Result<(ServerConfig, Reload), TlsError> {
    let pair = Pair::read(&files);
    let served = Arc::new(Served(ArcSwap::new(Arc::new(pair.certified(&files)?))));
    let setup = |error: rustls::Error| TlsError::Setup(error.to_string());
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()));
    let config = config.with_safe_default_protocol_versions().map_err(setup)?.with_no_client_auth();
    let mut config = config.with_cert_resolver(served.clone());
    // Most clients open a connection for each request. A session ticket makes the next handshake short, on any
    // thread.
    config.ticketer = Ticketer::new().map_err(setup)?;
    // Some clients continue only if the server selects a protocol.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let reload = Arc::new(Notify::new());
    actix_rt::spawn(watch(files, pair.fingerprint(), served, reload.clone()));
    Ok((config, Reload(reload)))
}

/// Returns all problems of these files, each with the key of its setting.
pub(in crate::server) fn faults(files: &Tls) -> Vec<(&'static str, String)> {
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

/// Reads the files at intervals and serves changed ones. It compares content, not times, because a symbolic link
/// that changes its target is a change, too.
async fn watch(files: Tls, mut known: Fingerprint, served: Arc<Served>, reload: Arc<Notify>) {
    let mut seen = known;
    loop {
        let reload = timeout(CHECK_INTERVAL, reload.notified()).await.is_ok();
        let read = files.clone();
        let Ok(pair) = spawn_blocking(move || Pair::read(&read)).await else { continue };
        let now = pair.fingerprint();
        if now != known && (reload || now == seen) {
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

/// The content of both files, or the errors of reading them.
struct Pair {
    certificate: Result<Vec<u8>, String>,
    key: Result<Vec<u8>, String>,
}

/// Fingerprint of a pair, by which changes are noticed without keeping a key.
type Fingerprint = [Result<Digest, Digest>; 2];

impl Pair {
    fn read(files: &Tls) -> Self {
        let read = |path: &Path| std::fs::read(path).map_err(|error| format!("cannot be read: {error}"));
        Self { certificate: read(&files.certificate), key: read(&files.key) }
    }

    fn fingerprint(&self) -> Fingerprint {
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
