// Sums of the squared gradients of each column over a block of rows: the first stage of Adafactor's factors of columns.
// Saves time on a GPU: a column's rows are shared by many workgroups, and one dispatch goes over all matrices of one shape.
// A workgroup owns eight neighbouring vec4 columns of a block; its threads' sums are added in a fixed order, so the same bits every run.
// use: shared/stats.wgsl
// use: shared/eight_columns.wgsl

struct Params {
    /// Rows of the gradient here: of the matrix, or of a piece of it.
    rows: u32,
    /// Row stride of the gradient in vec4 units.
    stride: u32,
    /// Rows of a block.
    block_rows: u32,
    /// From one matrix's gradient to the next's in vec4 units.
    apart: u32,
    /// Where the first block's sums go in the scratch memory, in vec4 units; block after block, `stride` each.
    to: u32,
    /// From one matrix's scratch memory to the next's in vec4 units.
    scratch_apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stats: Stats;
/// Sum of the gradients of the accumulation group.
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> scratch: array<vec4<f32>>;

var<private> matrix: u32;

fn number(row: u32, column: u32) -> Number {
    let g = gradient[matrix * params.apart + row * params.stride + column] * stats.clip;
    return g * g;
}

// Workgroups: x over the columns, y over the blocks, z over the matrices.
@compute @workgroup_size(COLUMNS, THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    matrix = group.z;
    let column = group.x * COLUMNS + local.x;
    let first = group.y * params.block_rows;
    let end = min(first + params.block_rows, params.rows);
    let sum = column_total(local.xy, first, end, min(column, params.stride - 1u));
    if (local.y == 0u && column < params.stride) {
        scratch[params.to + group.z * params.scratch_apart + group.y * params.stride + column] = sum;
    }
}
