// dW = dyᵀ·x for devices with subgroups of exactly 8 or 16 lanes, one subgroup a workgroup (the CPU device lavapipe).
// Saves loads, each one a loop over the lanes there: 12 loads feed 1024 vector FMAs, the rest are broadcasts from constant lanes.
// A lane owns 4 neighbouring rows of dW (one vec4 of dy) and keeps 4 x 64 sums; a row of x lies spread over the lanes and is broadcast.
// use: shared/step.wgsl
// use: shared/accumulate.wgsl
// use: shared/linear_backward_weight.wgsl
// use: shared/outer_product.subgroup.wgsl

/// Columns a workgroup: 64, 32 or 8.
override COLUMNS: u32 = 64u;
/// Whether dW is written transposed, (k, n): the gradient of a few rows is made as that of a few columns, dy and x changing places. With 8 columns only.
override TRANSPOSED: bool = false;

/// Rows of a lane.
const ROWS: u32 = 4u;

fn put(row: u32, at: u32, value: vec4<f32>, add: bool) {
    if (row < params.n) {
        if (add) {
            dw[at] = dw[at] + value;
        } else {
            dw[at] = value;
        }
    }
}

/// Writes row `column` of a transposed dW: the four columns of a lane.
fn put_transposed(row: u32, column: u32, value: vec4<f32>, add: bool) {
    if (row >= params.n || column >= params.columns) {
        return;
    }
    let at = column * params.dw_stride + row / 4u;
    if (add) {
        dw[at] = dw[at] + value;
    } else {
        dw[at] = value;
    }
}

fn write_transposed(row: u32, column: u32, sums: mat4x4<f32>, add: bool) {
    put_transposed(row, column, sums[0], add);
    put_transposed(row, column + 1u, sums[1], add);
    put_transposed(row, column + 2u, sums[2], add);
    put_transposed(row, column + 3u, sums[3], add);
}

/// Writes four columns of the four rows of a lane.
fn write(row: u32, column: u32, sums: mat4x4<f32>, add: bool) {
    if (column >= params.k4) {
        return;
    }
    let rows = transpose(sums);
    let at = row * params.dw_stride + column;
    put(row, at, rows[0], add);
    put(row + 1u, at + params.dw_stride, rows[1], add);
    put(row + 2u, at + 2u * params.dw_stride, rows[2], add);
    put(row + 3u, at + 3u * params.dw_stride, rows[3], add);
}

fn write32(row: u32, column: u32, s: Sums, add: bool) {
    write(row, column, s.c0, add);
    write(row, column + 1u, s.c1, add);
    if (COLUMNS == 8u) {
        return;
    }
    write(row, column + 2u, s.c2, add);
    write(row, column + 3u, s.c3, add);
    write(row, column + 4u, s.c4, add);
    write(row, column + 5u, s.c5, add);
    write(row, column + 6u, s.c6, add);
    write(row, column + 7u, s.c7, add);
}

/// Four columns of row m of dy, zero past the last row.
fn gradient(m: u32, column: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), dy[(params.row + min(m, params.m - 1u)) * params.dy_stride + column], m < params.m);
}

/// Four columns of row m of x.
fn input(m: u32, column: u32) -> vec4<f32> {
    return x[(params.row + min(m, params.m - 1u)) * params.x_stride + column];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    let row = tile.y * (ROWS * LANES) + lane * 4u;
    let rows = params.dy_column + min(row, params.n - 1u) / 4u;
    let first = tile.x * (COLUMNS / 4u);
    let left = params.x_column + min(first + lane, params.k4 - 1u);
    let right = params.x_column + min(first + 8u + lane, params.k4 - 1u);
    let narrow = params.x_column + min(first + lane % 2u, params.k4 - 1u);
    var s0: Sums;
    var s1: Sums;
    for (var m = 0u; m < params.m; m += 4u) {
        let a = mat4x4<f32>(gradient(m, rows), gradient(m + 1u, rows), gradient(m + 2u, rows), gradient(m + 3u, rows));
        if (COLUMNS == 8u) {
            s0 = narrow_products(s0, a, input(m + lane / 2u, narrow));
        } else {
            s0 = outer_products(s0, a, input(m, left), input(m + 1u, left), input(m + 2u, left), input(m + 3u, left));
        }
        if (COLUMNS > 32u) {
            if (LANES == 16u) {
                s1 = outer_products8(s1, a, input(m, left), input(m + 1u, left), input(m + 2u, left), input(m + 3u, left));
            } else {
                s1 = outer_products(s1, a, input(m, right), input(m + 1u, right), input(m + 2u, right), input(m + 3u, right));
            }
        }
    }
    let add = adds_to_output(params.accumulate);
    if (TRANSPOSED) {
        write_transposed(row, first * 4u, s0.c0, add);
        write_transposed(row, first * 4u + 4u, s0.c1, add);
        return;
    }
    write32(row, first, s0, add);
    if (COLUMNS > 32u) {
        write32(row, first + 8u, s1, add);
    }
}
