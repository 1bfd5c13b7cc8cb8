//! Removes dispatches whose results are not read, and places values in pooled buffers by their lifetimes.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::ops::Range;

use super::program::Program;
use crate::gpu::BINDING_ALIGNMENT;
use crate::graph::Place;
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

/// Gives every value a place in a pooled buffer, the largest values first: the first place that is free during its whole life, beside other values if there is room.
/// No dispatch writes one value and reads another in the same buffer: WebGPU allows a buffer one of the two at a time.
pub(super) fn place(program: &mut Program) {
    let mut life: Vec<Option<(usize, usize)>> = vec![None; program.values.len()];
    // The values that must not lie in the same buffer as this one.
    let mut apart: Vec<Vec<usize>> = vec![Vec::new(); program.values.len()];
    for (index, d) in program.dispatches.iter().enumerate() {
        let (mut read, mut written) = (Vec::new(), Vec::new());
        for (bind, access) in d.binds.iter().zip(d.shader.bindings) {
            if let Resource::Value(v) = bind.resource {
                let v = v.0 as usize;
                life[v].get_or_insert((index, index)).1 = index;
                if *access == Access::Write { &mut written } else { &mut read }.push(v);
            }
        }
        for (r, w) in read.iter().flat_map(|r| written.iter().map(move |w| (*r, *w))) {
            apart[r].push(w);
            apart[w].push(r);
        }
    }
    let mut order: Vec<usize> = (0..life.len()).filter(|i| life[*i].is_some()).collect();
    order.sort_by_key(|i| (Reverse(program.values[*i].bytes), *i));
    let mut slots: Vec<u64> = Vec::new();
    // The placed values whose lives begin at a dispatch, and all that live there.
    let mut born: Vec<Vec<usize>> = vec![Vec::new(); program.dispatches.len()];
    let mut alive = born.clone();
    for value in order {
        let Some((first, last)) = life[value] else { continue };
        let bytes = program.values[value].bytes.next_multiple_of(BINDING_ALIGNMENT);
        // What of each slot is taken meanwhile, and whether the value may lie there at all.
        let mut taken = vec![(Vec::new(), true); slots.len()];
        let meanwhile = alive[first].iter().chain(born[first + 1..=last].iter().flatten());
        for other in meanwhile.copied() {
            let Some(Place { slot, offset }) = program.values[other].place else { continue };
            let (ranges, allowed) = &mut taken[slot as usize];
            ranges.push(offset..offset + program.values[other].bytes.next_multiple_of(BINDING_ALIGNMENT));
            *allowed &= !apart[value].contains(&other);
        }
        let free = taken.into_iter().enumerate().filter(|(_, (_, allowed))| *allowed);
        let free = free.map(|(slot, (ranges, _))| (slot, gap(slots[slot], bytes, ranges))).find_map(|(slot, gap)| Some((slot, gap?)));
        let (slot, offset) = free.unwrap_or_else(|| {
            slots.push(bytes);
            (slots.len() - 1, 0)
        });
        program.values[value].place = Some(Place { slot: slot as u32, offset });
        born[first].push(value);
        alive[first..=last].iter_mut().for_each(|living| living.push(value));
    }
    program.slots = slots;
}

/// The first byte of the first gap of so many bytes that these ranges leave in `0..size`.
fn gap(size: u64, bytes: u64, mut taken: Vec<Range<u64>>) -> Option<u64> {
    taken.sort_unstable_by_key(|range| range.start);
    let mut first = 0;
    for range in taken {
        if range.start >= first + bytes {
            break;
        }
        first = first.max(range.end);
    }
    (first + bytes <= size).then_some(first)
}
