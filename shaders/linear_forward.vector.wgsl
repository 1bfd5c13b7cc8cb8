// y = x·Wᵀ + bias + x2·W2ᵀ for a few rows of x (up to ROWS a workgroup), as when text is generated token by token.
// Saves memory traffic: the weights are what costs, and each is read once, by neighbouring threads from neighbouring addresses.
// A workgroup makes four columns of y: its threads share the contraction, each keeps its part of the sums, and the parts are added in a fixed order.
// permute WEIGHT: f32 bf16 f16
// use: shared/weight_{WEIGHT}.wgsl
// use: shared/linear_forward.wgsl

/// Threads of a workgroup, at most 64.
override THREADS: u32 = 64u;
/// Rows of x a workgroup: 1, 2, 4 or 8.
override ROWS: u32 = 1u;

/// The parts of the sums: for each thread and row of x four columns of y.
var<workgroup> parts: array<vec4<f32>, 512>;

fn input(row: u32, k: u32) -> vec4<f32> {
    return x[min(row, params.m - 1u) * params.x_stride + params.x_column + k];
}

fn input_second(row: u32, k: u32) -> vec4<f32> {
    return x2[min(row, params.m - 1u) * params.x2_stride + k];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let column = group.y * groups.x + group.x;
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
    for (var k = thread; k < params.k4; k += THREADS) {
        let b = mat4x4<f32>(
            weight4(w[n0 * params.w_stride + k]), weight4(w[n1 * params.w_stride + k]),
            weight4(w[n2 * params.w_stride + k]), weight4(w[n3 * params.w_stride + k]));
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
        for (var k = thread; k < params.second4; k += THREADS) {
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
    parts[thread * ROWS] = s0;
    if (ROWS > 1u) {
        parts[thread * ROWS + 1u] = s1;
    }
    if (ROWS > 2u) {
        parts[thread * ROWS + 2u] = s2;
        parts[thread * ROWS + 3u] = s3;
    }
    if (ROWS > 4u) {
        parts[thread * ROWS + 4u] = s4;
        parts[thread * ROWS + 5u] = s5;
        parts[thread * ROWS + 6u] = s6;
        parts[thread * ROWS + 7u] = s7;
    }
    workgroupBarrier();
    // One thread a row of x adds the parts of all threads.
    if (thread >= ROWS || row + thread >= params.m || column * 4u >= params.n) {
        return;
    }
    var sum = vec4<f32>();
    for (var i = 0u; i < THREADS; i++) {
        sum += parts[i * ROWS + thread];
    }
    let left = params.n - column * 4u;
    var value = select(vec4<f32>(0.0), sum * SCALE, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(left));
    if (BIAS) {
        value += bias[column];
    }
    let at = (row + thread) * params.y_stride + params.y_column + column;
    if (params.accumulate != 0u) {
        value += y[at];
    }
    y[at] = value;
}
