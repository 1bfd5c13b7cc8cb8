// dx = dy·W + x2·W2 with nothing but registers: no subgroups, no workgroup memory, no barrier. Right on every device.
// Saves loads, which cost CPU devices in browsers (SwiftShader) ten times a multiply-add: 32 of four floats feed 1024 multiply-adds.
// A thread makes 16 rows x COLUMNS of dx. That many sums spill, but a spilled sum is cheaper than one more load from a buffer.
// permute PLAIN: f32 bf16 f16
// use: shared/weight_{PLAIN}.wgsl
// use: shared/linear_backward_input.wgsl
// use: shared/block.wgsl

/// Four steps (columns of dy) of four rows.
fn gradients(row: u32, n: u32) -> mat4x4<f32> {
    let at = params.dy_column + n / 4u;
    let last = params.m - 1u;
    return mat4x4<f32>(
        dy[min(row, last) * params.dy_stride + at], dy[min(row + 1u, last) * params.dy_stride + at],
        dy[min(row + 2u, last) * params.dy_stride + at], dy[min(row + 3u, last) * params.dy_stride + at]);
}

/// Four steps (rows of W) of four columns.
fn weights(n: u32, column: u32) -> mat4x4<f32> {
    let c = min(column, params.k4 - 1u);
    let last = params.n - 1u;
    return mat4x4<f32>(
        weight4((params.w_row + min(n, last)) * params.w_stride, c), weight4((params.w_row + min(n + 1u, last)) * params.w_stride, c),
        weight4((params.w_row + min(n + 2u, last)) * params.w_stride, c), weight4((params.w_row + min(n + 3u, last)) * params.w_stride, c));
}

fn inputs_second(row: u32, j: u32) -> mat4x4<f32> {
    let at = j / 4u;
    let last = params.m - 1u;
    return mat4x4<f32>(
        x2[min(row, last) * params.x2_stride + at], x2[min(row + 1u, last) * params.x2_stride + at],
        x2[min(row + 2u, last) * params.x2_stride + at], x2[min(row + 3u, last) * params.x2_stride + at]);
}

fn weights_second(j: u32, column: u32) -> mat4x4<f32> {
    let c = min(column, params.k4 - 1u);
    let last = params.second - 1u;
    return mat4x4<f32>(
        w2[min(j, last) * params.w2_stride + c], w2[min(j + 1u, last) * params.w2_stride + c],
        w2[min(j + 2u, last) * params.w2_stride + c], w2[min(j + 3u, last) * params.w2_stride + c]);
}

/// Writes four columns of a row.
fn write(row: u32, column: u32, sums: vec4<f32>) {
    if (row >= params.m || column >= params.k4) {
        return;
    }
    let at = row * params.dx_stride + params.dx_column + column;
    var value = sums * SCALE;
    if (params.accumulate != 0u) {
        value += dx[at];
    }
    dx[at] = value;
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
    let column = thread.x * (COLUMNS / 4u);
    if (row >= params.m || column >= params.k4) {
        return;
    }
    var s0: Columns;
    var s1: Columns;
    var s2: Columns;
    var s3: Columns;
    for (var n = 0u; n < params.n; n += 4u) {
        var b: Columns;
        b.c0 = weights(n, column);
        if (COLUMNS > 4u) {
            b.c1 = weights(n, column + 1u);
        }
        if (COLUMNS > 8u) {
            b.c2 = weights(n, column + 2u);
            b.c3 = weights(n, column + 3u);
        }
        s0 = products(s0, b, gradients(row, n));
        s1 = products(s1, b, gradients(row + 4u, n));
        s2 = products(s2, b, gradients(row + 8u, n));
        s3 = products(s3, b, gradients(row + 12u, n));
    }
    if (SECOND) {
        for (var j = 0u; j < params.second; j += 4u) {
            var b: Columns;
            b.c0 = weights_second(j, column);
            if (COLUMNS > 4u) {
                b.c1 = weights_second(j, column + 1u);
            }
            if (COLUMNS > 8u) {
                b.c2 = weights_second(j, column + 2u);
                b.c3 = weights_second(j, column + 3u);
            }
            s0 = products(s0, b, inputs_second(row, j));
            s1 = products(s1, b, inputs_second(row + 4u, j));
            s2 = products(s2, b, inputs_second(row + 8u, j));
            s3 = products(s3, b, inputs_second(row + 12u, j));
        }
    }
    write_columns(row, column, s0);
    write_columns(row + 4u, column, s1);
    write_columns(row + 8u, column, s2);
    write_columns(row + 12u, column, s3);
}
