// Attention backward, last pass: d_k and d_v of each key/value head are the sums of what each of its query heads gave.
// Saves nothing by itself; it is what lets attention_backward_key.tiled.wgsl have a workgroup for each query head. The order of the sums is fixed.
// A thread makes one vec4 of both.

/// Threads of a workgroup.
override WORKGROUP: u32 = 64u;

struct Params {
    /// Keys.
    rows: u32,
    /// Key/value heads.
    kv_heads: u32,
    /// Query heads that share one key/value head.
    group: u32,
    /// Floats of one head / 4.
    head_dim4: u32,
    /// Row stride of the parts in vec4.
    part_stride: u32,
    /// Row stride of d_k in vec4.
    d_k_stride: u32,
    /// Row stride of d_v in vec4.
    d_v_stride: u32,
    /// Bit 1: d_k is added to instead of written; bit 2: d_v.
    accumulate: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, kv_heads * group * head_dim)
@group(0) @binding(1) var<storage, read> k_parts: array<vec4<f32>>;
/// (rows, kv_heads * group * head_dim)
@group(0) @binding(2) var<storage, read> v_parts: array<vec4<f32>>;
/// (rows, kv_heads * head_dim)
@group(0) @binding(3) var<storage, read_write> d_k: array<vec4<f32>>;
/// (rows, kv_heads * head_dim)
@group(0) @binding(4) var<storage, read_write> d_v: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let thread = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    let width = params.kv_heads * params.head_dim4;
    let row = thread / width;
    let column = thread % width;
    if (row >= params.rows) {
        return;
    }
    let first = row * params.part_stride + column / params.head_dim4 * params.group * params.head_dim4 + column % params.head_dim4;
    var k_sum = vec4<f32>(0.0);
    var v_sum = vec4<f32>(0.0);
    for (var head = 0u; head < params.group; head++) {
        k_sum += k_parts[first + head * params.head_dim4];
        v_sum += v_parts[first + head * params.head_dim4];
    }
    let k_at = row * params.d_k_stride + column;
    let v_at = row * params.d_v_stride + column;
    if ((params.accumulate & 2u) != 0u) {
        k_sum += d_k[k_at];
    }
    if ((params.accumulate & 4u) != 0u) {
        v_sum += d_v[v_at];
    }
    d_k[k_at] = k_sum;
    d_v[v_at] = v_sum;
}
