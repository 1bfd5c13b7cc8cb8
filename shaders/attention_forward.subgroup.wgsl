// Attention forward: o = softmax(scale * q k^T) v with causal, per-sequence and sliding-window masks, and the log-sum-exp of each row.
// Saves the scores: none of the tokens x tokens numbers ever reaches memory, and keys that no row of a tile sees are not read.
// For CPU adapters with subgroups of 8: a lane owns two rows; the lanes load 32 keys between them and broadcast, as loads cost far more than shuffles.
// use: shared/step.wgsl
// use: shared/attention.wgsl
// use: shared/broadcast.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> starts: array<u32>;
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read_write> lse: array<f32>;

// 1 in generation: k and v are caches of one sequence, and starts is not looked at.
override CACHED: u32 = 0u;

// First key that query token i sees.
fn first_key(i: u32) -> u32 {
    var start = 0u;
    if (CACHED == 0u) {
        start = starts[i];
    }
    return max(start, window_start(step.position + i));
}

// Keys j + 0..3 that a row sees (from <= key <= to), the others masked.
fn masked4(scores: vec4<f32>, j: u32, from_key: u32, to_key: u32) -> vec4<f32> {
    let keys = j + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(MASKED), scores, (keys >= vec4<u32>(from_key)) & (keys <= vec4<u32>(to_key)));
}

// Dispatch: (ceil(tokens * group / 16), kv_heads, 1).
@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let rows = params.tokens * params.group;
    let heads = params.kv_heads * params.group;
    let row0 = workgroup.x * 16u;
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
    let o_a = token_a * params.o_stride + head_a * params.head_dim4;
    let o_b = token_b * params.o_stride + head_b * params.head_dim4;
    let from_a = first_key(token_a);
    let from_b = first_key(token_b);
    let to_a = step.position + token_a;
    let to_b = step.position + token_b;

    // The keys that any row of the tile sees: sequences lie one after the other, so the first row starts first.
    let first = first_key(row0 / params.group);
    let end = min(step.position + min(row0 + 15u, rows - 1u) / params.group + 1u, params.key_rows);
    let kv_head = workgroup.y * params.head_dim4;

    var max_a = LOWEST;
    var max_b = LOWEST;
    var sum_a = 0.0;
    var sum_b = 0.0;
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
            let by0x = lanes0123(y0.x);
            s_a0 = fma(vec4<f32>(x_a.x), by0x, s_a0);
            s_b0 = fma(vec4<f32>(x_b.x), by0x, s_b0);
            let by0y = lanes0123(y0.y);
            s_a0 = fma(vec4<f32>(x_a.y), by0y, s_a0);
            s_b0 = fma(vec4<f32>(x_b.y), by0y, s_b0);
            let by0z = lanes0123(y0.z);
            s_a0 = fma(vec4<f32>(x_a.z), by0z, s_a0);
            s_b0 = fma(vec4<f32>(x_b.z), by0z, s_b0);
            let by0w = lanes0123(y0.w);
            s_a0 = fma(vec4<f32>(x_a.w), by0w, s_a0);
            s_b0 = fma(vec4<f32>(x_b.w), by0w, s_b0);
            let by1x = lanes4567(y0.x);
            s_a1 = fma(vec4<f32>(x_a.x), by1x, s_a1);
            s_b1 = fma(vec4<f32>(x_b.x), by1x, s_b1);
            let by1y = lanes4567(y0.y);
            s_a1 = fma(vec4<f32>(x_a.y), by1y, s_a1);
            s_b1 = fma(vec4<f32>(x_b.y), by1y, s_b1);
            let by1z = lanes4567(y0.z);
            s_a1 = fma(vec4<f32>(x_a.z), by1z, s_a1);
            s_b1 = fma(vec4<f32>(x_b.z), by1z, s_b1);
            let by1w = lanes4567(y0.w);
            s_a1 = fma(vec4<f32>(x_a.w), by1w, s_a1);
            s_b1 = fma(vec4<f32>(x_b.w), by1w, s_b1);
            let by2x = lanes0123(y1.x);
            s_a2 = fma(vec4<f32>(x_a.x), by2x, s_a2);
            s_b2 = fma(vec4<f32>(x_b.x), by2x, s_b2);
            let by2y = lanes0123(y1.y);
            s_a2 = fma(vec4<f32>(x_a.y), by2y, s_a2);
            s_b2 = fma(vec4<f32>(x_b.y), by2y, s_b2);
            let by2z = lanes0123(y1.z);
            s_a2 = fma(vec4<f32>(x_a.z), by2z, s_a2);
            s_b2 = fma(vec4<f32>(x_b.z), by2z, s_b2);
            let by2w = lanes0123(y1.w);
            s_a2 = fma(vec4<f32>(x_a.w), by2w, s_a2);
            s_b2 = fma(vec4<f32>(x_b.w), by2w, s_b2);
            let by3x = lanes4567(y1.x);
            s_a3 = fma(vec4<f32>(x_a.x), by3x, s_a3);
            s_b3 = fma(vec4<f32>(x_b.x), by3x, s_b3);
            let by3y = lanes4567(y1.y);
            s_a3 = fma(vec4<f32>(x_a.y), by3y, s_a3);
            s_b3 = fma(vec4<f32>(x_b.y), by3y, s_b3);
            let by3z = lanes4567(y1.z);
            s_a3 = fma(vec4<f32>(x_a.z), by3z, s_a3);
            s_b3 = fma(vec4<f32>(x_b.z), by3z, s_b3);
            let by3w = lanes4567(y1.w);
            s_a3 = fma(vec4<f32>(x_a.w), by3w, s_a3);
            s_b3 = fma(vec4<f32>(x_b.w), by3w, s_b3);
            let by4x = lanes0123(y2.x);
            s_a4 = fma(vec4<f32>(x_a.x), by4x, s_a4);
            s_b4 = fma(vec4<f32>(x_b.x), by4x, s_b4);
            let by4y = lanes0123(y2.y);
            s_a4 = fma(vec4<f32>(x_a.y), by4y, s_a4);
            s_b4 = fma(vec4<f32>(x_b.y), by4y, s_b4);
            let by4z = lanes0123(y2.z);
            s_a4 = fma(vec4<f32>(x_a.z), by4z, s_a4);
            s_b4 = fma(vec4<f32>(x_b.z), by4z, s_b4);
            let by4w = lanes0123(y2.w);
            s_a4 = fma(vec4<f32>(x_a.w), by4w, s_a4);
            s_b4 = fma(vec4<f32>(x_b.w), by4w, s_b4);
            let by5x = lanes4567(y2.x);
            s_a5 = fma(vec4<f32>(x_a.x), by5x, s_a5);
            s_b5 = fma(vec4<f32>(x_b.x), by5x, s_b5);
            let by5y = lanes4567(y2.y);
            s_a5 = fma(vec4<f32>(x_a.y), by5y, s_a5);
            s_b5 = fma(vec4<f32>(x_b.y), by5y, s_b5);
            let by5z = lanes4567(y2.z);
            s_a5 = fma(vec4<f32>(x_a.z), by5z, s_a5);
            s_b5 = fma(vec4<f32>(x_b.z), by5z, s_b5);
            let by5w = lanes4567(y2.w);
            s_a5 = fma(vec4<f32>(x_a.w), by5w, s_a5);
            s_b5 = fma(vec4<f32>(x_b.w), by5w, s_b5);
            let by6x = lanes0123(y3.x);
            s_a6 = fma(vec4<f32>(x_a.x), by6x, s_a6);
            s_b6 = fma(vec4<f32>(x_b.x), by6x, s_b6);
            let by6y = lanes0123(y3.y);
            s_a6 = fma(vec4<f32>(x_a.y), by6y, s_a6);
            s_b6 = fma(vec4<f32>(x_b.y), by6y, s_b6);
            let by6z = lanes0123(y3.z);
            s_a6 = fma(vec4<f32>(x_a.z), by6z, s_a6);
            s_b6 = fma(vec4<f32>(x_b.z), by6z, s_b6);
            let by6w = lanes0123(y3.w);
            s_a6 = fma(vec4<f32>(x_a.w), by6w, s_a6);
            s_b6 = fma(vec4<f32>(x_b.w), by6w, s_b6);
            let by7x = lanes4567(y3.x);
            s_a7 = fma(vec4<f32>(x_a.x), by7x, s_a7);
            s_b7 = fma(vec4<f32>(x_b.x), by7x, s_b7);
            let by7y = lanes4567(y3.y);
            s_a7 = fma(vec4<f32>(x_a.y), by7y, s_a7);
            s_b7 = fma(vec4<f32>(x_b.y), by7y, s_b7);
            let by7z = lanes4567(y3.z);
            s_a7 = fma(vec4<f32>(x_a.z), by7z, s_a7);
            s_b7 = fma(vec4<f32>(x_b.z), by7z, s_b7);
            let by7w = lanes4567(y3.w);
            s_a7 = fma(vec4<f32>(x_a.w), by7w, s_a7);
            s_b7 = fma(vec4<f32>(x_b.w), by7w, s_b7);
        }
        s_a0 = masked4(scores4(s_a0), j + 0u, from_a, to_a);
        s_a1 = masked4(scores4(s_a1), j + 4u, from_a, to_a);
        s_a2 = masked4(scores4(s_a2), j + 8u, from_a, to_a);
        s_a3 = masked4(scores4(s_a3), j + 12u, from_a, to_a);
        s_a4 = masked4(scores4(s_a4), j + 16u, from_a, to_a);
        s_a5 = masked4(scores4(s_a5), j + 20u, from_a, to_a);
        s_a6 = masked4(scores4(s_a6), j + 24u, from_a, to_a);
        s_a7 = masked4(scores4(s_a7), j + 28u, from_a, to_a);
        s_b0 = masked4(scores4(s_b0), j + 0u, from_b, to_b);
        s_b1 = masked4(scores4(s_b1), j + 4u, from_b, to_b);
        s_b2 = masked4(scores4(s_b2), j + 8u, from_b, to_b);
        s_b3 = masked4(scores4(s_b3), j + 12u, from_b, to_b);
        s_b4 = masked4(scores4(s_b4), j + 16u, from_b, to_b);
        s_b5 = masked4(scores4(s_b5), j + 20u, from_b, to_b);
        s_b6 = masked4(scores4(s_b6), j + 24u, from_b, to_b);
        s_b7 = masked4(scores4(s_b7), j + 28u, from_b, to_b);

        // Online softmax: o holds the average over the keys seen so far, so each tile only reweights it and needs no last pass.
        let m_a = max(max(max(max(max(max(max(s_a0, s_a1), s_a2), s_a3), s_a4), s_a5), s_a6), s_a7);
        let m_b = max(max(max(max(max(max(max(s_b0, s_b1), s_b2), s_b3), s_b4), s_b5), s_b6), s_b7);
        let new_max_a = max(max_a, max(max(m_a.x, m_a.y), max(m_a.z, m_a.w)));
        let new_max_b = max(max_b, max(max(m_b.x, m_b.y), max(m_b.z, m_b.w)));
        s_a0 = exp(s_a0 - new_max_a);
        s_a1 = exp(s_a1 - new_max_a);
        s_a2 = exp(s_a2 - new_max_a);
        s_a3 = exp(s_a3 - new_max_a);
        s_a4 = exp(s_a4 - new_max_a);
        s_a5 = exp(s_a5 - new_max_a);
        s_a6 = exp(s_a6 - new_max_a);
        s_a7 = exp(s_a7 - new_max_a);
        s_b0 = exp(s_b0 - new_max_b);
        s_b1 = exp(s_b1 - new_max_b);
        s_b2 = exp(s_b2 - new_max_b);
        s_b3 = exp(s_b3 - new_max_b);
        s_b4 = exp(s_b4 - new_max_b);
        s_b5 = exp(s_b5 - new_max_b);
        s_b6 = exp(s_b6 - new_max_b);
        s_b7 = exp(s_b7 - new_max_b);
        let t_a = s_a0 + s_a1 + s_a2 + s_a3 + s_a4 + s_a5 + s_a6 + s_a7;
        let t_b = s_b0 + s_b1 + s_b2 + s_b3 + s_b4 + s_b5 + s_b6 + s_b7;
        let old_a = sum_a * exp(max_a - new_max_a);
        let old_b = sum_b * exp(max_b - new_max_b);
        sum_a = old_a + (t_a.x + t_a.y + t_a.z + t_a.w);
        sum_b = old_b + (t_b.x + t_b.y + t_b.z + t_b.w);
        max_a = new_max_a;
        max_b = new_max_b;
        // A row that has seen no key yet keeps 0 (its first keys lie in a later tile).
        let inverse_a = select(0.0, 1.0 / sum_a, sum_a > 0.0);
        let inverse_b = select(0.0, 1.0 / sum_b, sum_b > 0.0);
        let keep_a = old_a * inverse_a;
        let keep_b = old_b * inverse_b;
        s_a0 *= inverse_a;
        s_a1 *= inverse_a;
        s_a2 *= inverse_a;
        s_a3 *= inverse_a;
        s_a4 *= inverse_a;
        s_a5 *= inverse_a;
        s_a6 *= inverse_a;
        s_a7 *= inverse_a;
        s_b0 *= inverse_b;
        s_b1 *= inverse_b;
        s_b2 *= inverse_b;
        s_b3 *= inverse_b;
        s_b4 *= inverse_b;
        s_b5 *= inverse_b;
        s_b6 *= inverse_b;
        s_b7 *= inverse_b;
        for (var c = 0u; c < params.head_dim4; c++) {
            // Selected, not multiplied by 0: before the first tile o holds anything, even NaN.
            var z_a = select(vec4<f32>(0.0), keep_a * o[o_a + c], keep_a > 0.0);
            var z_b = select(vec4<f32>(0.0), keep_b * o[o_b + c], keep_b > 0.0);
            let y0 = v[key0 * params.v_stride + kv_head + c];
            let y1 = v[key1 * params.v_stride + kv_head + c];
            let y2 = v[key2 * params.v_stride + kv_head + c];
            let y3 = v[key3 * params.v_stride + kv_head + c];
            let by0_0 = subgroupBroadcast(y0, 0u);
            z_a = fma(vec4<f32>(s_a0.x), by0_0, z_a);
            z_b = fma(vec4<f32>(s_b0.x), by0_0, z_b);
            let by0_1 = subgroupBroadcast(y0, 1u);
            z_a = fma(vec4<f32>(s_a0.y), by0_1, z_a);
            z_b = fma(vec4<f32>(s_b0.y), by0_1, z_b);
            let by0_2 = subgroupBroadcast(y0, 2u);
            z_a = fma(vec4<f32>(s_a0.z), by0_2, z_a);
            z_b = fma(vec4<f32>(s_b0.z), by0_2, z_b);
            let by0_3 = subgroupBroadcast(y0, 3u);
            z_a = fma(vec4<f32>(s_a0.w), by0_3, z_a);
            z_b = fma(vec4<f32>(s_b0.w), by0_3, z_b);
            let by0_4 = subgroupBroadcast(y0, 4u);
            z_a = fma(vec4<f32>(s_a1.x), by0_4, z_a);
            z_b = fma(vec4<f32>(s_b1.x), by0_4, z_b);
            let by0_5 = subgroupBroadcast(y0, 5u);
            z_a = fma(vec4<f32>(s_a1.y), by0_5, z_a);
            z_b = fma(vec4<f32>(s_b1.y), by0_5, z_b);
            let by0_6 = subgroupBroadcast(y0, 6u);
            z_a = fma(vec4<f32>(s_a1.z), by0_6, z_a);
            z_b = fma(vec4<f32>(s_b1.z), by0_6, z_b);
            let by0_7 = subgroupBroadcast(y0, 7u);
            z_a = fma(vec4<f32>(s_a1.w), by0_7, z_a);
            z_b = fma(vec4<f32>(s_b1.w), by0_7, z_b);
            let by1_0 = subgroupBroadcast(y1, 0u);
            z_a = fma(vec4<f32>(s_a2.x), by1_0, z_a);
            z_b = fma(vec4<f32>(s_b2.x), by1_0, z_b);
            let by1_1 = subgroupBroadcast(y1, 1u);
            z_a = fma(vec4<f32>(s_a2.y), by1_1, z_a);
            z_b = fma(vec4<f32>(s_b2.y), by1_1, z_b);
            let by1_2 = subgroupBroadcast(y1, 2u);
            z_a = fma(vec4<f32>(s_a2.z), by1_2, z_a);
            z_b = fma(vec4<f32>(s_b2.z), by1_2, z_b);
            let by1_3 = subgroupBroadcast(y1, 3u);
            z_a = fma(vec4<f32>(s_a2.w), by1_3, z_a);
            z_b = fma(vec4<f32>(s_b2.w), by1_3, z_b);
            let by1_4 = subgroupBroadcast(y1, 4u);
            z_a = fma(vec4<f32>(s_a3.x), by1_4, z_a);
            z_b = fma(vec4<f32>(s_b3.x), by1_4, z_b);
            let by1_5 = subgroupBroadcast(y1, 5u);
            z_a = fma(vec4<f32>(s_a3.y), by1_5, z_a);
            z_b = fma(vec4<f32>(s_b3.y), by1_5, z_b);
            let by1_6 = subgroupBroadcast(y1, 6u);
            z_a = fma(vec4<f32>(s_a3.z), by1_6, z_a);
            z_b = fma(vec4<f32>(s_b3.z), by1_6, z_b);
            let by1_7 = subgroupBroadcast(y1, 7u);
            z_a = fma(vec4<f32>(s_a3.w), by1_7, z_a);
            z_b = fma(vec4<f32>(s_b3.w), by1_7, z_b);
            let by2_0 = subgroupBroadcast(y2, 0u);
            z_a = fma(vec4<f32>(s_a4.x), by2_0, z_a);
            z_b = fma(vec4<f32>(s_b4.x), by2_0, z_b);
            let by2_1 = subgroupBroadcast(y2, 1u);
            z_a = fma(vec4<f32>(s_a4.y), by2_1, z_a);
            z_b = fma(vec4<f32>(s_b4.y), by2_1, z_b);
            let by2_2 = subgroupBroadcast(y2, 2u);
            z_a = fma(vec4<f32>(s_a4.z), by2_2, z_a);
            z_b = fma(vec4<f32>(s_b4.z), by2_2, z_b);
            let by2_3 = subgroupBroadcast(y2, 3u);
            z_a = fma(vec4<f32>(s_a4.w), by2_3, z_a);
            z_b = fma(vec4<f32>(s_b4.w), by2_3, z_b);
            let by2_4 = subgroupBroadcast(y2, 4u);
            z_a = fma(vec4<f32>(s_a5.x), by2_4, z_a);
            z_b = fma(vec4<f32>(s_b5.x), by2_4, z_b);
            let by2_5 = subgroupBroadcast(y2, 5u);
            z_a = fma(vec4<f32>(s_a5.y), by2_5, z_a);
            z_b = fma(vec4<f32>(s_b5.y), by2_5, z_b);
            let by2_6 = subgroupBroadcast(y2, 6u);
            z_a = fma(vec4<f32>(s_a5.z), by2_6, z_a);
            z_b = fma(vec4<f32>(s_b5.z), by2_6, z_b);
            let by2_7 = subgroupBroadcast(y2, 7u);
            z_a = fma(vec4<f32>(s_a5.w), by2_7, z_a);
            z_b = fma(vec4<f32>(s_b5.w), by2_7, z_b);
            let by3_0 = subgroupBroadcast(y3, 0u);
            z_a = fma(vec4<f32>(s_a6.x), by3_0, z_a);
            z_b = fma(vec4<f32>(s_b6.x), by3_0, z_b);
            let by3_1 = subgroupBroadcast(y3, 1u);
            z_a = fma(vec4<f32>(s_a6.y), by3_1, z_a);
            z_b = fma(vec4<f32>(s_b6.y), by3_1, z_b);
            let by3_2 = subgroupBroadcast(y3, 2u);
            z_a = fma(vec4<f32>(s_a6.z), by3_2, z_a);
            z_b = fma(vec4<f32>(s_b6.z), by3_2, z_b);
            let by3_3 = subgroupBroadcast(y3, 3u);
            z_a = fma(vec4<f32>(s_a6.w), by3_3, z_a);
            z_b = fma(vec4<f32>(s_b6.w), by3_3, z_b);
            let by3_4 = subgroupBroadcast(y3, 4u);
            z_a = fma(vec4<f32>(s_a7.x), by3_4, z_a);
            z_b = fma(vec4<f32>(s_b7.x), by3_4, z_b);
            let by3_5 = subgroupBroadcast(y3, 5u);
            z_a = fma(vec4<f32>(s_a7.y), by3_5, z_a);
            z_b = fma(vec4<f32>(s_b7.y), by3_5, z_b);
            let by3_6 = subgroupBroadcast(y3, 6u);
            z_a = fma(vec4<f32>(s_a7.z), by3_6, z_a);
            z_b = fma(vec4<f32>(s_b7.z), by3_6, z_b);
            let by3_7 = subgroupBroadcast(y3, 7u);
            z_a = fma(vec4<f32>(s_a7.w), by3_7, z_a);
            z_b = fma(vec4<f32>(s_b7.w), by3_7, z_b);
            if (store_a) {
                o[o_a + c] = z_a;
            }
            if (store_b) {
                o[o_b + c] = z_b;
            }
        }
    }
    if (store_a) {
        lse[token_a * heads + head_a] = max_a + log(sum_a);
    }
    if (store_b) {
        lse[token_b * heads + head_b] = max_b + log(sum_b);
    }
}
