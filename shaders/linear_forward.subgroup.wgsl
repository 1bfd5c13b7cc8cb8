// y = x·Wᵀ + bias + x2·W2ᵀ for devices with subgroups of exactly 8 or 16 lanes, one subgroup a workgroup (the CPU device lavapipe).
// Saves loads: there each one is a loop over the lanes, as dear as 50 multiply-adds, while a broadcast from a constant lane is a shuffle.
// A lane owns 4 rows and keeps 4 x 64 sums in registers; the columns of W lie spread over the lanes and are broadcast: 12 loads feed 1024 vector FMAs.
// permute WEIGHT: f32 bf16 f16 nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/linear_forward.wgsl

/// Lanes of a subgroup, which is a workgroup: 8 or 16.
override LANES: u32 = 8u;

/// Columns a workgroup: 64, 32, 16 or 8.
override COLUMNS: u32 = 64u;

/// Rows of a lane.
const ROWS: u32 = 4u;

/// The sums of a lane: 4 rows x 4 columns a matrix, one column of y a column.
struct Sums {
    c0: mat4x4<f32>, c1: mat4x4<f32>, c2: mat4x4<f32>, c3: mat4x4<f32>,
}

/// Four columns of W from four lanes.
fn low(b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(subgroupBroadcast(b, 0u), subgroupBroadcast(b, 1u), subgroupBroadcast(b, 2u), subgroupBroadcast(b, 3u));
}

/// Four columns of W from the next four lanes.
fn high(b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(subgroupBroadcast(b, 4u), subgroupBroadcast(b, 5u), subgroupBroadcast(b, 6u), subgroupBroadcast(b, 7u));
}

/// The same from the lanes 8 to 11.
fn low8(b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(subgroupBroadcast(b, 8u), subgroupBroadcast(b, 9u), subgroupBroadcast(b, 10u), subgroupBroadcast(b, 11u));
}

/// The same from the lanes 12 to 15.
fn high8(b: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(subgroupBroadcast(b, 12u), subgroupBroadcast(b, 13u), subgroupBroadcast(b, 14u), subgroupBroadcast(b, 15u));
}

/// Sixteen columns from two loads of eight lanes, or from one of sixteen.
fn sixteen(s: Sums, a: mat4x4<f32>, b0: vec4<f32>, b1: vec4<f32>) -> Sums {
    if (LANES == 16u) {
        return Sums(s.c0 + a * low(b0), s.c1 + a * high(b0), s.c2 + a * low8(b0), s.c3 + a * high8(b0));
    }
    return Sums(s.c0 + a * low(b0), s.c1 + a * high(b0), s.c2 + a * low(b1), s.c3 + a * high(b1));
}

fn eight(s: Sums, a: mat4x4<f32>, b: vec4<f32>) -> Sums {
    return Sums(s.c0 + a * low(b), s.c1 + a * high(b), s.c2, s.c3);
}

/// The second load of sixteen columns, which subgroups of 16 lanes do not need.
fn others(n: u32, k: u32) -> vec4<f32> {
    if (LANES == 16u) {
        return vec4<f32>();
    }
    return weight4(n * params.w_stride, k);
}

/// The same of W2.
fn others2(n: u32, k: u32) -> vec4<f32> {
    if (LANES == 16u) {
        return vec4<f32>();
    }
    return w2[n * params.w2_stride + k];
}

/// Writes four columns of the four rows of a lane.
fn write(row: u32, column: u32, sums: mat4x4<f32>) {
    if (column * 4u >= params.n) {
        return;
    }
    let rows = transpose(sums);
    let left = params.n - column * 4u;
    let mask = SCALE * vec4<f32>(vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(left));
    var offset = vec4<f32>(0.0);
    if (BIAS) {
        offset = bias[column];
    }
    let at = row * params.y_stride + params.y_column + column;
    put(row, at, rows[0] * mask + offset);
    put(row + LANES, at + LANES * params.y_stride, rows[1] * mask + offset);
    put(row + 2u * LANES, at + 2u * LANES * params.y_stride, rows[2] * mask + offset);
    put(row + 3u * LANES, at + 3u * LANES * params.y_stride, rows[3] * mask + offset);
}

fn put(row: u32, at: u32, value: vec4<f32>) {
    if (row < params.m) {
        if (params.accumulate != 0u) {
            y[at] = y[at] + value;
        } else {
            y[at] = value;
        }
    }
}

fn write16(row: u32, column: u32, s: Sums) {
    write(row, column, s.c0);
    write(row, column + 1u, s.c1);
    if (COLUMNS > 8u) {
        write(row, column + 2u, s.c2);
        write(row, column + 3u, s.c3);
    }
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(subgroup_invocation_id) lane: u32) {
    begin(lane);
    let row = tile.y * (ROWS * LANES) + lane;
    let column = tile.x * COLUMNS;
    let r0 = min(row, params.m - 1u);
    let r1 = min(row + LANES, params.m - 1u);
    let r2 = min(row + 2u * LANES, params.m - 1u);
    let r3 = min(row + 3u * LANES, params.m - 1u);
    // What a lane loads of W: its column of each eight, or of each sixteen.
    let n0 = min(column + lane, params.n - 1u);
    let n1 = min(column + lane + 8u, params.n - 1u);
    let n2 = min(column + lane + 16u, params.n - 1u);
    let n3 = min(column + lane + 24u, params.n - 1u);
    let n4 = min(column + lane + 32u, params.n - 1u);
    let n5 = min(column + lane + 40u, params.n - 1u);
    let n6 = min(column + lane + 48u, params.n - 1u);
    let n7 = min(column + lane + 56u, params.n - 1u);
    var s0: Sums;
    var s1: Sums;
    var s2: Sums;
    var s3: Sums;
    for (var k = 0u; k < params.k4; k++) {
        let at = params.x_column + k;
        let a = transpose(mat4x4<f32>(
            x[r0 * params.x_stride + at], x[r1 * params.x_stride + at],
            x[r2 * params.x_stride + at], x[r3 * params.x_stride + at]));
        if (COLUMNS > 8u) {
            s0 = sixteen(s0, a, weight4(n0 * params.w_stride, k), others(n1, k));
        } else {
            s0 = eight(s0, a, weight4(n0 * params.w_stride, k));
        }
        if (COLUMNS > 16u) {
            s1 = sixteen(s1, a, weight4(n2 * params.w_stride, k), others(n3, k));
        }
        if (COLUMNS > 32u) {
            s2 = sixteen(s2, a, weight4(n4 * params.w_stride, k), others(n5, k));
            s3 = sixteen(s3, a, weight4(n6 * params.w_stride, k), others(n7, k));
        }
    }
    if (SECOND) {
        for (var k = 0u; k < params.second4; k++) {
            let a = transpose(mat4x4<f32>(
                x2[r0 * params.x2_stride + k], x2[r1 * params.x2_stride + k],
                x2[r2 * params.x2_stride + k], x2[r3 * params.x2_stride + k]));
            if (COLUMNS > 8u) {
                s0 = sixteen(s0, a, w2[n0 * params.w2_stride + k], others2(n1, k));
            } else {
                s0 = eight(s0, a, w2[n0 * params.w2_stride + k]);
            }
            if (COLUMNS > 16u) {
                s1 = sixteen(s1, a, w2[n2 * params.w2_stride + k], others2(n3, k));
            }
            if (COLUMNS > 32u) {
                s2 = sixteen(s2, a, w2[n4 * params.w2_stride + k], others2(n5, k));
                s3 = sixteen(s3, a, w2[n6 * params.w2_stride + k], others2(n7, k));
            }
        }
    }
    let first = column / 4u;
    write16(row, first, s0);
    if (COLUMNS > 16u) {
        write16(row, first + 4u, s1);
    }
    if (COLUMNS > 32u) {
        write16(row, first + 8u, s2);
        write16(row, first + 12u, s3);
    }
}
