//! The buffers of a runner: allocated as programs ask for them, shared by all of them.

use std::collections::HashMap;
use std::rc::Rc;

use super::program::{Program, UNIFORM_SLOT};
use super::store::{ParamStore, Part};
use crate::error::Result;
use crate::gpu::{Buffer, Gpu};
use crate::kernels::{InputLayout, Resource, STATS_BYTES, StepValues};

/// Everything that a program binds beside the parameters of the model.
pub(super) struct Buffers {
    /// Activations, the largest buffer first.
    pool: Vec<Rc<Buffer>>,
    pub(super) inputs: Rc<Buffer>,
    pub(super) losses: Rc<Buffer>,
    partials: Rc<Buffer>,
    pub(super) logits: Option<Rc<Buffer>>,
    pub(super) step: Rc<Buffer>,
    pub(super) stats: Rc<Buffer>,
    /// Parameters of the dispatches of whichever program over batches runs: it is written when another one takes its turn.
    pub(super) parameters: Rc<Buffer>,
    tables: HashMap<String, Rc<Buffer>>,
    caches: Vec<Rc<Buffer>>,
    /// Grows when a buffer is replaced; what was bound before must be bound again.
    pub(super) generation: u64,
}

impl Buffers {
    /// The small ones; [`Buffers::fit`] allocates the rest.
    pub(super) async fn new(gpu: &Gpu) -> Result<Buffers> {
        Ok(Buffers {
            pool: Vec::new(),
            inputs: gpu.buffer("batch", 16).await?,
            losses: gpu.buffer("losses", 16).await?,
            partials: gpu.buffer("partial sums", 16).await?,
            logits: None,
            step: gpu.uniform("step", size_of::<StepValues>() as u64).await?,
            stats: gpu.buffer("statistics", STATS_BYTES).await?,
            parameters: gpu.uniform("kernel parameters", UNIFORM_SLOT).await?,
            tables: HashMap::new(),
            caches: Vec::new(),
            generation: 0,
        })
    }

    /// Allocates what a program needs beyond what is there. A buffer that is too small is released before its successor is allocated, so that the
    /// two never exist together.
    pub(super) async fn fit(&mut self, gpu: &Gpu, program: &Program) -> Result<()> {
        let nothing = self.stats.clone();
        for (rank, slot) in by_size(&program.slots).into_iter().enumerate() {
            let bytes = program.slots[slot];
            match self.pool.get_mut(rank) {
                Some(buffer) => replace(gpu, buffer, &nothing, "activations", bytes, &mut self.generation).await?,
                None => self.pool.push(gpu.buffer("activations", bytes).await?),
            }
        }
        let inputs = if program.tokens > 0 { InputLayout::new(program.tokens).bytes() } else { 0 };
        for (buffer, label, bytes) in [
            (&mut self.inputs, "batch", inputs),
            (&mut self.losses, "losses", program.losses_bytes),
            (&mut self.partials, "partial sums", program.bound_bytes(Resource::Partials)),
        ] {
            replace(gpu, buffer, &nothing, label, bytes, &mut self.generation).await?;
        }
        let logits = program.bound_bytes(Resource::Logits);
        if logits > 0 {
            match &mut self.logits {
                Some(buffer) => replace(gpu, buffer, &nothing, "logits", logits, &mut self.generation).await?,
                None => self.logits = Some(gpu.buffer("logits", logits).await?),
            }
        }
        if program.shares_parameters() && self.parameters.bytes() < program.parameters_bytes() {
            self.parameters = nothing;
            self.parameters = gpu.uniform("kernel parameters", program.parameters_bytes()).await?;
            self.generation += 1;
        }
        for table in &program.tables {
            if !self.tables.contains_key(&table.name) {
                let bytes: &[u8] = bytemuck::cast_slice(&table.data);
                let buffer = gpu.buffer("table", bytes.len() as u64).await?;
                gpu.write(&buffer, 0, bytes);
                self.tables.insert(table.name.clone(), buffer);
            }
        }
        for bind in program.binds() {
            let Resource::Cache(index) = bind.resource else { continue };
            while self.caches.len() <= index as usize {
                self.caches.push(gpu.buffer("key-value cache", bind.offset + bind.size).await?);
            }
        }
        Ok(())
    }

    /// The buffer that a resource of a program lies in, and its first byte there; `places` are the pooled buffers of its slots ([`places`]).
    pub(super) fn get<'a>(
        &'a self,
        store: &'a ParamStore,
        program: &Program,
        places: &[usize],
        resource: Resource,
    ) -> Option<(&'a Rc<Buffer>, u64)> {
        let buffer = match resource {
            Resource::Value(value) => {
                let place = program.values[value.0 as usize].place?;
                return Some((self.pool.get(places[place.slot as usize])?, place.offset));
            }
            Resource::Weights(arena) => store.weights.get(arena as usize),
            Resource::Gradients(arena) => store.buffer(Part::Gradients, arena),
            Resource::State(arena, index) => store.buffer(Part::State(index), arena),
            Resource::Inputs => Some(&self.inputs),
            Resource::Table(table) => self.tables.get(&program.tables.get(table.0 as usize)?.name),
            Resource::Cache(index) => self.caches.get(index as usize),
            Resource::Losses => Some(&self.losses),
            Resource::Stats => Some(&self.stats),
            Resource::Partials => Some(&self.partials),
            Resource::Logits => self.logits.as_ref(),
        };
        Some((buffer?, 0))
    }
}

/// The pooled buffer of each slot of a program: the largest slot in the largest buffer.
pub(super) fn places(program: &Program) -> Vec<usize> {
    let mut places = vec![0; program.slots.len()];
    for (rank, slot) in by_size(&program.slots).into_iter().enumerate() {
        places[slot] = rank;
    }
    places
}

/// Indices of slots, the largest first.
fn by_size(slots: &[u64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..slots.len()).collect();
    order.sort_by_key(|slot| std::cmp::Reverse(slots[*slot]));
    order
}

/// A larger buffer in the place of one that is too small; `nothing` stands there meanwhile.
async fn replace(gpu: &Gpu, buffer: &mut Rc<Buffer>, nothing: &Rc<Buffer>, label: &str, bytes: u64, generation: &mut u64) -> Result<()> {
    if buffer.bytes() < bytes {
        *buffer = nothing.clone();
        *generation += 1;
        *buffer = gpu.buffer(label, bytes).await?;
    }
    Ok(())
}
