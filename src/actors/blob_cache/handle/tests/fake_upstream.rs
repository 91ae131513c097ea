//! Fake upstream, which cuts connections, sends wrong content, stalls and panics according to a script.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use tokio::time::sleep;

use crate::actors::upstream_fetcher::{GetBlob, GetBlobRange, HeadBlob, Requests};
use crate::upstream::{Content, ContentHead, UpstreamError};

/// Behaviour of the fake upstream at one request. Requests beyond the script get the correct response.
#[derive(Clone)]
pub(super) enum Reply {
    Refuse(UpstreamError),
    /// The right bytes up to this one, then the connection breaks.
    CutAt(usize),
    /// The right bytes up to this one, then a clean end.
    EndAt(usize),
    /// All bytes, of which this one is wrong.
    Corrupt(usize),
    /// The right bytes, with this length in the head.
    Tell(Option<u64>),
    PanicAt(usize),
    Silence,
}

pub(super) struct FakeUpstream {
    pub(super) content: Bytes,
    pub(super) chunk: usize,
    pub(super) pause: Duration,
    pub(super) script: Mutex<VecDeque<Reply>>,
    pub(super) heads: Mutex<VecDeque<Reply>>,
    pub(super) blob_requests: Mutex<Vec<u64>>,
    pub(super) head_requests: AtomicUsize,
    pub(super) ranges: Mutex<VecDeque<Reply>>,
    pub(super) range_requests: Mutex<Vec<Range<u64>>>,
}

type Arriving = Result<Bytes, UpstreamError>;

impl FakeUpstream {
    pub(super) fn of(length: usize) -> Self {
        let content = (0..length).map(|n| (n * 7 + n / 251) as u8).collect();
        Self {
            content,
            chunk: 16 * 1024,
            pause: Duration::ZERO,
            script: Mutex::default(),
            heads: Mutex::default(),
            blob_requests: Mutex::default(),
            head_requests: AtomicUsize::new(0),
            ranges: Mutex::default(),
            range_requests: Mutex::default(),
        }
    }

    pub(super) fn replying(self, script: impl IntoIterator<Item = Reply>) -> Self {
        self.script.lock().unwrap().extend(script);
        self
    }

    /// Sets the replies to requests for bounded ranges. The length of [`Reply::Tell`] is that of the whole blob.
    pub(super) fn replying_to_ranges(self, script: impl IntoIterator<Item = Reply>) -> Self {
        self.ranges.lock().unwrap().extend(script);
        self
    }

    pub(super) fn requested_ranges(&self) -> Vec<Range<u64>> {
        self.range_requests.lock().unwrap().clone()
    }

    pub(super) fn gets(&self) -> Vec<u64> {
        self.blob_requests.lock().unwrap().clone()
    }

    pub(super) fn chunks(&self, from: u64, to: usize, corrupt: Option<usize>) -> BoxStream<'static, Arriving> {
        let mut content = self.content.to_vec();
        if let Some(at) = corrupt {
            content[at] ^= 1;
        }
        let chunks: Vec<Bytes> = content[from as usize..to].chunks(self.chunk).map(Bytes::copy_from_slice).collect();
        let pause = self.pause;
        stream::iter(chunks)
            .then(move |chunk| async move {
                if !pause.is_zero() {
                    sleep(pause).await;
                }
                Ok(chunk)
            })
            .boxed()
    }
}

fn broken() -> UpstreamError {
    UpstreamError::Interrupted { reason: "cut".to_owned() }
}

impl Requests<GetBlob> for FakeUpstream {
    fn request(&self, GetBlob { from, .. }: GetBlob) -> BoxFuture<'static, Result<Content, UpstreamError>> {
        self.blob_requests.lock().unwrap().push(from);
        let reply = self.script.lock().unwrap().pop_front();
        let whole = self.content.len();
        let mut length = Some(whole as u64);
        let stream = match reply {
            None => self.chunks(from, whole, None),
            Some(Reply::Refuse(error)) => return Box::pin(async { Err(error) }),
            Some(Reply::CutAt(at)) => self.chunks(from, at, None).chain(stream::iter([Err(broken())])).boxed(),
            Some(Reply::EndAt(at)) => self.chunks(from, at, None),
            Some(Reply::Corrupt(at)) => self.chunks(from, whole, Some(at)),
            Some(Reply::Tell(reported)) => {
                length = reported;
                self.chunks(from, whole, None)
            }
            Some(Reply::PanicAt(at)) => {
                self.chunks(from, at, None).chain(stream::once(async { panic!("a fault of ours") })).boxed()
            }
            Some(Reply::Silence) => stream::pending().boxed(),
        };
        let head = ContentHead { length, ..ContentHead::default() };
        Box::pin(async { Ok(Content { head, stream, mirror: None }) })
    }
}

impl Requests<GetBlobRange> for FakeUpstream {
    fn request(
        &self,
        GetBlobRange { range, .. }: GetBlobRange,
    ) -> BoxFuture<'static, Result<Option<Content>, UpstreamError>> {
        self.range_requests.lock().unwrap().push(range.clone());
        let (whole, mut length) = (self.content.len(), Some(self.content.len() as u64));
        let (from, end) = (range.start, (range.end as usize).min(whole));
        if from >= whole as u64 {
            return Box::pin(async { Err(UpstreamError::WrongRange) });
        }
        let stream = match self.ranges.lock().unwrap().pop_front() {
            Some(Reply::Refuse(error)) => return Box::pin(async { Err(error) }),
            Some(Reply::Silence) => return Box::pin(async { Ok(None) }),
            Some(Reply::CutAt(at)) => self.chunks(from, at, None).chain(stream::iter([Err(broken())])).boxed(),
            Some(Reply::EndAt(at)) => self.chunks(from, at, None),
            Some(Reply::Tell(reported)) => {
                length = reported;
                self.chunks(from, end, None)
            }
            Some(Reply::Corrupt(_) | Reply::PanicAt(_)) => self.chunks(from, end + 1, None),
            None => self.chunks(from, end, None),
        };
        let head = ContentHead { length, ..ContentHead::default() };
        Box::pin(async { Ok(Some(Content { head, stream, mirror: None })) })
    }
}

impl Requests<HeadBlob> for FakeUpstream {
    fn request(&self, _: HeadBlob) -> BoxFuture<'static, Result<ContentHead, UpstreamError>> {
        self.head_requests.fetch_add(1, Ordering::SeqCst);
        let length = match self.heads.lock().unwrap().pop_front() {
            Some(Reply::Refuse(error)) => Err(error),
            Some(Reply::Tell(length)) => Ok(length),
            _ => Ok(Some(self.content.len() as u64)),
        };
        Box::pin(async move {
            sleep(Duration::from_millis(5)).await;
            length.map(|length| ContentHead { length, ..ContentHead::default() })
        })
    }
}
