// y = (x - mean) / sqrt(variance + eps) * w + b for every row, in f32, with the biased variance.
// Keeps the mean and 1/sqrt of each row, so that the backward pass reads x once more instead of a normalised copy.
// The variance is summed from the differences in a second walk: the row is in the cache, and E[x^2] - E[x]^2 cancels.
// also lanes: LANES
// use: shared/row_sum.wgsl

struct Params {
    /// Rows of x and y.
    rows: u32,
    /// Columns.
    cols: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of y in vec4.
    y_stride: u32,
    /// Added to the variance.
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// (cols), padded with zeros
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
/// (cols), padded with zeros
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;
/// (rows)
@group(0) @binding(5) var<storage, read_write> mean: array<f32>;
/// 1/sqrt(variance + eps), (rows)
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
    let width = (params.cols + 3u) / 4u;
    let end = select(0u, width, live);
    let x_first = row * params.x_stride;
    let y_first = row * params.y_stride;
    let ones = vec4<f32>(1.0);

    var sum = vec4<f32>(0.0);
    for (var i = lane; i < end; i += LANES) {
        sum += x[x_first + i];
    }
    let m = row_sum(slot, lane, dot(sum, ones)) / f32(params.cols);

    var squares = vec4<f32>(0.0);
    for (var i = lane; i < select(0u, params.cols / 4u, live); i += LANES) {
        let difference = x[x_first + i] - m;
        squares += difference * difference;
    }
    // The last vec4, where it holds padding: zero minus the mean must not count.
    if (live && params.cols % 4u != 0u && (width - 1u) % LANES == lane) {
        let inside = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.cols % 4u);
        let difference = select(vec4<f32>(0.0), x[x_first + width - 1u] - m, inside);
        squares += difference * difference;
    }
    let variance = row_sum(slot, lane, dot(squares, ones)) / f32(params.cols);
    let r = inverseSqrt(variance + params.eps);

    for (var i = lane; i < end; i += LANES) {
        // Weight and bias are zero in the padding, and so is y.
        y[y_first + i] = (x[x_first + i] - m) * r * weight[i] + bias[i];
    }
    if (live && lane == 0u) {
        mean[row] = m;
        rstd[row] = r;
    }
}
