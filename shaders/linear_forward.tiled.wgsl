// y = x·Wᵀ + bias + x2·W2ᵀ for GPUs: a workgroup makes a tile of 8 THREADS_Y x 8 THREADS_X, sixteen steps of k at a time.
// Saves memory traffic: what a tile needs is read once into workgroup memory, and each value from there feeds eight multiply-adds.
// Blocks of 4 x 4 are transposed in registers on the way in, so that the inner loop reads four rows or four columns with one load.
// permute WEIGHT: f32 bf16 f16
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/linear_forward.wgsl
// use: shared/tile.wgsl

/// Puts four rows x four steps of x into the workgroup's memory.
fn put_rows(step: u32, group: u32, block: mat4x4<f32>) {
    let t = transpose(block);
    let at = step * 8u * THREADS_Y + group;
    row_tile[at] = t[0];
    row_tile[at + 2u * THREADS_Y] = t[1];
    row_tile[at + 4u * THREADS_Y] = t[2];
    row_tile[at + 6u * THREADS_Y] = t[3];
}

/// Puts four columns of y x four steps into the workgroup's memory.
fn put_columns(step: u32, group: u32, block: mat4x4<f32>) {
    let t = transpose(block);
    let at = step * 8u * THREADS_X + group;
    column_tile[at] = t[0];
    column_tile[at + 2u * THREADS_X] = t[1];
    column_tile[at + 4u * THREADS_X] = t[2];
    column_tile[at + 6u * THREADS_X] = t[3];
}

/// Four columns of row m of x, zero past the last column.
fn input(m: u32, k: u32) -> vec4<f32> {
    let at = min(m, params.m - 1u) * params.x_stride + params.x_column + min(k, params.k4 - 1u);
    return select(vec4<f32>(0.0), x[at], k < params.k4);
}

fn weight(n: u32, k: u32) -> vec4<f32> {
    let at = min(n, params.n - 1u) * params.w_stride + min(k, params.k4 - 1u);
    return select(vec4<f32>(0.0), weight4(w[at]), k < params.k4);
}

fn input_second(m: u32, k: u32) -> vec4<f32> {
    let at = min(m, params.m - 1u) * params.x2_stride + min(k, params.second4 - 1u);
    return select(vec4<f32>(0.0), x2[at], k < params.second4);
}

fn weight_second(n: u32, k: u32) -> vec4<f32> {
    let at = min(n, params.n - 1u) * params.w2_stride + min(k, params.second4 - 1u);
    return select(vec4<f32>(0.0), w2[at], k < params.second4);
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
    let column = tile.x * SIDE * THREADS_X;
    let threads = THREADS_X * THREADS_Y;
    var s: Sums;
    for (var k = 0u; k < params.k4; k += 4u) {
        for (var i = index; i < 8u * THREADS_Y; i += threads) {
            let m = row + i / 4u * 4u;
            let at = k + i % 4u;
            put_rows(i % 4u, i / 4u, mat4x4<f32>(input(m, at), input(m + 1u, at), input(m + 2u, at), input(m + 3u, at)));
        }
        for (var i = index; i < 8u * THREADS_X; i += threads) {
            let n = column + i / 4u * 4u;
            let at = k + i % 4u;
            put_columns(i % 4u, i / 4u, mat4x4<f32>(weight(n, at), weight(n + 1u, at), weight(n + 2u, at), weight(n + 3u, at)));
        }
        workgroupBarrier();
        s = multiply(s, thread);
        workgroupBarrier();
    }
    if (SECOND) {
        for (var k = 0u; k < params.second4; k += 4u) {
            for (var i = index; i < 8u * THREADS_Y; i += threads) {
                let m = row + i / 4u * 4u;
                let at = k + i % 4u;
                put_rows(i % 4u, i / 4u,
                    mat4x4<f32>(input_second(m, at), input_second(m + 1u, at), input_second(m + 2u, at), input_second(m + 3u, at)));
            }
            for (var i = index; i < 8u * THREADS_X; i += threads) {
                let n = column + i / 4u * 4u;
                let at = k + i % 4u;
                put_columns(i % 4u, i / 4u,
                    mat4x4<f32>(weight_second(n, at), weight_second(n + 1u, at), weight_second(n + 2u, at), weight_second(n + 3u, at)));
            }
            workgroupBarrier();
            s = multiply(s, thread);
            workgroupBarrier();
        }
    }
    let r = row + thread.y * 4u;
    let c = column / 4u + thread.x;
    write_block(r, c, s.c00);
    write_block(r, c + THREADS_X, s.c01);
    write_block(r + 4u * THREADS_Y, c, s.c10);
    write_block(r + 4u * THREADS_Y, c + THREADS_X, s.c11);
}
