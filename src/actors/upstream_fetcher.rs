//! The UpstreamFetcher: all requests to upstream registries. Owns the limits, backoffs and timeouts of each upstream
//! and account. Its requests run on its own arbiter, where their connections live; the bytes of a response go from the
//! connection to the reader, not through a mailbox.
//!
//! | file | content |
//! |---|---|
//! | [`request`] | the requests, each with the rules of its kind |
//! | [`handle`] | [`UpstreamHandle`]: sends requests; replaces the upstreams |
//! | [`current`] | the configured upstreams and their limits |
//! | [`fetcher`], [`messages`] | the actor: backoff, pull limit, and what an outcome shows; its messages |
//! | [`request_task`] | the tasks in which requests run: permit, timeout, mirrors |
//! | [`exchange`], [`unwritten`] | reports about the limits of upstreams that replicas exchange |
//! | [`gates`] | where requests wait while upstream's limit is reached (429) |
//! | [`limits`], [`permits`] | permits of one upstream, for which groups take turns |
//! | [`account_test`] | the test of an account, for people |
//! | [`states`] | states of upstreams, for people and metrics |
//! | [`traced`] | the spans of requests in traces |
//! | [`backoffs`] | recent failures by upstream, account and repository |

mod account_test;
mod backoffs;
mod current;
mod exchange;
mod fetcher;
mod gates;
mod handle;
mod limits;
mod messages;
mod permits;
mod request;
mod request_task;
mod states;
mod traced;
mod unwritten;

#[cfg(test)]
mod tests;

pub use self::account_test::{AccountTest, TestResult};
pub use self::handle::{Requests, UpstreamHandle};
pub use self::limits::UpstreamQueue;
pub use self::permits::{Pool, UpstreamPermit};
pub use self::request::{
    ContentKind, GetBlob, GetBlobRange, GetManifest, HeadBlob, HeadManifest, ListReferrers, ListTags, TryAccount,
    UpstreamRequest, Urgency, Verdict,
};
pub use self::states::{AccountHealth, AccountState};
