// dx = dy·W + x2·W2 with nothing but registers: no subgroups, no workgroup memory, no barrier. Right on every adapter.
// Saves what CPU adapters in browsers (SwiftShader) are bad at: a barrier there switches threads, workgroup memory is no faster than any other.
// A thread makes 4 x 4 of dx; eight loads of four floats feed 64 multiply-adds.
// permute WEIGHT: f32 bf16 f16
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/linear_backward_input.wgsl

/// Threads of a workgroup across the columns.
override THREADS_X: u32 = 8u;
/// Threads of a workgroup across the rows.
override THREADS_Y: u32 = 2u;

/// Four weights of row n of W.
fn weight(n: u32, column: u32) -> vec4<f32> {
    return weight4(w[(params.w_row + min(n, params.n - 1u)) * params.w_stride + column]);
}

fn weight_second(j: u32, column: u32) -> vec4<f32> {
    return w2[min(j, params.second - 1u) * params.w2_stride + column];
}

/// Writes four columns of a row.
fn write(row: u32, column: u32, sums: vec4<f32>) {
    if (row >= params.m) {
        return;
    }
    let at = row * params.dx_stride + params.dx_column + column;
    var value = sums;
    if (params.accumulate != 0u) {
        value += dx[at];
    }
    dx[at] = value;
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
    let row = thread.y * 4u;
    let column = thread.x;
    if (row >= params.m || column >= params.k4) {
        return;
    }
    let r0 = row;
    let r1 = min(row + 1u, params.m - 1u);
    let r2 = min(row + 2u, params.m - 1u);
    let r3 = min(row + 3u, params.m - 1u);
    // Columns of s are rows of dx: both factors are used as they lie in memory.
    var s: mat4x4<f32>;
    for (var n = 0u; n < params.n; n += 4u) {
        let at = params.dy_column + n / 4u;
        let a = mat4x4<f32>(
            dy[r0 * params.dy_stride + at], dy[r1 * params.dy_stride + at],
            dy[r2 * params.dy_stride + at], dy[r3 * params.dy_stride + at]);
        s += mat4x4<f32>(weight(n, column), weight(n + 1u, column), weight(n + 2u, column), weight(n + 3u, column)) * a;
    }
    if (SECOND) {
        for (var j = 0u; j < params.second; j += 4u) {
            let at = j / 4u;
            let a = mat4x4<f32>(
                x2[r0 * params.x2_stride + at], x2[r1 * params.x2_stride + at],
                x2[r2 * params.x2_stride + at], x2[r3 * params.x2_stride + at]);
            s += mat4x4<f32>(weight_second(j, column), weight_second(j + 1u, column),
                weight_second(j + 2u, column), weight_second(j + 3u, column)) * a;
        }
    }
    write(row, column, s[0]);
    write(row + 1u, column, s[1]);
    write(row + 2u, column, s[2]);
    write(row + 3u, column, s[3]);
}
