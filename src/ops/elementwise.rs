//! Element-wise sums and copies that the plan itself needs.

use crate::graph::{Shape, ValueId};
use crate::plan::kernels::{add_in_place as add_kernel, column_sum as column_sum_kernel, copy_columns, fill};
use crate::plan::{Bind, Dispatch, Emit, workgroups};

const WORKGROUP: usize = 64;

/// Zeroes a buffer.
pub fn zero(x: Bind) -> Dispatch {
    let count = (x.size / 16) as u32;
    let groups = workgroups((count as usize).div_ceil(WORKGROUP));
    fill::dispatch(fill::Params { count, value: 0.0 }, fill::Constants::default(), fill::Bindings { x }, groups)
}

/// y += x for two matrices of one shape.
pub fn add_in_place(shape: Shape, x: Bind, y: Bind) -> Dispatch {
    let count = (shape.floats() / 4) as u32;
    let params = add_kernel::Params { count, factor: 1.0 };
    add_kernel::dispatch(params, Default::default(), add_kernel::Bindings { x, y }, workgroups((count as usize).div_ceil(WORKGROUP)))
}

/// y = x for two matrices of one shape.
pub fn copy(shape: Shape, x: Bind, y: Bind) -> Dispatch {
    copy_part(shape, 0, x, shape, 0, y)
}

/// Copies the columns from `x_first` on of x to those from `y_first` on of y, as many as the narrower of the two has.
pub fn copy_part(x_shape: Shape, x_first: usize, x: Bind, y_shape: Shape, y_first: usize, y: Bind) -> Dispatch {
    let cols = (x_shape.cols - x_first).min(y_shape.cols - y_first);
    let params = copy_columns::Params {
        rows: x_shape.rows as u32,
        cols: cols as u32,
        x_first: x_first as u32,
        y_first: y_first as u32,
        y_cols: y_shape.cols as u32,
        x_stride: x_shape.stride4(),
        y_stride: y_shape.stride4(),
        accumulate: 0,
    };
    let width = (y_first + cols).div_ceil(4) - y_first / 4;
    copy_columns::dispatch(params, Default::default(), copy_columns::Bindings { x, y }, workgroups((x_shape.rows * width).div_ceil(WORKGROUP)))
}

/// dy (M, N) → the sum of its rows, into a vector of N: the gradient of a bias. `mode` as in [`Emit::gradient_mode`].
pub fn column_sum(e: &Emit<'_>, dy: ValueId, db: Bind, mode: u32) -> Vec<Dispatch> {
    let shape = e.shape(dy);
    let params = column_sum_kernel::Params {
        rows: shape.rows as u32,
        width: shape.stride4(),
        x_stride: shape.stride4(),
        y_stride: shape.stride4(),
        block_rows: shape.rows as u32,
        accumulate: mode,
    };
    let groups = [(shape.stride4() as usize).div_ceil(WORKGROUP) as u32, 1, 1];
    vec![column_sum_kernel::dispatch(params, Default::default(), column_sum_kernel::Bindings { x: e.bind(dy), y: db }, groups)]
}
