// y = x / rms(x) * (weight_offset + w) for every group of columns of every row, in f32.
// Keeps only 1/rms of each group, so that the backward pass reads x once more instead of a stored normalised copy.
// The lanes of a row walk it together (one subgroup on CPU devices); zero padding adds nothing to the sum and stays zero.
// also lanes: LANES
// use: shared/row_sum.wgsl

struct Params {
    /// Rows of x and y.
    rows: u32,
    /// Groups a row: 1 for a layer's norm, the number of heads for a norm of queries or keys.
    groups: u32,
    /// Columns a group; a multiple of 4 where there are several groups.
    cols: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of y in vec4.
    y_stride: u32,
    /// 0 where the weight is the factor (llama), 1 where it is the factor's distance from one (gemma).
    weight_offset: f32,
    /// Added to the mean square.
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, groups * cols)
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// (cols), padded with zeros
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
/// (rows, groups * cols)
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;
/// 1/rms, (rows * groups)
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>;

@compute @workgroup_size(LANES * ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = index % LANES;
    let slot = index / LANES;
    let unit = (workgroup.y * workgroups.x + workgroup.x) * ROWS + slot;
    let live = unit < params.rows * params.groups;
    let row = unit / params.groups;
    let group = unit % params.groups;
    let width = (params.cols + 3u) / 4u;
    // A thread past the last row takes part in the barriers with nothing to add.
    let end = select(0u, width, live);
    let x_first = row * params.x_stride + group * width;
    let y_first = row * params.y_stride + group * width;

    var squares = vec4<f32>(0.0);
    for (var i = lane; i < end; i += LANES) {
        let v = x[x_first + i];
        squares += v * v;
    }
    let mean_square = row_sum(slot, lane, dot(squares, vec4<f32>(1.0))) / f32(params.cols);
    let r = inverseSqrt(mean_square + params.eps);

    for (var i = lane; i < end; i += LANES) {
        y[y_first + i] = x[x_first + i] * r * (weight[i] + params.weight_offset);
    }
    if (live && lane == 0u) {
        rstd[unit] = r;
    }
}
