//! `dependency-proxy`: a private pull-through cache for container images.
//!
//! Teams ("groups") pull images through `HOST/<group path>/dependency_proxy/containers/<image>:<tag>`. The first pull
//! streams from the upstream registry to the client while the content is stored; later pulls are served from this
//! machine. Access is decided per group, at every request.
//!
//! Start here, then read the front page of the layer that you want to change: [`http`] for routes, [`actors`] for who
//! owns what, [`store`] for what is on disk, [`upstream`] for registries, [`domain`] for the rules. Most items are
//! private: build the documentation with `cargo doc --document-private-items`.
//!
//! # Where to start for a change
//!
//! | change | start at | then |
//! |---|---|---|
//! | what a group may pull | `domain::policy` | tables of its tests; nothing else decides |
//! | another kind of credential | a field of `domain::token` or `domain::user`, or a new record of `domain::directory` (its `records` writes all of them); `domain::policy::Identity`; `domain::regained` (a restore names it) | `auth::login` and `auth::jwt` for one that logs in, `http::registry::authorized` for one that does not, `server::net` for one of the connection; `domain::commands` and [`http`]`::api` make and revoke it |
//! | a route | [`http`]; `http::api::caller` (the checked caller: a token, there is no browser login) | `http::api::state` holds the handles; what a route shows of the store, an actor re-exports, as `actors::janitor` does with `Holdings` |
//! | what is evicted | `domain::eviction` (the order) | `store::embedded::index::files` (the records of size and reads), [`actors::evictor`] (when), `store::blobs` (how much), `actors::blob_cache::writer` (who waits for room) |
//! | removal of links and tags | there is none of a single link or tag of one group: `store::embedded::index::purge` removes all of a group | operations of [`store::content`], `actors::janitor`, and `forget_...` of the cache handles, which keep links in memory |
//! | a second store | the `Engine` of [`store::identities`] and [`store::content`] with their contracts: a variant, and a `match` in each operation | `server::components` and [`admin`] open it; the PolicyEvaluator expects to be the only process that writes |
//! | a request to a registry | [`upstream`], `upstream::registry` | its message and its rules: [`actors::upstream_fetcher`] |
//! | a setting | `config/default.toml`, and a field of the struct that has the keys of its component: [`upstream`]`::ConnectionOptions`, `actors::manifest_cache::ManifestCacheOptions`, `actors::blob_cache::BlobCacheOptions` and `VerifyOptions`, `actors::token_issuer::PasswordOptions`, `domain::limits::Limits`, [`telemetry`]`::LogOptions` | a key of several components, or of the composition: `settings::sections` or `settings::server`, and [`server`], which uses it; `server::Reloadable` if it can change at a reload |
//!
//! # Glossary
//!
//! | term | meaning |
//! |---|---|
//! | request, response | HTTP, in either direction |
//! | upstream | a registry that images are pulled from, such as docker.io |
//! | origin | upstream + account + repository. Content is known per origin, because accounts of an upstream can read different content |
//! | account | user name and password at an upstream, which this service uses for the groups that may use it |
//! | group | a team, named by its path; groups nest |
//! | principal | the user or token that makes a request |
//! | credential | the password or token that proves the principal |
//! | login token | the JWT that the token endpoint issues; it stands for a credential, which is checked at every request |
//! | directory | an immutable snapshot of all users, groups, members and tokens |
//! | referenced link | record that a manifest of a group names a digest: the group may request it from upstream |
//! | cache index, or index | which group may read what, and what tags stand for; an *image index* (OCI) is a manifest that names manifests |
//! | data folder, cache folder | identities and index; manifests and blobs. The second may be lost |
//! | tombstone | what is kept of a deleted token, so that its refusals can name it |
//! | negative entry | memory of a manifest that upstream does not have |
//! | granted link | record that upstream served a digest to the account of a group: the group may read the stored bytes |
//! | purge | removal of everything that a group has cached; an orphan is content to which no group has a link any more |
//! | hit, miss, stale, revalidated, coalesced | outcome of a cache lookup; compare RFC 9211, `Cache-Status` |
//! | fresh, time to live (TTL) | how long an entry is used without revalidation |
//! | single flight | several callers share one request; those who did not start it are coalesced |
//! | admission limit, permit | a bounded number of concurrent holders, with a gauge and a refusal |
//! | chunk | bytes in memory on their way to a client |
//! | file range | part of a file on its way to a client, which `sendfile(2)` sends |
//! | spool | the folder of downloads that are not verified yet |
//! | actor | the owner of a piece of changing state |
//! | handle | the only access to an actor that other code has |
//!
//! # Layers and allowed dependencies
//!
//! ```text
//! main -> cli -> server -> http -> actors -> {upstream, store, auth} -> domain
//!            \-> admin ----------------------> {store, auth} --------/
//! ```
//!
//! Beside them, `formats` parses single values of the settings for `settings` and `cli`, and for `upstream`, `actors`
//! and `telemetry`, which have structs of their own keys; `settings` reads those. An arrow allows what is to its right,
//! except that `cli` reaches the actors, the store and upstreams through `server`, and `http` names neither `store` nor
//! `upstream`. `settings` is named by `cli` and `server` alone. A test walks `src/` and fails with file and line where
//! a layer names what it must not; its tables are exact (`tests/suite/layers.rs`).
//!
//! | layer | content | knows, nearly alone |
//! |---|---|---|
//! | [`domain`] | names, digests, identities, policy, manifests, the download state machine: pure | |
//! | [`auth`] | secrets, passwords, login tokens: pure but for random bits | jsonwebtoken, argon2 |
//! | [`upstream`] | the client of registries: challenges, tokens, redirects | reqwest |
//! | [`store`] | identities, index, manifests, blobs | sled, the file system |
//! | [`actors`] | owners of mutable state, and queues before scarce resources | actix |
//! | [`http`] | routes: `registry/` for clients of images, `api/` for the REST API | actix_web |
//! | [`server`] | composition, start and stop; `net/`: listeners, sockets, TLS | |
//! | [`admin`] | commands on a stopped data folder | |
//! | [`cli`], [`settings`], [`telemetry`] | subcommands; configuration; logs and metrics | clap |
//!
//! # Invariants
//!
//! 1. `domain` does no I/O, reads no clock and names no framework.
//! 2. No bytes of a blob pass through a mailbox. Actors coordinate; bytes go between disk and socket.
//! 3. No route reaches content or a change without a checked caller: `http::registry::authorized::Authorized` for the
//!    registry, `http::api::caller::Caller` for the REST API. Each has one constructor.
//! 4. Nothing is stored whose digest was not verified, and the last byte of a blob leaves only once its digest holds.
//!    Ranges of a blob that is not stored cannot be verified: they are passed on as ranges, are not stored, and grant
//!    no link (`actors::blob_cache::handle::ranges`).
//! 5. A change of identities is on disk before it is acknowledged. It is written to a journal first, so that a start
//!    notices a change that the database has lost (`store::embedded::journal`). The index can be rebuilt from small
//!    files.
//! 6. A hit makes no upstream request, sends no actor message, and never blocks a worker thread on disk I/O.
//! 7. Every queue and every concurrent resource has a maximum, a gauge and a clear refusal.
//! 8. A group sees only what upstream lets its account have. Bytes are stored once; a granted link opens them.
//!    Without one, upstream decides, with a request of this group's account. A referenced link is not enough,
//!    unless upstream is known to have served the digest to the same account for another group or repository.
//!
//! # A cached pull, from socket to socket
//!
//! Each worker thread accepts on a listener of its own (`SO_REUSEPORT`): an accept thread that hands connections
//! over, as in actix-server, cost a third of the CPU time of a one-request connection.
//!
//! ```text
//! server::net::workers      accept(2) on the worker's own listener
//! server::net::connection   limits per address, TLS, actix-http over the socket
//! http::middleware          request id, metrics, log line of a refusal
//! http::registry            GET /v2/<group>/dependency_proxy/containers/<image>/manifests/<tag>
//! http::registry::authorized   login token -> credential -> Directory snapshot -> domain::policy::pull_grant
//! actors::manifest_cache    ManifestCacheHandle::pull: manifest, link and tag in memory and fresh -> hit
//! http::registry::manifest  the response, bytes shared with the cache
//!
//! GET .../blobs/<digest>    the same way, then
//! actors::blob_cache        BlobCacheHandle::open: granted link and open file -> BlobReader over the file
//! http::registry::body      a chunk in memory, or a file range for the connection's send queue (http::send_queue)
//! server::net::socket       sendfile(2) in the socket's flush, after the head and before the next response
//! ```
//!
//! No message is sent, and nothing blocks.
//!
//! # A cold manifest
//!
//! ```text
//! client      ManifestCacheHandle          ManifestCache (actor)       UpstreamFetcher (actor)      store
//!   |  pull -------> | not in memory              |                            |                      |
//!   |                |-- look up link, tag, file ------------------------------------------------->  | (nothing)
//!   |                |-- FetchManifest ---------> | single flight per          |                      |
//!   |                |                            | (origin, reference)        |                      |
//!   |                |                            |-- GetManifest -----------> | backoff, permit,     |
//!   |                |                            |                            | GET /v2/...          |
//!   |                |                            | <------- bytes ----------- |                      |
//!   |                |                            | digest holds, is a manifest                       |
//!   |                |                            |-- put ------------------------------------------> | file, fsync, rename
//!   |                | <-- response, to all ----- |                            |                      |
//!   |                |-- grant: link to the manifest, references to what it names, tag -------------> | small files, then sled
//!   | <- response -- |                                                                                |
//! ```
//!
//! A stale tag goes the same way with a `HEAD` first. If upstream does not decide in time, the stored manifest is
//! served stale.
//!
//! # A cold blob
//!
//! ```text
//! BlobCacheHandle::open     no granted link, or no file
//! BlobCache (actor)         one download per (origin, digest), however many readers; the others are coalesced
//! blob_cache::download_task GET from upstream, by Range again after an interruption (domain::download decides)
//! blob_cache::writer        bytes to the spool file and to the hash, in batches; each batch wakes the readers
//! BlobReader                each client follows the growing file at its own pace; the last byte waits for the digest
//! store::blobs              digest holds: fsync, rename into place, link granted. Otherwise the readers are cut off
//! ```
//!
//! A `HEAD`, and a range that has not arrived, are upstream requests of their own and begin no download.
//!
//! # A login
//!
//! `GET /v2/` without a token gets a 401 with a challenge that names `/jwt/auth`. There the
//! [`TokenIssuer`](actors::token_issuer) verifies user name and secret and signs a login token that carries the
//! credential's id ([`auth::jwt`]).
//!
//! # A change of identities
//!
//! ```text
//! http::api                  Caller: an active token with the scope, and the right to this change
//! PolicyEvaluator (actor)    single writer: decides again on the newest Directory, and computes the writes (domain::commands)
//! store::identities          journal: append, fsync. Then sled. Several waiting changes share one fsync
//! PolicyEvaluator            publishes the next Directory; from now on every request is decided by it
//! http::api                  acknowledges
//! ```
//!
//! # Start and stop
//!
//! ```text
//! cli::serve       settings, logging
//! server::build    signals -> listeners -> data folder (locked) -> store -> actors -> workers
//! serve            until SIGTERM, SIGINT or SIGQUIT
//! stop             workers finish their responses -> metrics -> Janitor writes what is in memory -> store is closed
//! ```

pub mod actors;
pub mod admin;
pub mod auth;
pub mod cli;
pub mod domain;
pub mod formats;
pub mod http;
pub mod server;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod upstream;
