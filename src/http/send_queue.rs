//! State of one connection that its response bodies and its socket share: the file range to send next, whether a
//! response is in progress, and whether the connection closes after it. Used within one thread.
//!
//! A body puts one file range at a time into the queue. The socket sends it in its flush, after all that was written
//! before, and wakes the task, so that the body can put the next one.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::Waker;

use metrics::Counter;

use crate::actors::blob_cache::FileRange;
use crate::domain::id::GroupId;

/// Handle of the state of one connection. Cheap to clone; all clones share the state.
#[derive(Clone, Default)]
pub(crate) struct SendQueue(Rc<Shared>);

#[derive(Default)]
struct Shared {
    state: RefCell<State>,
    /// Number of requests and response bodies that are in progress.
    in_progress: Cell<usize>,
    /// True if the bytes that are still to be written are one whole response, after which the connection closes.
    ending: Cell<bool>,
    /// True if bytes are encrypted before they reach the socket, which therefore cannot send files.
    encrypted: Cell<bool>,
    /// Number of requests that were read.
    requested: Cell<u64>,
    /// Number of responses that have begun.
    begun: Cell<u64>,
    /// True once the client has closed its sending side.
    half_closed: Cell<bool>,
    /// True if the connection closes after the response to the present request.
    last: Cell<bool>,
    /// True if the rest of the present request is not read.
    cut: Cell<bool>,
    /// The task that is woken when the next response begins.
    next_response: Cell<Option<Waker>>,
    /// The group of the last request for which one is known.
    group: Cell<Option<GroupId>>,
}

#[derive(Default)]
enum State {
    #[default]
    Empty,
    FileRange(FileRange, Counter),
    /// A response was dropped in the middle of a file range. The client could not distinguish what follows from the
    /// rest of it, so the connection must be closed.
    Cut,
}

/// The right of a body to send files on its connection. If it is dropped while a file range is being sent, the
/// connection is closed.
pub(crate) struct PendingSend {
    queue: SendQueue,
    _in_progress: InProgress,
}

/// The file range that a socket is about to send, as far as it affects the socket's options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NextSend {
    /// Number of bytes that remain.
    pub(crate) length: u64,
    /// True if more bytes follow without delay.
    pub(crate) followed: bool,
}

/// A request or a response body in progress. The connection is not idle while one exists.
pub(crate) struct InProgress(SendQueue);

/// A request whose response has not begun. Dropping it marks the response as begun.
pub(crate) struct PendingRequest {
    queue: SendQueue,
    _in_progress: InProgress,
}

impl PendingSend {
    /// Hands a file range to the socket, which adds the bytes that it sends to `sent`. The previous range must have
    /// been sent.
    pub(crate) fn put(&self, part: FileRange, sent: Counter) {
        let mut state = self.queue.0.state.borrow_mut();
        if let State::Empty = *state {
            *state = State::FileRange(part, sent);
        }
    }

    /// Returns true if the socket accepts files.
    pub(crate) fn takes_files(&self) -> bool {
        self.queue.takes_files()
    }

    /// Returns true if everything was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Drop for PendingSend {
    fn drop(&mut self) {
        let mut state = self.queue.0.state.borrow_mut();
        if let State::FileRange(..) = *state {
            *state = State::Cut;
        }
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.0.in_progress.update(|in_progress| in_progress - 1);
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        self.queue.0.begun.update(|begun| begun + 1);
        if let Some(waker) = self.queue.0.next_response.take() {
            waker.wake();
        }
    }
}

impl SendQueue {
    /// Registers a request, whose response begins when the returned value is dropped.
    pub(crate) fn begin_request(&self) -> PendingRequest {
        self.0.requested.update(|requested| requested + 1);
        PendingRequest { queue: self.clone(), _in_progress: self.begin() }
    }

    /// Records the group of the present request.
    pub(crate) fn set_group(&self, group: GroupId) {
        self.0.group.set(Some(group));
    }

    /// Returns the group of the last request for which one is known.
    pub(crate) fn group(&self) -> Option<GroupId> {
        self.0.group.get()
    }

    /// Returns the number of requests that routes have got on this connection.
    pub(crate) fn requested(&self) -> u64 {
        self.0.requested.get()
    }

    /// Returns true if there is a request whose response has not begun.
    pub(crate) fn is_pending(&self) -> bool {
        self.0.requested.get() > self.0.begun.get()
    }

    /// Records that the client has closed its sending side. It may still wait for responses, or be gone.
    pub(crate) fn set_half_closed(&self) {
        self.0.half_closed.set(true);
    }

    /// Returns true if the client has closed its sending side.
    pub(crate) fn is_half_closed(&self) -> bool {
        self.0.half_closed.get()
    }

    /// Sets whether the connection closes after the response to the present request.
    pub(crate) fn set_last(&self, last: bool) {
        self.0.last.set(last);
    }

    /// Returns true if the connection closes after the response to the present request.
    pub(crate) fn is_last(&self) -> bool {
        self.0.last.get()
    }

    /// Records that the rest of the present request is not read: the connection closes after its response.
    pub(crate) fn cut_request(&self) {
        self.0.cut.set(true);
    }

    /// Returns true if the rest of the present request is not read.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.cut.get()
    }

    /// Returns the number of responses that have begun on this connection.
    pub(crate) fn begun(&self) -> u64 {
        self.0.begun.get()
    }

    /// Wakes this task when the next response begins. Replaces the task that was set before.
    pub(crate) fn wake_at_next_response(&self, waker: &Waker) {
        self.0.next_response.set(Some(waker.clone()));
    }

    /// Registers the body of a response.
    pub(crate) fn enter(&self) -> PendingSend {
        PendingSend { queue: self.clone(), _in_progress: self.begin() }
    }

    /// Registers a request or a response body as in progress.
    pub(crate) fn begin(&self) -> InProgress {
        self.0.in_progress.update(|in_progress| in_progress + 1);
        InProgress(self.clone())
    }

    /// Records that bytes are encrypted before they reach the socket.
    pub(crate) fn encrypt(&self) {
        self.0.encrypted.set(true);
    }

    /// Returns true if the socket accepts files. It does not if bytes must be encrypted.
    pub(crate) fn takes_files(&self) -> bool {
        !self.0.encrypted.get()
    }

    /// Returns true if no request and no response is in progress, and everything was sent.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.in_progress.get() == 0 && self.is_empty()
    }

    /// Returns true if everything was sent.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(*self.0.state.borrow(), State::Empty)
    }

    /// Returns the number of bytes that remain of the file range, 0 if its response was dropped, and `None` if
    /// there is none.
    pub(crate) fn length(&self) -> Option<u64> {
        match &*self.0.state.borrow() {
            State::Empty => None,
            State::FileRange(part, _) => Some(part.length()),
            State::Cut => Some(0),
        }
    }

    /// Returns the file range that is to be sent, if there is one.
    pub(crate) fn waiting(&self) -> Option<NextSend> {
        match &*self.0.state.borrow() {
            State::FileRange(part, _) => Some(NextSend { length: part.length(), followed: part.is_followed() }),
            State::Empty | State::Cut => None,
        }
    }

    /// Sets whether the bytes that are still to be written are one whole response, after which the connection
    /// closes.
    pub(crate) fn set_ending(&self, ending: bool) {
        self.0.ending.set(ending);
    }

    /// Returns true if the bytes that are written should leave in one packet with the FIN.
    pub(crate) fn is_ending(&self) -> bool {
        self.0.ending.get()
    }

    /// Sends as many bytes as a non-blocking socket accepts at once, but at most `max_bytes`. Returns their number.
    ///
    /// # Errors
    /// `WouldBlock` if the socket accepts nothing. After any other error the connection must be closed.
    pub(crate) fn send_to(&self, socket: impl AsFd, max_bytes: usize) -> io::Result<u64> {
        let mut state = self.0.state.borrow_mut();
        match &mut *state {
            State::Empty => Ok(0),
            State::FileRange(part, counter) => {
                let sent = part.send_to(socket, max_bytes)?;
                counter.increment(sent);
                if part.length() == 0 {
                    *state = State::Empty;
                }
                Ok(sent)
            }
            State::Cut => Err(io::ErrorKind::ConnectionAborted.into()),
        }
    }
}
