//! Rotary position embedding, in place, on queries or keys.

use crate::graph::{Emit, Graph, Op, TableId, ValueId};
use crate::kernels::{Input, rope_forward, workgroups};

#[derive(Debug)]
struct Rope {
    table: TableId,
    head_dim: usize,
    rotary_dim: usize,
}

impl Graph {
    /// Rotates the first `rotary_dim` columns of every head of x (M, heads · head_dim) in place, by the token's position.
    /// The table holds `rotary_dim` / 2 pairs (cos, sin) for every position that occurs, as `Rope::table` of `model` makes it.
    pub fn rope(&mut self, x: ValueId, table: TableId, head_dim: usize, rotary_dim: usize) {
        debug_assert!(self.shape(x).cols.is_multiple_of(head_dim) && rotary_dim <= head_dim && rotary_dim.is_multiple_of(2));
        self.push(Rope { table, head_dim, rotary_dim }, &[x], &[]);
    }
}

impl Op for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn in_place(&self) -> bool {
        true
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId]) -> Vec<ValueId> {
        self.rotate(e, x[0], 1.0);
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId], _saved: &[ValueId]) {
        // A rotation's transpose is the rotation back (scaled tables included: the scale is the same both ways).
        if let Some(dx) = e.grad_in_place(x[0]) {
            self.rotate(e, dx, -1.0);
        }
    }
}

impl Rope {
    fn rotate(&self, e: &mut Emit<'_>, x: ValueId, direction: f32) {
        let shape = e.shape(x);
        let heads = shape.cols / self.head_dim;
        let params = rope_forward::Params {
            rows: shape.rows as u32,
            heads: heads as u32,
            head_dim: self.head_dim as u32,
            rotary_dim: self.rotary_dim as u32,
            x_stride: shape.stride4(),
            direction,
        };
        // A thread for four pairs; where halves do not fall on vec4 borders the kernel takes a thread for a row.
        let by_vectors = self.rotary_dim.is_multiple_of(8) && self.head_dim.is_multiple_of(4);
        let threads = if by_vectors { shape.rows * heads * (self.rotary_dim / 8) } else { shape.rows };
        let constants = rope_forward::Constants::default();
        let bindings = rope_forward::Bindings { positions: e.input(Input::Positions), table: e.table(self.table), x: e.bind(x) };
        e.run(rope_forward::dispatch(params, constants, bindings, workgroups(threads.div_ceil(constants.WORKGROUP as usize))));
    }
}
