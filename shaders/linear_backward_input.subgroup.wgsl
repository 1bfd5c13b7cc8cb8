// dx = dy·W + x2·W2 for devices with subgroups of exactly 8 or 16 lanes, one subgroup a workgroup (the CPU device lavapipe).
// Saves loads, each one a loop over the lanes there: 12 loads feed 1024 vector FMAs, the rest are broadcasts from constant lanes.
// A lane owns 4 rows of dx and keeps 4 x 64 sums; a row of W lies spread over the lanes and is broadcast. Neighbouring workgroups share columns of W.
// permute WEIGHT: f32 bf16 f16 nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/linear_backward_input.wgsl
// use: shared/outer_product.subgroup.wgsl

/// Columns a workgroup: 64, 32 or 8.
override COLUMNS: u32 = 64u;

/// Rows of a lane.
const ROWS: u32 = 4u;

fn put(row: u32, at: u32, value: vec4<f32>) {
    if (row < params.m) {
        if (params.accumulate != 0u) {
            dx[at] = dx[at] + value;
        } else {
            dx[at] = value;
        }
    }
}

/// Writes four columns of the four rows of a lane.
fn write(row: u32, column: u32, sums: mat4x4<f32>) {
    if (column >= params.k4) {
        return;
    }
    let rows = transpose(sums);
    let at = row * params.dx_stride + params.dx_column + column;
    put(row, at, rows[0] * SCALE);
    put(row + LANES, at + LANES * params.dx_stride, rows[1] * SCALE);
    put(row + 2u * LANES, at + 2u * LANES * params.dx_stride, rows[2] * SCALE);
    put(row + 3u * LANES, at + 3u * LANES * params.dx_stride, rows[3] * SCALE);
}

fn write32(row: u32, column: u32, s: Sums) {
    write(row, column, s.c0);
    write(row, column + 1u, s.c1);
    if (COLUMNS == 8u) {
        return;
    }
    write(row, column + 2u, s.c2);
    write(row, column + 3u, s.c3);
    write(row, column + 4u, s.c4);
    write(row, column + 5u, s.c5);
    write(row, column + 6u, s.c6);
    write(row, column + 7u, s.c7);
}

/// Four weights of row n of W.
fn weight(n: u32, column: u32) -> vec4<f32> {
    return weight4((params.w_row + min(n, params.n - 1u)) * params.w_stride, column);
}

/// Four weights of row j of W2.
fn weight_second(j: u32, column: u32) -> vec4<f32> {
    return w2[min(j, params.second - 1u) * params.w2_stride + column];
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    begin(lane);
    let row = tile.x * (ROWS * LANES) + lane;
    let r0 = min(row, params.m - 1u);
    let r1 = min(row + LANES, params.m - 1u);
    let r2 = min(row + 2u * LANES, params.m - 1u);
    let r3 = min(row + 3u * LANES, params.m - 1u);
    let first = tile.y * (COLUMNS / 4u);
    let left = min(first + lane, params.k4 - 1u);
    let right = min(first + 8u + lane, params.k4 - 1u);
    let narrow = min(first + lane % 2u, params.k4 - 1u);
    var s0: Sums;
    var s1: Sums;
    for (var n = 0u; n < params.n; n += 4u) {
        let at = params.dy_column + n / 4u;
        let a = transpose(mat4x4<f32>(
            dy[r0 * params.dy_stride + at], dy[r1 * params.dy_stride + at],
            dy[r2 * params.dy_stride + at], dy[r3 * params.dy_stride + at]));
        if (COLUMNS == 8u) {
            s0 = narrow_products(s0, a, weight(n + lane / 2u, narrow));
        } else {
            s0 = outer_products(s0, a, weight(n, left), weight(n + 1u, left), weight(n + 2u, left), weight(n + 3u, left));
        }
        if (COLUMNS > 32u) {
            if (LANES == 16u) {
                s1 = outer_products8(s1, a, weight(n, left), weight(n + 1u, left), weight(n + 2u, left), weight(n + 3u, left));
            } else {
                s1 = outer_products(s1, a, weight(n, right), weight(n + 1u, right), weight(n + 2u, right), weight(n + 3u, right));
            }
        }
    }
    if (SECOND) {
        for (var j = 0u; j < params.second; j += 4u) {
            let at = j / 4u;
            let a = transpose(mat4x4<f32>(
                x2[r0 * params.x2_stride + at], x2[r1 * params.x2_stride + at],
                x2[r2 * params.x2_stride + at], x2[r3 * params.x2_stride + at]));
            if (COLUMNS == 8u) {
                s0 = narrow_products(s0, a, weight_second(j + lane / 2u, narrow));
            } else {
                s0 = outer_products(s0, a, weight_second(j, left), weight_second(j + 1u, left),
                    weight_second(j + 2u, left), weight_second(j + 3u, left));
            }
            if (COLUMNS > 32u) {
                if (LANES == 16u) {
                    s1 = outer_products8(s1, a, weight_second(j, left), weight_second(j + 1u, left),
                        weight_second(j + 2u, left), weight_second(j + 3u, left));
                } else {
                    s1 = outer_products(s1, a, weight_second(j, right), weight_second(j + 1u, right),
                        weight_second(j + 2u, right), weight_second(j + 3u, right));
                }
            }
        }
    }
    write32(row, first, s0);
    if (COLUMNS > 32u) {
        write32(row, first + 8u, s1);
    }
}
