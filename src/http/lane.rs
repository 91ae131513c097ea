//! What the answers on a connection tell its socket: parts of files that it is to send once all that was written before is out,
//! one at a time, and that an answer is the last. Shared within one thread.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::AsFd;
use std::rc::Rc;

use metrics::Counter;

use crate::actors::blob_cache::Part;

/// The way of files to one connection's socket. Cheap to clone; both ends are the same.
#[derive(Clone, Default)]
pub(crate) struct Lane(Rc<Shared>);

#[derive(Default)]
struct Shared {
    state: RefCell<State>,
    ending: Cell<bool>,
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
pub(crate) struct Sending(Lane);

impl Sending {
    /// Hands a part over to the socket, which counts what it sends. The one before must have been sent.
    pub(crate) fn put(&self, part: Part, sent: Counter) {
        let mut state = self.0.0.state.borrow_mut();
        if let State::Empty = *state {
            *state = State::Part(part, sent);
        }
    }

    /// Whether everything was sent.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let mut state = self.0.0.state.borrow_mut();
        if let State::Part(..) = *state {
            *state = State::Cut;
        }
    }
}

impl Lane {
    /// For one answer.
    pub(crate) fn enter(&self) -> Sending {
        Sending(self.clone())
    }

    /// Whether everything was sent.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(*self.0.state.borrow(), State::Empty)
    }

    /// All that is still to be written is one short answer, and then the connection ends.
    pub(crate) fn end(&self) {
        self.0.ending.set(true);
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
