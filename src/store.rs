//! Persistent storage. The only layer that knows sled, and nearly the only one that uses the file system. Knows nothing
//! of requests, upstreams or actors.
//!
//! | module | content | its functions |
//! |---|---|---|
//! | [`identities`], [`snapshot`] | users, groups, members, tokens, times of last use, audit events | async, with a contract |
//! | [`content`] | what groups may read, what tags stand for, manifests | async, with a contract |
//! | [`link`], [`images`], [`grant`], [`outcomes`] | links and entries of tags; images, and requests for lists of them; lookups and grants; results: types of [`content`] | do not block |
//! | [`manifests`] | manifests as files, for the engine of [`content`] | block |
//! | [`blobs`], [`spool`], [`blob_file`] | stored blobs, and downloads that are not verified yet: files of this machine | block |
//! | [`data_dir`], [`free_space`], [`reserve`], [`atomic_file`] | the data folder, disk space, disk space that is kept for changes of identities, files that are replaced as a whole | block |
//! | [`key_file`], [`operator_notes`], [`audit_file`] | replacement of the file of the signing keys; audit events of commands; the file to which audit events are appended | block |
//! | [`cache_id`], [`layout`], [`damage`] | identity of the cache folder; versions of the layouts of both folders; reports of damaged files | block |
//! | [`usage`] | sizes of all stored content, and changes of files that are not recorded yet | do not block |
//! | [`closing`] | the end of the store's use, between changes | blocks |
//! | [`temporary_copy`] | copies of databases, which an examination can open | block |
//! | [`large_buffer`], [`blocking`] | memory for large content; threads for work that blocks | |
//! | [`error`] | errors, without types of sled | do not block |
//! | [`entry`] | writes as text | does not block |
//! | [`all_identities`] | all identities of a store, for a store of another kind | does not block |
//! | [`embedded`] | the engine of identities and content: sled and small files | block |
//! | [`fleet`] | the engine of identities and content that several replicas share: PostgreSQL and an object store | async |
//!
//! # Another engine
//!
//! For another database or object store of a fleet, the engines stay two: [`fleet`] says which of its modules know
//! PostgreSQL and S3. For an engine of another kind:
//!
//! 1. It is another variant of the `Engine` in [`identities`] or [`content`], which have two. In [`content`] the second
//!    has two parts: the embedded engine of this machine, and what replicas share. An operation passes a closure over
//!    the embedded engine to `run`, `content::fleet` adds what the others know, and `content::copies` has what is in
//!    the object store. That closure, `content::images`, `fleet::content`, `fleet::moving` and [`operator_notes`] take
//!    the types of [`embedded`]: another embedded database replaces sled below them. No caller asks which engine there
//!    is; the operations for replicas return or do nothing without a fleet. An engine that several processes share must
//!    also have what [`fleet`] has beside identities and content: `server::fleet` gives the sessions, failed logins,
//!    claims of downloads, traffic and reports of upstreams to the actors of these names. In one process these actors
//!    work without them. The operations are async, so that an engine may wait for a network. `tests/suite/layers.rs`
//!    forbids the HTTP client of [`upstream`](crate::upstream) here, and no other client; the crate of an engine gets a
//!    row there.
//! 2. sled's types stay in [`embedded`]; [`error`] converts its errors. `StartedRemoval` of [`content`] has the path of
//!    a file of [`embedded`]. The names of sled's folders are also in `data_dir::contents`, those of its files in
//!    `embedded::export`, and its name is in `telemetry::log_filter`. Folders that have a sled database need an upgrade
//!    in [`layout`], because sled alone has times of last use, sums of audit events, pulls and who made them, traffic,
//!    and numbers of reads. [`reserve`], [`temporary_copy`] and the journal of identities exist because of sled.
//! 3. The manifests belong to the engine of [`content`]. [`manifests`] is beside [`embedded`] because it uses no sled.
//!    Blobs stay files of this machine, because `sendfile(2)` sends them; the contract of [`content`] states which
//!    operations get them.
//! 4. `server::components::stores` opens the stores, over what `server::fleet` has connected to.
//!    [`admin`](crate::admin) does not use [`identities`]: it backs up, restores and resets in `embedded::identity`,
//!    `embedded::backup` and `embedded::export`, so that another engine needs commands of its own, as a fleet has them
//!    in [`backup`](crate::admin::backup), [`restore`](crate::admin::restore) and [`share`](crate::admin::share), which
//!    reach it by `admin::engines` and `cli::engines`. [`all_identities`] is what moves from one engine to another, and
//!    `fleet::moving` how. The settings of an engine are in `settings::sections`, and `server::engine_check` tries it
//!    out for `serve --check`.
//! 5. One process at a time is assumed by [`data_dir`], which locks both folders; by the totals and sizes in memory
//!    ([`usage`], `embedded::index::totals`); by the caches in [`actors`](crate::actors), which keep links and tags in
//!    memory and drop them when this process removes them. The PolicyEvaluator is the single writer of identities in
//!    its process; [`fleet`] has a lock in the database, and the rules of [`domain::fleet`](crate::domain::fleet).
//! 6. The tests of its operations are those of `embedded::identity::tests` and of the modules of [`embedded`],
//!    `tests/suite` as a whole, and `tests/suite/fleet` with the real engines that `tests/engines` starts, outages and
//!    kills.

pub mod all_identities;
pub mod atomic_file;
pub mod audit_file;
pub mod blob_file;
pub mod blobs;
pub(crate) mod blocking;
pub mod cache_id;
mod closing;
pub mod content;
mod damage;
pub mod data_dir;
pub mod embedded;
mod entry;
pub mod error;
pub mod fleet;
pub mod free_space;
mod grant;
pub mod identities;
pub mod images;
pub mod key_file;
pub mod large_buffer;
mod layout;
pub mod link;
pub mod manifests;
pub mod operator_notes;
mod outcomes;
mod reserve;
mod snapshot;
pub mod spool;
mod temporary_copy;
pub mod usage;
