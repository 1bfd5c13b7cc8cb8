//! The requests of lessons, and others that stand beside the way from a base to a result.

use std::pin::Pin;
use std::rc::Rc;

use super::super::messages::{Reply, Request};
use super::{Call, Session};
use crate::error::{Error, Result};

impl Session {
    /// Handles a lesson's request. Its future lies on the heap, so that the one of all requests does not grow with it: in a debug build a
    /// request within a run is deep enough already.
    pub(super) fn lesson<'a>(self: &'a Rc<Self>, request: Request, call: &'a Call) -> Pin<Box<dyn Future<Output = Result<Reply>> + 'a>> {
        Box::pin(async move {
            Ok(match request {
                Request::Look { which, messages, recipe, likeliest } => {
                    Reply::Seen(self.look(which, &messages, &recipe, likeliest, call).await?)
                }
                Request::Adapt { parts } => Reply::Notes(self.adapt(&parts).await?),
                Request::Truncate { rank } => Reply::Truncated(self.truncate(rank, call).await?),
                Request::ShapeMemory { config, recipe, tokens } => Reply::ShapeMemory(self.shape_memory(&config, &recipe, tokens).await?),
                _ => return Err(Error::out_of_turn("this is no request of a lesson")),
            })
        })
    }

    /// Handles a request about what a run would need or what becomes of it. On the heap, as above.
    pub(super) fn beside<'a>(self: &'a Rc<Self>, request: Request, call: &'a Call) -> Pin<Box<dyn Future<Output = Result<Reply>> + 'a>> {
        Box::pin(async move {
            Ok(match request {
                Request::HeldOut { which, run } => Reply::HeldOut(self.held_out(which, &run, call).await?),
                Request::Gguf { id, outtype, alone } => Reply::Gguf(self.gguf(&id, outtype, alone, call).await?),
                Request::DropGguf { id } => {
                    self.drop_gguf(&id).await?;
                    Reply::Nothing
                }
                _ => return Err(Error::out_of_turn("this is no request about a run")),
            })
        })
    }
}
