//! Upstream in an interleaving: each response, chunk and failure waits for its turn. It refuses, cuts, stalls, ends
//! early, sends wrong bytes, resumes at another offset, states wrong lengths, and panics, as the seed determines.

use std::collections::VecDeque;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};

use super::oracle::{Kind, Oracle, UnderWay};
use super::random::Random;
use super::scenario::Scenario;
use super::scheduler::Scheduler;
use super::step::Who;
use crate::actors::admission::AdmissionLimit;
use crate::actors::upstream_fetcher::{GetBlob, GetBlobRange, HeadBlob, Requests};
use crate::domain::digest::Digest;
use crate::domain::origin::Origin;
use crate::upstream::{Content, ContentHead, HttpFailure, RateLimit, UpstreamError};

#[derive(Clone)]
pub(super) struct Upstream(Arc<Shared>);

struct Shared {
    content: Bytes,
    scheduler: Scheduler,
    oracle: Oracle,
    choices: Mutex<Choices>,
    /// The limit of upstream streams for single clients, and its size.
    unstored_streams: Mutex<Option<(AdmissionLimit, usize)>>,
}

struct Choices {
    random: Random,
    faults: u64,
    requests: usize,
}

/// An item of a response.
enum Item {
    Bytes(Bytes),
    Fail(UpstreamError),
    Panic,
    Silence,
}

/// A response: the length that it states, and its items.
struct Reply {
    length: Option<u64>,
    items: VecDeque<Item>,
}

type Arriving = BoxStream<'static, Result<Bytes, UpstreamError>>;

impl Upstream {
    pub(super) fn new(scenario: &Scenario, scheduler: &Scheduler, oracle: &Oracle) -> Self {
        let choices = Choices { random: Random::new(scenario.seed, 2), faults: scenario.faults, requests: 0 };
        Self(Arc::new(Shared {
            content: scenario.content.clone(),
            scheduler: scheduler.clone(),
            oracle: oracle.clone(),
            choices: Mutex::new(choices),
            unstored_streams: Mutex::default(),
        }))
    }

    /// Makes each response right from now on.
    pub(super) fn recover(&self) {
        self.choices().faults = 0;
    }

    pub(super) fn bounded_by(&self, unstored_streams: AdmissionLimit, max: usize) {
        *self.0.unstored_streams.lock().unwrap() = Some((unstored_streams, max));
    }

    fn choices(&self) -> MutexGuard<'_, Choices> {
        self.0.choices.lock().unwrap()
    }

    /// Begins a request, and returns its number and the kind of its fault.
    fn begin(&self, origin: &Origin, kind: Kind) -> (Who, UnderWay, Option<u64>) {
        let max = match kind {
            // One of the download, and one of each client that the blob is passed on to unstored.
            Kind::Content => {
                let limit = self.0.unstored_streams.lock().unwrap();
                let passed_on = limit.as_ref().map_or(0, |(limit, max)| max - limit.free());
                if passed_on > 0 {
                    self.0.oracle.known().sees("a blob is passed on unstored");
                }
                1 + passed_on
            }
            // One of all callers together, and one of the download, whose response states no length.
            Kind::Head => 2,
            // Each caller's own.
            Kind::Range => usize::MAX,
        };
        let under_way = self.0.oracle.begin(origin, kind, max);
        let mut choices = self.choices();
        choices.requests += 1;
        let (faults, number) = (choices.faults, choices.requests);
        let is_wrong = faults > 0 && choices.random.one_in(faults);
        let fault = is_wrong.then(|| choices.random.below(12));
        (Who::Upstream(number), under_way, fault)
    }

    fn length(&self) -> u64 {
        self.0.content.len() as u64
    }

    fn note(&self, note: impl FnOnce() -> String) {
        self.0.scheduler.note(note);
    }

    /// Returns a length that is wrong.
    fn wrong_length(&self) -> Option<u64> {
        self.0.oracle.known().is_length_wrong = true;
        let (length, choice) = (self.length(), self.choices().random.below(4));
        let wrong = [length + 1, length.saturating_sub(1), length / 2, 0][choice as usize];
        Some(if wrong == length { length + 2 } else { wrong })
    }

    fn reply(&self, from: u64, to: u64, fault: Option<u64>) -> Result<Reply, UpstreamError> {
        let mut length = Some(self.length());
        let mut bytes = self.0.content.slice(from as usize..to as usize).to_vec();
        let at = self.choices().random.below(bytes.len() as u64 + 1) as usize;
        let mut last = None;
        match fault {
            Some(0) => return Err(self.refusal()),
            Some(1) => length = None,
            Some(2) => length = self.wrong_length(),
            Some(3) => (_, last) = (bytes.truncate(at), Some(Item::Fail(broken()))),
            Some(4) => {
                self.0.oracle.known().is_cut = true;
                bytes.truncate(at);
            }
            Some(5 | 10) => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1;
                }
                length = length.filter(|_| fault == Some(5));
            }
            // From the beginning, as if it had ignored the offset; or from a later byte.
            Some(6) => bytes = self.0.content[if from > 0 { 0 } else { self.0.content.len().min(1) }..].to_vec(),
            Some(7) => bytes.extend([7, 8].iter().take(1 + at % 2)),
            Some(8) => (_, last) = (bytes.truncate(at), Some(Item::Silence)),
            Some(9) => (_, last) = (bytes.truncate(at), Some(Item::Panic)),
            Some(_) => (length, last) = (None, Some(Item::Fail(broken()))),
            None => {}
        }
        let mut items: VecDeque<Item> = self.chunks(bytes.into()).into_iter().map(Item::Bytes).collect();
        items.extend(last);
        Ok(Reply { length, items })
    }

    /// Cuts bytes into chunks, some of which may be empty.
    fn chunks(&self, mut bytes: Bytes) -> Vec<Bytes> {
        let random = &mut self.choices().random;
        let mut chunks = Vec::new();
        for _ in 0..random.below(4) {
            chunks.push(bytes.split_to(random.below(bytes.len() as u64 + 1) as usize));
        }
        chunks.push(bytes);
        chunks
    }

    fn refusal(&self) -> UpstreamError {
        let retry_after = Some(Duration::from_millis(300));
        let failed = HttpFailure { status: 503, code: None, message: None, retry_after: None };
        self.choices().random.of(&[
            UpstreamError::NotFound,
            UpstreamError::Denied { message: None },
            UpstreamError::TimedOut,
            UpstreamError::RateLimited(RateLimit { limit: None, window: None, retry_after }),
            UpstreamError::ServerError(failed),
            UpstreamError::WrongRange,
        ])
    }

    /// Returns the stream of a response, whose bytes are sent as those from this position on.
    fn stream(&self, who: Who, kind: Kind, position: u64, items: VecDeque<Item>, under_way: UnderWay) -> Arriving {
        let this = self.clone();
        stream::try_unfold((items, position, under_way), move |(mut items, position, under_way)| {
            let (this, item) = (this.clone(), items.pop_front());
            async move {
                this.0.scheduler.turn(who).await;
                let bytes = match item {
                    None => return Ok(None),
                    Some(Item::Fail(error)) => return Err(error),
                    Some(Item::Panic) => resume_unwind(Box::new("a fault of ours")),
                    Some(Item::Silence) => std::future::pending().await,
                    Some(Item::Bytes(bytes)) => bytes,
                };
                this.note(|| format!("{who:?} sends {} bytes as those from {position} on", bytes.len()));
                this.0.oracle.sends(kind, position, &bytes);
                let next = position + bytes.len() as u64;
                Ok(Some((bytes, (items, next, under_way))))
            }
        })
        .boxed()
    }
}

fn broken() -> UpstreamError {
    UpstreamError::Interrupted { reason: "cut".to_owned() }
}

impl Requests<GetBlob> for Upstream {
    fn request(&self, GetBlob { origin, from, .. }: GetBlob) -> BoxFuture<'static, Result<Content, UpstreamError>> {
        let (this, (who, under_way, fault)) = (self.clone(), self.begin(&origin, Kind::Content));
        if from > 0 {
            self.0.oracle.known().sees("a download goes on");
        }
        self.note(|| format!("{who:?} is the content from {from} on, fault {fault:?}"));
        Box::pin(async move {
            this.0.scheduler.turn(who).await;
            if from > this.length() {
                return Err(UpstreamError::WrongRange);
            }
            let Reply { length, items } = this.reply(from, this.length(), fault)?;
            this.0.oracle.known().accepted.insert(origin);
            let stream = this.stream(who, Kind::Content, from, items, under_way);
            Ok(Content { head: ContentHead { length, ..ContentHead::default() }, stream, mirror: None })
        })
    }
}

impl Requests<GetBlobRange> for Upstream {
    fn request(
        &self,
        GetBlobRange { origin, range, .. }: GetBlobRange,
    ) -> BoxFuture<'static, Result<Option<Content>, UpstreamError>> {
        let (this, (who, under_way, fault)) = (self.clone(), self.begin(&origin, Kind::Range));
        self.note(|| format!("{who:?} is the range {range:?}, fault {fault:?}"));
        Box::pin(async move {
            this.0.scheduler.turn(who).await;
            if range.start >= this.length() {
                return Err(UpstreamError::WrongRange);
            }
            if fault == Some(11) {
                return Ok(None);
            }
            let Reply { length, items } = this.reply(range.start, range.end.min(this.length()), fault)?;
            this.0.oracle.known().accepted.insert(origin);
            let stream = this.stream(who, Kind::Range, range.start, items, under_way);
            Ok(Some(Content { head: ContentHead { length, ..ContentHead::default() }, stream, mirror: None }))
        })
    }
}

impl Requests<HeadBlob> for Upstream {
    fn request(
        &self,
        HeadBlob { origin, digest, .. }: HeadBlob,
    ) -> BoxFuture<'static, Result<ContentHead, UpstreamError>> {
        let (this, (who, under_way, fault)) = (self.clone(), self.begin(&origin, Kind::Head));
        self.note(|| format!("{who:?} is a HEAD, fault {fault:?}"));
        Box::pin(async move {
            this.0.scheduler.turn(who).await;
            let _under_way = under_way;
            let mut head = ContentHead { length: Some(this.length()), ..ContentHead::default() };
            match fault {
                Some(0..=3) => return Err(this.refusal()),
                Some(4..=6) => head.length = None,
                Some(7) => head.digest = Some(Digest::from_bytes([7; 32])),
                Some(8) => resume_unwind(Box::new("a fault of ours")),
                Some(_) => head.length = this.wrong_length(),
                None => head.digest = Some(digest),
            }
            this.0.oracle.known().accepted.insert(origin);
            Ok(head)
        })
    }
}
