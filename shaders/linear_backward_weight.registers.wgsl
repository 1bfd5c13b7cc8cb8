// dW = dyᵀ·x with nothing but registers: no subgroups, no workgroup memory, no barrier. Right on every adapter.
// Saves what CPU adapters in browsers (SwiftShader) are bad at: a barrier there switches threads, workgroup memory is no faster than any other.
// A thread makes 4 x 4 of dW; eight loads of four floats feed 64 multiply-adds.
// use: shared/step.wgsl
// use: shared/accumulate.wgsl
// use: shared/linear_backward_weight.wgsl

/// Threads of a workgroup across the columns.
override THREADS_X: u32 = 8u;
/// Threads of a workgroup across the rows.
override THREADS_Y: u32 = 2u;

/// Four columns of row m of dy, zero past the last row.
fn gradient(m: u32, column: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), dy[(params.row + min(m, params.m - 1u)) * params.dy_stride + params.dy_column + column], m < params.m);
}

/// Four columns of row m of x.
fn input(m: u32, column: u32) -> vec4<f32> {
    return x[(params.row + min(m, params.m - 1u)) * params.x_stride + params.x_column + column];
}

/// Writes four columns of a row.
fn write(row: u32, column: u32, sums: vec4<f32>) {
    if (row >= params.n) {
        return;
    }
    let at = row * params.dw_stride + column;
    var value = sums;
    if (adds_to_output(params.accumulate)) {
        value += dw[at];
    }
    dw[at] = value;
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
    let row = thread.y;
    let column = thread.x;
    if (row * 4u >= params.n || column >= params.k4) {
        return;
    }
    // Columns of s are rows of dW.
    var s: mat4x4<f32>;
    for (var m = 0u; m < params.m; m += 4u) {
        let a = mat4x4<f32>(gradient(m, row), gradient(m + 1u, row), gradient(m + 2u, row), gradient(m + 3u, row));
        let b = mat4x4<f32>(input(m, column), input(m + 1u, column), input(m + 2u, column), input(m + 3u, column));
        s += b * transpose(a);
    }
    write(row * 4u, column, s[0]);
    write(row * 4u + 1u, column, s[1]);
    write(row * 4u + 2u, column, s[2]);
    write(row * 4u + 3u, column, s[3]);
}
