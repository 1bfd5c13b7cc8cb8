//! Activations that the backward pass reads are kept in 16 bits until then.
//!
//! The forward pass computes and reads f32. After its last use there an activation is packed, and unpacked before its first use in the backward pass (or in a layer
//! that is computed again). So the loss is that of f32, and gradients are those of f32 with rounded activations: what PyTorch computes when a hook rounds the tensors that
//! are saved for the backward pass. Gradients, row sums of attention and the statistics of norms stay f32, so that no gradient can vanish and no loss need be scaled.

use std::collections::HashSet;

use super::program::Program;
use crate::graph::{Shape, ValueId, ValueInfo};
use crate::kernels::{Access, Bind, Dispatch, Half, Owner, Phase, Resource, elementwise};

/// When a value is used, as indices of dispatches.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    /// Whether the forward pass writes it.
    made_forward: bool,
    last_forward: usize,
    first_later: Option<usize>,
}

/// Keeps every matrix that the forward pass makes and a later pass reads in 16 bits in between; `gradients` are those that are none of the forward pass's results.
pub(super) fn keep(program: &mut Program, gradients: &HashSet<ValueId>, half: Half) {
    let uses = uses(program);
    let mut full = vec![None; uses.len()];
    let (mut pack, mut unpack) = (Vec::new(), Vec::new());
    for (index, Use { made_forward, last_forward, first_later }) in uses.into_iter().enumerate() {
        let (value, info) = (ValueId(index as u32), program.values[index].clone());
        let (true, Some(first), Some(_)) = (made_forward, first_later, info.shape) else { continue };
        if gradients.contains(&value) {
            continue;
        }
        let halves = new_value(program, (info.bytes / 2).next_multiple_of(16), None);
        let again = new_value(program, info.bytes, info.shape);
        full[index] = Some(again);
        pack.push((last_forward, value, halves));
        unpack.push((first, halves, again));
    }
    pack.sort_unstable_by_key(|(index, ..)| *index);
    unpack.sort_unstable_by_key(|(index, ..)| *index);
    let (mut pack, mut unpack) = (pack.into_iter().peekable(), unpack.into_iter().peekable());
    let old = std::mem::take(&mut program.dispatches);
    for (index, mut d) in old.into_iter().enumerate() {
        while let Some((_, halves, again)) = unpack.next_if(|(first, ..)| *first == index) {
            let (y, x) = (whole(program, halves), whole(program, again));
            program.dispatches.push(owned(elementwise::unpack(half, y, x), d.owner));
        }
        if d.owner.phase != Phase::Forward {
            for bind in &mut d.binds {
                if let Resource::Value(v) = bind.resource
                    && let Some(again) = full[v.0 as usize]
                {
                    bind.resource = Resource::Value(again);
                }
            }
        }
        let owner = d.owner;
        program.dispatches.push(d);
        while let Some((_, value, halves)) = pack.next_if(|(last, ..)| *last == index) {
            let (x, y) = (whole(program, value), whole(program, halves));
            program.dispatches.push(owned(elementwise::pack(half, x, y), owner));
        }
    }
}

fn uses(program: &Program) -> Vec<Use> {
    let mut uses = vec![Use::default(); program.values.len()];
    for (index, d) in program.dispatches.iter().enumerate() {
        for (bind, access) in d.binds.iter().zip(d.shader.bindings) {
            let Resource::Value(v) = bind.resource else { continue };
            let used = &mut uses[v.0 as usize];
            if d.owner.phase == Phase::Forward {
                used.made_forward |= *access == Access::Write;
                used.last_forward = index;
            } else {
                used.first_later.get_or_insert(index);
            }
        }
    }
    uses
}

fn new_value(program: &mut Program, bytes: u64, shape: Option<Shape>) -> ValueId {
    program.values.push(ValueInfo { bytes, shape, place: None, part_of: None });
    ValueId(program.values.len() as u32 - 1)
}

fn whole(program: &Program, value: ValueId) -> Bind {
    Bind { resource: Resource::Value(value), offset: 0, size: program.values[value.0 as usize].bytes }
}

fn owned(dispatch: Dispatch, owner: Owner) -> Dispatch {
    Dispatch { owner: Owner { op: "keep", ..owner }, ..dispatch }
}
