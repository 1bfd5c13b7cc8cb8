//! Cancellation of requests.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::pin;
use std::task::{Poll, Waker};

use super::{Call, Session};
use crate::error::{Error, Result};

/// The cancellation state of a request.
#[derive(Default)]
pub(super) struct Cancelled {
    set: Cell<bool>,
    /// Wakes the waiting request.
    waker: RefCell<Option<Waker>>,
}

impl Session {
    /// Cancels a request at its next await point. A run ends as with `stop`: what it has learnt so far is kept.
    pub(super) fn cancel(&self, request: u32) {
        let run = self.running.borrow().iter().find(|run| run.is_of(request)).cloned();
        if let Some(run) = run {
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

    /// Runs `work` until it completes or the request is cancelled; on cancellation the future is dropped. `what` names it in the error.
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
