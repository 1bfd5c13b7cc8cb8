//! What a worker does for its page: requests in, replies and events out.

use std::cell::RefCell;
use std::rc::Rc;

use super::messages::{Adapter, Event, Reply, Request};
use crate::error::{Error, Result};
use crate::gpu::{AdapterChoice, AdapterClass, Gpu};

/// Who hears the events of a request.
pub type Emit = Rc<dyn Fn(Event)>;

/// The state of one worker.
#[derive(Default)]
pub struct Session {
    gpu: RefCell<Option<Rc<Gpu>>>,
}

impl Session {
    /// A session at its beginning.
    pub fn new() -> Rc<Session> {
        Rc::default()
    }

    /// Works on a request.
    ///
    /// # Errors
    /// What the request fails with, in a sentence.
    pub async fn handle(self: &Rc<Self>, request: Request, _emit: Emit) -> Result<Reply> {
        match request {
            Request::Adapter => Ok(Reply::Adapter(self.gpu().await.ok().map(|gpu| adapter(&gpu)))),
            other => Err(Error::recipe("request", format!("{other:?} is not there yet"))),
        }
    }

    /// The open device; opened when it is asked for the first time.
    async fn gpu(&self) -> Result<Rc<Gpu>> {
        if let Some(gpu) = self.gpu.borrow().as_ref() {
            return Ok(gpu.clone());
        }
        let gpu = Rc::new(Gpu::open(&AdapterChoice::default()).await?);
        *self.gpu.borrow_mut() = Some(gpu.clone());
        Ok(gpu)
    }
}

fn adapter(gpu: &Gpu) -> Adapter {
    let profile = gpu.profile();
    Adapter {
        name: profile.name.clone(),
        software: profile.class == AdapterClass::Cpu,
        f16: profile.shader_f16,
        subgroups: profile.subgroup.is_some(),
        max_buffer_bytes: profile.max_buffer,
        max_binding_bytes: profile.max_binding,
        memory_bytes: profile.usable_memory(),
    }
}
