//! Sums over the rows of a matrix: gradients of biases and of norms.

use crate::graph::{Emit, ValueId};
use crate::kernels::Bind;
use crate::kernels::elementwise::column_sums;

/// dy (M, N) → the sum of its rows, into a vector of N: the gradient of a bias. `mode` as in [`Emit::gradient_mode`].
pub(super) fn column_sum(e: &mut Emit<'_>, dy: ValueId, db: Bind, mode: u32) {
    let shape = e.shape(dy);
    let block = e.tuning.block_rows(shape.rows);
    if block >= shape.rows {
        let dispatch = column_sums(shape, e.bind(dy), db, shape.rows, mode);
        return e.run(dispatch);
    }
    let partials = e.matrix(shape.rows.div_ceil(block), shape.cols);
    let dispatch = column_sums(shape, e.bind(dy), e.bind(partials), block, 0);
    e.run(dispatch);
    e.sum_later(partials, db, mode);
}
