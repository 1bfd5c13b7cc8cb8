// Attention forward: o = softmax(scale * q k^T) v with causal, per-sequence and sliding-window masks, and the log-sum-exp of each row.
// Saves the scores: none of the tokens x tokens numbers ever reaches memory, and keys that no row of a thread sees are not read.
// For CPU devices without subgroups (browsers): four rows a thread and eight keys a step, no workgroup memory and no barrier, as both cost much there.
// use: shared/step.wgsl
// use: shared/attention.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> starts: array<u32>;
@group(0) @binding(6) var<storage, read_write> o: array<vec4<f32>>;
/// (tokens, heads): the log-sum-exp, and room for what the backward pass adds.
@group(0) @binding(7) var<storage, read_write> row_sums: array<vec2<f32>>;

/// Threads of a workgroup.
const THREADS: u32 = 8u;
/// Rows that a workgroup owns, four a thread.
const OWNED: u32 = 32u;
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

// Scores of the keys j + 0..3, of which a row sees from_key to to_key, the others masked.
fn masked4(products: vec4<f32>, j: u32, from_key: u32, to_key: u32) -> vec4<f32> {
    let keys = j + vec4<u32>(0u, 1u, 2u, 3u);
    return select(vec4<f32>(MASKED), scores4(products), (keys >= vec4<u32>(from_key)) & (keys <= vec4<u32>(to_key)));
}

fn largest(x: vec4<f32>, y: vec4<f32>) -> f32 {
    let m = max(x, y);
    return max(max(m.x, m.y), max(m.z, m.w));
}

fn total(x: vec4<f32>, y: vec4<f32>) -> f32 {
    let s = x + y;
    return s.x + s.y + s.z + s.w;
}

// The running average of a row over the keys before these, weighted by keep; 0 where there were none (o then holds anything, even NaN).
fn kept(keep: f32, index: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), keep * o[index], keep > 0.0);
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
    let o_row = token * params.o_stride + head * params.head_dim4;
    let from_key = vec4<u32>(first_key(token.x), first_key(token.y), first_key(token.z), first_key(token.w));
    let to_key = step.position + token;
    let kv_head = id.y * params.head_dim4;
    let end = min(to_key.w + 1u, params.key_rows);

    var row_max = vec4<f32>(LOWEST);
    var row_sum = vec4<f32>(0.0);
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
        s_a0 = masked4(s_a0, j + 0u, from_key.x, to_key.x);
        s_a1 = masked4(s_a1, j + 4u, from_key.x, to_key.x);
        s_b0 = masked4(s_b0, j + 0u, from_key.y, to_key.y);
        s_b1 = masked4(s_b1, j + 4u, from_key.y, to_key.y);
        s_c0 = masked4(s_c0, j + 0u, from_key.z, to_key.z);
        s_c1 = masked4(s_c1, j + 4u, from_key.z, to_key.z);
        s_d0 = masked4(s_d0, j + 0u, from_key.w, to_key.w);
        s_d1 = masked4(s_d1, j + 4u, from_key.w, to_key.w);
        // Online softmax: o holds the average over the keys seen so far, so each step only reweights it and needs no last pass.
        let new_max = max(row_max, vec4<f32>(largest(s_a0, s_a1), largest(s_b0, s_b1), largest(s_c0, s_c1), largest(s_d0, s_d1)));
        s_a0 = exp(s_a0 - new_max.x);
        s_a1 = exp(s_a1 - new_max.x);
        s_b0 = exp(s_b0 - new_max.y);
        s_b1 = exp(s_b1 - new_max.y);
        s_c0 = exp(s_c0 - new_max.z);
        s_c1 = exp(s_c1 - new_max.z);
        s_d0 = exp(s_d0 - new_max.w);
        s_d1 = exp(s_d1 - new_max.w);
        let old_sum = row_sum * exp(row_max - new_max);
        row_sum = old_sum + vec4<f32>(total(s_a0, s_a1), total(s_b0, s_b1), total(s_c0, s_c1), total(s_d0, s_d1));
        row_max = new_max;
        // A row that has seen no key yet keeps 0 (its first keys come later).
        let inverse = select(vec4<f32>(0.0), 1.0 / row_sum, row_sum > vec4<f32>(0.0));
        let keep = old_sum * inverse;
        s_a0 *= inverse.x;
        s_a1 *= inverse.x;
        s_b0 *= inverse.y;
        s_b1 *= inverse.y;
        s_c0 *= inverse.z;
        s_c1 *= inverse.z;
        s_d0 *= inverse.w;
        s_d1 *= inverse.w;
        for (var c = 0u; c < params.head_dim4; c++) {
            let y0 = mat4x4<f32>(v[v_row0.x + c], v[v_row0.y + c], v[v_row0.z + c], v[v_row0.w + c]);
            let y1 = mat4x4<f32>(v[v_row1.x + c], v[v_row1.y + c], v[v_row1.z + c], v[v_row1.w + c]);
            o[o_row.x + c] = madd(y1, s_a1, madd(y0, s_a0, kept(keep.x, o_row.x + c)));
            if (count > 1u) {
                o[o_row.y + c] = madd(y1, s_b1, madd(y0, s_b0, kept(keep.y, o_row.y + c)));
            }
            if (count > 2u) {
                o[o_row.z + c] = madd(y1, s_c1, madd(y0, s_c0, kept(keep.z, o_row.z + c)));
            }
            if (count > 3u) {
                o[o_row.w + c] = madd(y1, s_d1, madd(y0, s_d0, kept(keep.w, o_row.w + c)));
            }
        }
    }
    let sums = row_max + log(row_sum);
    let index = token * params.kv_heads * params.group + head;
    row_sums[index.x].x = sums.x;
    if (count > 1u) {
        row_sums[index.y].x = sums.y;
    }
    if (count > 2u) {
        row_sums[index.z].x = sums.z;
    }
    if (count > 3u) {
        row_sums[index.w].x = sums.w;
    }
}
