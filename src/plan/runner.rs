//! Binds programs to buffers and replays them.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use super::program::Program;
use super::store::ParamStore;
use crate::error::{Error, Result};
use crate::gpu::{BINDING_ALIGNMENT, Buffer, Gpu, Pipeline, Readback};
use crate::graph::Graph;
use crate::kernels::{Dispatch, InputLayout, Resource, STATS_BYTES, StepValues, When};

/// Bytes of one kernel's parameters in the uniform buffer: the alignment that every device takes.
pub(super) const UNIFORM_SLOT: u64 = BINDING_ALIGNMENT;

/// A program with its pipelines and bind groups.
pub struct Prepared {
    entries: Vec<Entry>,
    generation: u64,
    _uniforms: Rc<Buffer>,
    /// Floating-point operations of one replay.
    pub flops: u64,
}

struct Entry {
    pipeline: Rc<Pipeline>,
    group: wgpu::BindGroup,
    workgroups: [u32; 3],
    when: When,
    flops: u64,
    name: &'static str,
}

/// Time of one dispatch, from [`Runner::profile`].
#[derive(Debug, Clone, serde::Serialize)]
pub struct Timing {
    /// Index into the program's dispatches.
    pub dispatch: usize,
    /// Kernel.
    pub kernel: &'static str,
    /// Seconds.
    pub seconds: f64,
}

/// The GPU side of a run.
pub struct Runner {
    /// The device.
    pub gpu: Rc<Gpu>,
    /// The parameters.
    pub store: Rc<ParamStore>,
    pool: Vec<Rc<Buffer>>,
    /// Grows when a pooled buffer is replaced; programs prepared before that must be prepared again.
    generation: u64,
    inputs: Rc<Buffer>,
    losses: Rc<Buffer>,
    correct: Rc<Buffer>,
    partials: Rc<Buffer>,
    logits: Option<Rc<Buffer>>,
    step: Rc<Buffer>,
    stats: Rc<Buffer>,
    tables: HashMap<String, Rc<Buffer>>,
    caches: Vec<Rc<Buffer>>,
    /// Floating-point operations a submission may hold, so that one takes about 50 ms.
    submission_flops: Cell<u64>,
}

impl Runner {
    /// Allocates the small buffers; `prepare` allocates the rest.
    ///
    /// # Errors
    /// [`Error::Gpu`] when memory is short.
    pub async fn new(gpu: Rc<Gpu>, store: Rc<ParamStore>) -> Result<Runner> {
        let (inputs, losses) = (gpu.buffer("batch", 16).await?, gpu.buffer("losses", 16).await?);
        let (partials, step) = (gpu.buffer("partial sums", 16).await?, gpu.uniform("step", size_of::<StepValues>() as u64).await?);
        let correct = gpu.buffer("correct", 16).await?;
        let stats = gpu.buffer("statistics", STATS_BYTES).await?;
        Ok(Runner {
            gpu,
            store,
            pool: Vec::new(),
            generation: 0,
            inputs,
            losses,
            correct,
            partials,
            logits: None,
            step,
            stats,
            tables: HashMap::new(),
            caches: Vec::new(),
            submission_flops: Cell::new(1 << 31),
        })
    }

    /// Allocates what the program needs beyond what is there and binds it. Prepare the largest program first: the others then fit into its pool.
    ///
    /// # Errors
    /// [`Error::Gpu`] when memory is short or the device's compiler refuses a kernel.
    pub async fn prepare(&mut self, program: &Program, graph: Option<&Graph>) -> Result<Prepared> {
        let slots = self.fit_pool(&program.slots).await?;
        self.grow(program, graph).await?;
        let uniforms = self.gpu.uniform("kernel parameters", program.dispatches.len() as u64 * UNIFORM_SLOT).await?;
        let mut bytes = vec![0u8; program.dispatches.len() * UNIFORM_SLOT as usize];
        for (d, to) in program.dispatches.iter().zip(bytes.chunks_exact_mut(UNIFORM_SLOT as usize)) {
            to[..d.params.len()].copy_from_slice(&d.params);
        }
        self.gpu.write(&uniforms, 0, &bytes);
        let mut entries = Vec::with_capacity(program.dispatches.len());
        for (index, d) in program.dispatches.iter().enumerate() {
            let pipeline = self.gpu.pipeline(d.shader, &d.constants).await?;
            let group = self.bind(program, graph, &slots, d, &pipeline, &uniforms, index)?;
            let name = d.shader.name;
            entries.push(Entry { pipeline, group, workgroups: d.workgroups, when: d.when, flops: d.flops, name });
        }
        self.gpu.check()?;
        Ok(Prepared { entries, generation: self.generation, _uniforms: uniforms, flops: program.flops() })
    }

    /// Maps a program's slots to pooled buffers, the largest to the largest; returns the pool's index for each slot.
    async fn fit_pool(&mut self, slots: &[u64]) -> Result<Vec<usize>> {
        let mut order: Vec<usize> = (0..slots.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(slots[*i]));
        let mut place = vec![0; slots.len()];
        for (rank, slot) in order.into_iter().enumerate() {
            place[slot] = rank;
            match self.pool.get(rank) {
                Some(buffer) if buffer.bytes() >= slots[slot] => {}
                Some(_) => {
                    // Dropped before the new one is made, so that the two are never there together.
                    self.generation += 1;
                    self.pool[rank] = self.inputs.clone();
                    self.pool[rank] = self.gpu.buffer("activations", slots[slot]).await?;
                }
                None => self.pool.push(self.gpu.buffer("activations", slots[slot]).await?),
            }
        }
        Ok(place)
    }

    async fn grow(&mut self, program: &Program, graph: Option<&Graph>) -> Result<()> {
        let gpu = self.gpu.clone();
        let mut changed = false;
        for (buffer, label, bytes) in [
            (&mut self.inputs, "batch", InputLayout::new(program.tokens).bytes()),
            (&mut self.losses, "losses", program.losses_bytes),
            (&mut self.partials, "partial sums", needed(program, Resource::Partials)),
        ] {
            if buffer.bytes() < bytes {
                *buffer = gpu.buffer(label, bytes).await?;
                changed = true;
            }
        }
        let logits = needed(program, Resource::Logits);
        if logits > 0 && self.logits.as_ref().is_none_or(|b| b.bytes() < logits) {
            self.logits = Some(gpu.buffer("logits", logits).await?);
            changed = true;
        }
        self.generation += u64::from(changed);
        for table in graph.map(|g| g.tables.as_slice()).unwrap_or_default() {
            let bytes: &[u8] = bytemuck::cast_slice(&table.data);
            if self.tables.get(&table.name).is_none_or(|b| b.bytes() < bytes.len() as u64) {
                let buffer = gpu.buffer("table", bytes.len() as u64).await?;
                gpu.write(&buffer, 0, bytes);
                self.tables.insert(table.name.clone(), buffer);
            }
        }
        for d in &program.dispatches {
            for b in &d.binds {
                let Resource::Cache(index) = b.resource else { continue };
                while self.caches.len() <= index as usize {
                    self.caches.push(gpu.buffer("key-value cache", b.offset + b.size).await?);
                }
            }
        }
        Ok(())
    }

    #[expect(clippy::too_many_arguments, reason = "called once; a struct for it would only move the names")]
    fn bind(
        &self,
        program: &Program,
        graph: Option<&Graph>,
        slots: &[usize],
        d: &Dispatch,
        pipeline: &Pipeline,
        uniforms: &Buffer,
        index: usize,
    ) -> Result<wgpu::BindGroup> {
        let mut buffers: Vec<(&wgpu::Buffer, u64, u64)> =
            vec![(&uniforms.raw, index as u64 * UNIFORM_SLOT, d.params.len().next_multiple_of(16) as u64)];
        if d.shader.uses_step {
            buffers.push((&self.step.raw, 0, size_of::<StepValues>() as u64));
        }
        for b in &d.binds {
            let missing = || Error::gpu(format!("kernel {} binds {:?}, which this run does not have", d.shader.name, b.resource));
            let training =
                |arena: u32, i: usize| self.store.training.get(arena as usize).and_then(|s| s.as_ref()).map(|s| &s[i]).ok_or_else(missing);
            let buffer: &Rc<Buffer> = match b.resource {
                Resource::Value(v) => {
                    let slot = program.values[v.0 as usize].slot.ok_or_else(missing)?;
                    &self.pool[slots[slot as usize]]
                }
                Resource::Weights(a) => self.store.weights.get(a as usize).ok_or_else(missing)?,
                Resource::Gradients(a) => training(a, 0)?,
                Resource::Moment1(a) => training(a, 1)?,
                Resource::Moment2(a) => training(a, 2)?,
                Resource::Inputs => &self.inputs,
                Resource::Table(t) => {
                    let name = graph.and_then(|g| g.tables.get(t.0 as usize)).map(|t| &t.name).ok_or_else(missing)?;
                    self.tables.get(name).ok_or_else(missing)?
                }
                Resource::Cache(i) => self.caches.get(i as usize).ok_or_else(missing)?,
                Resource::Losses => &self.losses,
                Resource::Correct => &self.correct,
                Resource::Stats => &self.stats,
                Resource::Partials => &self.partials,
                Resource::Logits => self.logits.as_ref().ok_or_else(missing)?,
            };
            buffers.push((&buffer.raw, b.offset, b.size.next_multiple_of(4)));
        }
        let entries: Vec<wgpu::BindGroupEntry<'_>> = buffers
            .iter()
            .enumerate()
            .map(|(binding, (buffer, offset, size))| wgpu::BindGroupEntry {
                binding: binding as u32,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer,
                    offset: *offset,
                    size: std::num::NonZeroU64::new(*size),
                }),
            })
            .collect();
        let descriptor = wgpu::BindGroupDescriptor { label: Some(d.shader.name), layout: &pipeline.layout, entries: &entries };
        Ok(self.gpu.device.create_bind_group(&descriptor))
    }

    /// Whether the program is still bound to the buffers in use.
    pub fn is_current(&self, prepared: &Prepared) -> bool {
        prepared.generation == self.generation
    }

    /// Replays a program: queues the batch (as [`InputLayout`] lays it out), the step's values and all dispatches. Returns at once.
    ///
    /// # Errors
    /// [`Error::Gpu`] when something went wrong on the device before.
    pub fn run(&self, prepared: &Prepared, step: &StepValues, batch: &[u8]) -> Result<()> {
        debug_assert!(self.is_current(prepared), "a pooled buffer was replaced after this program was prepared");
        self.gpu.check()?;
        self.gpu.write(&self.step, 0, bytemuck::bytes_of(step));
        self.gpu.write(&self.inputs, 0, batch);
        let mut entries = prepared.entries.iter().filter(|e| runs(e.when, step)).peekable();
        while entries.peek().is_some() {
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                let mut flops = 0;
                while let Some(entry) = entries.next_if(|_| flops < self.submission_flops.get()) {
                    let [x, y, z] = entry.workgroups;
                    pass.set_pipeline(&entry.pipeline.raw);
                    pass.set_bind_group(0, &entry.group, &[]);
                    pass.dispatch_workgroups(x, y, z);
                    flops += entry.flops.max(1 << 20);
                }
            }
            self.gpu.queue.submit([encoder.finish()]);
        }
        Ok(())
    }

    /// Hands queued uploads over to the device, so that their staging memory is given back.
    pub fn flush(&self) {
        self.gpu.queue.submit([]);
    }

    /// Tells how long a replay took, so that submissions stay near 50 ms.
    pub fn observe(&self, flops: u64, seconds: f64) {
        if seconds > 0.0 && flops > 0 {
            let target = flops as f64 / seconds * 0.05;
            self.submission_flops.set((target as u64).clamp(1 << 24, 1 << 45));
        }
    }

    /// Replays a program with each dispatch on its own and measures it by wall clock: the time from submitting it to its end, best of `repeats`.
    ///
    /// # Errors
    /// [`Error::Gpu`] when the device fails.
    pub async fn profile(&self, prepared: &Prepared, step: &StepValues, batch: &[u8]) -> Result<Vec<Timing>> {
        self.gpu.write(&self.step, 0, bytemuck::bytes_of(step));
        self.gpu.write(&self.inputs, 0, batch);
        self.gpu.finish().await?;
        let mut timings = Vec::new();
        for (dispatch, entry) in prepared.entries.iter().enumerate().filter(|(_, e)| runs(e.when, step)) {
            let mut encoder = self.gpu.device.create_command_encoder(&Default::default());
            {
                let mut pass = encoder.begin_compute_pass(&Default::default());
                pass.set_pipeline(&entry.pipeline.raw);
                pass.set_bind_group(0, &entry.group, &[]);
                let [x, y, z] = entry.workgroups;
                pass.dispatch_workgroups(x, y, z);
            }
            let commands = encoder.finish();
            let start = web_time::Instant::now();
            self.gpu.queue.submit([commands]);
            self.gpu.finish().await?;
            timings.push(Timing { dispatch, kernel: entry.name, seconds: start.elapsed().as_secs_f64() });
        }
        Ok(timings)
    }

    /// Starts reading the statistics back.
    ///
    /// # Errors
    /// As [`Gpu::start_read`].
    pub fn start_read_stats(&self) -> Result<Readback> {
        self.gpu.start_read(&self.stats, 0, STATS_BYTES)
    }

    /// Clears the statistics, the halt flag included.
    pub fn clear_stats(&self) {
        self.gpu.write(&self.stats, 0, &[0; STATS_BYTES as usize]);
    }

    /// The losses of the last micro-batch, one per target.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_losses(&self, targets: usize) -> Result<Vec<f32>> {
        let bytes = self.gpu.read(&self.losses, 0, targets as u64 * 4).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// The logits that the last replay of a generating program left.
    ///
    /// # Errors
    /// As [`Gpu::read`].
    pub async fn read_logits(&self, first: usize, count: usize) -> Result<Vec<f32>> {
        let Some(logits) = &self.logits else { return Err(Error::gpu("no logits were computed")) };
        let bytes = self.gpu.read(logits, first as u64 * 4, count as u64 * 4).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }

    /// A value's content after a replay (of a program in which nothing that comes later takes its place), for tests.
    ///
    /// # Errors
    /// As [`Gpu::read`]; also when the value has no place.
    pub async fn read_value(&self, program: &Program, value: crate::graph::ValueId) -> Result<Vec<f32>> {
        let info = &program.values[value.0 as usize];
        let slot = info.slot.ok_or_else(|| Error::gpu("the value was dropped from the plan"))? as usize;
        let mut order: Vec<usize> = (0..program.slots.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(program.slots[*i]));
        let rank = order.iter().position(|s| *s == slot).unwrap_or(0);
        let bytes = self.gpu.read(&self.pool[rank], 0, info.bytes).await?;
        Ok(bytemuck::pod_collect_to_vec(&bytes))
    }
}

fn needed(program: &Program, resource: Resource) -> u64 {
    let binds = program.dispatches.iter().flat_map(|d| &d.binds).filter(|b| b.resource == resource);
    binds.map(|b| b.offset + b.size).max().unwrap_or(0)
}

fn runs(when: When, step: &StepValues) -> bool {
    match when {
        When::Always => true,
        When::MoreTargetsThan(n) => step.targets > n,
        When::FirstOfGroup => step.accumulate == 0,
    }
}
