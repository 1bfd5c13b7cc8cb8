//! The low-rank part of a product with an adapted weight: y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ (Hu et al., "LoRA", 2021), of which B·A is never formed.
//!
//! The narrow product u = s·x·Aᵀ (M, r) comes first; the wide one, u·Bᵀ, goes into the same sums as x·Wᵀ, so that y is written once.
//! Backwards t = s·dy·B (M, r) comes first, and t·A goes into the sums of dx = dy·W; then dA = tᵀ·x and dB = dyᵀ·u. Maps of one x, such as
//! query, key and value, have their narrow products made together.

mod skinny;

use super::dropout;
use super::matmul::{self, Operand, Product, Second};
use crate::graph::{Emit, LowRank, ParamId, ValueId};
use crate::kernels::{Version, When};

/// What the gradients of A and B are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Made {
    /// The gradient of the map's output.
    pub(super) dy: ValueId,
    /// scale · x·Aᵀ
    pub(super) u: ValueId,
    /// scale · dy·B
    pub(super) t: ValueId,
}

/// x with dropout in training, x itself otherwise. `id` tells the dropouts of a model apart.
pub(super) fn dropped(e: &mut Emit<'_>, low_rank: &LowRank, id: u32, x: ValueId, when: When) -> ValueId {
    if low_rank.dropout <= 0.0 || !e.training() {
        return x;
    }
    let shape = e.shape(x);
    let out = e.matrix(shape.rows, shape.cols);
    dropout::mask(e, low_rank.dropout, id, x, out, false, when);
    out
}

/// u = scale · x·Aᵀ, (M, r), for each map that has a low-rank part.
pub(super) fn narrow(e: &mut Emit<'_>, parts: &[Option<&LowRank>], x: ValueId, when: When) -> Vec<Option<ValueId>> {
    if e.tuning.products == Version::Tiled {
        let factors: Vec<_> = parts.iter().map(|part| part.map(|l| (l, l.scale))).collect();
        if let Some((dispatch, us)) = skinny::narrow(e, &factors, x) {
            e.run(dispatch.when(when));
            return us;
        }
    }
    parts.iter().map(|part| part.map(|l| narrow_one(e, l, x, when))).collect()
}

/// [`narrow`] for one map.
pub(super) fn narrow_one(e: &mut Emit<'_>, low_rank: &LowRank, x: ValueId, when: When) -> ValueId {
    if e.tuning.products == Version::Tiled
        && let Some((dispatch, us)) = skinny::narrow(e, &[Some((low_rank, low_rank.scale))], x)
        && let Some(u) = us[0]
    {
        e.run(dispatch.when(when));
        return u;
    }
    let rank = e.param(low_rank.a).shape.rows;
    let u = e.matrix(e.shape(x).rows, rank);
    let (from, to) = (Operand::value(e, x), Operand::value(e, u));
    let product = Product { scale: low_rank.scale, ..Product::default() };
    let piece = e.piece(low_rank.a);
    for dispatch in matmul::forward(e, from, low_rank.a, &piece, product, to) {
        e.run(dispatch.when(when));
    }
    u
}

/// u·Bᵀ as the second product of a forward; `first_row` is where a piece of W begins.
pub(super) fn widen(e: &Emit<'_>, low_rank: &LowRank, u: ValueId, first_row: usize) -> Second {
    let shape = e.param(low_rank.b).shape;
    let weight = e.piece(low_rank.b).weight.after(first_row as u64 * u64::from(shape.stride4()) * 16);
    Second { x: Operand::value(e, u), weight, stride4: shape.stride4(), rank: shape.cols }
}

/// t·A as the second product of a backward.
pub(super) fn widen_back(e: &Emit<'_>, low_rank: &LowRank, t: ValueId) -> Second {
    let shape = e.param(low_rank.a).shape;
    Second { x: Operand::value(e, t), weight: e.piece(low_rank.a).weight, stride4: shape.stride4(), rank: shape.rows }
}

/// t = scale · dy·B, (M, r), for each map that has a low-rank part.
pub(super) fn narrow_back(e: &mut Emit<'_>, parts: &[Option<&LowRank>], dys: &[ValueId], when: When) -> Vec<Option<ValueId>> {
    if e.tuning.products == Version::Tiled {
        let factors: Vec<_> = parts.iter().map(|part| part.map(|l| (l, l.scale))).collect();
        if let Some((dispatch, ts)) = skinny::narrow_back(e, &factors, dys) {
            e.run(dispatch.when(when));
            return ts;
        }
    }
    parts.iter().zip(dys).map(|(part, dy)| part.map(|l| narrow_back_one(e, l, l.scale, *dy, when))).collect()
}

/// [`narrow_back`] for one map, with a factor of its own.
pub(super) fn narrow_back_one(e: &mut Emit<'_>, low_rank: &LowRank, scale: f32, dy: ValueId, when: When) -> ValueId {
    if e.tuning.products == Version::Tiled
        && let Some(t) = skinny::narrow_back_in_norm(e, low_rank, scale, dy)
    {
        return t;
    }
    if e.tuning.products == Version::Tiled
        && let Some((dispatch, ts)) = skinny::narrow_back(e, &[Some((low_rank, scale))], &[dy])
        && let Some(t) = ts[0]
    {
        e.run(dispatch.when(when));
        return t;
    }
    let rank = e.param(low_rank.b).shape.cols;
    let t = e.matrix(e.shape(dy).rows, rank);
    let (from, to) = (Operand::value(e, dy), Operand::value(e, t));
    let product = Product { scale, ..Product::default() };
    let piece = e.piece(low_rank.b);
    for dispatch in matmul::backward_input(e, from, low_rank.b, &piece, product, to) {
        e.run(dispatch.when(when));
    }
    t
}

/// dA = tᵀ·x and dB = dyᵀ·u of each map that has a low-rank part, if they are trained.
pub(super) fn gradients(e: &mut Emit<'_>, parts: &[Option<(&LowRank, Made)>], x: ValueId, when: When) {
    if e.tuning.products == Version::Tiled
        && let Some(dispatches) = skinny::gradients(e, parts, x)
    {
        for dispatch in dispatches {
            e.run(dispatch.when(when));
        }
        return;
    }
    for (l, made) in parts.iter().flatten() {
        gradient(e, l.a, made.t, x, when);
        gradient(e, l.b, made.dy, made.u, when);
    }
}

/// dW of one small parameter (n, k) = yᵀ·x, if it is trained.
pub(super) fn gradient(e: &mut Emit<'_>, param: ParamId, y: ValueId, x: ValueId, when: When) {
    let shape = e.param(param).shape;
    let Some(dw) = e.piece(param).gradient else { return };
    let mode = e.gradient_mode(param);
    let (y, x) = (Operand::value(e, y), Operand::value(e, x));
    for dispatch in matmul::backward_weight(e, y, x, shape.rows, shape.cols, dw, mode) {
        e.run(dispatch.when(when));
    }
}
