//! Actors: each owns one piece of mutable state, or bounds the use of one scarce resource. This is the only layer
//! that uses actix; its callers hold handles. No bytes of a blob pass through a mailbox.
//!
//! | actor | owns | messages, and who sends them | what its handle does without a message |
//! |---|---|---|---|
//! | [`TokenIssuer`](token_issuer) | password checks in progress, counts of failed logins | `IssueToken`, `PasswordLogin`, from its handle | verifies tokens of every kind at each request |
//! | [`PolicyEvaluator`](policy_evaluator) | the directory of identities, as its only writer; the batch that is being written | `Change`, from the API, the Janitor and the first start; `Follow`, from [`follower`]; `Confirm`, from whatever shows a change; all through its handle | returns the current snapshot, on which `domain::policy` decides |
//! | [`ManifestCache`](manifest_cache) | upstream requests for manifests in progress, negative entries | `ConfirmManifest`, `FetchManifest`, `RevalidationTimedOut` and two to forget, from its handle | serves fresh manifests from memory |
//! | [`BlobCache`](blob_cache) | running downloads, `HEAD`s of blobs in progress | `JoinDownload`, `ConfirmBlob`, `ListDownloads`, from its handle | opens stored blobs to which the group has a granted link |
//! | [`UpstreamFetcher`](upstream_fetcher) | the limits, backoffs and timeouts of each upstream; the thread on which connections live | `Dispatch` with one of the eight requests, which goes on as `DispatchOwn` if no mirror delivers, from ManifestCache, BlobCache, lists and the API; `Report`, from ManifestCache and a request that ends; `ListStates`, from the API; `ForgetFailures`, from a reload of the settings; `ForgetAccounts`, from a change of identities; `ShareLimits`, from the start of a replica; all through its handle | replaces the upstreams at a reload, and the accounts of groups |
//! | [`Janitor`](janitor) | timers: times of last use, records of reads, pulls, who pulled, and traffic, quotas of groups, headroom of the cache, images that nobody pulls, audit events, export, gauges; the queue of purges; whether removals are being completed | `Purge` and `CompleteRemovals`, from the API and [`content_follower`]; `Finish`, at stop; all through its handle | removes the entries of images; their links and files follow in the background |
//!
//! An actor also gets messages from its own tasks when they end, such as `DownloadEnded`.
//!
//! ```text
//!                     http (routes)
//!       |              |              |               |              |
//! TokenIssuer   PolicyEvaluator  ManifestCache    BlobCache       Janitor
//!       |              |              |               |              |
//!       |              |              +-> UpstreamFetcher <-+        |
//!       v              v              v               v              v
//!     auth     store: identities   store: index, manifests, blobs   store
//! ```
//!
//! The drawing is of one machine. In a fleet, [`follower`] and [`content_follower`] stand beside `http`: they send what
//! other replicas have changed to PolicyEvaluator, ManifestCache and Janitor; UpstreamFetcher exchanges limits with the
//! other replicas through the store.
//!
//! Messages flow downwards only, so that no two actors wait for each other. Only the Janitor sends messages to actors
//! beside it (PolicyEvaluator, ManifestCache), and no actor waits for it. TokenIssuer reads the snapshots of
//! PolicyEvaluator without a message, and so does BlobCache for the quotas of groups. PolicyEvaluator calls
//! [`group_accounts`] with each new snapshot.
//!
//! The other modules are no actors:
//!
//! | module | content |
//! |---|---|
//! | [`images`] | lists, pins and removals of cached images, for the API |
//! | [`warming`] | pulls of images before anyone requests them |
//! | [`audit`] | audit events: reading, retention, sums of refusals |
//! | [`lists`] | lists of tags and referrers, passed through from upstream |
//! | [`group_accounts`] | accounts of groups at upstreams: their passwords, and the snapshot of upstreams that pulls read |
//! | [`evictor`] | space for new content; one eviction at a time |
//! | [`reads`], [`pulls`], [`pull_records`], [`traffic`], [`last_used`] | what is recorded in memory at each request, and written by the Janitor |
//! | [`admission`], [`single_flight`] | admission limits; coalesced callers |
//! | [`follower`], [`content_follower`] | one of several replicas: follow the changes of identities, and of cached content, that others make |
//! | [`engine_states`] | the engines that replicas share, as this process has last found them |
//! | [`fleet_keeper`] | quotas, age and size of what replicas share, by one of them |
//! | [`sessions`] | sessions of the console |
//! | [`shared_downloads`], [`shared_manifests`], [`replica_signing`] | requests to upstreams that replicas share; signatures of messages between them |
//! | [`failures`] | reports of failures of work that is repeated |
//! | [`memory_budget`] | memory for content that is held whole |
//! | [`memory_removals`] | guard of the caches in memory against removals in the store |
//! | [`cache_limits`], [`cache_status`] | limits that both caches have; outcomes of a cache lookup |
//! | [`pull_failure`] | reasons why something cannot be pulled now |
//! | [`expiring_tokens`], [`unstored_reports`] | reports to the operator |
//! | [`abort_on_panic`], [`once_per_tick`] | end of the process if an actor panics; filter of repeated events |
//! | [`received`] | content that this replica has received, and may send to others |

mod abort_on_panic;
pub(crate) mod admission;
pub mod audit;
pub mod blob_cache;
pub mod cache_limits;
pub mod cache_status;
pub mod content_follower;
pub mod engine_states;
pub mod evictor;
pub mod expiring_tokens;
mod failures;
pub mod fleet_keeper;
pub mod follower;
pub mod group_accounts;
pub mod images;
pub mod janitor;
pub mod last_used;
pub mod lists;
pub mod manifest_cache;
pub mod memory_budget;
mod memory_removals;
mod once_per_tick;
pub mod policy_evaluator;
pub mod pull_failure;
pub mod pull_records;
pub mod pulls;
pub mod reads;
mod received;
pub mod replica_signing;
pub mod sessions;
pub mod shared_downloads;
pub mod shared_manifests;
mod single_flight;
pub mod token_issuer;
pub mod traffic;
mod unstored_reports;
pub mod upstream_fetcher;
pub mod warming;
