//! Rotary position embedding, in place, of queries and keys.

use crate::graph::{Emit, Graph, Op, TableId, ValueId};
use crate::kernels::{Input, attention_sum, attention_sum_rotated, rope_forward, workgroups};

#[derive(Debug)]
struct Rope {
    table: TableId,
    head_dim: usize,
    rotary_dim: usize,
}

impl Graph {
    /// Rotates the first `rotary_dim` columns of every head of q (M, heads · head_dim) and k (M, kv_heads · head_dim) in place, by the token's
    /// position. The table holds `rotary_dim` / 2 pairs (cos, sin) for every position that occurs, as `Rope::table` of `model` makes it.
    pub fn rope(&mut self, q: ValueId, k: ValueId, table: TableId, head_dim: usize, rotary_dim: usize) {
        debug_assert!([q, k].iter().all(|x| self.shape(*x).cols.is_multiple_of(head_dim)));
        debug_assert!(rotary_dim <= head_dim && rotary_dim.is_multiple_of(2));
        self.push(Rope { table, head_dim, rotary_dim }, &[q, k], &[]);
    }
}

/// Whether the halves of a rotation fall on vec4 borders: then a thread takes four pairs, else a whole row.
pub(super) fn by_vectors(head_dim: usize, rotary_dim: usize) -> bool {
    rotary_dim.is_multiple_of(8) && head_dim.is_multiple_of(4)
}

impl Op for Rope {
    fn name(&self) -> &'static str {
        "rope"
    }

    fn in_place(&self) -> bool {
        true
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId]) -> Vec<ValueId> {
        self.rotate(e, x[0], Some(x[1]), 1.0);
        Vec::new()
    }

    fn backward(&self, e: &mut Emit<'_>, x: &[ValueId], _y: &[ValueId], _saved: &[ValueId]) {
        // A rotation's transpose is the rotation back (scaled tables included: the scale is the same both ways).
        let gradients = x.iter().map(|x| e.grad_in_place(*x)).collect::<Vec<_>>();
        match gradients[..] {
            [Some(dq), Some(dk)] if self.sum_and_rotate(e, dq, dk) => {}
            [Some(dq), Some(dk)] => self.rotate(e, dq, Some(dk), -1.0),
            [Some(dx), None] | [None, Some(dx)] => self.rotate(e, dx, None, -1.0),
            _ => {}
        }
    }
}

impl Rope {
    /// Where the keys' gradient is a sum that was just emitted, makes the sum and rotates back: whether it was done.
    fn sum_and_rotate(&self, e: &mut Emit<'_>, dq: ValueId, dk: ValueId) -> bool {
        if !by_vectors(self.head_dim, self.rotary_dim) {
            return false;
        }
        let Some(last) = e.take_last(&attention_sum::SHADER, dk) else { return false };
        let sum: attention_sum::Params = bytemuck::pod_read_unaligned(&last.params);
        if sum.accumulate != 0 {
            e.run(last);
            return false;
        }
        let params = attention_sum_rotated::Params {
            rows: sum.rows,
            group: sum.group,
            kv_heads: sum.kv_heads,
            head_dim4: sum.head_dim4,
            half4: (self.rotary_dim / 8) as u32,
            part_stride: sum.part_stride,
            d_q_stride: e.shape(dq).stride4(),
            d_k_stride: sum.d_k_stride,
            d_v_stride: sum.d_v_stride,
        };
        let [k_parts, v_parts, d_k, d_v] = [0, 1, 2, 3].map(|i| last.binds[i]);
        let (positions, table, d_q) = (e.input(Input::Positions), e.table(self.table), e.bind(dq));
        let rest = sum.head_dim4 - 2 * params.half4;
        let units = sum.kv_heads * (sum.group + 1) * params.half4 + sum.kv_heads * (rest + sum.head_dim4);
        let constants = attention_sum_rotated::Constants::default();
        let bindings = attention_sum_rotated::Bindings { positions, table, k_parts, v_parts, d_q, d_k, d_v };
        let groups = workgroups((sum.rows * units).div_ceil(constants.WORKGROUP) as usize);
        e.run(attention_sum_rotated::dispatch(params, constants, bindings, groups));
        true
    }

    /// Rotates queries and keys, or one of them alone: then what the kernel takes as the other is an empty matrix.
    fn rotate(&self, e: &mut Emit<'_>, q: ValueId, k: Option<ValueId>, direction: f32) {
        let shape = e.shape(q);
        let (k, kv_heads) = match k {
            Some(k) => (k, e.shape(k).cols / self.head_dim),
            None => (e.matrix(1, 4), 0),
        };
        let heads = shape.cols / self.head_dim;
        let params = rope_forward::Params {
            rows: shape.rows as u32,
            heads: heads as u32,
            kv_heads: kv_heads as u32,
            head_dim: self.head_dim as u32,
            rotary_dim: self.rotary_dim as u32,
            q_stride: shape.stride4(),
            k_stride: e.shape(k).stride4(),
            direction,
        };
        let units = if by_vectors(self.head_dim, self.rotary_dim) { (heads + kv_heads) * (self.rotary_dim / 8) } else { 1 };
        let constants = rope_forward::Constants::default();
        let (positions, table) = (e.input(Input::Positions), e.table(self.table));
        let bindings = rope_forward::Bindings { positions, table, q: e.bind(q), k: e.bind(k) };
        let groups = workgroups((shape.rows * units).div_ceil(constants.WORKGROUP as usize));
        e.run(rope_forward::dispatch(params, constants, bindings, groups));
    }
}
