//! Dispatches that fill, copy and add whole matrices, for ops and for the compiler of graphs.

use super::{
    Bind, Dispatch, Half, Shape, add_in_place as add_kernel, column_sum as column_sum_kernel, copy_columns, fill, keep_backward,
    keep_forward, workgroups,
};

/// Zeroes a buffer.
pub fn zero(x: Bind) -> Dispatch {
    let count = (x.size / 16) as u32;
    let constants = fill::Constants::default();
    let groups = workgroups(count.div_ceil(constants.WORKGROUP) as usize);
    fill::dispatch(fill::Params { count }, constants, fill::Bindings { x }, groups)
}

/// y = x in 16 bits, two numbers a word; x is a whole matrix in f32.
pub fn pack(half: Half, x: Bind, y: Bind) -> Dispatch {
    let params = keep_forward::Params { count: (x.size / 16) as u32 };
    let constants = keep_forward::Constants::default();
    let groups = workgroups(params.count.div_ceil(constants.WORKGROUP) as usize);
    keep_forward::dispatch(half, params, constants, keep_forward::Bindings { x, y }, groups)
}

/// x = y in f32, for a matrix y that [`pack`] made.
pub fn unpack(half: Half, y: Bind, x: Bind) -> Dispatch {
    let params = keep_backward::Params { count: (x.size / 16) as u32 };
    let constants = keep_backward::Constants::default();
    let groups = workgroups(params.count.div_ceil(constants.WORKGROUP) as usize);
    keep_backward::dispatch(half, params, constants, keep_backward::Bindings { y, x }, groups)
}

/// y += factor · x for two matrices of one shape.
pub fn add_in_place(shape: Shape, factor: f32, x: Bind, y: Bind) -> Dispatch {
    let count = (shape.floats() / 4) as u32;
    let params = add_kernel::Params { count, factor };
    let constants = add_kernel::Constants::default();
    let groups = workgroups(count.div_ceil(constants.WORKGROUP) as usize);
    add_kernel::dispatch(params, constants, add_kernel::Bindings { x, y }, groups)
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
    };
    let constants = copy_columns::Constants::default();
    let groups = workgroups(x_shape.rows.div_ceil(constants.ROWS as usize));
    copy_columns::dispatch(params, constants, copy_columns::Bindings { x, y }, groups)
}

/// `y[b]` = the sum of rows b · `block_rows` … of x, a row for each block; `mode` is how y is written (shaders/shared/accumulate.wgsl).
pub fn column_sums(shape: Shape, x: Bind, y: Bind, block_rows: usize, mode: u32) -> Dispatch {
    let params = column_sum_kernel::Params {
        rows: shape.rows as u32,
        width: shape.stride4(),
        x_stride: shape.stride4(),
        y_stride: shape.stride4(),
        block_rows: block_rows as u32,
        accumulate: mode,
        ..Default::default()
    };
    let constants = column_sum_kernel::Constants::default();
    let groups = [shape.stride4().div_ceil(constants.WORKGROUP), shape.rows.div_ceil(block_rows) as u32, 1];
    column_sum_kernel::dispatch(params, constants, column_sum_kernel::Bindings { x, y }, groups)
}

/// The sums over all rows of `count` matrices of this shape. In bytes: each begins `x_apart` after the one before it, and its sums `y_apart` after those.
pub fn column_sums_of_many(shape: Shape, count: usize, (x, x_apart): (Bind, u64), (y, y_apart): (Bind, u64), mode: u32) -> Dispatch {
    let params = column_sum_kernel::Params {
        rows: shape.rows as u32,
        width: shape.stride4(),
        x_stride: shape.stride4(),
        y_stride: shape.stride4(),
        block_rows: shape.rows as u32,
        accumulate: mode,
        x_apart: (x_apart / 16) as u32,
        y_apart: (y_apart / 16) as u32,
    };
    let constants = column_sum_kernel::Constants::default();
    let groups = [shape.stride4().div_ceil(constants.WORKGROUP), 1, count as u32];
    column_sum_kernel::dispatch(params, constants, column_sum_kernel::Bindings { x, y }, groups)
}
