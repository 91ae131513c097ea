//! `dependency-proxy`: a private pull-through cache for container images.
//!
//! Teams ("groups") pull images through `HOST/<group path>/dependency_proxy/containers/<image>:<tag>`. The first pull fetches
//! from the upstream registry and is streamed to the client while it is stored; every later pull is served from this machine.
//! Who may pull is decided per group, at every request.
//!
//! # Life of a pull
//!
//! 1. `GET /v2/` without a token is answered with a challenge that names `/jwt/auth` ([`http`]).
//! 2. `GET /jwt/auth` with a user name and a secret: the [`TokenIssuer`](actors::token_issuer) finds the credential, checks that it
//!    is active and that its scopes are enough, and signs a JWT that carries the credential's id ([`auth::jwt`]).
//! 3. `GET /v2/<group>/dependency_proxy/containers/<image>/manifests/<tag>`: the signature, the credential, the user and the
//!    group are checked against the present [`Directory`](domain::directory::Directory), a snapshot that the
//!    [`PolicyEvaluator`](actors::policy_evaluator) publishes. The rules stand in [`domain::policy`].
//! 4. The [manifests](actors::manifests) come from memory where the group has a link to them and the tag is fresh; else the
//!    [ManifestCache](actors::manifest_cache) asks upstream, once for everyone who asks.
//! 5. `GET .../blobs/<digest>`: a committed blob is a file. A missing one is downloaded once by the
//!    [BlobCache](actors::blob_cache) into a growing file that every asker follows; [`domain::download`] is that download's life.
//!    A `HEAD`, and a range that has not arrived, are requests to upstream of their own and begin no download.
//!
//! # How a connection is served
//!
//! Each serving thread has a listener of its own on the one port (`server::workers`): handing connections over from an accepting thread,
//! as actix-server does, cost a third of what a connection for one request takes. The same HTTP/1 of actix-http stands over a plain
//! socket and over TLS (`server::clients`). The plain socket sends files with `sendfile(2)` in its own flush: a body lends its
//! connection's [`Lane`](http) a part of a file, which leaves after the head and before the next answer (`server::socket`).
//!
//! # Rooms, and who may use whom
//!
//! `main -> cli -> server -> http -> actors -> {upstream, store, auth} -> domain`. An arrow allows everything to its right, except
//! that `http` names neither `store` nor `upstream`. `settings` is seen by `cli` and `server` alone. A test walks the
//! source and fails where a room names what it must not.
//!
//! | room | what it is | the only one that knows |
//! |---|---|---|
//! | [`domain`] | names, identities, policy, downloads: pure | |
//! | [`auth`] | secrets, passwords, JWTs: pure but for random bits | jsonwebtoken, argon2 |
//! | [`upstream`] | the client of registries | reqwest |
//! | [`store`] | identities, index, blobs | sled, the file system |
//! | [`actors`] | owners of what changes, queues before what is scarce | actix |
//! | [`http`] | routes | actix_web |
//! | [`settings`], [`telemetry`], [`server`] | configuration, logs and numbers, putting it all together | |
//!
//! # Invariants
//!
//! 1. `domain` does no I/O, reads no clock and names no framework.
//! 2. No bytes of a blob pass through a mailbox: they go between the disk and the socket.
//! 3. No route reaches content or a change without a checked caller: `http::authorized::Authorized` for the registry,
//!    `http::api::caller::Caller` for the REST API.
//! 4. Nothing is stored whose digest was not verified, and the last byte of a blob leaves only once its digest holds. Ranges of a
//!    blob that is not stored cannot be verified: they leave as ranges, are not stored, and grant no link (`actors::blob_cache::ranges`).
//! 5. The index can be rebuilt from the files beside manifests and links. A change of identities is on the disk before it is
//!    acknowledged, first in a journal of its own, so that a start can tell that it is missing (`store::journal`).
//! 6. A hit asks nobody: no upstream, no mailbox, no disk that would have to be waited for on a worker's thread.
//! 7. Every queue has a bound, a gauge and a refusal.
//! 8. A group sees what upstream gave it. A link (group, upstream, account, repository, digest) opens stored bytes only where
//!    upstream was seen to give them to that account; a manifest's naming them is not enough.

pub mod actors;
pub mod admin;
pub mod auth;
pub mod cli;
pub mod domain;
pub mod http;
pub mod server;
pub mod settings;
pub mod store;
pub mod telemetry;
pub mod upstream;
