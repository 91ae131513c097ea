//! What the answers on a connection tell its socket: parts of files that it is to send once all that was written before is out,
//! one at a time; that one is under way; and that one is the last. Shared within one thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::task::Waker;

use metrics::Counter;

use crate::actors::blob_cache::Part;

/// The way of files to one connection's socket. Cheap to clone; both ends are the same.
#[derive(Clone, Default)]
pub(crate) struct Lane(Rc<Shared>);

#[derive(Default)]
struct Shared {
    state: RefCell<State>,
    /// So many answers are under way whose bodies take their time.
    answering: Cell<usize>,
    ending: Cell<bool>,
    /// Whether what is sent must be read and encrypted before.
    encrypted: Cell<bool>,
    /// How many requests were read, and how many responses have begun.
    requested: Cell<u64>,
    begun: Cell<u64>,
    /// Whether the client has closed its sending side.
    sends_no_more: Cell<bool>,
    /// Whether the connection ends behind the response to the present request.
    last: Cell<bool>,
    /// Whether the rest of the present request is not waited for.
    cut: Cell<bool>,
    /// Who is woken when the next one begins.
    at_next: Cell<Option<Waker>>,
}

#[derive(Default)]
enum State {
    #[default]
    Empty,
    Part(Part, Counter),
    /// An answer went away in the middle: nothing that follows would be where the client expects it.
    Cut,
}

/// A body's hold on the lane of its connection. Dropped in the middle of a part it takes the connection with it.
pub(crate) struct Sending {
    lane: Lane,
    _answering: Answering,
}

/// What a socket is to send, as far as it matters to how it does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Waiting {
    /// So many bytes.
    pub(crate) length: u64,
    /// What follows them can be sent at once, too.
    pub(crate) followed: bool,
}

/// As long as there is one, its connection is not idle.
pub(crate) struct Answering(Lane);

/// A request whose response has not begun; it begins when this is dropped.
pub(crate) struct Pending {
    lane: Lane,
    _answering: Answering,
}

impl Sending {
    /// Hands a part over to the socket, which counts what it sends. The one before must have been sent.
    pub(crate) fn put(&self, part: Part, sent: Counter) {
        let mut state = self.lane.0.state.borrow_mut();
        if let State::Empty = *state {
            *state = State::Part(part, sent);
        }
    }

    /// Whether files can be handed over.
    pub(crate) fn takes_files(&self) -> bool {
        self.lane.takes_files()
    }

    /// Whether everything was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.lane.is_empty()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut state = self.lane.0.state.borrow_mut();
        if let State::Part(..) = *state {
            *state = State::Cut;
        }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.answering.update(|answering| answering - 1);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.lane.0.begun.update(|begun| begun + 1);
        if let Some(waker) = self.lane.0.at_next.take() {
            waker.wake();
        }
    }
}

impl Lane {
    /// For one request, until its response begins.
    pub(crate) fn request(&self) -> Pending {
        self.0.requested.update(|requested| requested + 1);
        Pending { lane: self.clone(), _answering: self.answer() }
    }

    /// Whether there is a request whose response has not begun.
    pub(crate) fn is_pending(&self) -> bool {
        self.0.requested.get() > self.0.begun.get()
    }

    /// The client has closed its sending side: it may wait for responses, or be gone.
    pub(crate) fn sends_no_more(&self) {
        self.0.sends_no_more.set(true);
    }

    /// Whether the client has closed its sending side.
    pub(crate) fn is_half_closed(&self) -> bool {
        self.0.sends_no_more.get()
    }

    /// Tells whether the connection ends behind the response to the present request.
    pub(crate) fn set_last(&self, last: bool) {
        self.0.last.set(last);
    }

    /// Whether the connection ends behind the response to the present request.
    pub(crate) fn is_last(&self) -> bool {
        self.0.last.get()
    }

    /// Tells that the rest of the present request is not waited for: the connection ends behind its response.
    pub(crate) fn cut_request(&self) {
        self.0.cut.set(true);
    }

    /// Whether the rest of the present request is not waited for.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.cut.get()
    }

    /// How many responses have begun on this connection.
    pub(crate) fn begun(&self) -> u64 {
        self.0.begun.get()
    }

    /// Wakes this task, and no other, when the next response begins.
    pub(crate) fn wake_when_one_begins(&self, waker: &Waker) {
        self.0.at_next.set(Some(waker.clone()));
    }

    /// For the body of one answer.
    pub(crate) fn enter(&self) -> Sending {
        Sending { lane: self.clone(), _answering: self.answer() }
    }

    /// A request is being answered.
    pub(crate) fn answer(&self) -> Answering {
        self.0.answering.update(|answering| answering + 1);
        Answering(self.clone())
    }

    /// From now on bytes are encrypted before they get to the socket.
    pub(crate) fn encrypt(&self) {
        self.0.encrypted.set(true);
    }

    /// Whether files can be handed over.
    pub(crate) fn takes_files(&self) -> bool {
        !self.0.encrypted.get()
    }

    /// Whether no answer takes its time.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.answering.get() == 0 && self.is_empty()
    }

    /// Whether everything was sent.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(*self.0.state.borrow(), State::Empty)
    }

    /// Length of what is still to be sent of a part, 0 where an answer went away in the middle of one; `None` where
    /// there is none.
    pub(crate) fn length(&self) -> Option<u64> {
        match &*self.0.state.borrow() {
            State::Empty => None,
            State::Part(part, _) => Some(part.length()),
            State::Cut => Some(0),
        }
    }

    /// The part that is to be sent, if there is one.
    pub(crate) fn waiting(&self) -> Option<Waiting> {
        match &*self.0.state.borrow() {
            State::Part(part, _) => Some(Waiting { length: part.length(), followed: part.is_followed() }),
            State::Empty | State::Cut => None,
        }
    }

    /// Tells whether all that is still to be written is one answer, which is all there, and then the connection ends.
    pub(crate) fn end(&self, ending: bool) {
        self.0.ending.set(ending);
    }

    /// Whether what is written had better leave with the end of the connection.
    pub(crate) fn is_ending(&self) -> bool {
        self.0.ending.get()
    }

    /// Sends as much as a socket that does not block takes at once. An error means that the connection is of no more use,
    /// unless it is that the socket would block.
    pub(crate) fn send_to(&self, socket: impl AsFd) -> io::Result<()> {
        let mut state = self.0.state.borrow_mut();
        match &mut *state {
            State::Empty => {}
            State::Part(part, sent) => {
                sent.increment(part.send_to(socket)?);
                if part.length() == 0 {
                    *state = State::Empty;
                }
            }
            State::Cut => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
        Ok(())
    }
}
