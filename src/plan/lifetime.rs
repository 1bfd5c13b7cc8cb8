//! Removes dispatches whose results are not read, and places values in pooled buffers by their lifetimes.

use std::collections::HashSet;

use super::program::Program;
use crate::kernels::{Access, Resource, ValueId};

/// Removes dispatches whose results are not read: what a frozen parameter's gradient would have needed, the tail of a recomputed layer.
pub(super) fn drop_unread(program: &mut Program) {
    let mut read: HashSet<ValueId> = HashSet::new();
    let mut keep = vec![false; program.dispatches.len()];
    for (index, d) in program.dispatches.iter().enumerate().rev() {
        let writes = d.binds.iter().zip(d.shader.bindings).filter(|(_, a)| **a == Access::Write);
        let matters = writes.map(|(b, _)| b.resource).any(|r| match r {
            Resource::Value(v) => read.contains(&v),
            _ => true,
        });
        if matters {
            keep[index] = true;
            read.extend(d.binds.iter().filter_map(|b| match b.resource {
                Resource::Value(v) => Some(v),
                _ => None,
            }));
        }
    }
    let mut keep = keep.into_iter();
    program.dispatches.retain(|_| keep.next().unwrap_or(true));
}

/// Gives every value a pooled buffer: the largest values first, each into the first buffer that is free during its whole life.
pub(super) fn place(program: &mut Program) {
    let mut life: Vec<Option<(usize, usize)>> = vec![None; program.values.len()];
    for (index, d) in program.dispatches.iter().enumerate() {
        for bind in &d.binds {
            if let Resource::Value(v) = bind.resource {
                let entry = life[v.0 as usize].get_or_insert((index, index));
                entry.1 = index;
            }
        }
    }
    let mut order: Vec<usize> = (0..life.len()).filter(|i| life[*i].is_some()).collect();
    order.sort_by_key(|i| (std::cmp::Reverse(program.values[*i].bytes), *i));
    let mut slots: Vec<(u64, Vec<(usize, usize)>)> = Vec::new();
    for i in order {
        let Some((first, last)) = life[i] else { continue };
        let free = slots.iter().position(|(_, taken)| taken.iter().all(|(a, b)| last < *a || *b < first));
        let slot = free.unwrap_or_else(|| {
            slots.push((program.values[i].bytes.next_multiple_of(256), Vec::new()));
            slots.len() - 1
        });
        slots[slot].1.push((first, last));
        program.values[i].slot = Some(slot as u32);
    }
    program.slots = slots.into_iter().map(|(bytes, _)| bytes).collect();
}
