// Attention backward, keys: d_v = p^T d_o and d_k = (p * (d_o v^T - delta))^T q * scale, summed over all query heads that share the key.
// Saves the probabilities (recomputed from the log-sum-exp) and needs no atomics: each key has one owner, which walks over the queries that see it.
// For CPU devices without subgroups (browsers): four keys a thread and eight rows a step, no workgroup memory and no barrier, as both cost much there.
// use: shared/attention.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_sums: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> ends: array<u32>;
@group(0) @binding(7) var<storage, read_write> d_k: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> d_v: array<vec4<f32>>;

/// Threads of a workgroup.
const THREADS: u32 = 8u;
/// Keys that a workgroup owns, four a thread.
const OWNED: u32 = 32u;

// Query tokens below this one see key j (those from j on).
fn last_query(j: u32) -> u32 {
    let length = ends[j] - j;
    return j + min(length, params.window);
}

// Four rows from r on: token (none for rows past the end), log-sum-exp, delta, and where they begin in q and d_o.
struct Rows {
    token: vec4<u32>,
    lse: vec4<f32>,
    delta: vec4<f32>,
    q_row: vec4<u32>,
    d_o_row: vec4<u32>,
}

fn rows_at(r: u32, end: u32, kv_head: u32) -> Rows {
    let number = r + vec4<u32>(0u, 1u, 2u, 3u);
    let row = min(number, vec4<u32>(end - 1u));
    let token = row / params.group;
    let head = kv_head * params.group + row % params.group;
    let index = token * params.kv_heads * params.group + head;
    let sums0 = row_sums[index.x];
    let sums1 = row_sums[index.y];
    let sums2 = row_sums[index.z];
    let sums3 = row_sums[index.w];
    return Rows(
        select(vec4<u32>(0xffffffffu), token, number < vec4<u32>(end)),
        vec4<f32>(sums0.x, sums1.x, sums2.x, sums3.x),
        vec4<f32>(sums0.y, sums1.y, sums2.y, sums3.y),
        token * params.q_stride + head * params.head_dim4,
        token * params.d_o_stride + head * params.head_dim4);
}

// Probabilities of key j in four rows, 0 where a row does not see it: tokens j to to_token - 1 do.
fn probabilities4(scores: vec4<f32>, rows: Rows, j: u32, to_token: u32) -> vec4<f32> {
    let seen = (rows.token >= vec4<u32>(j)) & (rows.token < vec4<u32>(to_token));
    // Masked before exp: the score of an unseen key may exceed the log-sum-exp by any amount.
    return exp(select(vec4<f32>(MASKED), scores - rows.lse, seen));
}

// The running sums of a key over the rows before these. Selected, not multiplied by 0: before the first step d_v and d_k hold anything, even NaN.
fn kept_v(index: u32, from_zero: bool) -> vec4<f32> {
    return select(d_v[index], vec4<f32>(0.0), from_zero);
}

fn kept_k(index: u32, from_zero: bool) -> vec4<f32> {
    return select(d_k[index], vec4<f32>(0.0), from_zero);
}

// Dispatch: (ceil(tokens / OWNED), kv_heads, 1).
@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let key0 = id.x * 4u;
    if (key0 >= params.tokens) {
        return;
    }
    // Keys past the end compute the last key again and store nothing.
    let key = min(key0 + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.tokens - 1u));
    let count = params.tokens - key0;
    let to_token = vec4<u32>(last_query(key.x), last_query(key.y), last_query(key.z), last_query(key.w));
    let kv_head = id.y * params.head_dim4;
    let k_row = key * params.k_stride + kv_head;
    let v_row = key * params.v_stride + kv_head;
    let d_k_row = key * params.d_k_stride + kv_head;
    let d_v_row = key * params.d_v_stride + kv_head;

    let first = key0 * params.group;
    let end = to_token.w * params.group;
    for (var r = first; r < end; r += 8u) {
        let rows0 = rows_at(r, end, id.y);
        let rows1 = rows_at(r + 4u, end, id.y);
        var s_a0 = vec4<f32>(0.0);
        var s_a1 = vec4<f32>(0.0);
        var s_b0 = vec4<f32>(0.0);
        var s_b1 = vec4<f32>(0.0);
        var s_c0 = vec4<f32>(0.0);
        var s_c1 = vec4<f32>(0.0);
        var s_d0 = vec4<f32>(0.0);
        var s_d1 = vec4<f32>(0.0);
        for (var c = 0u; c < params.head_dim4; c++) {
            let y0 = transpose(mat4x4<f32>(q[rows0.q_row.x + c], q[rows0.q_row.y + c], q[rows0.q_row.z + c], q[rows0.q_row.w + c]));
            let y1 = transpose(mat4x4<f32>(q[rows1.q_row.x + c], q[rows1.q_row.y + c], q[rows1.q_row.z + c], q[rows1.q_row.w + c]));
            let x_a = k[k_row.x + c];
            s_a0 = madd(y0, x_a, s_a0);
            s_a1 = madd(y1, x_a, s_a1);
            let x_b = k[k_row.y + c];
            s_b0 = madd(y0, x_b, s_b0);
            s_b1 = madd(y1, x_b, s_b1);
            let x_c = k[k_row.z + c];
            s_c0 = madd(y0, x_c, s_c0);
            s_c1 = madd(y1, x_c, s_c1);
            let x_d = k[k_row.w + c];
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
            let y0 = transpose(mat4x4<f32>(d_o[rows0.d_o_row.x + c], d_o[rows0.d_o_row.y + c], d_o[rows0.d_o_row.z + c], d_o[rows0.d_o_row.w + c]));
            let y1 = transpose(mat4x4<f32>(d_o[rows1.d_o_row.x + c], d_o[rows1.d_o_row.y + c], d_o[rows1.d_o_row.z + c], d_o[rows1.d_o_row.w + c]));
            let x_a = v[v_row.x + c];
            t_a0 = madd(y0, x_a, t_a0);
            t_a1 = madd(y1, x_a, t_a1);
            let x_b = v[v_row.y + c];
            t_b0 = madd(y0, x_b, t_b0);
            t_b1 = madd(y1, x_b, t_b1);
            let x_c = v[v_row.z + c];
            t_c0 = madd(y0, x_c, t_c0);
            t_c1 = madd(y1, x_c, t_c1);
            let x_d = v[v_row.w + c];
            t_d0 = madd(y0, x_d, t_d0);
            t_d1 = madd(y1, x_d, t_d1);
        }
        s_a0 = scores4(s_a0);
        t_a0 = (t_a0 - rows0.delta) * scores_slope4(s_a0);
        s_a0 = probabilities4(s_a0, rows0, key.x, to_token.x);
        t_a0 *= s_a0;
        s_a1 = scores4(s_a1);
        t_a1 = (t_a1 - rows1.delta) * scores_slope4(s_a1);
        s_a1 = probabilities4(s_a1, rows1, key.x, to_token.x);
        t_a1 *= s_a1;
        s_b0 = scores4(s_b0);
        t_b0 = (t_b0 - rows0.delta) * scores_slope4(s_b0);
        s_b0 = probabilities4(s_b0, rows0, key.y, to_token.y);
        t_b0 *= s_b0;
        s_b1 = scores4(s_b1);
        t_b1 = (t_b1 - rows1.delta) * scores_slope4(s_b1);
        s_b1 = probabilities4(s_b1, rows1, key.y, to_token.y);
        t_b1 *= s_b1;
        s_c0 = scores4(s_c0);
        t_c0 = (t_c0 - rows0.delta) * scores_slope4(s_c0);
        s_c0 = probabilities4(s_c0, rows0, key.z, to_token.z);
        t_c0 *= s_c0;
        s_c1 = scores4(s_c1);
        t_c1 = (t_c1 - rows1.delta) * scores_slope4(s_c1);
        s_c1 = probabilities4(s_c1, rows1, key.z, to_token.z);
        t_c1 *= s_c1;
        s_d0 = scores4(s_d0);
        t_d0 = (t_d0 - rows0.delta) * scores_slope4(s_d0);
        s_d0 = probabilities4(s_d0, rows0, key.w, to_token.w);
        t_d0 *= s_d0;
        s_d1 = scores4(s_d1);
        t_d1 = (t_d1 - rows1.delta) * scores_slope4(s_d1);
        s_d1 = probabilities4(s_d1, rows1, key.w, to_token.w);
        t_d1 *= s_d1;
        let v_from_zero = starts_from_zero(r == first, 4u);
        for (var c = 0u; c < params.head_dim4; c++) {
            let y0 = mat4x4<f32>(d_o[rows0.d_o_row.x + c], d_o[rows0.d_o_row.y + c], d_o[rows0.d_o_row.z + c], d_o[rows0.d_o_row.w + c]);
            let y1 = mat4x4<f32>(d_o[rows1.d_o_row.x + c], d_o[rows1.d_o_row.y + c], d_o[rows1.d_o_row.z + c], d_o[rows1.d_o_row.w + c]);
            d_v[d_v_row.x + c] = madd(y1, s_a1, madd(y0, s_a0, kept_v(d_v_row.x + c, v_from_zero)));
            if (count > 1u) {
                d_v[d_v_row.y + c] = madd(y1, s_b1, madd(y0, s_b0, kept_v(d_v_row.y + c, v_from_zero)));
            }
            if (count > 2u) {
                d_v[d_v_row.z + c] = madd(y1, s_c1, madd(y0, s_c0, kept_v(d_v_row.z + c, v_from_zero)));
            }
            if (count > 3u) {
                d_v[d_v_row.w + c] = madd(y1, s_d1, madd(y0, s_d0, kept_v(d_v_row.w + c, v_from_zero)));
            }
        }
        let k_from_zero = starts_from_zero(r == first, 2u);
        for (var c = 0u; c < params.head_dim4; c++) {
            let y0 = mat4x4<f32>(q[rows0.q_row.x + c], q[rows0.q_row.y + c], q[rows0.q_row.z + c], q[rows0.q_row.w + c]);
            let y1 = mat4x4<f32>(q[rows1.q_row.x + c], q[rows1.q_row.y + c], q[rows1.q_row.z + c], q[rows1.q_row.w + c]);
            d_k[d_k_row.x + c] = madd(y1, t_a1, madd(y0, t_a0, kept_k(d_k_row.x + c, k_from_zero)));
            if (count > 1u) {
                d_k[d_k_row.y + c] = madd(y1, t_b1, madd(y0, t_b0, kept_k(d_k_row.y + c, k_from_zero)));
            }
            if (count > 2u) {
                d_k[d_k_row.z + c] = madd(y1, t_c1, madd(y0, t_c0, kept_k(d_k_row.z + c, k_from_zero)));
            }
            if (count > 3u) {
                d_k[d_k_row.w + c] = madd(y1, t_d1, madd(y0, t_d0, kept_k(d_k_row.w + c, k_from_zero)));
            }
        }
    }
}
