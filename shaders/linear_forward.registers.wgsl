// y = x·Wᵀ + bias + x2·W2ᵀ with nothing but registers: no subgroups, no workgroup memory, no barrier. Right on every adapter.
// Saves what CPU adapters in browsers (SwiftShader) are bad at: a barrier there switches threads, workgroup memory is no faster than any other.
// A thread makes 4 x 4 of y; eight loads of four floats feed 64 multiply-adds.
// permute WEIGHT: f32 bf16 f16
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/linear_forward.wgsl

/// Threads of a workgroup across the columns.
override THREADS_X: u32 = 8u;
/// Threads of a workgroup across the rows.
override THREADS_Y: u32 = 2u;

/// Writes four columns of a row.
fn write(row: u32, column: u32, sums: vec4<f32>) {
    if (row >= params.m) {
        return;
    }
    let left = params.n - column * 4u;
    var value = select(vec4<f32>(0.0), sums, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(left));
    if (BIAS) {
        value += bias[column];
    }
    let at = row * params.y_stride + params.y_column + column;
    if (params.accumulate != 0u) {
        value += y[at];
    }
    y[at] = value;
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(@builtin(global_invocation_id) thread: vec3<u32>) {
    let row = thread.y * 4u;
    let column = thread.x;
    if (row >= params.m || column * 4u >= params.n) {
        return;
    }
    let r0 = row;
    let r1 = min(row + 1u, params.m - 1u);
    let r2 = min(row + 2u, params.m - 1u);
    let r3 = min(row + 3u, params.m - 1u);
    let n0 = column * 4u;
    let n1 = min(n0 + 1u, params.n - 1u);
    let n2 = min(n0 + 2u, params.n - 1u);
    let n3 = min(n0 + 3u, params.n - 1u);
    var s: mat4x4<f32>;
    for (var k = 0u; k < params.k4; k++) {
        let at = params.x_column + k;
        let a = mat4x4<f32>(
            x[r0 * params.x_stride + at], x[r1 * params.x_stride + at],
            x[r2 * params.x_stride + at], x[r3 * params.x_stride + at]);
        let b = mat4x4<f32>(
            weight4(w[n0 * params.w_stride + k]), weight4(w[n1 * params.w_stride + k]),
            weight4(w[n2 * params.w_stride + k]), weight4(w[n3 * params.w_stride + k]));
        s += transpose(a) * b;
    }
    if (SECOND) {
        for (var k = 0u; k < params.second4; k++) {
            let a = mat4x4<f32>(
                x2[r0 * params.x2_stride + k], x2[r1 * params.x2_stride + k],
                x2[r2 * params.x2_stride + k], x2[r3 * params.x2_stride + k]);
            let b = mat4x4<f32>(
                w2[n0 * params.w2_stride + k], w2[n1 * params.w2_stride + k],
                w2[n2 * params.w2_stride + k], w2[n3 * params.w2_stride + k]);
            s += transpose(a) * b;
        }
    }
    let rows = transpose(s);
    write(row, column, rows[0]);
    write(row + 1u, column, rows[1]);
    write(row + 2u, column, rows[2]);
    write(row + 3u, column, rows[3]);
}
