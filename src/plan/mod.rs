//! From a graph to a program that is replayed, and its memory to the byte before anything is allocated.
//!
//! `compile` walks the graph once forwards and once backwards, lets each op emit its dispatches, drops what nobody reads,
//! and places every temporary in a pool of buffers by its lifetime. `Runner` owns the GPU side: it uploads parameters, binds
//! the program to buffers and replays it.

mod compile;
mod lifetime;
mod memory;
mod program;
mod runner;
mod store;

pub use compile::{Options, compile};
pub use memory::{Memory, Pool};
pub use program::Program;
pub use runner::{Prepared, Runner, Timing};
pub use store::{ParamStore, Part};
