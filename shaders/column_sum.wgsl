// y[c] = sum over the rows of x[row, c]: the gradient of a bias, and the second stage of every sum over rows.
// One owner per (block of rows, vec4 of columns), so no atomics; with one block it is the sum itself.
// Where a GPU needs more threads than columns: several blocks into partial sums, then the same kernel over those.
// Matrices of one shape at equal distances are summed by one dispatch: the second stages of all norms of a model.
// use: shared/step.wgsl
// use: shared/accumulate.wgsl

/// Threads of a workgroup, each with a vec4 of columns.
override WORKGROUP: u32 = 64u;

struct Params {
    /// Rows of x.
    rows: u32,
    /// Columns in vec4.
    width: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of y in vec4; matters with several blocks only.
    y_stride: u32,
    /// Rows of a block; block b sums rows b * block_rows and on into row b of y.
    block_rows: u32,
    /// 0: y is written; 1: added to; 2: as the micro-step says. With several blocks: 0.
    accumulate: u32,
    /// From one matrix x to the next in vec4.
    x_apart: u32,
    /// From one y to the next in vec4.
    y_apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// (matrices, rows, cols)
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
/// (matrices, blocks, cols)
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

// Workgroups: x over the columns, y over the blocks, z over the matrices.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(global_invocation_id) global: vec3<u32>) {
    let column = global.x;
    let first = workgroup.y * params.block_rows;
    if (column >= params.width || first >= params.rows) {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var row = first; row < min(first + params.block_rows, params.rows); row++) {
        sum += x[workgroup.z * params.x_apart + row * params.x_stride + column];
    }
    let at = workgroup.z * params.y_apart + workgroup.y * params.y_stride + column;
    if (adds_to_output(params.accumulate)) {
        sum += y[at];
    }
    y[at] = sum;
}
