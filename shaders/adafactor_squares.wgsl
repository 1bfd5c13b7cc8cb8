// Sums of squares of Adafactor's update, a row each: u = g / sqrt(r / mean(r)) / sqrt(c), with the factors of the row and of the columns.
// Saves memory: the update itself is not kept, it is computed again where it is applied.
// The lanes of a row share its sum in a fixed order, so the same bits every run.
// use: shared/stats.wgsl
// use: shared/row_sum.wgsl

struct Params {
    /// Rows of the gradient here.
    rows: u32,
    /// Row stride of the gradient in vec4 units; the padding is zero.
    stride: u32,
    /// Rows of the whole matrix.
    all_rows: f32,
    /// Where the first row's sum goes in the scratch memory.
    first: u32,
    /// From one matrix's gradient to the next's in vec4 units.
    apart: u32,
    /// From one matrix's factors of rows to the next's.
    rows_apart: u32,
    /// From one matrix's factors of columns to the next's in vec4 units.
    columns_apart: u32,
    /// From one matrix's scratch memory to the next's.
    scratch_apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> stats: Stats;
/// Sum of the gradients of the accumulation group.
@group(0) @binding(2) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> row_factor: array<f32>;
@group(0) @binding(4) var<storage, read> column_factor: array<vec4<f32>>;
/// First the sum of all rows' factors.
@group(0) @binding(5) var<storage, read_write> scratch: array<f32>;

// Workgroups: x and y over the rows, z over the matrices.
@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (group.y * groups.x + group.x) * ROWS + local.y;
    let at = min(row, params.rows - 1u);
    let own = group.z * params.scratch_apart;
    let factor = inverseSqrt(row_factor[group.z * params.rows_apart + at] * params.all_rows / scratch[own]) * stats.clip;
    let from_row = group.z * params.apart + at * params.stride;
    let from_column = group.z * params.columns_apart;
    var squares = vec4<f32>();
    for (var i = local.x; i < params.stride; i += LANES) {
        let u = gradient[from_row + i] * factor * inverseSqrt(max(column_factor[from_column + i], vec4<f32>(1e-37)));
        squares += u * u;
    }
    let sum = row_sum(local.y, local.x, squares.x + squares.y + squares.z + squares.w);
    if (local.x == 0u && row < params.rows) {
        scratch[own + params.first + row] = sum;
    }
}
