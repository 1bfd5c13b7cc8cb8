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

/// A row, or a group of columns of one, as its lanes walk along it.
struct Walk {
    /// Its number among all.
    unit: u32,
    /// Elements of four floats; 0 past the last row.
    end: u32,
    x: u32,
    dy: u32,
    dx: u32,
    /// 1 / rms of x, and the mean of g * xhat.
    rstd: f32,
    mean: f32,
}

/// The first walk: called by all threads alike.
fn walk(unit: u32, slot: u32, lane: u32) -> Walk {
    let row = unit / params.groups;
    let group = unit % params.groups;
    let width = (params.cols + 3u) / 4u;
    var w: Walk;
    w.unit = unit;
    w.end = select(0u, width, unit < params.rows * params.groups);
    w.x = row * params.x_stride + group * width;
    w.dy = row * params.dy_stride + group * width;
    w.dx = row * params.dx_stride + group * width;
    var products = vec4<f32>(0.0);
    for (var i = lane; i < w.end; i += LANES) {
        products += dy_at(w.dy + i) * (weight[i] + params.weight_offset) * x[w.x + i];
    }
    w.rstd = rstd[min(unit, params.rows * params.groups - 1u)];
    w.mean = row_sum(slot, lane, dot(products, vec4<f32>(1.0))) * w.rstd / f32(params.cols);
    return w;
}

/// Four columns of the second walk: what dx becomes there.
fn gradient_at(w: Walk, i: u32) -> vec4<f32> {
    let g = dy_at(w.dy + i) * (weight[i] + params.weight_offset);
    var value = w.rstd * (g - x[w.x + i] * (w.rstd * w.mean));
    if (params.accumulate == 1u) {
        value += dx[w.dx + i];
    }
    return value;
}
