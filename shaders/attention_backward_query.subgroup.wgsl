// Attention backward, queries: d_q = (p * (d_o v^T - delta)) k * scale, with p recomputed from the log-sum-exp.
// Saves the probabilities (nothing of size tokens x tokens is kept from the forward) and needs no atomics: each row of d_q has one owner.
// For CPU devices with subgroups of 8: a lane owns two rows; the lanes load 32 keys between them and broadcast, as loads cost far more than shuffles.
// use: shared/attention.wgsl
// use: shared/broadcast.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> d_o: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> row_sums: array<vec2<f32>>;
@group(0) @binding(6) var<storage, read> starts: array<u32>;
@group(0) @binding(7) var<storage, read_write> d_q: array<vec4<f32>>;

/// Rows that a workgroup owns, two a lane.
const OWNED: u32 = 16u;

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

// Dispatch: (ceil(tokens * group / 16), kv_heads, 1).
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = params.tokens * params.group;
    let heads = params.kv_heads * params.group;
    let row0 = workgroup.x * OWNED;
    // Rows past the end compute the last row again and store nothing.
    let row_a = min(row0 + lane, rows - 1u);
    let row_b = min(row0 + 8u + lane, rows - 1u);
    let store_a = row0 + lane < rows;
    let store_b = row0 + 8u + lane < rows;
    let token_a = row_a / params.group;
    let token_b = row_b / params.group;
    let head_a = workgroup.y * params.group + row_a - token_a * params.group;
    let head_b = workgroup.y * params.group + row_b - token_b * params.group;
    let q_a = token_a * params.q_stride + head_a * params.head_dim4;
    let q_b = token_b * params.q_stride + head_b * params.head_dim4;
    let d_o_a = token_a * params.d_o_stride + head_a * params.head_dim4;
    let d_o_b = token_b * params.d_o_stride + head_b * params.head_dim4;
    let d_q_a = token_a * params.d_q_stride + head_a * params.head_dim4;
    let d_q_b = token_b * params.d_q_stride + head_b * params.head_dim4;
    let from_a = first_key(token_a);
    let from_b = first_key(token_b);
    let sums_a = row_sums[token_a * heads + head_a];
    let sums_b = row_sums[token_b * heads + head_b];

    // The keys that any row of the tile sees: sequences lie one after the other, so the first row starts first.
    let first = first_key(row0 / params.group);
    let end = min(row0 + 15u, rows - 1u) / params.group + 1u;
    let kv_head = workgroup.y * params.head_dim4;

    for (var j = first; j < end; j += 32u) {
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
        let key0 = min(j + 0u + lane, end - 1u);
        let key1 = min(j + 8u + lane, end - 1u);
        let key2 = min(j + 16u + lane, end - 1u);
        let key3 = min(j + 24u + lane, end - 1u);
        for (var c = 0u; c < params.head_dim4; c++) {
            let x_a = q[q_a + c];
            let x_b = q[q_b + c];
            let y0 = k[key0 * params.k_stride + kv_head + c];
            let y1 = k[key1 * params.k_stride + kv_head + c];
            let y2 = k[key2 * params.k_stride + kv_head + c];
            let y3 = k[key3 * params.k_stride + kv_head + c];
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
            let x_a = d_o[d_o_a + c];
            let x_b = d_o[d_o_b + c];
            let y0 = v[key0 * params.v_stride + kv_head + c];
            let y1 = v[key1 * params.v_stride + kv_head + c];
            let y2 = v[key2 * params.v_stride + kv_head + c];
            let y3 = v[key3 * params.v_stride + kv_head + c];
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
        s_a0 = d_products4(s_a0, t_a0, sums_a, j + 0u, from_a, token_a);
        s_a1 = d_products4(s_a1, t_a1, sums_a, j + 4u, from_a, token_a);
        s_a2 = d_products4(s_a2, t_a2, sums_a, j + 8u, from_a, token_a);
        s_a3 = d_products4(s_a3, t_a3, sums_a, j + 12u, from_a, token_a);
        s_a4 = d_products4(s_a4, t_a4, sums_a, j + 16u, from_a, token_a);
        s_a5 = d_products4(s_a5, t_a5, sums_a, j + 20u, from_a, token_a);
        s_a6 = d_products4(s_a6, t_a6, sums_a, j + 24u, from_a, token_a);
        s_a7 = d_products4(s_a7, t_a7, sums_a, j + 28u, from_a, token_a);
        s_b0 = d_products4(s_b0, t_b0, sums_b, j + 0u, from_b, token_b);
        s_b1 = d_products4(s_b1, t_b1, sums_b, j + 4u, from_b, token_b);
        s_b2 = d_products4(s_b2, t_b2, sums_b, j + 8u, from_b, token_b);
        s_b3 = d_products4(s_b3, t_b3, sums_b, j + 12u, from_b, token_b);
        s_b4 = d_products4(s_b4, t_b4, sums_b, j + 16u, from_b, token_b);
        s_b5 = d_products4(s_b5, t_b5, sums_b, j + 20u, from_b, token_b);
        s_b6 = d_products4(s_b6, t_b6, sums_b, j + 24u, from_b, token_b);
        s_b7 = d_products4(s_b7, t_b7, sums_b, j + 28u, from_b, token_b);
        let from_zero = starts_from_zero(j == first, 1u);
        for (var c = 0u; c < params.head_dim4; c++) {
            // Selected, not multiplied by 0: before the first tile d_q holds anything, even NaN.
            var z_a = select(d_q[d_q_a + c], vec4<f32>(0.0), from_zero);
            var z_b = select(d_q[d_q_b + c], vec4<f32>(0.0), from_zero);
            let y0 = k[key0 * params.k_stride + kv_head + c];
            let y1 = k[key1 * params.k_stride + kv_head + c];
            let y2 = k[key2 * params.k_stride + kv_head + c];
            let y3 = k[key3 * params.k_stride + kv_head + c];
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
                d_q[d_q_a + c] = z_a;
            }
            if (store_b) {
                d_q[d_q_b + c] = z_b;
            }
        }
    }
}
