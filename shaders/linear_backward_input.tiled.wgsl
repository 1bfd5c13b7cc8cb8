// dx = dy·W + x2·W2 for GPUs: a workgroup makes a tile of 8 THREADS_Y x 8 THREADS_X, sixteen steps of n at a time.
// Saves memory traffic: what a tile needs is read once into workgroup memory, and each value from there feeds eight multiply-adds.
// Blocks of 4 x 4 of dy are transposed in registers on the way in; the rows of W lie as the inner loop wants them.
// permute WEIGHT: f32 bf16 f16
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/linear_backward_input.wgsl
// use: shared/tile.wgsl

/// Puts four rows x four steps into the workgroup's memory.
fn put_rows(step: u32, group: u32, block: mat4x4<f32>) {
    let t = transpose(block);
    let at = step * 8u * THREADS_Y + group;
    row_tile[at] = t[0];
    row_tile[at + 2u * THREADS_Y] = t[1];
    row_tile[at + 4u * THREADS_Y] = t[2];
    row_tile[at + 6u * THREADS_Y] = t[3];
}

/// Columns 4 n to 4 n + 3 of row m of dy, zero past the last one.
fn gradient(m: u32, n: u32) -> vec4<f32> {
    let last = (params.n + 3u) / 4u - 1u;
    let at = min(m, params.m - 1u) * params.dy_stride + params.dy_column + min(n, last);
    return select(vec4<f32>(0.0), dy[at], n <= last);
}

/// Four columns of row n of W.
fn weight(n: u32, column: u32) -> vec4<f32> {
    return weight4(w[(params.w_row + min(n, params.n - 1u)) * params.w_stride + min(column, params.k4 - 1u)]);
}

fn input_second(m: u32, j: u32) -> vec4<f32> {
    let last = (params.second + 3u) / 4u - 1u;
    let at = min(m, params.m - 1u) * params.x2_stride + min(j, last);
    return select(vec4<f32>(0.0), x2[at], j <= last);
}

fn weight_second(j: u32, column: u32) -> vec4<f32> {
    return w2[min(j, params.second - 1u) * params.w2_stride + min(column, params.k4 - 1u)];
}

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

fn write_block(row: u32, column: u32, sums: mat4x4<f32>) {
    let rows = transpose(sums);
    write(row, column, rows[0]);
    write(row + 1u, column, rows[1]);
    write(row + 2u, column, rows[2]);
    write(row + 3u, column, rows[3]);
}

@compute @workgroup_size(THREADS_X, THREADS_Y)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) thread: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let row = tile.x * SIDE * THREADS_Y;
    let column = tile.y * 2u * THREADS_X;
    let threads = THREADS_X * THREADS_Y;
    var s: Sums;
    for (var n = 0u; n < params.n; n += 16u) {
        for (var i = index; i < 8u * THREADS_Y; i += threads) {
            let m = row + i / 4u * 4u;
            let at = n / 4u + i % 4u;
            put_rows(i % 4u, i / 4u, mat4x4<f32>(gradient(m, at), gradient(m + 1u, at), gradient(m + 2u, at), gradient(m + 3u, at)));
        }
        for (var i = index; i < 32u * THREADS_X; i += threads) {
            column_tile[i] = weight(n + i / (2u * THREADS_X), column + i % (2u * THREADS_X));
        }
        workgroupBarrier();
        s = multiply(s, thread);
        workgroupBarrier();
    }
    if (SECOND) {
        for (var j = 0u; j < params.second; j += 16u) {
            for (var i = index; i < 8u * THREADS_Y; i += threads) {
                let m = row + i / 4u * 4u;
                let at = j / 4u + i % 4u;
                put_rows(i % 4u, i / 4u,
                    mat4x4<f32>(input_second(m, at), input_second(m + 1u, at), input_second(m + 2u, at), input_second(m + 3u, at)));
            }
            for (var i = index; i < 32u * THREADS_X; i += threads) {
                column_tile[i] = weight_second(j + i / (2u * THREADS_X), column + i % (2u * THREADS_X));
            }
            workgroupBarrier();
            s = multiply(s, thread);
            workgroupBarrier();
        }
    }
    let r = row + thread.y * 4u;
    let c = column + thread.x;
    write_block(r, c, s.c00);
    write_block(r, c + THREADS_X, s.c01);
    write_block(r + 4u * THREADS_Y, c, s.c10);
    write_block(r + 4u * THREADS_Y, c + THREADS_X, s.c11);
}
