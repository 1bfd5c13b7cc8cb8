//! The second stages of sums over rows (gradients of norms and biases), put off so that one dispatch makes those of many layers.

use super::{Emit, longest_run};
use crate::kernels::{Bind, Owner, Phase, Resource, Shape, ValueId, elementwise};

/// Most bytes of partial sums that wait: a few megabytes cost little memory, and the dispatches are few already.
const WAITING_BYTES: u64 = 4 << 20;

/// A sum that is still to be made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waiting {
    /// (blocks, columns): one row of partial sums for each block of rows.
    partials: ValueId,
    shape: Shape,
    /// Where their sum goes.
    total: Bind,
    /// As in [`Emit::gradient_mode`].
    mode: u32,
    owner: Owner,
}

impl Waiting {
    fn bytes(&self) -> u64 {
        (self.shape.floats() as u64 * 4).next_multiple_of(256)
    }

    /// Whether one dispatch can make both.
    fn is_like(&self, other: &Waiting) -> bool {
        (self.shape, self.total.resource, self.total.size, self.mode) == (other.shape, other.total.resource, other.total.size, other.mode)
    }
}

impl Emit<'_> {
    /// Adds the rows of `partials` up into the gradient `total`, at the end of the backward pass at the latest: nothing in it reads a parameter's gradient.
    pub fn sum_later(&mut self, partials: ValueId, total: Bind, mode: u32) {
        let waiting = Waiting { partials, shape: self.shape(partials), total, mode, owner: self.owner };
        if self.waiting.iter().map(Waiting::bytes).sum::<u64>() + waiting.bytes() > WAITING_BYTES {
            self.make_sums();
        }
        self.waiting.push(waiting);
    }

    /// Makes the sums that wait: those of one shape whose gradients lie at equal distances by one dispatch.
    pub(crate) fn make_sums(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.sort_by_key(|w| w.total.offset);
        let owner = self.owner;
        while !waiting.is_empty() {
            let run = first_run(&waiting);
            let sums: Vec<Waiting> = run.iter().map(|i| waiting[*i]).collect();
            let mut index = 0;
            waiting.retain(|_| {
                index += 1;
                !run.contains(&(index - 1))
            });
            self.owner = Owner { op: sums[0].owner.op, layer: None, phase: Phase::Backward };
            self.make(&sums);
        }
        self.owner = owner;
    }

    /// One dispatch for sums that are alike, whose gradients lie at equal distances.
    fn make(&mut self, sums: &[Waiting]) {
        let Some((first, last)) = sums.first().zip(sums.last()) else { return };
        let apart = first.bytes();
        let x = if sums.len() == 1 { self.bind(first.partials) } else { self.side_by_side(sums) };
        let y_apart = sums.get(1).map_or(0, |second| second.total.offset - first.total.offset);
        let y = Bind { size: last.total.offset + last.total.size - first.total.offset, ..first.total };
        let dispatch = elementwise::column_sums_of_many(first.shape, sums.len(), (x, apart), (y, y_apart), first.mode);
        let bytes = sums.len() as u64 * (first.bytes() + first.total.size);
        self.run(dispatch.touching(bytes));
    }

    /// Moves the partial sums into one new value, before anything is placed: the dispatches that write them are told.
    fn side_by_side(&mut self, sums: &[Waiting]) -> Bind {
        let apart = sums[0].bytes();
        let whole = self.new_value(sums.len() as u64 * apart, None);
        for (i, sum) in sums.iter().enumerate() {
            let offset = i as u64 * apart;
            self.values[sum.partials.0 as usize].part_of = Some((whole, offset));
            for bind in self.dispatches.iter_mut().flat_map(|d| &mut d.binds) {
                if bind.resource == Resource::Value(sum.partials) {
                    *bind = Bind { resource: Resource::Value(whole), offset: bind.offset + offset, ..*bind };
                }
            }
        }
        self.bind(whole)
    }
}

/// The longest run of sums at equal distances that begins with the first and can be made by one dispatch.
fn first_run(waiting: &[Waiting]) -> Vec<usize> {
    let like: Vec<usize> = (0..waiting.len()).filter(|i| waiting[0].is_like(&waiting[*i])).collect();
    let places: Vec<Vec<u64>> = like.iter().map(|i| vec![waiting[*i].total.offset]).collect();
    longest_run(&places).into_iter().map(|i| like[i]).collect()
}
