// Attention of one token over a cache, second pass: adds the averages of the blocks of keys up, each by its share of all weights.
// Saves nothing by itself; it is what lets attention_forward.split.wgsl work on all blocks at once. The order of the sums is fixed.
// A workgroup makes one head: its threads look for the largest score together, then each adds a vec4 of the head over a part of the blocks.
// use: shared/step.wgsl
// use: shared/attention.wgsl
// also lanes: LANES, maxima
// use: shared/row_sum.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// The average of each block and head, (blocks * heads, head_dim).
@group(0) @binding(2) var<storage, read> averages: array<vec4<f32>>;
/// The largest score, and the sum of exp(score - largest), of each block and head, (blocks * heads).
@group(0) @binding(3) var<storage, read> weights: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> o: array<vec4<f32>>;

/// Keys of a block.
override BLOCK: u32 = 64u;

/// Parts of the averages.
var<workgroup> parts: array<vec4<f32>, 64>;

// Dispatch: (heads, 1, 1). ROWS is 1; LANES is a power of two, at most 64, and at least head_dim / 4.
@compute @workgroup_size(LANES * ROWS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let heads = params.kv_heads * params.group;
    let head = workgroup.x;
    let first = window_start(step.position) / BLOCK;
    let end = min(step.position, params.key_rows - 1u) / BLOCK + 1u;

    var largest = LOWEST;
    for (var block = first + thread; block < end; block += LANES) {
        largest = max(largest, weights[block * heads + head].x);
    }
    largest = row_max(0u, thread, largest);

    var sum = 0.0;
    for (var block = first + thread; block < end; block += LANES) {
        let weight = weights[block * heads + head];
        sum += weight.y * exp(weight.x - largest);
    }
    sum = row_sum(0u, thread, sum);

    let width = params.head_dim4;
    let shares = LANES / width;
    let share = thread / width;
    let c = thread % width;
    var part = vec4<f32>(0.0);
    if (share < shares) {
        for (var block = first + share; block < end; block += shares) {
            let at = block * heads + head;
            let weight = weights[at];
            part += weight.y * exp(weight.x - largest) * averages[at * width + c];
        }
    }
    parts[thread] = part;
    workgroupBarrier();
    if (thread < width) {
        var total = vec4<f32>(0.0);
        for (var n = 0u; n < shares; n++) {
            total += parts[n * width + thread];
        }
        o[head * width + thread] = total / sum;
    }
}
