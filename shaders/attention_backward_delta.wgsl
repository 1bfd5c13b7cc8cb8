// Attention backward, first pass: for each row delta = sum of d_o * o, beside the log-sum-exp that the forward left.
// Saves both later passes a binding and the sum over all keys: delta is the sum over keys of p * d_p.
// GPUs make it within the pass over queries, unless that one is not needed.
// One thread a row: the work is a thousandth of the other passes', so that nothing here is worth a reduction across threads.
// use: shared/attention.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> o: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> d_o: array<vec4<f32>>;
/// (tokens, heads): the log-sum-exp, and delta.
@group(0) @binding(3) var<storage, read_write> row_sums: array<vec2<f32>>;

override WORKGROUP_SIZE: u32 = 64u;

// Dispatch: (ceil(tokens / WORKGROUP_SIZE), heads, 1).
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let token = id.x;
    let head = id.y;
    if (token >= params.tokens) {
        return;
    }
    let o_row = token * params.o_stride + head * params.head_dim4;
    let d_o_row = token * params.d_o_stride + head * params.head_dim4;
    var delta = vec4<f32>(0.0);
    for (var c = 0u; c < params.head_dim4; c++) {
        delta = fma(o[o_row + c], d_o[d_o_row + c], delta);
    }
    let row = token * params.kv_heads * params.group + head;
    row_sums[row].y = delta.x + delta.y + delta.z + delta.w;
}
