//! The memory of a run, computed before anything is allocated, and the error with its remedies when a device has less.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::compile::Options;
use super::program::{Program, UNIFORM_SLOT};
use super::store::READBACK_BYTES;
use crate::error::{Error, Result};
use crate::gpu::{Profile, human_bytes};
use crate::graph::ParamLayout;
use crate::kernels::{InputLayout, Resource, STATS_BYTES};

/// Bytes of GPU memory by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Memory {
    /// Weights.
    pub weights_bytes: u64,
    /// Gradients of the trainable parameters.
    pub gradients_bytes: u64,
    /// What the optimiser keeps: AdamW's moments.
    pub optimizer_bytes: u64,
    /// The pool of activations, their gradients and temporaries.
    pub activations_bytes: u64,
    /// Parameters of the kernels, statistics, staging buffers for reading back.
    pub other_bytes: u64,
    /// The batch and its losses; in generation the logits and the caches of keys and values.
    pub shared_bytes: u64,
    /// Constant tables (RoPE).
    pub tables_bytes: u64,
    /// The largest single binding.
    pub largest_binding_bytes: u64,
}

impl Memory {
    /// All of it: the peak of the run.
    pub fn peak_bytes(&self) -> u64 {
        let fixed = self.weights_bytes + self.gradients_bytes + self.optimizer_bytes + self.activations_bytes;
        fixed + self.other_bytes + self.shared_bytes + self.tables_bytes
    }

    /// Refuses what the device cannot hold, with what would make it fit. `chosen` is how a training step is compiled; `None` where there is none.
    ///
    /// # Errors
    /// [`Error::TooLittleMemory`].
    pub fn check(&self, profile: &Profile, chosen: Option<Options>) -> Result<()> {
        let needed = self.peak_bytes();
        let Some(available) = profile.usable_memory().filter(|m| needed > *m) else {
            if self.largest_binding_bytes <= profile.max_binding {
                return Ok(());
            }
            return Err(Error::TooLittleMemory {
                needed: format!("one piece of {}", human_bytes(self.largest_binding_bytes)),
                device: profile.name.clone(),
                available: format!("pieces of at most {}", human_bytes(profile.max_binding)),
                suggestion: self.suggestions(chosen).join("; or "),
            });
        };
        Err(Error::TooLittleMemory {
            needed: human_bytes(needed),
            device: profile.name.clone(),
            available: human_bytes(available),
            suggestion: self.suggestions(chosen).join("; or "),
        })
    }

    /// What would make a run smaller, the most effective first, in words.
    pub fn suggestions(&self, chosen: Option<Options>) -> Vec<String> {
        self.remedies(chosen).iter().map(Remedy::to_string).collect()
    }

    /// What would make a run smaller, the most effective first.
    pub fn remedies(&self, chosen: Option<Options>) -> Vec<Remedy> {
        let mut list = Vec::new();
        let fixed = self.weights_bytes + self.gradients_bytes + self.optimizer_bytes;
        if self.activations_bytes * 4 > fixed {
            if chosen.is_some_and(|options| !options.gradient_checkpointing) {
                list.push(Remedy::GradientCheckpointing);
            }
            if chosen.is_some_and(|options| options.kept.is_none()) {
                list.push(Remedy::HalfActivations);
            }
            list.extend([Remedy::SmallerBatch, Remedy::ShorterCutoff]);
        }
        if self.gradients_bytes > 0 && fixed > self.activations_bytes {
            let trained = self.gradients_bytes + self.optimizer_bytes;
            if trained > self.weights_bytes {
                list.push(Remedy::Adapter { trained });
            }
            list.push(Remedy::SmallerModel { fixed });
        }
        list
    }
}

impl std::ops::Add for Memory {
    type Output = Memory;

    /// The memory of two runners side by side.
    fn add(self, other: Memory) -> Memory {
        Memory {
            weights_bytes: self.weights_bytes + other.weights_bytes,
            gradients_bytes: self.gradients_bytes + other.gradients_bytes,
            optimizer_bytes: self.optimizer_bytes + other.optimizer_bytes,
            activations_bytes: self.activations_bytes + other.activations_bytes,
            other_bytes: self.other_bytes + other.other_bytes,
            shared_bytes: self.shared_bytes + other.shared_bytes,
            tables_bytes: self.tables_bytes + other.tables_bytes,
            largest_binding_bytes: self.largest_binding_bytes.max(other.largest_binding_bytes),
        }
    }
}

/// Adds up what a runner allocates for a model and its programs, as [`Runner`](super::Runner) does it.
#[derive(Debug, Clone)]
pub struct Budget {
    memory: Memory,
    /// The pool that the programs share: the largest values of all in the first buffer, the second largest in the next.
    pool: Vec<u64>,
    /// The buffer of kernel parameters that the programs over batches share.
    parameters: u64,
    /// Bytes of the constant tables by their names: programs share them.
    tables: BTreeMap<String, u64>,
}

impl Budget {
    /// A runner that shares the parameters of another one.
    pub fn of_runner() -> Budget {
        Budget {
            memory: Memory { other_bytes: STATS_BYTES + UNIFORM_SLOT, ..Memory::default() },
            pool: Vec::new(),
            parameters: UNIFORM_SLOT,
            tables: BTreeMap::new(),
        }
    }

    /// A runner with parameters of its own; with `training` also their gradients and what the optimiser keeps.
    pub fn of_store(layout: &ParamLayout, training: bool) -> Budget {
        let gradients_bytes = if training { layout.gradients_bytes() } else { 0 };
        let mut budget = Budget::of_runner();
        budget.memory.weights_bytes = layout.weights_bytes();
        budget.memory.gradients_bytes = gradients_bytes;
        budget.memory.optimizer_bytes = if training { layout.states_bytes() } else { 0 };
        budget.memory.other_bytes += READBACK_BYTES.min(layout.largest_piece_bytes());
        budget.memory.largest_binding_bytes = layout.arenas.iter().map(|a| a.bytes).max().unwrap_or(0);
        budget
    }

    /// Adds a program. Those over batches share pool, batch buffer, tables and kernel parameters, so that of each the largest counts.
    pub fn add(&mut self, program: &Program) {
        let memory = &mut self.memory;
        let mut slots = program.slots.clone();
        slots.sort_unstable_by(|a, b| b.cmp(a));
        self.pool.resize(self.pool.len().max(slots.len()), 0);
        for (buffer, slot) in self.pool.iter_mut().zip(slots) {
            *buffer = (*buffer).max(slot);
        }
        memory.activations_bytes = self.pool.iter().sum();
        if program.shares_parameters() {
            let inputs = InputLayout::new(program.tokens).bytes();
            memory.shared_bytes = memory.shared_bytes.max(inputs + program.losses_bytes + generation_bytes(program));
            self.parameters = self.parameters.max(program.parameters_bytes());
        } else {
            memory.other_bytes += program.parameters_bytes();
        }
        self.tables.extend(program.tables.iter().map(|table| (table.name.clone(), table.data.len() as u64 * 4)));
        memory.tables_bytes = self.tables.values().sum();
        memory.other_bytes += program.bound_bytes(Resource::Partials);
        memory.largest_binding_bytes = memory.largest_binding_bytes.max(program.largest_binding());
    }

    /// Adds bytes that are read back at once.
    pub fn add_readback(&mut self, bytes: u64) {
        self.memory.other_bytes += bytes;
    }

    /// The sum.
    pub fn total(&self) -> Memory {
        Memory { other_bytes: self.memory.other_bytes + self.parameters, ..self.memory }
    }
}

/// Bytes of the logits and caches that a program uses.
fn generation_bytes(program: &Program) -> u64 {
    let kept: BTreeSet<Resource> =
        program.binds().map(|b| b.resource).filter(|r| matches!(r, Resource::Cache(_) | Resource::Logits)).collect();
    kept.into_iter().map(|resource| program.bound_bytes(resource)).sum()
}

/// What would make a run smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Keep only the layers' inputs.
    GradientCheckpointing,
    /// Keep activations in 16 bits.
    HalfActivations,
    /// Fewer samples at once.
    SmallerBatch,
    /// Shorter samples.
    ShorterCutoff,
    /// LoRA, where most of the memory is for training all parameters.
    Adapter {
        /// Bytes of gradients and moments.
        trained: u64,
    },
    /// A smaller model.
    SmallerModel {
        /// Bytes of weights, gradients and moments.
        fixed: u64,
    },
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remedy::GradientCheckpointing => f.write_str("set gradient_checkpointing: true"),
            Remedy::HalfActivations => f.write_str("set bf16: true (activations wait for the backward pass in 16 bits)"),
            Remedy::SmallerBatch => f.write_str("lower per_device_train_batch_size (and raise gradient_accumulation_steps by as much)"),
            Remedy::ShorterCutoff => f.write_str("lower cutoff_len"),
            Remedy::Adapter { trained } => {
                write!(f, "train an adapter (finetuning_type: lora): gradients and moments alone are {}", human_bytes(*trained))
            }
            Remedy::SmallerModel { fixed } => {
                write!(f, "take a smaller model: weights, gradients and moments alone are {}", human_bytes(*fixed))
            }
        }
    }
}
