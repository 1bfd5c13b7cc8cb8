//! The run of a session, or several that take their steps in turn: exclusion, and the user's commands (pause, stop, save).

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

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
    /// Whether it may go on beside others.
    beside: bool,
    /// Steps that are done.
    done: Cell<u64>,
    /// How long it has waited for its turn.
    waited: Cell<Duration>,
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

    /// Waits until it is this run's turn among those that go on, or the user wants something of it.
    pub(super) async fn wait_for_turn(&self, session: &Session) {
        if !self.is_stopped() && !self.wants_save.get() && self.questions.borrow().is_empty() && !self.has_turn(session) {
            self.sleep().await;
        }
    }

    pub(super) fn has_waited(&self, time: Duration) {
        self.waited.set(self.waited.get() + time);
    }

    /// How long it has waited for its turn among other runs.
    pub(super) fn waited(&self) -> Duration {
        self.waited.get()
    }

    /// Notes how many steps are done, which may make it another run's turn.
    pub(super) fn has_done(&self, steps: u64, session: &Session) {
        self.done.set(steps);
        session.wake_runs();
    }

    /// Whether no run has done fewer steps; of those that have done the same, the one that began first goes first.
    pub(super) fn has_turn(&self, session: &Session) -> bool {
        let running = session.running.borrow();
        let first = running.iter().min_by_key(|run| run.done.get());
        first.is_none_or(|first| std::ptr::eq(Rc::as_ptr(first), self))
    }

    /// Waits until the user resumes or stops the run, requests a snapshot, or asks something.
    pub(super) async fn wait(&self) {
        if !self.held.get() || self.stopped.get() || self.wants_save.get() || !self.questions.borrow().is_empty() {
            return;
        }
        self.sleep().await;
    }

    async fn sleep(&self) {
        let (sender, receiver) = oneshot::channel();
        *self.wake.borrow_mut() = Some(sender);
        let _ = receiver.await;
    }
}

impl Session {
    /// Has runs that wait for their turn look again.
    fn wake_runs(&self) {
        for run in self.running.borrow().iter() {
            run.wake();
        }
    }
}

/// Marks the session as having this run, from the request until the run has ended in any way (released on drop).
pub(super) struct Turn<'a> {
    session: &'a Session,
    pub(super) steering: Rc<Steering>,
}

impl<'a> Turn<'a> {
    /// Begins a run of the session.
    ///
    /// # Errors
    /// When another run is in progress, unless both may go on beside others.
    pub(super) fn begin(session: &'a Session, beside: bool, call: &Call) -> Result<Turn<'a>> {
        let mut running = session.running.borrow_mut();
        if running.iter().any(|run| !(beside && run.beside)) {
            return Err(Error::out_of_turn("another run goes on; wait for it or stop it first"));
        }
        let steering = Rc::new(Steering { request: call.id, beside, ..Steering::default() });
        running.push(steering.clone());
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
        self.session.running.borrow_mut().retain(|run| !Rc::ptr_eq(run, &self.steering));
        self.session.wake_runs();
        // Whoever waits for an answer learns that none comes.
        self.steering.questions.borrow_mut().clear();
    }
}
