// y = x·Wᵀ + bias + x2·W2ᵀ for CPU devices with subgroups that hold quads (SwiftShader in a browser): a quad is a workgroup.
// Saves loads, which cost ten times a multiply-add there: each lane loads rows and columns of its own, and swaps the columns with its neighbours.
// A lane makes 8 rows x 64 columns (or fewer): 24 loads of four floats feed 2048 multiply-adds. The code of one iteration has to come from the caches, too.
// permute PLAIN: f32 bf16 f16
// use: shared/weight_{PLAIN}.wgsl
// use: shared/linear_forward.wgsl
// use: shared/quads.wgsl

/// Where a lane's four rows of x begin in each block of rows.
fn starts(row: u32) -> array<vec4<u32>, 2> {
    let four = row + vec4<u32>(0u, 1u, 2u, 3u);
    let last = vec4<u32>(params.m - 1u);
    return array<vec4<u32>, 2>(
        min(four, last) * params.x_stride + params.x_column, min(four + BLOCK_ROWS, last) * params.x_stride + params.x_column);
}

/// Four steps of four rows of x.
fn rows(start: vec4<u32>, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(x[start.x + k], x[start.y + k], x[start.z + k], x[start.w + k]);
}

fn inputs(start: array<vec4<u32>, 2>, k: u32) -> Steps {
    if (ROW_BLOCKS > 1u) {
        return Steps(rows(start[0], k), rows(start[1], k));
    }
    return Steps(rows(start[0], k), mat4x4<f32>());
}

/// Four steps, or zero past the last one.
fn rows_after(start: vec4<u32>, k: u32) -> mat4x4<f32> {
    let four = rows(start, k);
    let none = vec4<f32>(0.0);
    let inside = k < params.k4;
    return mat4x4<f32>(select(none, four[0], inside), select(none, four[1], inside), select(none, four[2], inside), select(none, four[3], inside));
}

/// The next four steps, or zero.
fn inputs_after(start: array<vec4<u32>, 2>, k: u32) -> Steps {
    if (STEPS == 1u) {
        return Steps();
    }
    if (ROW_BLOCKS > 1u) {
        return Steps(rows_after(start[0], k), rows_after(start[1], k));
    }
    return Steps(rows_after(start[0], k), mat4x4<f32>());
}

/// Where the rows of W of four columns begin.
fn weight_starts(n: u32) -> vec4<u32> {
    return min(n + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.n - 1u)) * params.w_stride;
}

/// Four steps of four columns of y.
fn weights(start: vec4<u32>, k: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(weight4(start.x, k), weight4(start.y, k), weight4(start.z, k), weight4(start.w, k)));
}

fn steps(s: Block, start: vec4<u32>, k: u32, a: Steps, after: Steps) -> Block {
    let sums = add(s, weights(start, k), a);
    if (STEPS > 1u) {
        return add(sums, weights(start, min(k + 1u, params.k4 - 1u)), after);
    }
    return sums;
}

fn input_second(row: u32, k: u32) -> vec4<f32> {
    return x2[min(row, params.m - 1u) * params.x2_stride + k];
}

fn rows_second(row: u32, k: u32) -> mat4x4<f32> {
    return mat4x4<f32>(input_second(row, k), input_second(row + 1u, k), input_second(row + 2u, k), input_second(row + 3u, k));
}

fn inputs_second(row: u32, k: u32) -> Steps {
    if (ROW_BLOCKS > 1u) {
        return Steps(rows_second(row, k), rows_second(row + BLOCK_ROWS, k));
    }
    return Steps(rows_second(row, k), mat4x4<f32>());
}

fn weight_second(n: u32, k: u32) -> vec4<f32> {
    return w2[min(n, params.n - 1u) * params.w2_stride + k];
}

fn weights_second(n: u32, k: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(weight_second(n, k), weight_second(n + 1u, k), weight_second(n + 2u, k), weight_second(n + 3u, k)));
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

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first_row = group.y * BLOCK_ROWS * ROW_BLOCKS;
    let first_column = group.x * COLUMNS;
    let row = first_row + 4u * lane;
    let n = first_column + 4u * lane;
    let of_x = starts(row);
    let of_w0 = weight_starts(n);
    let of_w1 = weight_starts(n + 16u);
    let of_w2 = weight_starts(n + 32u);
    let of_w3 = weight_starts(n + 48u);
    var b0: Block;
    var b1: Block;
    var b2: Block;
    var b3: Block;
    for (var k = 0u; k < params.k4; k += STEPS) {
        let a = inputs(of_x, k);
        let after = inputs_after(of_x, k + 1u);
        b0 = steps(b0, of_w0, k, a, after);
        if (COLUMNS > 16u) {
            b1 = steps(b1, of_w1, k, a, after);
        }
        if (COLUMNS > 32u) {
            b2 = steps(b2, of_w2, k, a, after);
            b3 = steps(b3, of_w3, k, a, after);
        }
    }
    if (SECOND) {
        for (var k = 0u; k < params.second4; k++) {
            let a = inputs_second(row, k);
            b0 = add(b0, weights_second(n, k), a);
            if (COLUMNS > 16u) {
                b1 = add(b1, weights_second(n + 16u, k), a);
            }
            if (COLUMNS > 32u) {
                b2 = add(b2, weights_second(n + 32u, k), a);
                b3 = add(b3, weights_second(n + 48u, k), a);
            }
        }
    }
    write_tile(first_row, first_column / 4u, lane, b0, b1, b2, b3);
}
