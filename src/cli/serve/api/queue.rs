//! The requests that wait for the model.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use serde_json::Value as Json;
use tokio::sync::mpsc::UnboundedSender;

use super::fault::Fault;
use super::request::Ask;

/// What the model has to say to a request, in this order: the beginning, text, the end; or a fault at any time.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// The prompt was understood; an answer follows.
    Begun,
    /// The next piece of the answer.
    Text(String),
    /// The answer has ended.
    Done(End),
    /// There is no answer, or no more of it.
    Failed(Fault),
}

/// How an answer ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct End {
    /// OpenAI's word: stop, length or tool_calls.
    pub(super) reason: &'static str,
    /// The tools that are called, arguments as objects.
    pub(super) calls: Vec<Json>,
    pub(super) prompt_tokens: usize,
    pub(super) completion_tokens: usize,
}

/// A request and where its answer goes.
pub(super) struct Job {
    pub(super) ask: Ask,
    pub(super) events: UnboundedSender<Event>,
}

impl Job {
    /// Whether nobody waits for the answer any more.
    pub(super) fn is_left(&self) -> bool {
        self.events.is_closed()
    }

    /// Tells the client, if it still listens.
    pub(super) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }
}

/// Requests in the order in which they came.
pub(super) struct Queue {
    jobs: Mutex<VecDeque<Job>>,
    came: Condvar,
    most: usize,
}

impl Queue {
    pub(super) fn new(most: usize) -> Queue {
        Queue { jobs: Mutex::default(), came: Condvar::new(), most }
    }

    /// Jobs are whole whenever the lock is free, also after a panic.
    fn jobs(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job; false when as many wait as may. Those that were left make room.
    pub(super) fn push(&self, job: Job) -> bool {
        let mut jobs = self.jobs();
        jobs.retain(|job| !job.is_left());
        if jobs.len() >= self.most {
            return false;
        }
        jobs.push_back(job);
        drop(jobs);
        self.came.notify_one();
        true
    }

    /// How many wait.
    pub(super) fn waiting(&self) -> usize {
        self.jobs().iter().filter(|job| !job.is_left()).count()
    }

    /// The next job that somebody waits for; waits until there is one.
    pub(super) fn pop(&self) -> Job {
        let mut jobs = self.jobs();
        loop {
            while let Some(job) = jobs.pop_front() {
                if !job.is_left() {
                    return job;
                }
            }
            jobs = self.came.wait(jobs).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
