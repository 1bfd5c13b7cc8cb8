// dx = rstd * (g - mean(g) - xhat * mean(g * xhat)) with g = dy * w and xhat = (x - mean) * rstd, written or added in place.
// Reads x again instead of a stored xhat; adding into the residual's gradient saves a separate addition and its buffer.
// Both sums in one walk, the gradient in a second one. The padding is written as zeros.
// also lanes: LANES
// use: shared/row_sum.wgsl

struct Params {
    /// Rows of x, dy and dx.
    rows: u32,
    /// Columns.
    cols: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of dy in vec4.
    dy_stride: u32,
    /// Row stride of dx in vec4.
    dx_stride: u32,
    /// 0: dx is written; 1: it is added to.
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
/// (cols), padded with zeros
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
/// (rows), from the forward pass
@group(0) @binding(4) var<storage, read> mean: array<f32>;
/// (rows), from the forward pass
@group(0) @binding(5) var<storage, read> rstd: array<f32>;
/// (rows, cols)
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<f32>>;

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
    let dy_first = row * params.dy_stride;
    let dx_first = row * params.dx_stride;
    let ones = vec4<f32>(1.0);
    let m = mean[min(row, params.rows - 1u)];
    let r = rstd[min(row, params.rows - 1u)];

    var sum_g = vec4<f32>(0.0);
    var sum_product = vec4<f32>(0.0);
    for (var i = lane; i < end; i += LANES) {
        // dy and the weight are zero in the padding, and so is g.
        let g = dy[dy_first + i] * weight[i];
        sum_g += g;
        sum_product += g * ((x[x_first + i] - m) * r);
    }
    let mean_g = row_sum(slot, lane, dot(sum_g, ones)) / f32(params.cols);
    let mean_product = row_sum(slot, lane, dot(sum_product, ones)) / f32(params.cols);

    for (var i = lane; i < end; i += LANES) {
        let g = dy[dy_first + i] * weight[i];
        let xhat = (x[x_first + i] - m) * r;
        var value = r * (g - mean_g - xhat * mean_product);
        if (i == width - 1u) {
            let inside = vec4<u32>(0u, 1u, 2u, 3u) + i * 4u < vec4<u32>(params.cols);
            value = select(vec4<f32>(0.0), value, inside);
        }
        if (params.accumulate == 1u) {
            value += dx[dx_first + i];
        }
        dx[dx_first + i] = value;
    }
}
