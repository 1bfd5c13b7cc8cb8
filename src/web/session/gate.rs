//! Lets one request at a time through, so that two which want the same do not both work for it.

use std::cell::{Cell, RefCell};

use futures_channel::oneshot;

/// A gate.
#[derive(Default)]
pub(super) struct Gate {
    busy: Cell<bool>,
    waiting: RefCell<Vec<oneshot::Sender<()>>>,
}

/// The right to be inside; given back when it is dropped.
pub(super) struct Inside<'a>(&'a Gate);

impl Gate {
    /// Waits until nobody is inside.
    pub(super) async fn enter(&self) -> Inside<'_> {
        while self.busy.get() {
            let (wake, woken) = oneshot::channel();
            self.waiting.borrow_mut().push(wake);
            // A sender is only dropped with the gate.
            let _ = woken.await;
        }
        self.busy.set(true);
        Inside(self)
    }
}

impl Drop for Inside<'_> {
    /// Wakes all who wait: one that was given up meanwhile cannot wake the next.
    fn drop(&mut self) {
        self.0.busy.set(false);
        for wake in self.0.waiting.take() {
            let _ = wake.send(());
        }
    }
}
