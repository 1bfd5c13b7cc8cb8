//! A program: the flat list of dispatches that a step replays, over named resources instead of buffers.

use std::fmt::{self, Display, Write};

use crate::gpu::BINDING_ALIGNMENT;
use crate::graph::{Place, Table, ValueInfo};
use crate::kernels::{Access, Bind, Dispatch, Resource, When};

/// Bytes of one dispatch's parameters in the uniform buffer: the alignment that every device takes.
pub(super) const UNIFORM_SLOT: u64 = BINDING_ALIGNMENT;

/// A compiled graph, or another list of dispatches that is replayed as a whole.
#[derive(Debug, Default)]
pub struct Program {
    /// What runs, in order.
    pub dispatches: Vec<Dispatch>,
    /// All values.
    pub values: Vec<ValueInfo>,
    /// Bytes of each pooled buffer.
    pub slots: Vec<u64>,
    /// Tokens of a micro-batch; 0 for a program that reads no batch.
    pub tokens: usize,
    /// Bytes for the losses.
    pub losses_bytes: u64,
    /// The graph's constant tables.
    pub tables: Vec<Table>,
}

impl Program {
    /// A program over parameters alone: no batch, no activations.
    pub fn over_parameters(dispatches: Vec<Dispatch>) -> Program {
        Program { dispatches, ..Program::default() }
    }

    /// All bindings of all dispatches.
    pub fn binds(&self) -> impl Iterator<Item = &Bind> {
        self.dispatches.iter().flat_map(|d| &d.binds)
    }

    /// Bytes of a resource that is bound: the end of the last binding.
    pub fn bound_bytes(&self, resource: Resource) -> u64 {
        self.binds().filter(|b| b.resource == resource).map(|b| b.offset + b.size).max().unwrap_or(0)
    }

    /// Bytes of the dispatches' parameters.
    pub fn parameters_bytes(&self) -> u64 {
        self.dispatches.len() as u64 * UNIFORM_SLOT
    }

    /// Whether its parameters lie in the one buffer of all programs over batches, of which there are many and one runs at a time.
    pub fn shares_parameters(&self) -> bool {
        self.tokens > 0
    }

    /// Bytes of all pooled buffers: the activations' part of the memory.
    pub fn activation_bytes(&self) -> u64 {
        self.slots.iter().sum()
    }

    /// Floating-point operations of one replay.
    pub fn flops(&self) -> u64 {
        self.dispatches.iter().map(|d| d.flops).sum()
    }

    /// The largest single storage binding.
    pub fn largest_binding(&self) -> u64 {
        self.binds().map(|b| b.size).max().unwrap_or(0)
    }
}

impl Display for Program {
    /// The program as text: one line for each dispatch, then the pool. Snapshot tests compare it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for d in &self.dispatches {
            let layer = d.owner.layer.map_or(String::new(), |l| format!(".{l}"));
            let mut binds = String::new();
            for (b, access) in d.binds.iter().zip(d.shader.bindings) {
                let mark = if *access == Access::Write { "*" } else { "" };
                write!(binds, " {mark}{}", self.show(b))?;
            }
            let when = match d.when {
                When::Always => String::new(),
                When::MoreTargetsThan(n) => format!(" if targets > {n}"),
                When::FirstOfGroup => " if first of group".into(),
            };
            let [x, y, z] = d.workgroups;
            writeln!(f, "{:?} {}{layer}: {} [{x} {y} {z}]{binds}{when}", d.owner.phase, d.owner.op, d.shader.name)?;
        }
        for (i, bytes) in self.slots.iter().enumerate() {
            writeln!(f, "slot {i}: {bytes} bytes")?;
        }
        Ok(())
    }
}

impl Program {
    fn show(&self, bind: &Bind) -> String {
        let name = match bind.resource {
            Resource::Value(v) => match self.values[v.0 as usize].place {
                Some(Place { slot, offset: 0 }) => format!("v{}@{slot}", v.0),
                Some(Place { slot, offset }) => format!("v{}@{slot}:{offset}", v.0),
                None => format!("v{}", v.0),
            },
            other => format!("{other:?}").to_lowercase(),
        };
        if bind.offset == 0 { name } else { format!("{name}+{}", bind.offset) }
    }
}
