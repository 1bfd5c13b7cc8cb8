//! Sums of two activations: residual connections.

use super::matmul::tiled::Addend;
use crate::graph::{Emit, Graph, Op, ValueId};
use crate::kernels::{Bind, Resource, add, workgroups};

#[derive(Debug)]
struct Add;

impl Graph {
    /// a + b, both (M, N).
    pub fn add(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let shape = self.shape(a);
        debug_assert_eq!(shape, self.shape(b));
        self.push_one(Add, &[a, b], shape)
    }
}

/// The sides of the sum that `x` is, if it is what was emitted last: it is taken back, and the caller makes it along with its own work.
pub(super) fn take_sum(e: &mut Emit<'_>, x: ValueId) -> Option<(Bind, Bind)> {
    let sum = e.take_last(&add::SHADER, x)?;
    Some((sum.binds[0], sum.binds[1]))
}

/// The same, with the second side as the parts of a split product where it is one that nothing else reads.
pub(super) fn take_sum_of_parts(e: &mut Emit<'_>, x: ValueId) -> Option<(Bind, Addend)> {
    let (a, b) = take_sum(e, x)?;
    let b = match b.resource {
        Resource::Value(value) if e.bind(value) == b => Addend::taken_or_whole(e, value),
        _ => Addend::whole(b),
    };
    Some((a, b))
}

impl Op for Add {
    fn name(&self) -> &'static str {
        "add"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let params = add::Params { count: (e.shape(y[0]).floats() / 4) as u32 };
        let constants = add::Constants::default();
        let bindings = add::Bindings { a: e.bind(x[0]), b: e.bind(x[1]), y: e.bind(y[0]) };
        let groups = workgroups(params.count.div_ceil(constants.WORKGROUP) as usize);
        e.run(add::dispatch(params, constants, bindings, groups));
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId], _saved: &[ValueId]) {
        // Both sides get the same gradient: the matrix is handed on, not copied.
        if let Some(dy) = e.grad(y[0]) {
            e.give_grad(x[0], dy);
            e.give_grad(x[1], dy);
        }
    }
}
