//! Requests that the page no longer wants an answer to.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, Waker};

use super::{Call, Session};
use crate::error::{Error, Result};

/// Whether a request was cancelled.
#[derive(Default)]
pub(super) struct Cancelled {
    set: Cell<bool>,
    /// Wakes the request where it waits.
    waker: RefCell<Option<Waker>>,
}

impl Session {
    /// Ends a request at its next chance. A run ends as by `stop`, with what it has.
    pub(super) fn cancel(&self, request: u32) {
        if let Some(run) = self.running.borrow().as_ref().filter(|run| run.is_of(request)) {
            run.stop();
        }
        let cancelled = self.cancels.borrow().get(&request).cloned();
        if let Some(cancelled) = cancelled {
            cancelled.set.set(true);
            if let Some(waker) = cancelled.waker.take() {
                waker.wake();
            }
        }
    }
}

impl Call {
    pub(super) fn is_cancelled(&self) -> bool {
        self.cancelled.set.get()
    }

    /// Works until the request is cancelled: then the work is dropped at the point where it waits. `what` names it in the sentence.
    ///
    /// # Errors
    /// Those of the work, and [`Error::Interrupted`].
    pub(super) async fn unless_cancelled<T>(&self, what: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        poll_fn(|context| {
            if self.is_cancelled() {
                return Poll::Ready(Err(Error::Interrupted { reason: format!("{what} was cancelled") }));
            }
            *self.cancelled.waker.borrow_mut() = Some(context.waker().clone());
            work.as_mut().poll(context)
        })
        .await
    }
}
