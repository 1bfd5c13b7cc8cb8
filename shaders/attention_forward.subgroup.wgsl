// Attention forward: o = softmax(scale * q k^T) v with causal, per-sequence and sliding-window masks, and the log-sum-exp of each row.
// Saves the scores: none of the tokens x tokens numbers ever reaches memory, and keys that no row of a tile sees are not read.
// For CPU devices with subgroups of 8: a lane owns two rows; the lanes load 32 keys between them and broadcast, as loads cost far more than shuffles.
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
/// (tokens, heads): the log-sum-exp, and room for what the backward pass adds.
@group(0) @binding(7) var<storage, read_write> row_sums: array<vec2<f32>>;

// 1 in generation: k and v are caches of one sequence, and starts is not looked at.
override CACHED: u32 = 0u;

/// Rows that a workgroup owns, two a lane.
const OWNED: u32 = 16u;

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
                o[o_a + c] = z_a;
            }
            if (store_b) {
                o[o_b + c] = z_b;
            }
        }
    }
    if (store_a) {
        row_sums[token_a * heads + head_a].x = max_a + log(sum_a);
    }
    if (store_b) {
        row_sums[token_b * heads + head_b].x = max_b + log(sum_b);
    }
}
