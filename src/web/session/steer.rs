//! The single run of a session: mutual exclusion, and the user's commands to it (pause, stop, save).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use futures_channel::oneshot;

use super::super::messages::{Answered, ChatMessage, Sampling};
use super::{Call, Session};
use crate::error::{Error, Result};

/// The user's commands to a run; the run checks them between steps.
#[derive(Default)]
pub(super) struct Steering {
    /// The id of the request that started the run.
    request: u32,
    /// The stored run's id, once it has one.
    run: RefCell<Option<String>>,
    held: Cell<bool>,
    stopped: Cell<bool>,
    wants_save: Cell<bool>,
    skipped: Cell<bool>,
    questions: RefCell<VecDeque<Question>>,
    wake: RefCell<Option<oneshot::Sender<()>>>,
}

/// A question to the model that the run is training; answered between two steps.
pub(super) struct Question {
    pub(super) messages: Vec<ChatMessage>,
    pub(super) sampling: Sampling,
    /// The request that asked: receives the text, and may be cancelled.
    pub(super) call: Call,
    /// Receives the answer; dropped without one when the run ends first.
    pub(super) reply: oneshot::Sender<Result<Answered>>,
}

impl Steering {
    pub(super) fn is_of(&self, request: u32) -> bool {
        self.request == request
    }

    /// Whether the stored run with this id is the current run.
    pub(super) fn is_run(&self, id: &str) -> bool {
        self.run.borrow().as_deref() == Some(id)
    }

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

    /// Ends the answers that are being written.
    pub(super) fn skip(&self) {
        self.skipped.set(true);
    }

    pub(super) fn is_skipped(&self) -> bool {
        self.skipped.get()
    }

    /// Forgets an earlier wish to skip.
    pub(super) fn begin_answers(&self) {
        self.skipped.set(false);
    }

    /// Hands a question to the run.
    pub(super) fn ask(&self, question: Question) {
        self.questions.borrow_mut().push_back(question);
        self.wake();
    }

    pub(super) fn takes_question(&self) -> Option<Question> {
        self.questions.borrow_mut().pop_front()
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

    /// Whether a snapshot was requested; clears the request.
    pub(super) fn takes_save(&self) -> bool {
        self.wants_save.replace(false)
    }

    /// Waits until the user resumes or stops the run, requests a snapshot, or asks something.
    pub(super) async fn wait(&self) {
        if !self.held.get() || self.stopped.get() || self.wants_save.get() || !self.questions.borrow().is_empty() {
            return;
        }
        let (sender, receiver) = oneshot::channel();
        *self.wake.borrow_mut() = Some(sender);
        let _ = receiver.await;
    }
}

/// Marks the session as having a run, from the request until the run has ended in any way (released on drop).
pub(super) struct Turn<'a> {
    session: &'a Session,
    pub(super) steering: Rc<Steering>,
}

impl<'a> Turn<'a> {
    /// Begins the session's run.
    ///
    /// # Errors
    /// When another run is in progress.
    pub(super) fn begin(session: &'a Session, call: &Call) -> Result<Turn<'a>> {
        let mut running = session.running.borrow_mut();
        if running.is_some() {
            return Err(Error::out_of_turn("another run goes on; wait for it or stop it first"));
        }
        let steering = Rc::new(Steering { request: call.id, ..Steering::default() });
        *running = Some(steering.clone());
        Ok(Turn { session, steering })
    }

    /// Sets the id of the stored run.
    pub(super) fn is_for(&self, id: &str) {
        *self.steering.run.borrow_mut() = Some(id.to_string());
    }

    /// Fails if the run was stopped; called between the phases before the first step.
    ///
    /// # Errors
    /// [`Error::Interrupted`].
    pub(super) fn check(&self) -> Result<()> {
        match self.steering.is_stopped() {
            true => Err(Error::Interrupted { reason: "the run was stopped before its first step; nothing was changed".into() }),
            false => Ok(()),
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.session.running.borrow_mut().take();
        // Whoever waits for an answer learns that none comes.
        self.steering.questions.borrow_mut().clear();
    }
}
