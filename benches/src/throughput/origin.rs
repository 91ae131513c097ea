//! The upstream of all servers: a small registry on loopback that serves prepared images, counts its requests, and
//! can be slowed down. It runs on a separate thread and ends with its [`Origin`]. It requires no login, sends no
//! redirect and accepts no push.

mod content;
mod counts;
mod image;
mod serve;
mod tls;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

pub use counts::{Counts, RequestKind};
pub use image::{Blob, Image, MANIFEST};

/// The running registry.
pub struct Origin {
    /// Address that it listens on.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Latency and rate of responses. The default is as fast as possible.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Delay of each response.
    pub latency: Duration,
    /// Maximum rate of one connection, in bytes per second, over all its responses.
    pub bytes_per_second: Option<u64>,
}

/// A file that the registry serves.
#[derive(Clone, Debug)]
pub struct File {
    /// Value of `Content-Type`.
    pub media_type: &'static str,
    /// Content and digest.
    pub blob: Blob,
}

/// State that the connections share.
struct Shared {
    url: String,
    files: Mutex<BTreeMap<String, File>>,
    pace: Mutex<Pace>,
    counters: counts::Counters,
}

impl Origin {
    /// Starts a registry without images, with TLS if `tls` is true.
    pub fn start(tls: bool) -> io::Result<Self> {
        let acceptor = tls.then(tls::acceptor).transpose()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let address = listener.local_addr()?;
        let url = if tls { format!("https://localhost:{}", address.port()) } else { format!("http://{address}") };
        let shared = Shared { url, files: Mutex::default(), pace: Mutex::default(), counters: Default::default() };
        let shared = Arc::new(shared);
        let (stop, stopped) = oneshot::channel();
        let serving = serve::accept(listener, acceptor, shared.clone());
        let thread = std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! { () = serving => (), _ = stopped => () }
            });
        })?;
        Ok(Self { address, shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Returns `http://127.0.0.1:PORT`, or with TLS `https://localhost:PORT`, which is the name in its certificate.
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Serves the image as `repository:tag`, and by its digest.
    pub fn publish(&self, repository: &str, tag: &str, image: &Image) {
        let mut files = locked(&self.shared.files);
        for reference in [tag, &image.manifest.digest] {
            let file = File { media_type: MANIFEST, blob: image.manifest.clone() };
            files.insert(format!("/v2/{repository}/manifests/{reference}"), file);
        }
        for blob in image.blobs() {
            let file = File { media_type: "application/octet-stream", blob: blob.clone() };
            files.insert(format!("/v2/{repository}/blobs/{}", blob.digest), file);
        }
    }

    /// Returns everything that it serves, by path.
    pub fn files(&self) -> BTreeMap<String, File> {
        locked(&self.shared.files).clone()
    }

    /// Sets the latency and the rate, also for open connections.
    pub fn set_pace(&self, pace: Pace) {
        *locked(&self.shared.pace) = pace;
    }

    /// Returns the counters.
    pub fn counts(&self) -> Counts {
        self.shared.counters.now()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been printed already.
            let _ = thread.join();
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
