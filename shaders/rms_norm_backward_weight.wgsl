// dw[c] = sum over rows and groups of dy * x * rstd.
// One owner per (block of rows, vec4 of columns), so no atomics; with one block it is the weight's gradient itself.
// Where a GPU needs more threads than columns: several blocks, each writing a row of partial sums that column_sum adds up.
// use: shared/step.wgsl
// use: shared/accumulate.wgsl

/// Threads of a workgroup, each with a vec4 of columns.
override WORKGROUP: u32 = 64u;

struct Params {
    /// Rows of x and dy.
    rows: u32,
    /// Groups a row.
    groups: u32,
    /// Columns a group; a multiple of 4 where there are several groups.
    cols: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of dy in vec4.
    dy_stride: u32,
    /// Row stride of dw in vec4; matters with several blocks only.
    dw_stride: u32,
    /// Rows of a block; block b sums rows b * block_rows and on into row b of dw.
    block_rows: u32,
    /// 0: dw is written; 1: added to; 2: as the micro-step says. With several blocks: 0.
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// (rows, groups * cols)
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
/// (rows, groups * cols)
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
/// (rows * groups), from the forward pass
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
/// (blocks, cols)
@group(0) @binding(5) var<storage, read_write> dw: array<vec4<f32>>;

// Workgroups: x over the columns, y over the blocks.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(global_invocation_id) global: vec3<u32>) {
    let width = (params.cols + 3u) / 4u;
    let column = global.x;
    let first = workgroup.y * params.block_rows;
    if (column >= width || first >= params.rows) {
        return;
    }
    var sum = vec4<f32>(0.0);
    for (var row = first; row < min(first + params.block_rows, params.rows); row++) {
        for (var group = 0u; group < params.groups; group++) {
            let i = group * width + column;
            sum += dy[row * params.dy_stride + i] * x[row * params.x_stride + i] * rstd[row * params.groups + group];
        }
    }
    let at = workgroup.y * params.dw_stride + column;
    if (adds_to_output(params.accumulate)) {
        sum += dw[at];
    }
    dw[at] = sum;
}
