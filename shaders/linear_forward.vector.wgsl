// y = x·Wᵀ + bias + x2·W2ᵀ for a few rows of x (up to ROWS a workgroup), as when text is generated token by token.
// Saves memory traffic: the weights are what costs, and each is read once, by neighbouring threads from neighbouring addresses.
// LANES threads make four columns of y: they share the contraction, each keeps its part of the sums, and the parts are added in a fixed order. With one lane,
// for processors, a thread makes four columns alone: no workgroup memory and no barrier, which are slow there.
// permute WEIGHT: f32 bf16 f16 nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/linear_forward.wgsl
// also lanes: LANES, vectors
// use: shared/lane_total.wgsl

/// Threads of a workgroup, a multiple of LANES.
override THREADS: u32 = 64u;
/// Threads that share the contraction, a power of two.
override LANES: u32 = 64u;
/// Rows of x a workgroup: 1, 2, 4 or 8.
override ROWS: u32 = 1u;
/// Elements of workgroup memory: THREADS, or 1 with one lane.
override PARTS: u32 = 64u;

fn input(row: u32, k: u32) -> vec4<f32> {
    return x[min(row, params.m - 1u) * params.x_stride + params.x_column + k];
}

fn input_second(row: u32, k: u32) -> vec4<f32> {
    return x2[min(row, params.m - 1u) * params.x2_stride + k];
}

/// Writes four columns of a row.
fn write(row: u32, column: u32, sum: vec4<f32>) {
    if (row >= params.m || column * 4u >= params.n) {
        return;
    }
    let left = params.n - column * 4u;
    var value = select(vec4<f32>(0.0), sum * SCALE, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(left));
    if (BIAS) {
        value += bias[column];
    }
    let at = row * params.y_stride + params.y_column + column;
    if (params.accumulate != 0u) {
        value += y[at];
    }
    y[at] = value;
}

/// Adds the lanes' parts of a row of y up and writes it.
fn finish(thread: u32, row: u32, column: u32, part: vec4<f32>) {
    let sum = total(thread, part);
    if (thread % LANES == 0u) {
        write(row, column, sum);
    }
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let column = (group.y * groups.x + group.x) * (THREADS / LANES) + thread / LANES;
    let lane = thread % LANES;
    let row = group.z * ROWS;
    let n0 = min(column * 4u, params.n - 1u);
    let n1 = min(column * 4u + 1u, params.n - 1u);
    let n2 = min(column * 4u + 2u, params.n - 1u);
    let n3 = min(column * 4u + 3u, params.n - 1u);
    var s0 = vec4<f32>();
    var s1 = vec4<f32>();
    var s2 = vec4<f32>();
    var s3 = vec4<f32>();
    var s4 = vec4<f32>();
    var s5 = vec4<f32>();
    var s6 = vec4<f32>();
    var s7 = vec4<f32>();
    for (var k = lane; k < params.k4; k += LANES) {
        let b = mat4x4<f32>(
            weight4(n0 * params.w_stride, k), weight4(n1 * params.w_stride, k),
            weight4(n2 * params.w_stride, k), weight4(n3 * params.w_stride, k));
        s0 += input(row, k) * b;
        if (ROWS > 1u) {
            s1 += input(row + 1u, k) * b;
        }
        if (ROWS > 2u) {
            s2 += input(row + 2u, k) * b;
            s3 += input(row + 3u, k) * b;
        }
        if (ROWS > 4u) {
            s4 += input(row + 4u, k) * b;
            s5 += input(row + 5u, k) * b;
            s6 += input(row + 6u, k) * b;
            s7 += input(row + 7u, k) * b;
        }
    }
    if (SECOND) {
        for (var k = lane; k < params.second4; k += LANES) {
            let b = mat4x4<f32>(
                w2[n0 * params.w2_stride + k], w2[n1 * params.w2_stride + k],
                w2[n2 * params.w2_stride + k], w2[n3 * params.w2_stride + k]);
            s0 += input_second(row, k) * b;
            if (ROWS > 1u) {
                s1 += input_second(row + 1u, k) * b;
            }
            if (ROWS > 2u) {
                s2 += input_second(row + 2u, k) * b;
                s3 += input_second(row + 3u, k) * b;
            }
            if (ROWS > 4u) {
                s4 += input_second(row + 4u, k) * b;
                s5 += input_second(row + 5u, k) * b;
                s6 += input_second(row + 6u, k) * b;
                s7 += input_second(row + 7u, k) * b;
            }
        }
    }
    finish(thread, row, column, s0);
    if (ROWS > 1u) {
        finish(thread, row + 1u, column, s1);
    }
    if (ROWS > 2u) {
        finish(thread, row + 2u, column, s2);
        finish(thread, row + 3u, column, s3);
    }
    if (ROWS > 4u) {
        finish(thread, row + 4u, column, s4);
        finish(thread, row + 5u, column, s5);
        finish(thread, row + 6u, column, s6);
        finish(thread, row + 7u, column, s7);
    }
}
