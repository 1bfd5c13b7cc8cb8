//! From a graph to a program that is replayed, and its memory to the byte before anything is allocated.
//!
//! `compile` walks the graph once forwards and once backwards, lets each op emit its dispatches, drops those whose results are not read, packs what is kept
//! for the backward pass if asked (`kept`), and places every temporary in a pool of buffers by its lifetime: a [`Program`], without a device. [`Budget`] adds its memory up.
//!
//! On a device, [`Runner::bind`] allocates buffers (`buffers`), compiles pipelines and makes bind groups (`bind`): a [`BoundProgram`], which
//! [`Runner::run`] replays in submissions of about 50 ms (`pacing`). [`Prepared`] is a program that is bound again when a buffer was replaced,
//! [`ProgramCache`] a few of those by the shape of their batch.

mod bind;
mod buffers;
mod cache;
mod compile;
mod kept;
mod lifetime;
mod memory;
mod pacing;
mod prepared;
mod program;
mod runner;
mod store;
mod timing;

pub use bind::BoundProgram;
pub use cache::ProgramCache;
pub use compile::{Options, compile};
pub use memory::{Budget, Memory, Remedy};
pub use prepared::Prepared;
pub use program::Program;
pub use runner::{PendingStats, Runner, Timing};
pub use store::{ParamStore, Part};
