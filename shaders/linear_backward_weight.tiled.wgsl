// dW = dyᵀ·x for GPUs: a workgroup makes a tile of dW, STEPS tokens at a time. Up to three dy give as many dW, one below the other.
// Saves memory traffic: what a tile needs is read once into workgroup memory, and each value from there feeds up to eight multiply-adds.
// Where tiles are few, the tokens are split: workgroups of several z make partial sums, which sum_parts adds up. The rows of dy and of x lie as the inner loop
// wants them: loads and stores of whole vec4, nothing is transposed.
// option TILE: f32 f16
// use: shared/step.wgsl
// use: shared/accumulate.wgsl
// use: shared/tile.wgsl
// unchecked: every index into a tile is made of the thread's number and the step, both below what its memory is sized by

struct Params {
    /// Rows of dy and of x that are summed over.
    m: u32,
    /// Columns of all dy, rows of dW.
    n: u32,
    /// Columns of x and dW in vec4 units (their padding is zero).
    k4: u32,
    /// Rows that a workgroup sums up: a multiple of 16; all of them where m is not split.
    part: u32,
    /// From the sums of one part to those of the next, in vec4 units.
    part_stride: u32,
    /// Row stride of x in vec4 units.
    x_stride: u32,
    /// First column of x to read, in vec4 units.
    x_column: u32,
    /// Row stride of dW in vec4 units.
    dw_stride: u32,
    /// 0: dW is written, 1: dW is added to, 2: as the step says, see shared/accumulate.wgsl.
    accumulate: u32,
    /// Where the columns of the second dy begin, in vec4 units, a multiple of a tile; 0xffffffff without one.
    cut1: u32,
    /// Where the columns of the third dy begin.
    cut2: u32,
    /// What to add to row * dy_stride + column for an element of the first dy, in vec4 units.
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
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// (m, n) gradients of the outputs.
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
/// (m, k) input.
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
/// (n, k) gradients of the weights, or the partial sums.
@group(0) @binding(4) var<storage, read_write> dw: array<vec4<f32>>;

/// Where a matrix lies in its buffer.
struct Place {
    first: u32,
    stride: u32,
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

/// Four columns of row m of dy, zero past the last row.
fn gradient(place: Place, m: u32, column: u32) -> vec4<f32> {
    let last = (params.n + 3u) / 4u - 1u;
    let at = place.first + min(m, params.m - 1u) * place.stride + min(column, last);
    return select(vec4<f32>(0.0), dy[at] * gradient_scale(step.loss_scale), m < params.m);
}

/// The elements of the tile's dy that this thread fetches, of the rows from m on.
fn gradients(place: Place, m: u32, column: u32, index: u32) -> mat4x4<f32> {
    let width = ROW_BLOCKS * THREADS_Y;
    let threads = THREADS_X * THREADS_Y;
    var a: mat4x4<f32>;
    a[0] = gradient(place, m + index / width, column + index % width);
    if (ROW_MEMORY > threads) {
        a[1] = gradient(place, m + (index + threads) / width, column + (index + threads) % width);
    }
    if (ROW_MEMORY > 2u * threads) {
        a[2] = gradient(place, m + (index + 2u * threads) / width, column + (index + 2u * threads) % width);
        a[3] = gradient(place, m + (index + 3u * threads) / width, column + (index + 3u * threads) % width);
    }
    return a;
}

/// Four columns of row m of x.
fn input(m: u32, column: u32) -> vec4<f32> {
    return x[min(m, params.m - 1u) * params.x_stride + params.x_column + min(column, params.k4 - 1u)];
}

/// The elements of the tile's x that this thread fetches.
fn inputs(m: u32, column: u32, index: u32) -> mat4x4<f32> {
    let width = COLUMN_BLOCKS * THREADS_X;
    let threads = THREADS_X * THREADS_Y;
    var b: mat4x4<f32>;
    b[0] = input(m + index / width, column + index % width);
    if (COLUMN_MEMORY > threads) {
        b[1] = input(m + (index + threads) / width, column + (index + threads) % width);
    }
    if (COLUMN_MEMORY > 2u * threads) {
        b[2] = input(m + (index + 2u * threads) / width, column + (index + 2u * threads) % width);
        b[3] = input(m + (index + 3u * threads) / width, column + (index + 3u * threads) % width);
    }
    return b;
}

fn write(row: u32, column: u32, first: u32, sums: vec4<f32>) {
    if (row >= params.n || column >= params.k4) {
        return;
    }
    let at = first + row * params.dw_stride + column;
    var value = sums * gradient_unscale(step.loss_scale);
    if (adds_to_output(params.accumulate)) {
        value += dw[at];
    }
    dw[at] = value;
}

fn write_block(row: u32, column: u32, first: u32, sums: mat4x4<f32>) {
    let rows = transpose(sums);
    write(row, column, first, rows[0]);
    write(row + 1u, column, first, rows[1]);
    write(row + 2u, column, first, rows[2]);
    write(row + 3u, column, first, rows[3]);
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) thread: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let row = tile.y * tile_rows();
    let column = tile.x * tile_columns() / 4u;
    let place = gradient_at(row / 4u);
    let start = tile.z * params.part;
    let end = min(start + params.part, params.m);
    var s: Sums;
    var a: mat4x4<f32>;
    var b: mat4x4<f32>;
    if (PREFETCH) {
        a = gradients(place, start, row / 4u, index);
        b = inputs(start, column, index);
    }
    for (var m = start; m < end; m += STEPS) {
        if (!PREFETCH) {
            a = gradients(place, m, row / 4u, index);
            b = inputs(m, column, index);
        }
        put_straight_rows(index, a);
        put_straight_columns(index, b);
        workgroupBarrier();
        if (PREFETCH) {
            a = gradients(place, m + STEPS, row / 4u, index);
            b = inputs(m + STEPS, column, index);
        }
        s = multiply(s, thread, STRAIGHT, STRAIGHT);
        workgroupBarrier();
    }
    let first = tile.z * params.part_stride;
    let r = row + thread.y * 4u;
    let c = column + thread.x;
    write_block(r, c, first, s.c00);
    if (COLUMN_BLOCKS > 1u) {
        write_block(r, c + THREADS_X, first, s.c01);
    }
    if (ROW_BLOCKS > 1u) {
        write_block(r + 4u * THREADS_Y, c, first, s.c10);
        if (COLUMN_BLOCKS > 1u) {
            write_block(r + 4u * THREADS_Y, c + THREADS_X, first, s.c11);
        }
    }
}
