// dW = dyᵀ·x with nothing but registers: no subgroups, no workgroup memory, no barrier. Right on every device.
// Saves loads, which cost CPU devices in browsers (SwiftShader) ten times a multiply-add: 32 of four floats feed 1024 multiply-adds.
// A thread makes 16 rows x COLUMNS of dW. That many sums spill, but a spilled sum is cheaper than one more load from a buffer.
// use: shared/step.wgsl
// use: shared/accumulate.wgsl
// use: shared/linear_backward_weight.wgsl
// use: shared/block.wgsl

/// Four columns of row m of dy, zero past the last row.
fn gradient(m: u32, column: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), dy[(params.row + min(m, params.m - 1u)) * params.dy_stride + params.dy_column + column], m < params.m);
}

/// Four steps (rows of dy) of four rows of dW.
fn gradients(m: u32, row: u32) -> mat4x4<f32> {
    let column = min(row, params.n - 1u) / 4u;
    return transpose(mat4x4<f32>(gradient(m, column), gradient(m + 1u, column), gradient(m + 2u, column), gradient(m + 3u, column)));
}

/// Four columns of row m of x.
fn input(m: u32, column: u32) -> vec4<f32> {
    return x[(params.row + min(m, params.m - 1u)) * params.x_stride + params.x_column + min(column, params.k4 - 1u)];
}

/// Four steps (rows of x) of four columns.
fn inputs(m: u32, column: u32) -> mat4x4<f32> {
    return mat4x4<f32>(input(m, column), input(m + 1u, column), input(m + 2u, column), input(m + 3u, column));
}

/// Writes four columns of a row.
fn write(row: u32, column: u32, sums: vec4<f32>) {
    if (row >= params.n || column >= params.k4) {
        return;
    }
    let at = row * params.dw_stride + column;
    var value = sums;
    if (adds_to_output(params.accumulate)) {
        value += dw[at];
    }
    dw[at] = value;
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
    if (row >= params.n || column >= params.k4) {
        return;
    }
    var s0: Columns;
    var s1: Columns;
    var s2: Columns;
    var s3: Columns;
    for (var m = 0u; m < params.m; m += 4u) {
        var b: Columns;
        b.c0 = inputs(m, column);
        if (COLUMNS > 4u) {
            b.c1 = inputs(m, column + 1u);
        }
        if (COLUMNS > 8u) {
            b.c2 = inputs(m, column + 2u);
            b.c3 = inputs(m, column + 3u);
        }
        s0 = products(s0, b, gradients(m, row));
        s1 = products(s1, b, gradients(m, row + 4u));
        s2 = products(s2, b, gradients(m, row + 8u));
        s3 = products(s3, b, gradients(m, row + 12u));
    }
    write_columns(row, column, s0);
    write_columns(row + 4u, column, s1);
    write_columns(row + 8u, column, s2);
    write_columns(row + 12u, column, s3);
}
