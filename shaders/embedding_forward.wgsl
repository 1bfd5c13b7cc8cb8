// x[i] = W[index[i]] * scale, or += it: token embeddings, then learned positions (gpt2) on top.
// W may be a stretch of rows of a split matrix: tokens of other stretches are untouched.
// The lanes of a row copy it together; rows are far apart in W but contiguous in themselves.
// permute WEIGHT: f32 bf16 f16 nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// use: shared/weight_{WEIGHT}.wgsl

/// Lanes that copy one row together.
override LANES: u32 = 32u;
/// Rows of a workgroup.
override ROWS: u32 = 2u;
/// Whether the rows are added to what x holds.
override ADD: bool = false;

struct Params {
    /// Rows (tokens) of x.
    rows: u32,
    /// Columns in vec4.
    width: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of the table in elements of its array.
    w_stride: u32,
    /// First row of the table that the bound stretch of the table holds.
    first_row: u32,
    /// Rows of the bound stretch.
    weight_rows: u32,
    /// Multiplies the table's row (gemma: sqrt of the hidden size).
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// Row of the table (token id, position) of each token, (rows)
@group(0) @binding(1) var<storage, read> index: array<u32>;
/// (weight_rows, cols)
@group(0) @binding(2) var<storage, read> w: array<Weight>;
/// (rows, cols)
@group(0) @binding(3) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (workgroup.y * workgroups.x + workgroup.x) * ROWS + local.y;
    if (row >= params.rows) {
        return;
    }
    // Rows below the stretch wrap around to large numbers.
    let weight_row = index[row] - params.first_row;
    if (weight_row >= params.weight_rows) {
        return;
    }
    let source = weight_row * params.w_stride;
    let to = row * params.x_stride;
    for (var i = local.x; i < params.width; i += LANES) {
        var value = weight4(source, i) * params.scale;
        if (ADD) {
            value += x[to + i];
        }
        x[to + i] = value;
    }
}
