// x = a + b, a residual sum, and y = x / rms(x) * (weight_offset + w) of every row, in f32.
// Saves a dispatch and a walk over x: the sum's squares are added while it is made. Where b is a product whose contraction was split, it is added up here,
// in the order of sum_parts.wgsl.
// Otherwise rms_norm_forward.wgsl, in the same order, so that the bits are the same.
// also lanes: LANES
// use: shared/row_sum.wgsl

/// Whether b is the sum of several matrices.
override IN_PARTS: bool = false;

struct Params {
    /// Rows.
    rows: u32,
    /// Columns.
    cols: u32,
    /// Row stride of all matrices in vec4.
    stride: u32,
    /// 0 where the weight is the factor (llama), 1 where it is the factor's distance from one (gemma).
    weight_offset: f32,
    /// Added to the mean square.
    eps: f32,
    /// How many matrices b is the sum of, if IN_PARTS.
    parts: u32,
    /// From one of them to the next in vec4.
    part_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read> a: array<vec4<f32>>;
/// (parts, rows, cols)
@group(0) @binding(2) var<storage, read> b: array<vec4<f32>>;
/// (cols), padded with zeros
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(4) var<storage, read_write> x: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;
/// 1/rms, (rows)
@group(0) @binding(6) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(LANES * ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = index % LANES;
    let slot = index / LANES;
    let row = (workgroup.y * workgroups.x + workgroup.x) * ROWS + slot;
    let live = row < params.rows;
    // A thread past the last row takes part in the barriers with nothing to add.
    let end = select(0u, (params.cols + 3u) / 4u, live);
    let first = row * params.stride;

    var squares = vec4<f32>(0.0);
    for (var i = lane; i < end; i += LANES) {
        var sum = b[first + i];
        if (IN_PARTS) {
            for (var part = 1u; part < params.parts; part++) {
                sum += b[part * params.part_stride + first + i];
            }
        }
        let v = a[first + i] + sum;
        x[first + i] = v;
        squares += v * v;
    }
    let mean_square = row_sum(slot, lane, dot(squares, vec4<f32>(1.0))) / f32(params.cols);
    let r = inverseSqrt(mean_square + params.eps);

    for (var i = lane; i < end; i += LANES) {
        y[first + i] = x[first + i] * r * (weight[i] + params.weight_offset);
    }
    if (live && lane == 0u) {
        rstd[row] = r;
    }
}
