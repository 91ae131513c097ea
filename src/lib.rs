//! `dependency-proxy`: a private pull-through cache for container images.
//!
//! Teams ("groups") pull images through `HOST/<group path>/dependency_proxy/containers/<image>:<tag>`. The first pull
//! streams from the upstream registry to the client while the content is stored; later pulls are served from this
//! machine. Access is decided per group, at every request.
//!
//! Start here, then read the front page of the layer that you want to change: [`http`] for routes, [`actors`] for who
//! owns what, [`store`] for what is on disk, [`upstream`] for registries, [`domain`] for the rules. Most items are
//! private: build the documentation with `cargo doc --document-private-items`. At the end of this page, from
//! `src/drawings.md`, are the ways of a pull, a login and a change of identities, and of start and stop.
//!
//! # Where to start for a change
//!
//! The modules of each change are in the order in which to read them.
//!
//! | change | start at |
//! |---|---|
//! | who may pull through a group | `domain::policy`, and the tables of its tests; nothing else decides this. `domain::explanation` restates it in sentences |
//! | which account is used at an upstream | `domain::upstream`, `domain::group_choices`; the secrets of accounts are in [`upstream`] |
//! | accounts of groups | `domain::upstream_account`, `auth::sealing`, [`actors::group_accounts`], `upstream::group_logins`; `http::api::upstream_accounts` |
//! | which content a group may read | [`actors::blob_cache`] and [`actors::manifest_cache`], with the links in [`store::content`]; without a granted link, upstream decides |
//! | another kind of credential | [below](#another-kind-of-credential) |
//! | a route | [below](#a-route) |
//! | what is evicted | [below](#what-is-evicted) |
//! | removal of what is cached | [below](#removal-of-what-is-cached) |
//! | what is stored in another way | [below](#what-is-stored-in-another-way) |
//! | a second store, or another database or object store for a fleet | [`store`], "Another engine"; the contracts of [`store::content`] and [`store::identities`]; `server::components::stores`; [`admin`] |
//! | several replicas | [`domain::fleet`], which has the rules and their model; [`store::fleet`], [`actors::follower`], [`actors::policy_evaluator`] (`confirmer`, `validity`); `server::fleet` |
//! | what replicas share of upstream | [`store::fleet`] (`claims`), [`actors::shared_downloads`], [`actors::shared_manifests`], `upstream::replicas`, `http::replicas` |
//! | what replicas share of cached content | `store::content::fleet` (what a replica takes over), `store::fleet::content` (the index and the objects), [`actors::content_follower`], [`actors::fleet_keeper`] |
//! | redirects to the object store | `domain::redirects`, `http::registry::redirect`, `url` of `actors::blob_cache::handle::head`, `store::content::copies`, `store::fleet::bucket` |
//! | what else replicas share | sessions: [`actors::sessions`], `store::fleet` (`sessions`); failed logins: `actors::token_issuer::failure_counts`, `failed_logins`; limits of upstreams: `actors::upstream_fetcher` (`exchange`), `upstream_reports` |
//! | a request to a registry | [`upstream`], `upstream::mirrored` (the order of the registries), `upstream::registry` (one of them); its message and its rules: [`actors::upstream_fetcher`] |
//! | a setting | [below](#a-setting) |
//! | a key of the file of `apply` | `settings::state`, whose `group_settings` has the settings of groups; `config/company.toml`; `cli::apply::plan`, `cli::export` |
//! | what is kept of who pulled | `domain::pull_record`, [`actors::pull_records`], `store::embedded::index::pull_records`; `http::api::pulls`, `http::ui::image_pulls`, `cli::cache::pulls` |
//! | what is counted of pulls and bytes of a group | `domain::traffic` (by the hour, for 30 days), [`actors::traffic`], `actors::images::statistics`; `http::api::statistics`, `http::ui::chart` |
//! | anything else that is counted over time | as traffic is: `domain::traffic`, `actors::janitor::tasks` (writes and forgets it), [`store::content`] (contract), `store::embedded::index::opening`, `store::fleet::traffic` with a migration; what a fleet must count once: [`actors::fleet_keeper`] |
//! | what traces contain | `telemetry::trace`, `http::registry::traced`, `actors::upstream_fetcher::traced` |
//! | what is audited | `domain::audit`; `domain::audit::changes` makes events of writes; [`actors::audit`]; `http::api::caller` and `http::refusal_log::audited` note them; `store::embedded::events`; the file: `actors::audit::file`, [`store::audit_file`] |
//! | what a backup contains | [`store::embedded::backup`], which has the format; `settings::chosen` and `settings::restored`; [`admin::backup`], [`admin::restore`] |
//!
//! ## Another kind of credential
//!
//! 1. A field of `domain::token` or `domain::user`, or a new record of `domain::directory::record`.
//!    `Directory::records` must return a new record, because exports and restores use it; what iterates
//!    `Directory::tokens` does not see it: `actors::expiring_tokens`, `http::ui::expiring` and `counts`, the maximum
//!    number in `commands::token`, `embedded::recovery::takeover`, the counts of `admin`. `domain::regained` reports
//!    what a restore makes valid again. Another kind of token is a variant of `domain::token::TokenOwner`, and of
//!    [`domain::principal`](domain::principal::Principal) if it is one of its own; the compiler leads to the twenty or
//!    so files that match on them, and not to `matches!` and `_` (4.). A token that follows another rule than the
//!    others has a variant of `domain::policy::Identity`, too: `policy`, and `right_of_token` and `Puller::named` of
//!    `domain::explanation`, let a deploy token pull from the groups below its own. What is neither a token nor a
//!    password is a variant of `domain::directory::Credential` and of `Identity`. An older program cannot read a new
//!    variant of a record, and no replica may write one before all are of the new release: a migration raises
//!    `schema.oldest_reader`, which is read at a start only; see [below](#what-is-stored-in-another-way).
//! 2. Verification. Every identity that gets a login token needs a `CredentialId`: a login token without one stands
//!    for an anonymous caller (`auth::login::by_bearer`). The bearer token of a pull is a login token of this service.
//!    - With a login: `http::registry::token`, which reads HTTP Basic, and a form with the password grant only;
//!      `auth::login`, [`actors::token_issuer`]. A secret that has no known form counts as a password
//!      (`Login::PerhapsPassword`), whose verification is slow and limited. So a token whose secret this service makes
//!      is a variant of `auth::secret::Kind`, with a prefix, in `Kind::ALL`; a secret of another origin is a variant of
//!      `Form` there, on which `auth::login::by_token` decides. `auth::jwt` has the login tokens of this service alone.
//!      Of one, a pull reads the id of its credential alone. It ends after `auth.token_lifetime`. It may outlive its
//!      credential, which is why each pull looks at the credential again, and at its `expires_at`. Only what has no
//!      record needs an earlier `exp` (accepted for `LEEWAY_SECS` longer), which `Signer::sign` must be given, and an
//!      `expires_in` of `http::registry::token` (`auth.token_advertised`) that is not later. What else a pull must know
//!      is a new claim of `auth::jwt::claims`.
//!    - Without a login: `http::registry::authorized`. Verification ends with `policy::identify` and
//!      `policy::check_pull_scopes`, which only `auth::login` calls: add a function there, beside `by_bearer`.
//!    - A client certificate: `server::net::tls`, and `server::net::connection`, whose `on_connect_ext` gives requests
//!      the data of their connection. The API and the console have the same port, so that the certificate must be
//!      optional. A resumed session (`config.ticketer`) has the certificate of its first handshake, unverified.
//!      `watch` there reads the files of certificates again, and `faults` checks them.
//!    - [`auth`] does no I/O. Verification that waits belongs to an actor, as that of passwords belongs to
//!      [`actors::token_issuer`]; the client of other services (reqwest) belongs to [`upstream`].
//! 3. `domain::commands` and `http::api` create and revoke it, `domain::audit` names it, and so does
//!    `domain::explanation`. `change_builder` removes it with its user; `commands::group` and `retention` remove any
//!    token with its group, and long after its end. Of tokens that live for minutes, `http::ui::expiring` would warn of
//!    each, `http::api::pace` would count each, and their tombstones would push out others (`max_tombstones`).
//! 4. What the compiler does not find: for a credential that is not looked up by its SHA-256, `Subject::of` of
//!    `http::refusals::subject`, which reads the credential of a refused request from its headers, and `by_login`
//!    there, for which an unknown secret is one of the user with the name; a pull by a token without a user, which
//!    `Puller::is_deploy_token` and `cli::cache::pulls` take for a deploy token, because `http::api::pulls` has no
//!    kind; what `http::ui::image_pulls` and `cli::cache::pulls` show as the token of who pulled without one;
//!    `auth::secret::Kind::ALL`, without which secrets are neither recognised nor redacted; `audit::names`, which names
//!    the events; `settings::state`; `cli::token::owner`; the token pages of `http::ui`, whose sentences say what a
//!    deploy token may do.
//! 5. Tests and documents: `tests/suite/protocol`, the needles of `tests/suite/canary`, `tests/suite/isolation.rs`; the
//!    table of credentials in the README.
//!
//! ## A route
//!
//! 1. [`http`]: `http::configure`; `http::api::endpoints` for a route below `/api/v4`, which describes it as well;
//!    `configure_pages` of `http::ui` for a page. A page of a group needs no entry there, but one in
//!    `http::ui::group_pages` (the variant of `Page`, and its name in `parse`), and its tab in `http::ui::parts`.
//!    `http::ui::admin` and `http::ui::account` have the pages below `/-/admin` and `/-/account`.
//! 2. The checked caller: `http::registry::authorized` below `/v2`; `http::api::caller` below `/api/v4`, who has a
//!    token; `http::ui::visitor` for a page, who has a session instead and is a `Caller`, too; `http::ui::form` for
//!    what a page sends. What the API and the console both change has one function, as in `http::api::image_changes`;
//!    both read by the handles of `http::api::state`. Any other route that needs a caller calls a function that
//!    `http::api` re-exports, as `/readyz` calls `http::api::problems`.
//! 3. `http::api::params` and, for a list, `http::api::pagination`.
//! 4. `http::api::state` or `http::registry::state`: the handles, which `server::components` fills in. What a route
//!    shows of the store, an actor re-exports, as `actors::janitor` does with `Holdings`.
//! 5. `http::request_metrics`: the label of the route. All routes below `/api/v4` have one label, and all pages
//!    another.
//! 6. `http::refusals::place`, if the path names a group, and the reserved names of `domain::group`, if it begins with
//!    a new word.
//! 7. Tests and documents of an endpoint: `docs/api.md` (the test of `http::api::reference` prints its rows),
//!    `tests/suite/api_description.rs`, and `tests/clients/api_hooks.py` for parameters of a form that its description
//!    has in words. Of a page: `tests/suite/console`, and the lists of pages there: two in `browser.rs` (axe-core,
//!    widths), and those of `groups.rs` (tabs) and `addresses.rs` (what others do not see). No test finds a page for
//!    owners that takes `group` in place of `own_group`.
//!
//! ## What is evicted
//!
//! 1. [`domain::eviction`]: the order. Its priorities are stored, so that another meaning of them needs another format
//!    of the records. If a setting chooses between two rules, the second one must use other fields of the records, such
//!    as the time of the last read, so that a record means the same under both. Then only the first may raise the age
//!    (`Index::evicted`).
//! 2. `store::embedded::content::eviction`: what stays (pinned images, blobs that are being read), and the removal of
//!    files. One that cannot be removed gets the greatest number of reads, so that it is not the first again: a rule
//!    that looks neither at reads nor at the last read would choose it for ever. What was just stored is protected by
//!    its priority alone. `store::embedded::index::files` and `file_record`: the records of length, reads, last read
//!    and priority.
//! 3. `store::blobs::space`: how much, by `domain::quota` and `domain::min_free`.
//! 4. [`actors::evictor`]: the time. Downloads wait for room in `actors::blob_cache::writer`. Writers of small files
//!    wait in `with_room`, which is called by `actors::blob_cache::context`, and in [`actors::manifest_cache`] by `cache`,
//!    `cache::records` and `fetch`. `actors::janitor::tasks` keeps headroom, so that they seldom wait.
//! 5. `store::embedded::index::trimming`: the quotas of groups use the same order. The bucket of a fleet has another
//!    one, in SQL (manifests last, by the day of the last read, large content first): `SURPLUS` in
//!    `store::fleet::keeping` and, for the quotas of groups, in `keeping::quotas`.
//! 6. `benches/eviction` simulates caches on traces, and `benches/README.md` has its figures. Tests:
//!    `tests/suite/eviction.rs`.
//! 7. A setting for it belongs to `[storage]`, and reaches the index by `server::components::stores`.
//!
//! ## Removal of what is cached
//!
//! 1. [`actors::images`] and `JanitorHandle::remove_images`: single images. `JanitorHandle::purge`: all of a group.
//!    `actors::janitor::limits`: quotas of groups, images that nobody pulls, and what no image names.
//! 2. [`store::content`]: the operations, with their contract.
//! 3. `store::embedded::content::removal` and `unnamed`: what is selected. Below `store::embedded::index`: `removal`
//!    (images, links and notes), `trimming` (links, for quota and age), `purge` (a group).
//! 4. `actors::janitor::tasks`: removal of orphans, and repetition after a crash.
//! 5. `forget_group` of `ManifestCacheHandle` and `BlobCacheHandle`, which keep links in memory;
//!    `actors::memory_removals` guards them against a concurrent read of the store.
//! 6. In a fleet, `store::fleet::removal` removes from the shared index first, and [`actors::content_follower`] then
//!    from each replica. [`actors::fleet_keeper`] does what `janitor::limits` does on one machine.
//!
//! ## What is stored in another way
//!
//! 1. [`store`] `layout`: an upgrade for folders of the present layout. Its number follows from the number of upgrades.
//!    A tree of sled that is only added needs none: `store::embedded::index::opening` makes it. In a fleet: a migration
//!    in `store/fleet/migrations`.
//! 2. `store::embedded::fsck` and `store::embedded::index::examination`: what `fsck` expects of the files and the
//!    index.
//! 3. `actors::blob_cache::verifier`: the scrub of a running service.
//!
//! ## A setting
//!
//! 1. `config/default.toml`.
//! 2. A field of the struct that has the keys of its component: [`upstream`]`::ConnectionOptions`,
//!    `actors::manifest_cache::ManifestCacheOptions`, `actors::blob_cache::BlobCacheOptions`,
//!    `actors::cache_limits::CacheLimits` (of both caches, which count separately),
//!    `actors::blob_cache::VerifyOptions` (in `[storage]`), `actors::token_issuer::PasswordOptions`,
//!    `domain::limits::Limits`, [`telemetry`]`::LogOptions` and `TraceOptions`. A key of several components, or of the
//!    composition: `settings::sections` or `settings::server`.
//! 3. The parser of its value: [`formats`], and `formats::quantity` for sizes, durations and shares. Further rules:
//!    `check` in `settings::sections`.
//! 4. [`server`], which passes it to its component (`server::components`, and `stores` there); `server::capacity`, if
//!    the component holds files or connections open; `server::reload`, if it can change without a restart.
//! 5. A secret: `SECRETS` in `settings::secrets`, which also keeps it out of backups, and `load_secret_files` there,
//!    which reads its `_file` twin in the sections that it lists. `settings::chosen` looks for it in every section.
//!    A file that no backup contains, such as a certificate: its key in `FILES` of `settings::restored`.
//!    The JSON schema needs nothing: it is made from `config/default.toml` and the reader (`settings::schema`).
//! 6. `settings/tests/sentences.rs`, which has the keys of some sections word for word.
//!
//! # Glossary
//!
//! | term | meaning |
//! |---|---|
//! | request, response | HTTP, in either direction |
//! | upstream | a registry that images are pulled from, such as docker.io |
//! | origin | upstream + account + repository. Content is known per origin, because accounts of an upstream can read different content |
//! | mirror | another registry with the content of an upstream, which is requested before it |
//! | account | user name and password at an upstream, which this service uses for the groups that may use it; it may have a second credential. That of a group has an id, which changes with its password |
//! | group | a team, named by its path; groups nest |
//! | image | a tag or a digest that a group has pulled, with everything that its manifest names; a digest that another image of the group names is a part of that one |
//! | principal | the user or token that makes a request |
//! | credential | the password or token that proves the principal |
//! | login token | the JWT that the token endpoint issues; it stands for a credential, which is checked at every request |
//! | directory | an immutable snapshot of all users, groups, members and tokens |
//! | referenced link | record that a manifest of a group names a digest: the group may request it from upstream |
//! | granted link | record that upstream served a digest to the account of a group: the group may read the stored bytes |
//! | cache index, or index | which group may read what, what tags stand for, and which images groups have pulled; an *image index* (OCI) is a manifest that names manifests |
//! | data folder, cache folder | identities and index; manifests, blobs and the small files of the index. The second may be lost |
//! | tombstone | what is kept of a deleted token, so that its refusals can name it |
//! | negative entry | memory of a manifest that upstream does not have |
//! | event, audit trail | record of who changed what, or of what was refused; all of them |
//! | quota | maximum size of all stored content, or of what one group holds |
//! | pin | mark of an image, by its group: it is neither evicted nor removed for its age or for a quota |
//! | evict | remove files of stored content to free space; links and tags stay, so that the next pull downloads them again |
//! | trim | remove links of a group that holds more than its quota |
//! | removal | removal of single images from a group, and of the content that only they name |
//! | purge | removal of everything that a group has cached |
//! | state file | users, groups, members, tokens and settings of groups as TOML, which `apply` brings about |
//! | backup | one file of users, groups, tokens and settings, made beside a running service; without secrets unless they are wanted |
//! | scrub | verification, while the service runs, of all that is stored: at a bounded rate, again and again |
//! | finding | something that `fsck` found to be broken, or left by an interrupted process |
//! | quarantine | folder in the cache folder with what `fsck --repair` found to be broken; nothing reads it |
//! | layout | version of the files in the data folder or the cache folder; a later one than the program knows is refused |
//! | note | small file that records a purge or a removal until it is complete, so that it is repeated after a crash |
//! | orphan | content to which no group has a link any more |
//! | hit, miss, stale, revalidated, coalesced | outcome of a cache lookup; compare RFC 9211, `Cache-Status` |
//! | fresh, time to live (TTL) | how long an entry is used without revalidation |
//! | single flight | several callers share one request; those who did not start it are coalesced |
//! | turn | the next that a group may do where several groups need the same: a permit, or the time of a worker thread |
//! | admission limit, permit | a bounded number of concurrent holders, with a gauge and a refusal |
//! | chunk | bytes in memory on their way to a client |
//! | file range | part of a file on its way to a client, which `sendfile(2)` sends |
//! | spool | the folder of downloads that are not verified yet |
//! | replica, fleet | one of several processes that share their identities and cached content; all of them |
//! | engine | what stands behind a store: sled and files, or PostgreSQL and an object store, which replicas share |
//! | look | a replica's request for the changes that others have made; the directory may be used for the *bound* (`fleet.bound`) after it |
//! | object | verified content in the bucket of a fleet; *doomed* ten minutes before it is deleted |
//! | take over | to put what another replica has cached into the index of this one |
//! | change log | the changes of identities in the object store, for replicas that cannot reach the database |
//! | lead, follow | to send a request upstream for all replicas; to get the content from the replica that does |
//! | actor | the owner of mutable state |
//! | handle | the only access to an actor that other code has |
//!
//! # Layers and allowed dependencies
//!
//! ```text
//! main -> cli -> server -> http -> actors -> {upstream, store -> auth} -> domain
//!            \-> admin --------------------> {store -> auth} -----------/
//! ```
//!
//! An arrow allows what is to its right, with two exceptions: `cli` reaches the routes, the actors, the store and
//! upstreams through `server` only, and `http` names neither `store` nor `upstream`. Three layers are beside the
//! drawing:
//!
//! | layer | is named by | names |
//! |---|---|---|
//! | `settings` | `cli`, `server` | `actors`, `upstream`, `store` and `telemetry`, which have structs of their own keys; `domain`, `formats` |
//! | `telemetry` | `cli`, `server`, `http`, `actors`, `settings` | `formats` |
//! | `formats` | `cli`, `settings`, `actors`, `upstream`, `telemetry` | `domain` |
//!
//! `fuzzing` is not of the product: properties of parsers, for tests and for the targets in `tests/fuzz`.
//!
//! A test walks `src/` and fails with file and line where a layer names what it must not. Its tables are what counts
//! (`tests/suite/layers.rs`).
//!
//! | layer | content | is nearly the only one to use |
//! |---|---|---|
//! | [`domain`] | names, digests, identities, policy, manifests, the download state machine: pure | |
//! | [`auth`] | secrets, passwords, login tokens: pure but for random bits | jsonwebtoken, argon2 |
//! | [`upstream`] | the client of registries: challenges, tokens, redirects | reqwest |
//! | [`store`] | identities, index, manifests, blobs | sled, the file system, tokio-postgres, object_store |
//! | [`actors`] | owners of mutable state, and queues before scarce resources | actix |
//! | [`http`] | routes: `registry/` for clients of images, `api/` for the REST API, `ui/` for the console | actix_web |
//! | [`server`] | composition, start and stop; `net/`: listeners, sockets, TLS | |
//! | [`admin`] | commands on a data folder: backups and keys beside a running service, all else on a stopped one | |
//! | [`cli`] | subcommands | clap |
//! | [`settings`] | the settings, from file and environment | |
//! | [`formats`] | parsers of single values in the settings | |
//! | [`telemetry`] | logs, metrics and traces | opentelemetry |
//!
//! # Invariants
//!
//! 1. `domain` does no I/O, reads no clock and names no framework.
//! 2. No bytes of a blob pass through a mailbox. Actors coordinate; bytes go between disk and socket.
//! 3. No route reaches content or a change without a checked caller: `http::registry::authorized::Authorized` for the
//!    registry, `http::api::caller::Caller` for the REST API and the console. Each has one constructor.
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
#![doc = include_str!("drawings.md")]

pub mod actors;
pub mod admin;
pub mod auth;
pub mod cli;
pub mod domain;
pub mod formats;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod http;
pub mod server;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod upstream;
