// y = x·Wᵀ + bias + x2·W2ᵀ with nothing but registers: no subgroups, no workgroup memory, no barrier. Right on every device.
// Saves loads, which cost CPU devices in browsers (SwiftShader) ten times a multiply-add: 32 of four floats feed 1024 multiply-adds.
// A thread makes 16 rows x COLUMNS of y. That many sums spill, but a spilled sum is cheaper than one more load from a buffer.
// permute PLAIN: f32 bf16 f16
// use: shared/weight_{PLAIN}.wgsl
// use: shared/linear_forward.wgsl
// use: shared/block.wgsl

/// Four steps of four rows of x.
fn inputs(row: u32, k: u32) -> mat4x4<f32> {
    let at = params.x_column + k;
    let last = params.m - 1u;
    return mat4x4<f32>(
        x[min(row, last) * params.x_stride + at], x[min(row + 1u, last) * params.x_stride + at],
        x[min(row + 2u, last) * params.x_stride + at], x[min(row + 3u, last) * params.x_stride + at]);
}

/// Four steps of four columns of y.
fn weights(n: u32, k: u32) -> mat4x4<f32> {
    let last = params.n - 1u;
    return transpose(mat4x4<f32>(
        weight4(min(n, last) * params.w_stride, k), weight4(min(n + 1u, last) * params.w_stride, k),
        weight4(min(n + 2u, last) * params.w_stride, k), weight4(min(n + 3u, last) * params.w_stride, k)));
}

fn inputs_second(row: u32, k: u32) -> mat4x4<f32> {
    let last = params.m - 1u;
    return mat4x4<f32>(
        x2[min(row, last) * params.x2_stride + k], x2[min(row + 1u, last) * params.x2_stride + k],
        x2[min(row + 2u, last) * params.x2_stride + k], x2[min(row + 3u, last) * params.x2_stride + k]);
}

fn weights_second(n: u32, k: u32) -> mat4x4<f32> {
    let last = params.n - 1u;
    return transpose(mat4x4<f32>(
        w2[min(n, last) * params.w2_stride + k], w2[min(n + 1u, last) * params.w2_stride + k],
        w2[min(n + 2u, last) * params.w2_stride + k], w2[min(n + 3u, last) * params.w2_stride + k]));
}

/// Writes four columns of a row.
fn write(row: u32, column: u32, sums: vec4<f32>) {
    if (row >= params.m || column * 4u >= params.n) {
        return;
    }
    let left = params.n - column * 4u;
    var value = select(vec4<f32>(0.0), sums * SCALE, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(left));
    if (BIAS) {
        value += bias[column];
    }
    let at = row * params.y_stride + params.y_column + column;
    if (params.accumulate != 0u) {
        value += y[at];
    }
    y[at] = value;
}

fn write_rows(row: u32, column: u32, sums: mat4x4<f32>) {
    write(row, column, sums[0]);
    write(row + 1u, column, sums[1]);
    write(row + 2u, column, sums[2]);
    write(row + 3u, column, sums[3]);
}

fn write_columns(row: u32, column: u32, s: Columns) {
    write_rows(row, column, s.c0);
    if (COLUMNS > 4u) {
        write_rows(row, column + 1u, s.c1);
    }
    if (COLUMNS > 8u) {
        write_rows(row, column + 2u, s.c2);
        write_rows(row, column + 3u, s.c3);
    }
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
    let row = thread.y * THREAD_ROWS;
    let column = thread.x * COLUMNS;
    if (row >= params.m || column >= params.n) {
        return;
    }
    var s0: Columns;
    var s1: Columns;
    var s2: Columns;
    var s3: Columns;
    for (var k = 0u; k < params.k4; k++) {
        var b: Columns;
        b.c0 = weights(column, k);
        if (COLUMNS > 4u) {
            b.c1 = weights(column + 4u, k);
        }
        if (COLUMNS > 8u) {
            b.c2 = weights(column + 8u, k);
            b.c3 = weights(column + 12u, k);
        }
        s0 = products(s0, b, inputs(row, k));
        s1 = products(s1, b, inputs(row + 4u, k));
        s2 = products(s2, b, inputs(row + 8u, k));
        s3 = products(s3, b, inputs(row + 12u, k));
    }
    if (SECOND) {
        for (var k = 0u; k < params.second4; k++) {
            var b: Columns;
            b.c0 = weights_second(column, k);
            if (COLUMNS > 4u) {
                b.c1 = weights_second(column + 4u, k);
            }
            if (COLUMNS > 8u) {
                b.c2 = weights_second(column + 8u, k);
                b.c3 = weights_second(column + 12u, k);
            }
            s0 = products(s0, b, inputs_second(row, k));
            s1 = products(s1, b, inputs_second(row + 4u, k));
            s2 = products(s2, b, inputs_second(row + 8u, k));
            s3 = products(s3, b, inputs_second(row + 12u, k));
        }
    }
    let first = column / 4u;
    write_columns(row, first, s0);
    write_columns(row + 4u, first, s1);
    write_columns(row + 8u, first, s2);
    write_columns(row + 12u, first, s3);
}
