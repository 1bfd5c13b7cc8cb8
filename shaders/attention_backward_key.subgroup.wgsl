// Attention backward, keys: d_v = p^T d_o and d_k = (p * (d_o v^T - delta))^T q * scale, summed over all query heads that share the key.
// Saves the probabilities (recomputed from the log-sum-exp) and needs no atomics: each key has one owner, which walks over the queries that see it.
// For CPU devices with subgroups of 8: a lane owns two keys; the lanes load 32 rows between them and broadcast, as loads cost far more than shuffles.
// use: shared/attention.wgsl
// use: shared/broadcast.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_sums: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> ends: array<u32>;
@group(0) @binding(7) var<storage, read_write> d_k: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> d_v: array<vec4<f32>>;

/// Keys that a workgroup owns, two a lane.
const OWNED: u32 = 16u;

// Query tokens below this one see key j (those from j on).
fn last_query(j: u32) -> u32 {
    let length = ends[j] - j;
    return j + min(length, params.window);
}

// Probabilities of key j in four rows (their tokens and log-sum-exps), 0 where the row does not see it: it is seen by tokens j to to_token - 1.
fn probabilities4(scores: vec4<f32>, lse: vec4<f32>, tokens: vec4<u32>, j: u32, to_token: u32) -> vec4<f32> {
    let seen = (tokens >= vec4<u32>(j)) & (tokens < vec4<u32>(to_token));
    // Masked before exp: the score of an unseen key may exceed the log-sum-exp by any amount.
    return exp(select(vec4<f32>(MASKED), scores - lse, seen));
}

// A row as the lane that loads it sees it: token (none past the end), log-sum-exp, delta, and where it begins in q and d_o.
struct Row {
    token: u32,
    lse: f32,
    delta: f32,
    q: u32,
    d_o: u32,
}

fn row_at(r: u32, end: u32, kv_head: u32) -> Row {
    let row = min(r, end - 1u);
    let token = row / params.group;
    let head = kv_head * params.group + row - token * params.group;
    let sums = row_sums[token * params.kv_heads * params.group + head];
    return Row(
        select(0xffffffffu, token, r < end),
        sums.x,
        sums.y,
        token * params.q_stride + head * params.head_dim4,
        token * params.d_o_stride + head * params.head_dim4);
}

// Dispatch: (ceil(tokens / 16), kv_heads, 1).
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let key0 = workgroup.x * OWNED;
    // Keys past the end compute the last key again and store nothing.
    let key_a = min(key0 + lane, params.tokens - 1u);
    let key_b = min(key0 + 8u + lane, params.tokens - 1u);
    let store_a = key0 + lane < params.tokens;
    let store_b = key0 + 8u + lane < params.tokens;
    let kv_head = workgroup.y * params.head_dim4;
    let k_a = key_a * params.k_stride + kv_head;
    let k_b = key_b * params.k_stride + kv_head;
    let v_a = key_a * params.v_stride + kv_head;
    let v_b = key_b * params.v_stride + kv_head;
    let d_k_a = key_a * params.d_k_stride + kv_head;
    let d_k_b = key_b * params.d_k_stride + kv_head;
    let d_v_a = key_a * params.d_v_stride + kv_head;
    let d_v_b = key_b * params.d_v_stride + kv_head;
    let to_a = last_query(key_a);
    let to_b = last_query(key_b);

    // The rows that see any key of the tile: sequences lie one after the other, so the last key is seen longest.
    let first = key0 * params.group;
    let end = last_query(min(key0 + 15u, params.tokens - 1u)) * params.group;
    for (var r = first; r < end; r += 32u) {
        var s_a0 = vec4<f32>(0.0);
        var s_a1 = vec4<f32>(0.0);
        var s_a2 = vec4<f32>(0.0);
        var s_a3 = vec4<f32>(0.0);
        var s_a4 = vec4<f32>(0.0);
        var s_a5 = vec4<f32>(0.0);
        var s_a6 = vec4<f32>(0.0);
        var s_a7 = vec4<f32>(0.0);
        var s_b0 = vec4<f32>(0.0);
        var s_b1 = vec4<f32>(0.0);
        var s_b2 = vec4<f32>(0.0);
        var s_b3 = vec4<f32>(0.0);
        var s_b4 = vec4<f32>(0.0);
        var s_b5 = vec4<f32>(0.0);
        var s_b6 = vec4<f32>(0.0);
        var s_b7 = vec4<f32>(0.0);
        var t_a0 = vec4<f32>(0.0);
        var t_a1 = vec4<f32>(0.0);
        var t_a2 = vec4<f32>(0.0);
        var t_a3 = vec4<f32>(0.0);
        var t_a4 = vec4<f32>(0.0);
        var t_a5 = vec4<f32>(0.0);
        var t_a6 = vec4<f32>(0.0);
        var t_a7 = vec4<f32>(0.0);
        var t_b0 = vec4<f32>(0.0);
        var t_b1 = vec4<f32>(0.0);
        var t_b2 = vec4<f32>(0.0);
        var t_b3 = vec4<f32>(0.0);
        var t_b4 = vec4<f32>(0.0);
        var t_b5 = vec4<f32>(0.0);
        var t_b6 = vec4<f32>(0.0);
        var t_b7 = vec4<f32>(0.0);
        let row0 = row_at(r + 0u + lane, end, workgroup.y);
        let row1 = row_at(r + 8u + lane, end, workgroup.y);
        let row2 = row_at(r + 16u + lane, end, workgroup.y);
        let row3 = row_at(r + 24u + lane, end, workgroup.y);
        for (var c = 0u; c < params.head_dim4; c++) {
            let x_a = k[k_a + c];
            let x_b = k[k_b + c];
            let y0 = q[row0.q + c];
            let y1 = q[row1.q + c];
            let y2 = q[row2.q + c];
            let y3 = q[row3.q + c];
            let b0 = transpose(lanes0123(y0));
            s_a0 = madd(b0, x_a, s_a0);
            s_b0 = madd(b0, x_b, s_b0);
            let b1 = transpose(lanes4567(y0));
            s_a1 = madd(b1, x_a, s_a1);
            s_b1 = madd(b1, x_b, s_b1);
            let b2 = transpose(lanes0123(y1));
            s_a2 = madd(b2, x_a, s_a2);
            s_b2 = madd(b2, x_b, s_b2);
            let b3 = transpose(lanes4567(y1));
            s_a3 = madd(b3, x_a, s_a3);
            s_b3 = madd(b3, x_b, s_b3);
            let b4 = transpose(lanes0123(y2));
            s_a4 = madd(b4, x_a, s_a4);
            s_b4 = madd(b4, x_b, s_b4);
            let b5 = transpose(lanes4567(y2));
            s_a5 = madd(b5, x_a, s_a5);
            s_b5 = madd(b5, x_b, s_b5);
            let b6 = transpose(lanes0123(y3));
            s_a6 = madd(b6, x_a, s_a6);
            s_b6 = madd(b6, x_b, s_b6);
            let b7 = transpose(lanes4567(y3));
            s_a7 = madd(b7, x_a, s_a7);
            s_b7 = madd(b7, x_b, s_b7);
        }
        for (var c = 0u; c < params.head_dim4; c++) {
            let x_a = v[v_a + c];
            let x_b = v[v_b + c];
            let y0 = d_o[row0.d_o + c];
            let y1 = d_o[row1.d_o + c];
            let y2 = d_o[row2.d_o + c];
            let y3 = d_o[row3.d_o + c];
            let b0 = transpose(lanes0123(y0));
            t_a0 = madd(b0, x_a, t_a0);
            t_b0 = madd(b0, x_b, t_b0);
            let b1 = transpose(lanes4567(y0));
            t_a1 = madd(b1, x_a, t_a1);
            t_b1 = madd(b1, x_b, t_b1);
            let b2 = transpose(lanes0123(y1));
            t_a2 = madd(b2, x_a, t_a2);
            t_b2 = madd(b2, x_b, t_b2);
            let b3 = transpose(lanes4567(y1));
            t_a3 = madd(b3, x_a, t_a3);
            t_b3 = madd(b3, x_b, t_b3);
            let b4 = transpose(lanes0123(y2));
            t_a4 = madd(b4, x_a, t_a4);
            t_b4 = madd(b4, x_b, t_b4);
            let b5 = transpose(lanes4567(y2));
            t_a5 = madd(b5, x_a, t_a5);
            t_b5 = madd(b5, x_b, t_b5);
            let b6 = transpose(lanes0123(y3));
            t_a6 = madd(b6, x_a, t_a6);
            t_b6 = madd(b6, x_b, t_b6);
            let b7 = transpose(lanes4567(y3));
            t_a7 = madd(b7, x_a, t_a7);
            t_b7 = madd(b7, x_b, t_b7);
        }
        let l0 = numbers0123(row0.lse);
        let d0 = numbers0123(row0.delta);
        let n0 = indices0123(row0.token);
        s_a0 = scores4(s_a0);
        t_a0 = (t_a0 - d0) * scores_slope4(s_a0);
        s_a0 = probabilities4(s_a0, l0, n0, key_a, to_a);
        t_a0 *= s_a0;
        s_b0 = scores4(s_b0);
        t_b0 = (t_b0 - d0) * scores_slope4(s_b0);
        s_b0 = probabilities4(s_b0, l0, n0, key_b, to_b);
        t_b0 *= s_b0;
        let l1 = numbers4567(row0.lse);
        let d1 = numbers4567(row0.delta);
        let n1 = indices4567(row0.token);
        s_a1 = scores4(s_a1);
        t_a1 = (t_a1 - d1) * scores_slope4(s_a1);
        s_a1 = probabilities4(s_a1, l1, n1, key_a, to_a);
        t_a1 *= s_a1;
        s_b1 = scores4(s_b1);
        t_b1 = (t_b1 - d1) * scores_slope4(s_b1);
        s_b1 = probabilities4(s_b1, l1, n1, key_b, to_b);
        t_b1 *= s_b1;
        let l2 = numbers0123(row1.lse);
        let d2 = numbers0123(row1.delta);
        let n2 = indices0123(row1.token);
        s_a2 = scores4(s_a2);
        t_a2 = (t_a2 - d2) * scores_slope4(s_a2);
        s_a2 = probabilities4(s_a2, l2, n2, key_a, to_a);
        t_a2 *= s_a2;
        s_b2 = scores4(s_b2);
        t_b2 = (t_b2 - d2) * scores_slope4(s_b2);
        s_b2 = probabilities4(s_b2, l2, n2, key_b, to_b);
        t_b2 *= s_b2;
        let l3 = numbers4567(row1.lse);
        let d3 = numbers4567(row1.delta);
        let n3 = indices4567(row1.token);
        s_a3 = scores4(s_a3);
        t_a3 = (t_a3 - d3) * scores_slope4(s_a3);
        s_a3 = probabilities4(s_a3, l3, n3, key_a, to_a);
        t_a3 *= s_a3;
        s_b3 = scores4(s_b3);
        t_b3 = (t_b3 - d3) * scores_slope4(s_b3);
        s_b3 = probabilities4(s_b3, l3, n3, key_b, to_b);
        t_b3 *= s_b3;
        let l4 = numbers0123(row2.lse);
        let d4 = numbers0123(row2.delta);
        let n4 = indices0123(row2.token);
        s_a4 = scores4(s_a4);
        t_a4 = (t_a4 - d4) * scores_slope4(s_a4);
        s_a4 = probabilities4(s_a4, l4, n4, key_a, to_a);
        t_a4 *= s_a4;
        s_b4 = scores4(s_b4);
        t_b4 = (t_b4 - d4) * scores_slope4(s_b4);
        s_b4 = probabilities4(s_b4, l4, n4, key_b, to_b);
        t_b4 *= s_b4;
        let l5 = numbers4567(row2.lse);
        let d5 = numbers4567(row2.delta);
        let n5 = indices4567(row2.token);
        s_a5 = scores4(s_a5);
        t_a5 = (t_a5 - d5) * scores_slope4(s_a5);
        s_a5 = probabilities4(s_a5, l5, n5, key_a, to_a);
        t_a5 *= s_a5;
        s_b5 = scores4(s_b5);
        t_b5 = (t_b5 - d5) * scores_slope4(s_b5);
        s_b5 = probabilities4(s_b5, l5, n5, key_b, to_b);
        t_b5 *= s_b5;
        let l6 = numbers0123(row3.lse);
        let d6 = numbers0123(row3.delta);
        let n6 = indices0123(row3.token);
        s_a6 = scores4(s_a6);
        t_a6 = (t_a6 - d6) * scores_slope4(s_a6);
        s_a6 = probabilities4(s_a6, l6, n6, key_a, to_a);
        t_a6 *= s_a6;
        s_b6 = scores4(s_b6);
        t_b6 = (t_b6 - d6) * scores_slope4(s_b6);
        s_b6 = probabilities4(s_b6, l6, n6, key_b, to_b);
        t_b6 *= s_b6;
        let l7 = numbers4567(row3.lse);
        let d7 = numbers4567(row3.delta);
        let n7 = indices4567(row3.token);
        s_a7 = scores4(s_a7);
        t_a7 = (t_a7 - d7) * scores_slope4(s_a7);
        s_a7 = probabilities4(s_a7, l7, n7, key_a, to_a);
        t_a7 *= s_a7;
        s_b7 = scores4(s_b7);
        t_b7 = (t_b7 - d7) * scores_slope4(s_b7);
        s_b7 = probabilities4(s_b7, l7, n7, key_b, to_b);
        t_b7 *= s_b7;
        let v_from_zero = starts_from_zero(r == first, 4u);
        for (var c = 0u; c < params.head_dim4; c++) {
            // Selected, not multiplied by 0: before the first tile the gradients hold anything, even NaN.
            var z_a = select(d_v[d_v_a + c], vec4<f32>(0.0), v_from_zero);
            var z_b = select(d_v[d_v_b + c], vec4<f32>(0.0), v_from_zero);
            let y0 = d_o[row0.d_o + c];
            let y1 = d_o[row1.d_o + c];
            let y2 = d_o[row2.d_o + c];
            let y3 = d_o[row3.d_o + c];
            let b0 = lanes0123(y0);
            z_a = madd(b0, s_a0, z_a);
            z_b = madd(b0, s_b0, z_b);
            let b1 = lanes4567(y0);
            z_a = madd(b1, s_a1, z_a);
            z_b = madd(b1, s_b1, z_b);
            let b2 = lanes0123(y1);
            z_a = madd(b2, s_a2, z_a);
            z_b = madd(b2, s_b2, z_b);
            let b3 = lanes4567(y1);
            z_a = madd(b3, s_a3, z_a);
            z_b = madd(b3, s_b3, z_b);
            let b4 = lanes0123(y2);
            z_a = madd(b4, s_a4, z_a);
            z_b = madd(b4, s_b4, z_b);
            let b5 = lanes4567(y2);
            z_a = madd(b5, s_a5, z_a);
            z_b = madd(b5, s_b5, z_b);
            let b6 = lanes0123(y3);
            z_a = madd(b6, s_a6, z_a);
            z_b = madd(b6, s_b6, z_b);
            let b7 = lanes4567(y3);
            z_a = madd(b7, s_a7, z_a);
            z_b = madd(b7, s_b7, z_b);
            if (store_a) {
                d_v[d_v_a + c] = z_a;
            }
            if (store_b) {
                d_v[d_v_b + c] = z_b;
            }
        }
        let k_from_zero = starts_from_zero(r == first, 2u);
        for (var c = 0u; c < params.head_dim4; c++) {
            var z_a = select(d_k[d_k_a + c], vec4<f32>(0.0), k_from_zero);
            var z_b = select(d_k[d_k_b + c], vec4<f32>(0.0), k_from_zero);
            let y0 = q[row0.q + c];
            let y1 = q[row1.q + c];
            let y2 = q[row2.q + c];
            let y3 = q[row3.q + c];
            let b0 = lanes0123(y0);
            z_a = madd(b0, t_a0, z_a);
            z_b = madd(b0, t_b0, z_b);
            let b1 = lanes4567(y0);
            z_a = madd(b1, t_a1, z_a);
            z_b = madd(b1, t_b1, z_b);
            let b2 = lanes0123(y1);
            z_a = madd(b2, t_a2, z_a);
            z_b = madd(b2, t_b2, z_b);
            let b3 = lanes4567(y1);
            z_a = madd(b3, t_a3, z_a);
            z_b = madd(b3, t_b3, z_b);
            let b4 = lanes0123(y2);
            z_a = madd(b4, t_a4, z_a);
            z_b = madd(b4, t_b4, z_b);
            let b5 = lanes4567(y2);
            z_a = madd(b5, t_a5, z_a);
            z_b = madd(b5, t_b5, z_b);
            let b6 = lanes0123(y3);
            z_a = madd(b6, t_a6, z_a);
            z_b = madd(b6, t_b6, z_b);
            let b7 = lanes4567(y3);
            z_a = madd(b7, t_a7, z_a);
            z_b = madd(b7, t_b7, z_b);
            if (store_a) {
                d_k[d_k_a + c] = z_a;
            }
            if (store_b) {
                d_k[d_k_b + c] = z_b;
            }
        }
    }
}
