// dx = dy·W + x2·W2 for CPU devices with subgroups that hold quads (SwiftShader in a browser): a quad is a workgroup.
// Saves loads, which cost ten times a multiply-add there: each lane loads rows and columns of its own, and swaps the columns with its neighbours.
// A lane makes 8 rows x 64 columns (or fewer): 24 loads of four floats feed 2048 multiply-adds. The code of one iteration has to come from the caches, too.
// permute PLAIN: f32 bf16 f16
// use: shared/weight_{PLAIN}.wgsl
// use: shared/linear_backward_input.wgsl
// use: shared/quads.wgsl

/// Where a lane's four rows of dy begin in each block of rows.
fn starts(row: u32) -> array<vec4<u32>, 2> {
    let four = row + vec4<u32>(0u, 1u, 2u, 3u);
    let last = vec4<u32>(params.m - 1u);
    return array<vec4<u32>, 2>(
        min(four, last) * params.dy_stride + params.dy_column, min(four + BLOCK_ROWS, last) * params.dy_stride + params.dy_column);
}

/// Four steps (columns of dy) of four rows.
fn rows(start: vec4<u32>, n4: u32) -> mat4x4<f32> {
    return mat4x4<f32>(dy[start.x + n4], dy[start.y + n4], dy[start.z + n4], dy[start.w + n4]);
}

fn gradients(start: array<vec4<u32>, 2>, n: u32) -> Steps {
    if (ROW_BLOCKS > 1u) {
        return Steps(rows(start[0], n / 4u), rows(start[1], n / 4u));
    }
    return Steps(rows(start[0], n / 4u), mat4x4<f32>());
}

/// Four steps, or zero past the last one.
fn rows_after(start: vec4<u32>, n: u32) -> mat4x4<f32> {
    let four = rows(start, n / 4u);
    let none = vec4<f32>(0.0);
    let inside = n < params.n;
    return mat4x4<f32>(select(none, four[0], inside), select(none, four[1], inside), select(none, four[2], inside), select(none, four[3], inside));
}

/// The next four steps, or zero.
fn gradients_after(start: array<vec4<u32>, 2>, n: u32) -> Steps {
    if (STEPS == 1u) {
        return Steps();
    }
    if (ROW_BLOCKS > 1u) {
        return Steps(rows_after(start[0], n), rows_after(start[1], n));
    }
    return Steps(rows_after(start[0], n), mat4x4<f32>());
}

fn weight(n: u32, column: u32) -> vec4<f32> {
    return weight4((params.w_row + min(n, params.n - 1u)) * params.w_stride, min(column, params.k4 - 1u));
}

/// Four steps (rows of W) of four columns.
fn weights(n: u32, column: u32) -> mat4x4<f32> {
    return mat4x4<f32>(weight(n, column), weight(n + 1u, column), weight(n + 2u, column), weight(n + 3u, column));
}

fn steps(s: Block, n: u32, column: u32, a: Steps, after: Steps) -> Block {
    let sums = add(s, weights(n, column), a);
    if (STEPS > 1u) {
        return add(sums, weights(n + 4u, column), after);
    }
    return sums;
}

fn input_second(row: u32, j: u32) -> vec4<f32> {
    return x2[min(row, params.m - 1u) * params.x2_stride + j / 4u];
}

fn rows_second(row: u32, j: u32) -> mat4x4<f32> {
    return mat4x4<f32>(input_second(row, j), input_second(row + 1u, j), input_second(row + 2u, j), input_second(row + 3u, j));
}

fn inputs_second(row: u32, j: u32) -> Steps {
    if (ROW_BLOCKS > 1u) {
        return Steps(rows_second(row, j), rows_second(row + BLOCK_ROWS, j));
    }
    return Steps(rows_second(row, j), mat4x4<f32>());
}

fn weight_second(j: u32, column: u32) -> vec4<f32> {
    return w2[min(j, params.second - 1u) * params.w2_stride + min(column, params.k4 - 1u)];
}

fn weights_second(j: u32, column: u32) -> mat4x4<f32> {
    return mat4x4<f32>(weight_second(j, column), weight_second(j + 1u, column), weight_second(j + 2u, column), weight_second(j + 3u, column));
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

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first_row = group.x * BLOCK_ROWS * ROW_BLOCKS;
    let first_column = group.y * (COLUMNS / 4u);
    let row = first_row + 4u * lane;
    let column = first_column + lane;
    let of_dy = starts(row);
    var b0: Block;
    var b1: Block;
    var b2: Block;
    var b3: Block;
    for (var n = 0u; n < params.n; n += 4u * STEPS) {
        let a = gradients(of_dy, n);
        let after = gradients_after(of_dy, n + 4u);
        b0 = steps(b0, n, column, a, after);
        if (COLUMNS > 16u) {
            b1 = steps(b1, n, column + 4u, a, after);
        }
        if (COLUMNS > 32u) {
            b2 = steps(b2, n, column + 8u, a, after);
            b3 = steps(b3, n, column + 12u, a, after);
        }
    }
    if (SECOND) {
        for (var j = 0u; j < params.second; j += 4u) {
            let a = inputs_second(row, j);
            b0 = add(b0, weights_second(j, column), a);
            if (COLUMNS > 16u) {
                b1 = add(b1, weights_second(j, column + 4u), a);
            }
            if (COLUMNS > 32u) {
                b2 = add(b2, weights_second(j, column + 8u), a);
                b3 = add(b3, weights_second(j, column + 12u), a);
            }
        }
    }
    write_tile(first_row, first_column, lane, b0, b1, b2, b3);
}
