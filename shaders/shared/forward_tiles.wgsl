// use: shared/tile.wgsl
struct Params {
    /// Rows of x and of y.
    m: u32,
    /// Columns of y that this dispatch writes, rows of W.
    n: u32,
    /// Columns of x and W in vec4 units (their padding is zero).
    k4: u32,
    /// Columns of x that a workgroup sums up, in vec4 units: a multiple of four; all of them where k is not split.
    part4: u32,
    /// From the sums of one part to those of the next, in vec4 units.
    part_stride: u32,
    /// Row stride of x in vec4 units.
    x_stride: u32,
    /// First column of x to read, in vec4 units.
    x_column: u32,
    /// Row stride of W in elements of its array.
    w_stride: u32,
    /// 0: y is written, 1: y is added to.
    accumulate: u32,
    /// Where the columns of the second y begin, in vec4 units, a multiple of a tile; 0xffffffff without one.
    cut1: u32,
    /// Where the columns of the third y begin.
    cut2: u32,
    /// What to add to row * y_stride + column for an element of the first y, in vec4 units.
    y_first: u32,
    /// Row stride of the first y in vec4 units.
    y_stride: u32,
    /// The same for the second y; a number below zero counts from 2^32.
    y1_first: u32,
    /// Row stride of the second y.
    y1_stride: u32,
    /// The same for the third y.
    y2_first: u32,
    /// Row stride of the third y.
    y2_stride: u32,
    /// Columns of x2 and W2 that belong to the first y, in vec4 units (their padding is zero).
    second4: u32,
    /// What to add to row * x2_stride + column for an element of x2.
    x2_first: u32,
    /// Row stride of x2 in vec4 units.
    x2_stride: u32,
    /// What to add to row * w2_stride + column for an element of W2, with rows counted through all of W.
    w2_first: u32,
    /// Row stride of W2 in vec4 units.
    w2_stride: u32,
    /// The same for the second y.
    second4_1: u32,
    /// The same for the second y.
    x2_first_1: u32,
    /// The same for the second y.
    x2_stride_1: u32,
    /// The same for the second y.
    w2_first_1: u32,
    /// The same for the second y.
    w2_stride_1: u32,
    /// The same for the third y.
    second4_2: u32,
    /// The same for the third y.
    x2_first_2: u32,
    /// The same for the third y.
    x2_stride_2: u32,
    /// The same for the third y.
    w2_first_2: u32,
    /// The same for the third y.
    w2_stride_2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
/// (m, k) input.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// (n, k) weights.
@group(0) @binding(2) var<storage, read> w: array<Weight>;
/// (n) bias, padded with zeros to a multiple of four; read if BIAS.
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
/// (m, second) second input; read if SECOND.
@group(0) @binding(4) var<storage, read> x2: array<vec4<f32>>;
/// (n, second) second weight; read if SECOND.
@group(0) @binding(5) var<storage, read> w2: array<vec4<f32>>;

/// Whether bias is added.
override BIAS: bool = false;
/// Whether x2·W2ᵀ is added.
override SECOND: bool = false;
/// Factor of the products, not of the bias: 1, or what scales the low-rank part of a LoRA layer.
override SCALE: f32 = 1.0;

/// Where a matrix lies in its buffer.
struct Place {
    first: u32,
    stride: u32,
}

/// The second product of a tile.
struct Second {
    width: u32,
    x: Place,
    w: Place,
}

fn second_at(column: u32) -> Second {
    if (column >= params.cut2) {
        return Second(params.second4_2, Place(params.x2_first_2, params.x2_stride_2), Place(params.w2_first_2, params.w2_stride_2));
    }
    if (column >= params.cut1) {
        return Second(params.second4_1, Place(params.x2_first_1, params.x2_stride_1), Place(params.w2_first_1, params.w2_stride_1));
    }
    return Second(params.second4, Place(params.x2_first, params.x2_stride), Place(params.w2_first, params.w2_stride));
}

/// Four columns of row m of x, zero past the last column.
fn input(m: u32, k: u32) -> vec4<f32> {
    let at = min(m, params.m - 1u) * params.x_stride + params.x_column + min(k, params.k4 - 1u);
    return select(vec4<f32>(0.0), x[at], k < params.k4);
}

fn inputs(m: u32, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(input(m, k), input(m + 1u, k), input(m + 2u, k), input(m + 3u, k));
}

fn weight(n: u32, k: u32) -> vec4<f32> {
    let value = weight4(min(n, params.n - 1u) * params.w_stride, min(k, params.k4 - 1u));
    return select(vec4<f32>(0.0), value, k < params.k4);
}

fn weights(n: u32, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(weight(n, k), weight(n + 1u, k), weight(n + 2u, k), weight(n + 3u, k));
}

fn input_second(m: u32, k: u32, s: Second) -> vec4<f32> {
    let at = s.x.first + min(m, params.m - 1u) * s.x.stride + min(k, s.width - 1u);
    return select(vec4<f32>(0.0), x2[at], k < s.width);
}

fn weight_second(n: u32, k: u32, s: Second) -> vec4<f32> {
    let at = s.w.first + min(n, params.n - 1u) * s.w.stride + min(k, s.width - 1u);
    return select(vec4<f32>(0.0), w2[at], k < s.width);
}

/// The sums of a tile over a part of k: of the rows and columns that this thread fetches, four each.
fn products(part: u32, own_row: u32, own_column: u32, thread: vec3<u32>, index: u32) -> Sums {
    let own4 = index % (STEPS / 4u);
    let first = part * params.part4;
    let end = min(first + params.part4, params.k4);
    var s: Sums;
    var a: mat4x4<f32>;
    var b: mat4x4<f32>;
    if (PREFETCH) {
        a = inputs(own_row, first + own4);
        b = weights(own_column, first + own4);
    }
    for (var k = first; k < end; k += STEPS / 4u) {
        if (WEIGHTS_FIRST && !PREFETCH) {
            put_columns(index, weights(own_column, k + own4));
            put_rows(index, inputs(own_row, k + own4));
        } else {
            if (!PREFETCH) {
                a = inputs(own_row, k + own4);
                b = weights(own_column, k + own4);
            }
            put_rows(index, a);
            put_columns(index, b);
        }
        workgroupBarrier();
        if (PREFETCH) {
            a = inputs(own_row, k + STEPS / 4u + own4);
            b = weights(own_column, k + STEPS / 4u + own4);
        }
        s = multiply(s, thread, SWIZZLE, SWIZZLE);
        workgroupBarrier();
    }
    return s;
}
