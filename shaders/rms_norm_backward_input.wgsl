// dx = rstd * (g - xhat * mean(g * xhat)) with g = dy * (weight_offset + w) and xhat = x * rstd, written or added in place.
// Reads x again instead of a stored xhat; adding into the residual's gradient saves a separate addition and its buffer.
// Two walks along the row by the same lanes as the forward pass; zero padding of dy and x keeps the padding of dx zero.
// use: shared/row_sum.wgsl

/// Whether dy is the sum of several matrices, as a product whose contraction was split leaves it; added up in the order of sum_parts.wgsl.
override IN_PARTS: bool = false;

struct Params {
    /// Rows of x, dy and dx.
    rows: u32,
    /// Groups a row.
    groups: u32,
    /// Columns a group; a multiple of 4 where there are several groups.
    cols: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of dy in vec4.
    dy_stride: u32,
    /// Row stride of dx in vec4.
    dx_stride: u32,
    /// 0 or 1, as in the forward pass.
    weight_offset: f32,
    /// 0: dx is written; 1: it is added to.
    accumulate: u32,
    /// How many matrices dy is the sum of, if IN_PARTS.
    parts: u32,
    /// From one of them to the next in vec4.
    part_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (parts, rows, groups * cols)
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
/// (rows, groups * cols)
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
/// (cols), padded with zeros
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
/// (rows * groups), from the forward pass
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
/// (rows, groups * cols)
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

fn dy_at(at: u32) -> vec4<f32> {
    var sum = dy[at];
    if (IN_PARTS) {
        for (var part = 1u; part < params.parts; part++) {
            sum += dy[part * params.part_stride + at];
        }
    }
    return sum;
}

@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let unit = (workgroup.y * workgroups.x + workgroup.x) * ROWS + local.y;
    let live = unit < params.rows * params.groups;
    let row = unit / params.groups;
    let group = unit % params.groups;
    let width = (params.cols + 3u) / 4u;
    let end = select(0u, width, live);
    let x_first = row * params.x_stride + group * width;
    let dy_first = row * params.dy_stride + group * width;
    let dx_first = row * params.dx_stride + group * width;

    var products = vec4<f32>(0.0);
    for (var i = local.x; i < end; i += LANES) {
        products += dy_at(dy_first + i) * (weight[i] + params.weight_offset) * x[x_first + i];
    }
    let r = rstd[min(unit, params.rows * params.groups - 1u)];
    let mean = row_sum(local.y, local.x, dot(products, vec4<f32>(1.0))) * r / f32(params.cols);

    for (var i = local.x; i < end; i += LANES) {
        let g = dy_at(dy_first + i) * (weight[i] + params.weight_offset);
        var value = r * (g - x[x_first + i] * (r * mean));
        if (params.accumulate == 1u) {
            value += dx[dx_first + i];
        }
        dx[dx_first + i] = value;
    }
}
