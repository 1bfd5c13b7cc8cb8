// Attention backward, queries: d_q = (p * (d_o v^T - delta)) k * scale, with p recomputed from the log-sum-exp.
// Saves the probabilities (nothing of size tokens x tokens is kept from the forward) and needs no atomics: each row of d_q has one owner.
// For CPU devices without subgroups (browsers): four rows a thread and eight keys a step, no workgroup memory and no barrier, as both cost much there.
// use: shared/attention.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_sums: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> starts: array<u32>;
@group(0) @binding(7) var<storage, read_write> d_q: array<vec4<f32>>;

/// Threads of a workgroup.
const THREADS: u32 = 8u;
/// Rows that a workgroup owns, four a thread.
const OWNED: u32 = 32u;

// First key that query token i sees.
fn first_key(i: u32) -> u32 {
    return max(starts[i], window_start(i));
}

// d(loss) / d(dot product) of a row (its log-sum-exp and delta in sums) with the keys j + 0..3, of which it sees from_key to to_key.
fn d_products4(products: vec4<f32>, d_p: vec4<f32>, sums: vec2<f32>, j: u32, from_key: u32, to_key: u32) -> vec4<f32> {
    let keys = j + vec4<u32>(0u, 1u, 2u, 3u);
    let seen = (keys >= vec4<u32>(from_key)) & (keys <= vec4<u32>(to_key));
    let scores = scores4(products);
    // Masked before exp: the score of an unseen key may exceed the log-sum-exp by any amount.
    let p = exp(select(vec4<f32>(MASKED), scores - sums.x, seen));
    return p * (d_p - sums.y) * scores_slope4(scores);
}

// The running sum of a row over the keys before these. Selected, not multiplied by 0: before the first step d_q holds anything, even NaN.
fn kept(index: u32, from_zero: bool) -> vec4<f32> {
    return select(d_q[index], vec4<f32>(0.0), from_zero);
}

// Dispatch: (ceil(tokens * group / OWNED), kv_heads, 1).
@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let rows = params.tokens * params.group;
    let row0 = id.x * 4u;
    if (row0 >= rows) {
        return;
    }
    // Rows past the end compute the last row again and store nothing.
    let row = min(row0 + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(rows - 1u));
    let count = rows - row0;
    let token = row / params.group;
    let head = id.y * params.group + row % params.group;
    let q_row = token * params.q_stride + head * params.head_dim4;
    let d_o_row = token * params.d_o_stride + head * params.head_dim4;
    let d_q_row = token * params.d_q_stride + head * params.head_dim4;
    let from_key = vec4<u32>(first_key(token.x), first_key(token.y), first_key(token.z), first_key(token.w));
    let index = token * params.kv_heads * params.group + head;
    let sums_a = row_sums[index.x];
    let sums_b = row_sums[index.y];
    let sums_c = row_sums[index.z];
    let sums_d = row_sums[index.w];
    let kv_head = id.y * params.head_dim4;
    let end = token.w + 1u;

    for (var j = from_key.x; j < end; j += 8u) {
        let keys0 = min(j + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(end - 1u));
        let k_row0 = keys0 * params.k_stride + kv_head;
        let v_row0 = keys0 * params.v_stride + kv_head;
        let keys1 = min(j + vec4<u32>(4u, 5u, 6u, 7u), vec4<u32>(end - 1u));
        let k_row1 = keys1 * params.k_stride + kv_head;
        let v_row1 = keys1 * params.v_stride + kv_head;
        var s_a0 = vec4<f32>(0.0);
        var s_a1 = vec4<f32>(0.0);
        var s_b0 = vec4<f32>(0.0);
        var s_b1 = vec4<f32>(0.0);
        var s_c0 = vec4<f32>(0.0);
        var s_c1 = vec4<f32>(0.0);
        var s_d0 = vec4<f32>(0.0);
        var s_d1 = vec4<f32>(0.0);
        for (var c = 0u; c < params.head_dim4; c++) {
            let y0 = transpose(mat4x4<f32>(k[k_row0.x + c], k[k_row0.y + c], k[k_row0.z + c], k[k_row0.w + c]));
            let y1 = transpose(mat4x4<f32>(k[k_row1.x + c], k[k_row1.y + c], k[k_row1.z + c], k[k_row1.w + c]));
            let x_a = q[q_row.x + c];
            s_a0 = madd(y0, x_a, s_a0);
            s_a1 = madd(y1, x_a, s_a1);
            let x_b = q[q_row.y + c];
            s_b0 = madd(y0, x_b, s_b0);
            s_b1 = madd(y1, x_b, s_b1);
            let x_c = q[q_row.z + c];
            s_c0 = madd(y0, x_c, s_c0);
            s_c1 = madd(y1, x_c, s_c1);
            let x_d = q[q_row.w + c];
            s_d0 = madd(y0, x_d, s_d0);
            s_d1 = madd(y1, x_d, s_d1);
        }
        var t_a0 = vec4<f32>(0.0);
        var t_a1 = vec4<f32>(0.0);
        var t_b0 = vec4<f32>(0.0);
        var t_b1 = vec4<f32>(0.0);
        var t_c0 = vec4<f32>(0.0);
        var t_c1 = vec4<f32>(0.0);
        var t_d0 = vec4<f32>(0.0);
        var t_d1 = vec4<f32>(0.0);
        for (var c = 0u; c < params.head_dim4; c++) {
            let y0 = transpose(mat4x4<f32>(v[v_row0.x + c], v[v_row0.y + c], v[v_row0.z + c], v[v_row0.w + c]));
            let y1 = transpose(mat4x4<f32>(v[v_row1.x + c], v[v_row1.y + c], v[v_row1.z + c], v[v_row1.w + c]));
            let x_a = d_o[d_o_row.x + c];
            t_a0 = madd(y0, x_a, t_a0);
            t_a1 = madd(y1, x_a, t_a1);
            let x_b = d_o[d_o_row.y + c];
            t_b0 = madd(y0, x_b, t_b0);
            t_b1 = madd(y1, x_b, t_b1);
            let x_c = d_o[d_o_row.z + c];
            t_c0 = madd(y0, x_c, t_c0);
            t_c1 = madd(y1, x_c, t_c1);
            let x_d = d_o[d_o_row.w + c];
            t_d0 = madd(y0, x_d, t_d0);
            t_d1 = madd(y1, x_d, t_d1);
        }
        s_a0 = d_products4(s_a0, t_a0, sums_a, j + 0u, from_key.x, token.x);
        s_a1 = d_products4(s_a1, t_a1, sums_a, j + 4u, from_key.x, token.x);
        s_b0 = d_products4(s_b0, t_b0, sums_b, j + 0u, from_key.y, token.y);
        s_b1 = d_products4(s_b1, t_b1, sums_b, j + 4u, from_key.y, token.y);
        s_c0 = d_products4(s_c0, t_c0, sums_c, j + 0u, from_key.z, token.z);
        s_c1 = d_products4(s_c1, t_c1, sums_c, j + 4u, from_key.z, token.z);
        s_d0 = d_products4(s_d0, t_d0, sums_d, j + 0u, from_key.w, token.w);
        s_d1 = d_products4(s_d1, t_d1, sums_d, j + 4u, from_key.w, token.w);
        let from_zero = starts_from_zero(j == from_key.x, 1u);
        for (var c = 0u; c < params.head_dim4; c++) {
            let y0 = mat4x4<f32>(k[k_row0.x + c], k[k_row0.y + c], k[k_row0.z + c], k[k_row0.w + c]);
            let y1 = mat4x4<f32>(k[k_row1.x + c], k[k_row1.y + c], k[k_row1.z + c], k[k_row1.w + c]);
            d_q[d_q_row.x + c] = madd(y1, s_a1, madd(y0, s_a0, kept(d_q_row.x + c, from_zero)));
            if (count > 1u) {
                d_q[d_q_row.y + c] = madd(y1, s_b1, madd(y0, s_b0, kept(d_q_row.y + c, from_zero)));
            }
            if (count > 2u) {
                d_q[d_q_row.z + c] = madd(y1, s_c1, madd(y0, s_c0, kept(d_q_row.z + c, from_zero)));
            }
            if (count > 3u) {
                d_q[d_q_row.w + c] = madd(y1, s_d1, madd(y0, s_d0, kept(d_q_row.w + c, from_zero)));
            }
        }
    }
}
