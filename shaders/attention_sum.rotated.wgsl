// Attention backward, last pass, along with the rotation that lies before it: d_k and d_v of each key/value head are the sums of what each of its query
// heads gave; d_k and d_q are rotated back. Saves a dispatch and reading d_k once more: attention_sum.wgsl and rope_forward.wgsl in one.
// A thread owns four pairs of a head, or one vec4 that is only added up. For rotations whose halves fall on vec4 borders.
// use: shared/step.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 64u;

struct Params {
    /// Tokens.
    rows: u32,
    /// Query heads that share one key/value head.
    group: u32,
    /// Key/value heads.
    kv_heads: u32,
    /// Floats of one head / 4.
    head_dim4: u32,
    /// Half of the leading columns of a head that are rotated, in vec4.
    half4: u32,
    /// Row stride of the parts in vec4.
    part_stride: u32,
    /// Row stride of d_q in vec4.
    d_q_stride: u32,
    /// Row stride of d_k in vec4.
    d_k_stride: u32,
    /// Row stride of d_v in vec4.
    d_v_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// Position of each token, (rows)
@group(0) @binding(2) var<storage, read> positions: array<u32>;
/// cos and sin of every angle, (positions, rotary_dim / 2) from row step.rope_row on
@group(0) @binding(3) var<storage, read> table: array<vec2<f32>>;
/// (rows, kv_heads * group * head_dim)
@group(0) @binding(4) var<storage, read> k_parts: array<vec4<f32>>;
/// (rows, kv_heads * group * head_dim)
@group(0) @binding(5) var<storage, read> v_parts: array<vec4<f32>>;
/// (rows, kv_heads * group * head_dim)
@group(0) @binding(6) var<storage, read_write> d_q: array<vec4<f32>>;
/// (rows, kv_heads * head_dim)
@group(0) @binding(7) var<storage, read_write> d_k: array<vec4<f32>>;
/// (rows, kv_heads * head_dim)
@group(0) @binding(8) var<storage, read_write> d_v: array<vec4<f32>>;

// The sum over the query heads of a key/value head, at vec4 c of it.
fn k_sum(row: u32, kv_head: u32, c: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var head = 0u; head < params.group; head++) {
        sum += k_parts[row * params.part_stride + (kv_head * params.group + head) * params.head_dim4 + c];
    }
    return sum;
}

fn v_sum(row: u32, kv_head: u32, c: u32) -> vec4<f32> {
    var sum = vec4<f32>(0.0);
    for (var head = 0u; head < params.group; head++) {
        sum += v_parts[row * params.part_stride + (kv_head * params.group + head) * params.head_dim4 + c];
    }
    return sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let thread = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    let heads = params.kv_heads * params.group;
    let rest = params.head_dim4 - 2u * params.half4;
    let pairs = (heads + params.kv_heads) * params.half4;
    let row = thread / (pairs + params.kv_heads * (rest + params.head_dim4));
    if (row >= params.rows) {
        return;
    }
    let unit = thread % (pairs + params.kv_heads * (rest + params.head_dim4));
    if (unit >= pairs) {
        let left = unit - pairs;
        if (left < params.kv_heads * params.head_dim4) {
            d_v[row * params.d_v_stride + left] = v_sum(row, left / params.head_dim4, left % params.head_dim4);
        } else {
            // What is not rotated of a key.
            let n = left - params.kv_heads * params.head_dim4;
            let c = 2u * params.half4 + n % rest;
            d_k[row * params.d_k_stride + n / rest * params.head_dim4 + c] = k_sum(row, n / rest, c);
        }
        return;
    }
    let head = unit / params.half4;
    let i = unit % params.half4;
    let entry = ((step.rope_row + positions[row]) * params.half4 + i) * 4u;
    let t0 = table[entry];
    let t1 = table[entry + 1u];
    let t2 = table[entry + 2u];
    let t3 = table[entry + 3u];
    let cosine = vec4<f32>(t0.x, t1.x, t2.x, t3.x);
    let sine = vec4<f32>(t0.y, t1.y, t2.y, t3.y) * -1.0;
    if (head < heads) {
        let at = row * params.d_q_stride + head * params.head_dim4 + i;
        let a = d_q[at];
        let b = d_q[at + params.half4];
        d_q[at] = a * cosine - b * sine;
        d_q[at + params.half4] = b * cosine + a * sine;
    } else {
        let kv_head = head - heads;
        let at = row * params.d_k_stride + kv_head * params.head_dim4 + i;
        let a = k_sum(row, kv_head, i);
        let b = k_sum(row, kv_head, i + params.half4);
        d_k[at] = a * cosine - b * sine;
        d_k[at + params.half4] = b * cosine + a * sine;
    }
}
