// dW = dyᵀ·x for CPU devices with subgroups that hold quads (SwiftShader in a browser): a quad is a workgroup.
// Saves loads, which cost ten times a multiply-add there: each lane loads rows and columns of its own, and swaps the columns with its neighbours.
// A lane makes 8 rows x 64 columns (or fewer): 24 loads of four floats feed 2048 multiply-adds. The code of one iteration has to come from the caches, too.
// use: shared/step.wgsl
// use: shared/accumulate.wgsl
// use: shared/linear_backward_weight.wgsl
// use: shared/quads.wgsl

/// Four columns of row m of dy, zero past the last row.
fn gradient(m: u32, column: u32) -> vec4<f32> {
    let at = (params.row + min(m, params.m - 1u)) * params.dy_stride + params.dy_column + min(column, (params.n - 1u) / 4u);
    return select(vec4<f32>(0.0), dy[at], m < params.m);
}

/// Four steps (rows of dy) of four rows of dW.
fn rows(m: u32, column: u32) -> mat4x4<f32> {
    return transpose(mat4x4<f32>(gradient(m, column), gradient(m + 1u, column), gradient(m + 2u, column), gradient(m + 3u, column)));
}

fn gradients(m: u32, column: u32) -> Steps {
    if (ROW_BLOCKS > 1u) {
        return Steps(rows(m, column), rows(m, column + BLOCK_ROWS / 4u));
    }
    return Steps(rows(m, column), mat4x4<f32>());
}

/// The next four steps.
fn gradients_after(m: u32, column: u32) -> Steps {
    if (STEPS == 1u) {
        return Steps();
    }
    return gradients(m, column);
}

/// Four columns of row m of x.
fn input(m: u32, column: u32) -> vec4<f32> {
    return x[(params.row + min(m, params.m - 1u)) * params.x_stride + params.x_column + min(column, params.k4 - 1u)];
}

/// Four steps (rows of x) of four columns.
fn inputs(m: u32, column: u32) -> mat4x4<f32> {
    return mat4x4<f32>(input(m, column), input(m + 1u, column), input(m + 2u, column), input(m + 3u, column));
}

fn steps(s: Block, m: u32, column: u32, a: Steps, after: Steps) -> Block {
    let sums = add(s, inputs(m, column), a);
    if (STEPS > 1u) {
        return add(sums, inputs(m + 4u, column), after);
    }
    return sums;
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

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let first_row = group.y * BLOCK_ROWS * ROW_BLOCKS;
    let first_column = group.x * (COLUMNS / 4u);
    let row = first_row / 4u + lane;
    let column = first_column + lane;
    var b0: Block;
    var b1: Block;
    var b2: Block;
    var b3: Block;
    for (var m = 0u; m < params.m; m += 4u * STEPS) {
        let a = gradients(m, row);
        let after = gradients_after(m + 4u, row);
        b0 = steps(b0, m, column, a, after);
        if (COLUMNS > 16u) {
            b1 = steps(b1, m, column + 4u, a, after);
        }
        if (COLUMNS > 32u) {
            b2 = steps(b2, m, column + 8u, a, after);
            b3 = steps(b3, m, column + 12u, a, after);
        }
    }
    write_tile(first_row, first_column, lane, b0, b1, b2, b3);
}
