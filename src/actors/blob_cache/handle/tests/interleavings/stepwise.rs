//! A task that runs only at its turns.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use futures::future::LocalBoxFuture;
use futures::task::AtomicWaker;

use super::scheduler::{Scheduler, Turn};
use super::step::Who;

/// A task that begins after a number of turns of all, is polled only at its turn, however often it is woken, and leaves
/// after a number of turns of its own.
pub(super) struct Stepwise<T> {
    task: LocalBoxFuture<'static, T>,
    scheduler: Scheduler,
    who: Who,
    woken: Arc<Woken>,
    turn: Option<Turn>,
    turns_left: usize,
}

#[derive(Default)]
struct Woken {
    is_woken: AtomicBool,
    outer: AtomicWaker,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.outer.wake();
    }
}

impl<T> Stepwise<T> {
    pub(super) fn new(
        scheduler: &Scheduler,
        who: Who,
        (after, turns_left): (usize, usize),
        task: impl Future<Output = T> + 'static,
    ) -> Self {
        let (woken, turn) = (Arc::default(), Some(scheduler.turn_after(after, who)));
        Self { task: Box::pin(task), scheduler: scheduler.clone(), who, woken, turn, turns_left }
    }
}

impl<T> Future for Stepwise<T> {
    /// `None` if it left.
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            self.woken.outer.register(context.waker());
            let this = &mut *self;
            let turn = match &mut this.turn {
                Some(turn) => turn,
                none if this.woken.is_woken.swap(false, Ordering::SeqCst) => none.insert(this.scheduler.turn(this.who)),
                None => return Poll::Pending,
            };
            ready!(Pin::new(turn).poll(context));
            this.turn = None;
            if this.turns_left == 0 {
                return Poll::Ready(None);
            }
            this.turns_left -= 1;
            let waker = Waker::from(Arc::clone(&this.woken));
            if let Poll::Ready(done) = this.task.as_mut().poll(&mut Context::from_waker(&waker)) {
                return Poll::Ready(Some(done));
            }
        }
    }
}
