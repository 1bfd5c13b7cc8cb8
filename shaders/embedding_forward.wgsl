// x[i] = W[ids[i]] * scale, plus wpe[positions[i]] where positions are learned (gpt2).
// One pass for both tables and the scale. W may be a stretch of rows of a split matrix: tokens of other stretches are untouched.
// The lanes of a row copy it together; rows are far apart in W but contiguous in themselves.
// permute WEIGHT: f32 bf16 f16
// use: shared/weight_{WEIGHT}.wgsl

/// Lanes that copy one row together.
override LANES: u32 = 32u;
/// Rows of a workgroup.
override ROWS: u32 = 2u;
/// Whether rows of a position table are added. Otherwise any buffer may be bound for it.
override POSITION_TABLE: bool = false;

struct Params {
    /// Rows (tokens) of x.
    rows: u32,
    /// Columns in vec4.
    width: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of the table, and of the position table, in vec4.
    weight_stride: u32,
    /// First row of the vocabulary that the bound stretch of the table holds.
    first_row: u32,
    /// Rows of the bound stretch.
    weight_rows: u32,
    /// Multiplies the table's row (gemma: sqrt of the hidden size); not the position's.
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// Token ids, (rows)
@group(0) @binding(1) var<storage, read> ids: array<u32>;
/// (weight_rows, cols)
@group(0) @binding(2) var<storage, read> weight: array<Weight4>;
/// Position of each token, (rows)
@group(0) @binding(3) var<storage, read> positions: array<u32>;
/// (positions, cols)
@group(0) @binding(4) var<storage, read> position_weight: array<Weight4>;
/// (rows, cols)
@group(0) @binding(5) var<storage, read_write> x: array<vec4<f32>>;

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
    // Ids below the stretch wrap around to large numbers.
    let weight_row = ids[row] - params.first_row;
    if (weight_row >= params.weight_rows) {
        return;
    }
    let source = weight_row * params.weight_stride;
    let to = row * params.x_stride;
    if (POSITION_TABLE) {
        let position = positions[row] * params.weight_stride;
        for (var i = local.x; i < params.width; i += LANES) {
            x[to + i] = weight4(weight[source + i]) * params.scale + weight4(position_weight[position + i]);
        }
    } else {
        for (var i = local.x; i < params.width; i += LANES) {
            x[to + i] = weight4(weight[source + i]) * params.scale;
        }
    }
}
