//! Content in the object store: blobs and manifests of all replicas, as objects below `blobs/`. Each upload makes an
//! object with a new name, so that an object is never changed, and one that is being deleted is never uploaded again.

mod reading;
mod sending;

use std::future::ready;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::buffered::BufWriter;
use object_store::client::ClientOptions;
use object_store::path::Path;
use object_store::signer::{Method, Signer};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, RetryConfig};
use secrecy::ExposeSecret;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;
use tokio::time::timeout;
use url::Url;

pub(super) use self::reading::{ObjectHead, OpenObject};
use self::sending::send;
use super::database::event_loop;
use super::options::BucketOptions;
use super::run_on;
use crate::auth::random;
use crate::domain::digest::Digest;
use crate::store::error::{FleetError, StoreError};

/// The content in a bucket. Cheap to clone.
#[derive(Clone)]
pub struct Bucket {
    runtime: Handle,
    store: Arc<AmazonS3>,
    /// The same bucket under the address that clients use; `None`: they are not sent there.
    for_clients: Option<Arc<AmazonS3>>,
    prefix: Path,
}

/// Bytes of an object; an error is the last item.
pub type ObjectBytes = BoxStream<'static, Result<Bytes, String>>;

/// Result of an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Upload {
    /// The object is whole, and has this name and this number of bytes.
    Done { name: String, size: u64 },
    /// The content does not have the digest. There is no object.
    WrongDigest,
}

/// Time to connect to the store.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Time until the first byte of an object. After it the content is requested from upstream.
const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(2);
/// Time for a part of an upload, and for a request without a body.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Length in bytes of a part of an upload. S3 allows 10,000 parts. A shorter object is sent in one request.
const PART_BYTES: u64 = 8 << 20;
/// Maximum number of parts.
const MAX_PARTS: u64 = 10_000;
/// Number of parts that are sent at the same time.
const PARTS_AT_ONCE: usize = 2;
/// Time for which a URL is accepted: that of a client to begin its request.
const URL_LIFETIME: Duration = Duration::from_secs(60);
/// Folder of the objects with content.
const FOLDER: &str = "sha256";
/// Object with the id of the fleet to which the others belong.
const OWNER: &str = "owner";
/// Number of names in a page of a list.
const NAMES_AT_ONCE: usize = 1_000;

impl Bucket {
    /// Returns the content in this bucket, to which clients may be sent at another address. Sends no request.
    ///
    /// # Errors
    ///
    /// Fails if the options cannot be used.
    pub fn new(options: &BucketOptions, for_clients: Option<&Url>) -> Result<Self, StoreError> {
        // Without a limit for a whole request: a large object takes as long as it takes, and idle ones are given up.
        let client = ClientOptions::new().with_timeout_disabled().with_connect_timeout(CONNECT_TIMEOUT);
        let store = Arc::new(client_of(options, client.clone())?);
        let endpoint = |endpoint: &Url| BucketOptions { endpoint: Some(endpoint.clone()), ..options.clone() };
        let for_clients = for_clients.map(|url| client_of(&endpoint(url), client).map(Arc::new)).transpose()?;
        let prefix = Path::from(options.url.path()).join("blobs");
        Ok(Self { runtime: event_loop("fleet-bucket")?, store, for_clients, prefix })
    }

    /// Returns the thread of the requests.
    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Uploads content of this length, which is verified meanwhile.
    ///
    /// # Errors
    ///
    /// Fails if the content cannot be read, or the store does not take it.
    pub(super) async fn put(
        &self,
        digest: &Digest,
        content: impl Read + Send + 'static,
        length: u64,
    ) -> Result<Upload, StoreError> {
        let (store, digest) = (self.store.clone(), *digest);
        let hex = digest.hex();
        let name = format!("{FOLDER}/{}/{hex}/{}", &hex[..2], hex::encode(random::bytes::<8>()));
        let path = self.path(&name);
        run_on(&self.runtime, async move {
            let part = PART_BYTES.max(length.div_ceil(MAX_PARTS));
            let capacity = usize::try_from(part).unwrap_or(usize::MAX);
            let writer = BufWriter::with_capacity(store, path, capacity).with_max_concurrency(PARTS_AT_ONCE);
            let (mut writer, size, found) = send(content, writer).await?;
            if found != digest {
                writer.abort().await.map_err(|error| failed(&error))?;
                return Ok(Upload::WrongDigest);
            }
            timeout(REQUEST_TIMEOUT, writer.shutdown())
                .await
                .map_err(|_| too_slow())?
                .map_err(|error| sent_badly(&error))?;
            Ok(Upload::Done { name, size })
        })
        .await
    }

    /// Deletes an object. One that does not exist counts as deleted.
    ///
    /// # Errors
    ///
    /// Fails if the store does not respond in time.
    pub(super) async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let (store, path) = (self.store.clone(), self.path(name));
        run_on(&self.runtime, async move {
            match timeout(REQUEST_TIMEOUT, store.delete(&path)).await {
                Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => Ok(()),
                Ok(Err(error)) => Err(failed(&error)),
                Err(_) => Err(too_slow()),
            }
        })
        .await
    }

    /// Returns a URL by which a client gets an object for a minute; `None`: clients are not sent to the store.
    pub(super) async fn url(&self, name: &str) -> Option<Result<Url, StoreError>> {
        let (store, path) = (self.for_clients.clone()?, self.path(name));
        let sign =
            async move { store.signed_url(Method::GET, &path, URL_LIFETIME).await.map_err(|error| failed(&error)) };
        Some(run_on(&self.runtime, sign).await)
    }

    /// Returns true if the objects belong to the fleet with this id, which is recorded beside them by the first that
    /// asks.
    ///
    /// # Errors
    ///
    /// Fails if the store does not respond in time.
    pub(super) async fn belongs_to(&self, fleet: &str) -> Result<bool, StoreError> {
        let (store, path, fleet) = (self.store.clone(), self.path(OWNER), fleet.to_owned());
        run_on(&self.runtime, async move {
            let found = async {
                match store.put_opts(&path, fleet.clone().into(), PutMode::Create.into()).await {
                    Ok(_) => Ok(true),
                    Err(object_store::Error::AlreadyExists { .. }) => {
                        Ok(store.get(&path).await?.bytes().await? == fleet.as_bytes())
                    }
                    Err(error) => Err(error),
                }
            };
            timeout(REQUEST_TIMEOUT, found).await.map_err(|_| too_slow())?.map_err(|error| failed(&error))
        })
        .await
    }

    /// Returns the names of objects that are older than this, in pages.
    pub(super) fn older_than(&self, age: Duration) -> BoxStream<'static, Result<Vec<String>, StoreError>> {
        let (prefix, folder) = (format!("{}/", self.prefix), self.prefix.clone().join(FOLDER));
        let limit = Timestamp::now().as_second() - i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        let objects = self.store.list(Some(&folder)).try_filter_map(move |object| {
            let name = object.location.as_ref().strip_prefix(&prefix).map(str::to_owned);
            ready(Ok(name.filter(|_| object.last_modified.timestamp() < limit)))
        });
        objects.map_err(|error| failed(&error)).try_chunks(NAMES_AT_ONCE).map_err(|error| error.1).boxed()
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), Path::join)
    }
}

/// Returns a client for the bucket of these options. It repeats nothing: the caller knows better when it is too late.
pub(super) fn client_of(options: &BucketOptions, client: ClientOptions) -> Result<AmazonS3, StoreError> {
    let is_plain = options.endpoint.as_ref().is_some_and(|endpoint| endpoint.scheme() == "http");
    let mut builder = AmazonS3Builder::from_env()
        .with_client_options(client.with_allow_http(is_plain))
        .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
        .with_bucket_name(options.url.host_str().unwrap_or_default());
    if let Some(endpoint) = &options.endpoint {
        builder = builder.with_endpoint(endpoint.as_str().trim_end_matches('/'));
    }
    if let Some(region) = &options.region {
        builder = builder.with_region(region);
    }
    if let Some((key, secret)) = &options.keys {
        builder = builder.with_access_key_id(key).with_secret_access_key(secret.expose_secret());
    }
    builder.build().map_err(|error| failed(&error))
}

fn failed(error: &object_store::Error) -> StoreError {
    FleetError::ObjectStore(error.to_string()).into()
}

fn too_slow() -> StoreError {
    FleetError::ObjectStore("it does not respond in time".to_owned()).into()
}

fn sent_badly(error: &std::io::Error) -> StoreError {
    FleetError::ObjectStore(error.to_string()).into()
}
