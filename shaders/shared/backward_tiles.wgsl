// use: shared/step.wgsl
// use: shared/tile.wgsl
struct Params {
    /// Rows of dy and of dx.
    m: u32,
    /// Columns of all dy, rows of W.
    n: u32,
    /// Columns of W and dx in vec4 units (their padding is zero).
    k4: u32,
    /// Columns of dy that a workgroup sums up: a multiple of 16; all of them where n is not split.
    part: u32,
    /// From the sums of one part to those of the next, in vec4 units.
    part_stride: u32,
    /// Row stride of W in elements of its array.
    w_stride: u32,
    /// What to add to row * dx_stride + column for an element of dx, in vec4 units.
    dx_first: u32,
    /// Row stride of dx in vec4 units.
    dx_stride: u32,
    /// 0: dx is written, 1: dx is added to.
    accumulate: u32,
    /// Where the columns of the second dy begin, in vec4 units, a multiple of four; 0xffffffff without one.
    cut1: u32,
    /// Where the columns of the third dy begin.
    cut2: u32,
    /// What to add to row * dy_stride + column for an element of the first dy. The columns after the last one, up to a multiple of four, must be zero.
    dy_first: u32,
    /// Row stride of the first dy in vec4 units.
    dy_stride: u32,
    /// The same for the second dy; a number below zero counts from 2^32.
    dy1_first: u32,
    /// Row stride of the second dy.
    dy1_stride: u32,
    /// The same for the third dy.
    dy2_first: u32,
    /// Row stride of the third dy.
    dy2_stride: u32,
    /// Columns of the first x2, rows of its W2; 0 without one.
    second: u32,
    /// What to add to row * x2_stride + column for an element of x2, in vec4 units.
    x2_first: u32,
    /// Row stride of x2 in vec4 units.
    x2_stride: u32,
    /// What to add to row * w2_stride + column for an element of W2.
    w2_first: u32,
    /// Row stride of W2 in vec4 units.
    w2_stride: u32,
    /// The same for the second x2.
    second_1: u32,
    /// The same for the second x2.
    x2_first_1: u32,
    /// The same for the second x2.
    x2_stride_1: u32,
    /// The same for the second x2.
    w2_first_1: u32,
    /// The same for the second x2.
    w2_stride_1: u32,
    /// The same for the third x2.
    second_2: u32,
    /// The same for the third x2.
    x2_first_2: u32,
    /// The same for the third x2.
    x2_stride_2: u32,
    /// The same for the third x2.
    w2_first_2: u32,
    /// The same for the third x2.
    w2_stride_2: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// (m, n) gradients of the outputs.
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
/// (n, k) weights.
@group(0) @binding(3) var<storage, read> w: array<Weight>;
/// (m, second) second input; read if SECOND.
@group(0) @binding(4) var<storage, read> x2: array<vec4<f32>>;
/// (second, k) second weight; read if SECOND.
@group(0) @binding(5) var<storage, read> w2: array<vec4<f32>>;

/// Whether x2·W2 is added.
override SECOND: bool = false;
/// Factor of the products, not of what dx holds: 1, or what scales the low-rank part of a LoRA layer.
override SCALE: f32 = 1.0;

/// Where a matrix lies in its buffer.
struct Place {
    first: u32,
    stride: u32,
}

/// A second product.
struct Second {
    width: u32,
    x: Place,
    w: Place,
}

fn gradient_at(column: u32) -> Place {
    if (column >= params.cut2) {
        return Place(params.dy2_first, params.dy2_stride);
    }
    if (column >= params.cut1) {
        return Place(params.dy1_first, params.dy1_stride);
    }
    return Place(params.dy_first, params.dy_stride);
}

fn second_at(number: u32) -> Second {
    if (number == 2u) {
        return Second(params.second_2, Place(params.x2_first_2, params.x2_stride_2), Place(params.w2_first_2, params.w2_stride_2));
    }
    if (number == 1u) {
        return Second(params.second_1, Place(params.x2_first_1, params.x2_stride_1), Place(params.w2_first_1, params.w2_stride_1));
    }
    return Second(params.second, Place(params.x2_first, params.x2_stride), Place(params.w2_first, params.w2_stride));
}

/// Columns 4 n to 4 n + 3 of row m of dy, zero past the last one.
fn gradient(place: Place, m: u32, n: u32) -> vec4<f32> {
    let last = (params.n + 3u) / 4u - 1u;
    let at = place.first + min(m, params.m - 1u) * place.stride + min(n, last);
    return select(vec4<f32>(0.0), dy[at] * gradient_scale(step.loss_scale), n <= last);
}

fn gradients(m: u32, n: u32, own: u32) -> mat4x4<f32> {
    // All threads of a workgroup are in the same dy: it begins at a multiple of the steps.
    let place = gradient_at(min(n, (params.n - 1u) / 4u));
    let at = n + own;
    return mat4x4<f32>(gradient(place, m, at), gradient(place, m + 1u, at), gradient(place, m + 2u, at), gradient(place, m + 3u, at));
}

/// Four columns of row n of W.
fn weight(n: u32, column: u32) -> vec4<f32> {
    return weight4(min(n, params.n - 1u) * params.w_stride, min(column, params.k4 - 1u));
}

/// The elements of the tile's W that this thread fetches, of the steps from n on.
fn weights(n: u32, column: u32, index: u32) -> mat4x4<f32> {
    let width = COLUMN_BLOCKS * THREADS_X;
    let threads = THREADS_X * THREADS_Y;
    var b: mat4x4<f32>;
    b[0] = weight(n + index / width, column + index % width);
    if (COLUMN_MEMORY > threads) {
        b[1] = weight(n + (index + threads) / width, column + (index + threads) % width);
    }
    if (COLUMN_MEMORY > 2u * threads) {
        b[2] = weight(n + (index + 2u * threads) / width, column + (index + 2u * threads) % width);
        b[3] = weight(n + (index + 3u * threads) / width, column + (index + 3u * threads) % width);
    }
    return b;
}

fn input_second(m: u32, j: u32, s: Second) -> vec4<f32> {
    let last = (s.width + 3u) / 4u - 1u;
    let at = s.x.first + min(m, params.m - 1u) * s.x.stride + min(j, last);
    return select(vec4<f32>(0.0), x2[at] * gradient_scale(step.loss_scale), j <= last);
}

fn weight_second(j: u32, column: u32, s: Second) -> vec4<f32> {
    return w2[s.w.first + min(j, s.width - 1u) * s.w.stride + min(column, params.k4 - 1u)];
}

/// The sums of a tile whose first row and column (in vec4 units) these are, over a part of n; the last of the parts adds the second products.
fn products(part: u32, parts: u32, row: u32, column: u32, thread: vec3<u32>, index: u32) -> Sums {
    // What this thread fetches of dy: four rows at one of the next vec4s of n.
    let own4 = index % (STEPS / 4u);
    let own_row = row + index / (STEPS / 4u) * 4u;
    let start = part * params.part;
    let end = min(start + params.part, params.n);
    var s: Sums;
    var a: mat4x4<f32>;
    var b: mat4x4<f32>;
    if (PREFETCH) {
        a = gradients(own_row, start / 4u, own4);
        b = weights(start, column, index);
    }
    for (var n = start; n < end; n += STEPS) {
        if (WEIGHTS_FIRST && !PREFETCH) {
            put_straight_columns(index, weights(n, column, index));
            put_rows(index, gradients(own_row, n / 4u, own4));
        } else {
            if (!PREFETCH) {
                a = gradients(own_row, n / 4u, own4);
                b = weights(n, column, index);
            }
            put_rows(index, a);
            put_straight_columns(index, b);
        }
        workgroupBarrier();
        if (PREFETCH) {
            a = gradients(own_row, (n + STEPS) / 4u, own4);
            b = weights(n + STEPS, column, index);
        }
        s = multiply(s, thread, SWIZZLE, STRAIGHT);
        workgroupBarrier();
    }
    if (SECOND) {
        // Of several parts the last, mostly the shortest, adds them.
        let count = select(0u, 3u, part + 1u == parts);
        for (var number = 0u; number < count; number++) {
            let second = second_at(number);
            let width = COLUMN_BLOCKS * THREADS_X;
            let threads = THREADS_X * THREADS_Y;
            for (var j = 0u; j < second.width; j += STEPS) {
                let at = j / 4u + own4;
                put_rows(index, mat4x4<f32>(
                    input_second(own_row, at, second), input_second(own_row + 1u, at, second),
                    input_second(own_row + 2u, at, second), input_second(own_row + 3u, at, second)));
                for (var i = index; i < COLUMN_MEMORY; i += threads) {
                    column_tile[i] = to_tile(weight_second(j + i / width, column + i % width, second));
                }
                workgroupBarrier();
                s = multiply(s, thread, SWIZZLE, STRAIGHT);
                workgroupBarrier();
            }
        }
    }
    return s;
}
