// dw[c] = sum over rows of dy * xhat, db[c] = sum over rows of dy.
// Both in one walk over dy. One owner per (block of rows, vec4 of columns), so no atomics.
// Where a GPU needs more threads than columns: several blocks, each writing rows of partial sums that column_sum adds up.

/// Threads of a workgroup, each with a vec4 of columns.
override WORKGROUP: u32 = 64u;

struct Params {
    /// Rows of x and dy.
    rows: u32,
    /// Columns.
    cols: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of dy in vec4.
    dy_stride: u32,
    /// Row stride of dw and db in vec4; matters with several blocks only.
    dw_stride: u32,
    /// Rows of a block; block b sums rows b * block_rows and on into row b of dw and db.
    block_rows: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
/// (rows), from the forward pass
@group(0) @binding(3) var<storage, read> mean: array<f32>;
/// (rows), from the forward pass
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
/// (blocks, cols)
@group(0) @binding(5) var<storage, read_write> dw: array<vec4<f32>>;
/// (blocks, cols)
@group(0) @binding(6) var<storage, read_write> db: array<vec4<f32>>;

// Workgroups: x over the columns, y over the blocks.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(global_invocation_id) global: vec3<u32>) {
    let width = (params.cols + 3u) / 4u;
    let column = global.x;
    let first = workgroup.y * params.block_rows;
    if (column >= width || first >= params.rows) {
        return;
    }
    var sum_w = vec4<f32>(0.0);
    var sum_b = vec4<f32>(0.0);
    for (var row = first; row < min(first + params.block_rows, params.rows); row++) {
        // dy is zero in the padding, so the sums are.
        let g = dy[row * params.dy_stride + column];
        sum_w += g * ((x[row * params.x_stride + column] - mean[row]) * rstd[row]);
        sum_b += g;
    }
    let at = workgroup.y * params.dw_stride + column;
    dw[at] = sum_w;
    db[at] = sum_b;
}
