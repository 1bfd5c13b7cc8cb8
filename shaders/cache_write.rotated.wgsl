// Rotates the queries of this step into a matrix of their own and appends its keys, rotated, and its values to a generation's caches.
// Saves dispatches, which is what a single token consists of: rope_forward.wgsl and cache_write.wgsl in one.
// A thread owns four pairs of a head, or one vec4 that is only copied. For rotations whose halves fall on vec4 borders.
// use: shared/step.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 64u;

struct Params {
    /// Rows of q, k and v.
    rows: u32,
    /// Heads of q.
    heads: u32,
    /// Heads of k and v.
    kv_heads: u32,
    /// Columns of a head in vec4.
    head_dim4: u32,
    /// Half of the leading columns of a head that are rotated, in vec4.
    half4: u32,
    /// Row stride of q in vec4.
    q_stride: u32,
    /// Row stride of the rotated queries in vec4.
    rotated_stride: u32,
    /// Row stride of k in vec4.
    k_stride: u32,
    /// Row stride of v in vec4.
    v_stride: u32,
    /// Row stride of the caches in vec4.
    cache_stride: u32,
    /// Rows of the caches.
    capacity: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// Position of each token, (rows)
@group(0) @binding(2) var<storage, read> positions: array<u32>;
/// cos and sin of every angle, (positions, rotary_dim / 2) from row step.rope_row on
@group(0) @binding(3) var<storage, read> table: array<vec2<f32>>;
/// (rows, kv_heads * head_dim)
@group(0) @binding(4) var<storage, read> k: array<vec4<f32>>;
/// (rows, kv_heads * head_dim)
@group(0) @binding(5) var<storage, read> v: array<vec4<f32>>;
/// (rows, heads * head_dim)
@group(0) @binding(6) var<storage, read> q: array<vec4<f32>>;
/// (rows, heads * head_dim)
@group(0) @binding(7) var<storage, read_write> rotated: array<vec4<f32>>;
/// (capacity, kv_heads * head_dim)
@group(0) @binding(8) var<storage, read_write> key_cache: array<vec4<f32>>;
/// (capacity, kv_heads * head_dim)
@group(0) @binding(9) var<storage, read_write> value_cache: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let thread = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    let rest = params.head_dim4 - 2u * params.half4;
    let pairs = (params.heads + params.kv_heads) * params.half4;
    let copied = (params.heads + params.kv_heads) * rest + params.kv_heads * params.head_dim4;
    let row = thread / (pairs + copied);
    if (row >= params.rows) {
        return;
    }
    let unit = thread % (pairs + copied);
    let to_row = step.position + row;
    let cached = row < step.tokens && to_row < params.capacity;
    let cache_row = to_row * params.cache_stride;
    if (unit < pairs) {
        let head = unit / params.half4;
        let i = unit % params.half4;
        let entry = ((step.rope_row + positions[row]) * params.half4 + i) * 4u;
        let t0 = table[entry];
        let t1 = table[entry + 1u];
        let t2 = table[entry + 2u];
        let t3 = table[entry + 3u];
        let cosine = vec4<f32>(t0.x, t1.x, t2.x, t3.x);
        let sine = vec4<f32>(t0.y, t1.y, t2.y, t3.y);
        if (head < params.heads) {
            let column = head * params.head_dim4 + i;
            let a = q[row * params.q_stride + column];
            let b = q[row * params.q_stride + column + params.half4];
            rotated[row * params.rotated_stride + column] = a * cosine - b * sine;
            rotated[row * params.rotated_stride + column + params.half4] = b * cosine + a * sine;
        } else if (cached) {
            let column = (head - params.heads) * params.head_dim4 + i;
            let a = k[row * params.k_stride + column];
            let b = k[row * params.k_stride + column + params.half4];
            key_cache[cache_row + column] = a * cosine - b * sine;
            key_cache[cache_row + column + params.half4] = b * cosine + a * sine;
        }
        return;
    }
    let copy = unit - pairs;
    if (copy < params.kv_heads * params.head_dim4) {
        if (cached) {
            value_cache[cache_row + copy] = v[row * params.v_stride + copy];
        }
        return;
    }
    // What is not rotated of a head.
    let left = copy - params.kv_heads * params.head_dim4;
    let head = left / rest;
    let column = 2u * params.half4 + left % rest;
    if (head < params.heads) {
        let at = head * params.head_dim4 + column;
        rotated[row * params.rotated_stride + at] = q[row * params.q_stride + at];
    } else if (cached) {
        let at = (head - params.heads) * params.head_dim4 + column;
        key_cache[cache_row + at] = k[row * params.k_stride + at];
    }
}
