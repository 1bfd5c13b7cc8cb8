// dW = dyᵀ·x for GPUs: a workgroup makes a tile of 8 THREADS_Y x 8 THREADS_X, sixteen tokens at a time.
// Saves memory traffic: what a tile needs is read once into workgroup memory, and each value from there feeds eight multiply-adds.
// The rows of dy and of x lie as the inner loop wants them: loads and stores of whole vec4, nothing is transposed.
// use: shared/step.wgsl
// use: shared/accumulate.wgsl
// use: shared/linear_backward_weight.wgsl
// use: shared/tile.wgsl

/// Four columns of row m of dy, zero past the last row.
fn gradient(m: u32, column: u32) -> vec4<f32> {
    let last = (params.n + 3u) / 4u - 1u;
    let at = (params.row + min(m, params.m - 1u)) * params.dy_stride + params.dy_column + min(column, last);
    return select(vec4<f32>(0.0), dy[at], m < params.m);
}

/// Four columns of row m of x.
fn input(m: u32, column: u32) -> vec4<f32> {
    return x[(params.row + min(m, params.m - 1u)) * params.x_stride + params.x_column + min(column, params.k4 - 1u)];
}

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

fn write_block(row: u32, column: u32, sums: mat4x4<f32>) {
    let rows = transpose(sums);
    write(row, column, rows[0]);
    write(row + 1u, column, rows[1]);
    write(row + 2u, column, rows[2]);
    write(row + 3u, column, rows[3]);
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) thread: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let row = tile.y * SIDE * THREADS_Y;
    let column = tile.x * 2u * THREADS_X;
    let threads = THREADS_X * THREADS_Y;
    var s: Sums;
    for (var m = 0u; m < params.m; m += 16u) {
        for (var i = index; i < 32u * THREADS_Y; i += threads) {
            row_tile[i] = gradient(m + i / (2u * THREADS_Y), row / 4u + i % (2u * THREADS_Y));
        }
        for (var i = index; i < 32u * THREADS_X; i += threads) {
            column_tile[i] = input(m + i / (2u * THREADS_X), column + i % (2u * THREADS_X));
        }
        workgroupBarrier();
        s = multiply(s, thread);
        workgroupBarrier();
    }
    let r = row + thread.y * 4u;
    let c = column + thread.x;
    write_block(r, c, s.c00);
    write_block(r, c + THREADS_X, s.c01);
    write_block(r + 4u * THREADS_Y, c, s.c10);
    write_block(r + 4u * THREADS_Y, c + THREADS_X, s.c11);
}
