//! From a graph to a program that is replayed, and its memory to the byte before anything is allocated.
//!
//! `compile` walks the graph once forwards and once backwards, lets each op emit its dispatches, drops what nobody reads,
//! and places every temporary in a pool of buffers by its lifetime. `Runner` owns the GPU side: it uploads parameters, binds
//! the program to buffers and replays it.

mod batch;
mod compile;
mod emit;
mod layout;
mod lifetime;
mod memory;
mod program;
mod runner;
mod store;

/// The kernels, generated from `shaders/*.wgsl`.
pub mod kernels {
    #![allow(missing_docs, unused_imports, clippy::all, clippy::pedantic, reason = "generated; the shaders carry the comments")]
    use super::{Bind, Dispatch};
    use crate::gpu::{Access, Shader};
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

pub use batch::{Input, InputLayout};
pub use compile::{Options, compile};
pub use emit::{Emit, GradTarget, Piece};
pub use layout::{Arena, Group, ParamLayout, PieceLayout};
pub use memory::{Memory, Pool};
pub use program::{Bind, Dispatch, Owner, Phase, Program, Resource, ValueInfo, When, workgroups};
pub use runner::{Prepared, Runner, StepValues, Timing};
pub use store::{ParamStore, Part, STATS_BYTES};
