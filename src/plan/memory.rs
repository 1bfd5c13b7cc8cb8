//! The memory of a run, known before anything is allocated.

use std::collections::BTreeMap;

use super::program::Program;
use super::runner::UNIFORM_SLOT;
use super::store::READBACK_BYTES;
use crate::graph::{Graph, ParamLayout};
use crate::kernels::{InputLayout, Resource, STATS_BYTES};

/// Bytes of GPU memory by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Weights.
    pub weights_bytes: u64,
    /// Gradients of the trainable parameters.
    pub gradients_bytes: u64,
    /// AdamW's moments.
    pub optimizer_bytes: u64,
    /// The pool of activations, their gradients and temporaries.
    pub activations_bytes: u64,
    /// Parameters of the kernels, statistics, staging for what is read back.
    pub other_bytes: u64,
    /// The batch and its losses; in generation the logits and the caches of keys and values.
    pub shared_bytes: u64,
    /// Constant tables (RoPE).
    pub tables_bytes: u64,
    /// The largest single binding.
    pub largest_binding_bytes: u64,
}

impl Memory {
    /// The memory of a runner over somebody else's store, without programs.
    pub fn of_runner() -> Memory {
        Memory { other_bytes: STATS_BYTES + UNIFORM_SLOT, ..Memory::default() }
    }

    /// The memory of a store alone.
    pub fn of_store(layout: &ParamLayout, training: bool) -> Memory {
        let gradients_bytes = if training { layout.gradients_bytes() } else { 0 };
        Memory {
            weights_bytes: layout.weights_bytes(),
            gradients_bytes,
            optimizer_bytes: 2 * gradients_bytes,
            other_bytes: READBACK_BYTES.min(layout.largest_piece_bytes()) + STATS_BYTES + UNIFORM_SLOT,
            largest_binding_bytes: layout.arenas.iter().map(|a| a.bytes).max().unwrap_or(0),
            ..Memory::default()
        }
    }

    /// Adds what replaying a program needs on top. Programs share the pool and the batch buffer, so the larger one counts.
    pub fn add_program(&mut self, program: &Program, graph: &Graph) {
        self.activations_bytes = self.activations_bytes.max(program.activation_bytes());
        let kept = generation_bytes(program);
        self.shared_bytes = self.shared_bytes.max(InputLayout::new(program.tokens).bytes() + program.losses_bytes + kept);
        self.tables_bytes = graph.tables.iter().map(|t| t.data.len() as u64 * 4).sum();
        self.other_bytes += program.dispatches.len() as u64 * UNIFORM_SLOT;
        self.largest_binding_bytes = self.largest_binding_bytes.max(program.largest_binding());
    }

    /// Adds the optimiser's program.
    pub fn add_update(&mut self, program: &Program) {
        let partials = program.dispatches.iter().flat_map(|d| &d.binds).filter(|b| b.resource == Resource::Partials);
        self.other_bytes += partials.map(|b| b.size).max().unwrap_or(0) + program.dispatches.len() as u64 * UNIFORM_SLOT;
    }

    /// All of it: the peak of the run.
    pub fn peak_bytes(&self) -> u64 {
        let fixed = self.weights_bytes + self.gradients_bytes + self.optimizer_bytes + self.activations_bytes;
        fixed + self.other_bytes + self.shared_bytes + self.tables_bytes
    }
}

/// Bytes of the logits and caches that a program uses.
fn generation_bytes(program: &Program) -> u64 {
    let mut ends = BTreeMap::new();
    for b in program.dispatches.iter().flat_map(|d| &d.binds) {
        if matches!(b.resource, Resource::Cache(_) | Resource::Logits) {
            let end: &mut u64 = ends.entry(b.resource).or_default();
            *end = (*end).max(b.offset + b.size);
        }
    }
    ends.values().sum()
}

/// The pool that several programs share, as the runner fits them into it: the largest values of all in the first buffer, the
/// second largest in the next.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pool {
    buffers: Vec<u64>,
}

impl Pool {
    /// Makes room for a program's values.
    pub fn add(&mut self, program: &Program) {
        let mut slots = program.slots.clone();
        slots.sort_unstable_by(|a, b| b.cmp(a));
        self.buffers.resize(self.buffers.len().max(slots.len()), 0);
        for (buffer, slot) in self.buffers.iter_mut().zip(slots) {
            *buffer = (*buffer).max(slot);
        }
    }

    /// Bytes of the pool.
    pub fn bytes(&self) -> u64 {
        self.buffers.iter().sum()
    }
}
