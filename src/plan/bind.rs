//! A program with its pipelines and bind groups: what a replay needs.

use std::num::NonZeroU64;
use std::rc::Rc;

use super::buffers::{Buffers, places};
use super::pacing::Pacing;
use super::program::{Program, UNIFORM_SLOT};
use super::store::ParamStore;
use crate::error::{Error, Result};
use crate::gpu::{Buffer, Gpu, Pipeline};
use crate::kernels::{Dispatch, StepValues, When};

/// A program that is bound to a runner's buffers, until one of them is replaced.
pub struct BoundProgram {
    pub(super) entries: Vec<Entry>,
    pub(super) generation: u64,
    /// The dispatches' parameters, to be written into the shared buffer when another program was there; `None` where they have a buffer of their own.
    pub(super) parameters: Option<Vec<u8>>,
    /// Tells bound programs apart.
    pub(super) id: u64,
}

pub(super) struct Entry {
    pub(super) pipeline: Rc<Pipeline>,
    pub(super) group: wgpu::BindGroup,
    pub(super) workgroups: [u32; 3],
    pub(super) when: When,
    /// What it counts for in a submission.
    pub(super) work: u64,
    pub(super) name: &'static str,
}

impl BoundProgram {
    /// Binds a program to buffers that it fits into.
    pub(super) async fn new(gpu: &Gpu, store: &ParamStore, buffers: &Buffers, program: &Program, id: u64) -> Result<BoundProgram> {
        let mut parameters = vec![0u8; program.parameters_bytes() as usize];
        for (d, to) in program.dispatches.iter().zip(parameters.chunks_exact_mut(UNIFORM_SLOT as usize)) {
            to[..d.params.len()].copy_from_slice(&d.params);
        }
        let (uniforms, parameters) = if program.shares_parameters() {
            (buffers.parameters.clone(), Some(parameters))
        } else {
            let own = gpu.uniform("kernel parameters", program.parameters_bytes()).await?;
            gpu.write(&own, 0, &parameters);
            (own, None)
        };
        let pipelines = gpu.pipelines(program.dispatches.iter().map(|d| (d.shader, &d.constants[..]))).await?;
        let places = places(program);
        let mut entries = Vec::with_capacity(program.dispatches.len());
        for (index, (d, pipeline)) in program.dispatches.iter().zip(pipelines).enumerate() {
            let mut bindings = vec![(&*uniforms, index as u64 * UNIFORM_SLOT, d.params.len().next_multiple_of(16) as u64)];
            if d.shader.uses_step {
                bindings.push((&*buffers.step, 0, buffers.step.bytes()));
            }
            for b in &d.binds {
                let (buffer, first) = buffers.get(store, program, &places, b.resource).ok_or_else(|| missing(d, b.resource))?;
                bindings.push((&**buffer, first + b.offset, b.size.next_multiple_of(4)));
            }
            let group = group(gpu, d, &pipeline, &bindings);
            entries.push(Entry {
                pipeline,
                group,
                workgroups: d.workgroups,
                when: d.when,
                work: Pacing::work(d.flops, d.bytes()),
                name: d.shader.name,
            });
        }
        gpu.check()?;
        Ok(BoundProgram { entries, generation: buffers.generation, parameters, id })
    }

    /// The dispatches that run in a step.
    pub(super) fn running<'a>(&'a self, step: &'a StepValues) -> impl Iterator<Item = (usize, &'a Entry)> {
        self.entries.iter().enumerate().filter(|(_, entry)| match entry.when {
            When::Always => true,
            When::MoreTargetsThan(n) => step.targets > n,
            When::FirstOfGroup => step.accumulate == 0,
        })
    }
}

fn group(gpu: &Gpu, d: &Dispatch, pipeline: &Pipeline, bindings: &[(&Buffer, u64, u64)]) -> wgpu::BindGroup {
    let entries: Vec<wgpu::BindGroupEntry<'_>> = bindings
        .iter()
        .enumerate()
        .map(|(binding, (buffer, offset, size))| wgpu::BindGroupEntry {
            binding: binding as u32,
            resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                buffer: &buffer.raw,
                offset: *offset,
                size: NonZeroU64::new(*size),
            }),
        })
        .collect();
    gpu.device.create_bind_group(&wgpu::BindGroupDescriptor { label: Some(d.shader.name), layout: &pipeline.layout, entries: &entries })
}

fn missing(d: &Dispatch, resource: crate::kernels::Resource) -> Error {
    Error::gpu(format!("kernel {} binds {resource:?}, which this run does not have", d.shader.name))
}
