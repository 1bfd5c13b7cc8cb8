//! The buttons of a run that goes on.

use std::cell::{Cell, RefCell};

use futures_channel::oneshot;

/// What a person asked of a run; the run looks between two steps.
#[derive(Default)]
pub(super) struct Steering {
    held: Cell<bool>,
    stopped: Cell<bool>,
    wants_save: Cell<bool>,
    wake: RefCell<Option<oneshot::Sender<()>>>,
}

impl Steering {
    pub(super) fn hold(&self) {
        self.held.set(true);
    }

    pub(super) fn release(&self) {
        self.held.set(false);
        self.wake();
    }

    pub(super) fn stop(&self) {
        self.stopped.set(true);
        self.wake();
    }

    pub(super) fn save(&self) {
        self.wants_save.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(wake) = self.wake.borrow_mut().take() {
            let _ = wake.send(());
        }
    }

    pub(super) fn is_held(&self) -> bool {
        self.held.get()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Whether a snapshot was asked for; it is asked for once.
    pub(super) fn takes_save(&self) -> bool {
        self.wants_save.replace(false)
    }

    /// Waits until the person lets the run go on, ends it, or wants a snapshot.
    pub(super) async fn wait(&self) {
        if !self.held.get() || self.stopped.get() || self.wants_save.get() {
            return;
        }
        let (sender, receiver) = oneshot::channel();
        *self.wake.borrow_mut() = Some(sender);
        let _ = receiver.await;
    }
}
