// y = x·Wᵀ + bias + x2·W2ᵀ for one row of x, as when text is generated token by token.
// Saves loads, which are what costs on a processor: each brings as many weights as one can, and x is loaded once for eight lanes and broadcast.
// A lane makes columns of y that lie together, one after the other: it reads W from one place on, as a processor likes, and nothing is added across lanes.
// permute WEIGHT: f32 bf16 f16 nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// use: shared/wide_{WEIGHT}.wgsl
// use: shared/linear_forward.wgsl
// use: shared/broadcast.wgsl

/// Lanes of a subgroup, which is a workgroup: 8 or 16.
override LANES: u32 = 8u;
/// Most workgroups of a dispatch: enough for the cores, few enough that a lane reads long stretches of W.
const GROUPS: u32 = 24u;

/// The vec4 of x at k + lane, zero past the last one.
fn input(k: u32, lane: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), x[params.x_column + min(k + lane, params.k4 - 1u)], k + lane < params.k4);
}

/// Adds what one load of weights from step k on gives; `a` and `b` are x at its fours.
fn add(sum: vec4<f32>, row: u32, k: u32, a: vec4<f32>, b: vec4<f32>) -> vec4<f32> {
    let wide = weight8(row, min(k, params.k4 - 1u));
    var s = fma(wide[0], a, sum);
    if (WIDE > 1u) {
        s = fma(wide[1], b, s);
    }
    return s;
}

/// The product of x and row n of W.
fn product(n: u32, lane: u32) -> f32 {
    let row = n * params.w_stride;
    var s = vec4<f32>();
    var t = vec4<f32>();
    for (var k = 0u; k < params.k4; k += 8u) {
        let x8 = input(k, lane);
        let a0 = lanes0123(x8);
        let a4 = lanes4567(x8);
        s = add(s, row, k, a0[0], a0[1]);
        if (WIDE == 1u) {
            t = add(t, row, k + 1u, a0[1], a0[1]);
        }
        t = add(t, row, k + 2u, a0[2], a0[3]);
        if (WIDE == 1u) {
            s = add(s, row, k + 3u, a0[3], a0[3]);
        }
        s = add(s, row, k + 4u, a4[0], a4[1]);
        if (WIDE == 1u) {
            t = add(t, row, k + 5u, a4[1], a4[1]);
        }
        t = add(t, row, k + 6u, a4[2], a4[3]);
        if (WIDE == 1u) {
            s = add(s, row, k + 7u, a4[3], a4[3]);
        }
    }
    s += t;
    if (SECOND) {
        for (var k = 0u; k < params.second4; k++) {
            s = fma(w2[n * params.w2_stride + k], x2[k], s);
        }
    }
    return (s.x + s.y + s.z + s.w) * SCALE;
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    begin(lane);
    let width = (params.n + 3u) / 4u;
    let each = (width + groups.x * LANES - 1u) / (groups.x * LANES);
    let first = (group.x * LANES + lane) * each;
    for (var i = 0u; i < each; i++) {
        let at = first + i;
        let n = min(at * 4u + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.n - 1u));
        let sums = vec4<f32>(product(n.x, lane), product(n.y, lane), product(n.z, lane), product(n.w, lane));
        if (at < width) {
            let left = params.n - at * 4u;
            var value = select(vec4<f32>(0.0), sums, vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(left));
            if (BIAS) {
                value += bias[at];
            }
            if (params.accumulate != 0u) {
                value += y[params.y_column + at];
            }
            y[params.y_column + at] = value;
        }
    }
}
