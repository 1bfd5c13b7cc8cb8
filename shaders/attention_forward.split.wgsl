// Attention of one token over a cache, first pass: for each block of keys and each head the average of v by softmax(scale * q k^T), and its weight.
// Saves time: a token has as few rows as heads, and blocks of keys are what a device can do side by side. attention_merge.wgsl adds the blocks up.
// For GPUs: scores with four threads a key, the average with a thread for each vec4 of a head and part of the keys; four heads at a time share what is read.
// use: shared/step.wgsl
// use: shared/attention.wgsl
// also lanes: LANES, vectors, maxima
// use: shared/block_sums.wgsl

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
/// The average of each block and head, (blocks * heads, head_dim).
@group(0) @binding(5) var<storage, read_write> averages: array<vec4<f32>>;
/// The largest score, and the sum of exp(score - largest), of each block and head, (blocks * heads).
@group(0) @binding(6) var<storage, read_write> weights: array<vec2<f32>>;

/// Keys of a block, a thread for each.
const BLOCK: u32 = 64u;
/// Threads of a workgroup: BLOCK.
override LANES: u32 = 64u;

/// The scores, then exp(score - largest), of each key for four heads.
var<workgroup> scores: array<vec4<f32>, 64>;
/// Parts of dot products (four a key), of maxima and of averages.
var<workgroup> parts: array<vec4<f32>, 256>;

/// A vec4 of each of four heads.
struct Queries {
    a: vec4<f32>,
    b: vec4<f32>,
    c: vec4<f32>,
    d: vec4<f32>,
}

fn queries(head: vec4<u32>, c: u32) -> Queries {
    let at = head * params.head_dim4 + c;
    return Queries(q[at.x], q[at.y], q[at.z], q[at.w]);
}

// Dispatch: (blocks of the cache, kv_heads, 1). A head has at most 256 floats.
@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let first_key = window_start(step.position);
    let block0 = workgroup.x * BLOCK;
    // A block of which the token sees nothing: the second pass does not read it.
    if (block0 > step.position || block0 + BLOCK <= first_key) {
        return;
    }
    let last_key = min(step.position, params.key_rows - 1u);
    let kv_head = workgroup.y * params.head_dim4;
    let heads = params.kv_heads * params.group;
    // The threads that share a sum of v: one for each vec4 of a head, as many parts of the keys as there are threads for.
    let width = params.head_dim4;
    let shares = BLOCK / width;
    for (var row = 0u; row < params.group; row += 4u) {
        let head = workgroup.y * params.group + min(row + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.group - 1u));

        // Dot products: four threads a key, sixteen keys at a time.
        for (var n = thread / 4u; n < BLOCK; n += 16u) {
            let key = min(block0 + n, last_key) * params.k_stride + kv_head;
            var s = vec4<f32>(0.0);
            for (var c = thread % 4u; c < width; c += 4u) {
                let x = queries(head, c);
                let y = k[key + c];
                s += vec4<f32>(dot(x.a, y), dot(x.b, y), dot(x.c, y), dot(x.d, y));
            }
            parts[4u * n + thread % 4u] = s;
        }
        workgroupBarrier();
        let products = parts[4u * thread] + parts[4u * thread + 1u] + parts[4u * thread + 2u] + parts[4u * thread + 3u];
        let seen = block0 + thread >= first_key && block0 + thread <= last_key;
        let score = select(vec4<f32>(MASKED), scores4(products), seen);
        workgroupBarrier();

        let largest = block_max(thread, score);
        scores[thread] = exp(score - largest);
        let sum = block_sum(thread);
        let share = thread / width;
        if (share < shares) {
            let c = thread % width;
            var a0 = vec4<f32>(0.0);
            var a1 = vec4<f32>(0.0);
            var a2 = vec4<f32>(0.0);
            var a3 = vec4<f32>(0.0);
            for (var n = share; n < BLOCK; n += shares) {
                let y = v[min(block0 + n, last_key) * params.v_stride + kv_head + c];
                let p = scores[n];
                a0 += p.x * y;
                a1 += p.y * y;
                a2 += p.z * y;
                a3 += p.w * y;
            }
            parts[4u * thread] = a0;
            parts[4u * thread + 1u] = a1;
            parts[4u * thread + 2u] = a2;
            parts[4u * thread + 3u] = a3;
        }
        workgroupBarrier();
        // Number i of the results is head i % 4 of the vec4 i / 4.
        for (var i = thread; i < 4u * width; i += BLOCK) {
            if (row + i % 4u < params.group) {
                var total = vec4<f32>(0.0);
                for (var n = 0u; n < shares; n++) {
                    total += parts[4u * n * width + i];
                }
                let at = workgroup.x * heads + workgroup.y * params.group + row + i % 4u;
                averages[at * width + i / 4u] = total / sum[i % 4u];
            }
        }
        workgroupBarrier();
        if (thread < 4u && row + thread < params.group) {
            weights[workgroup.x * heads + workgroup.y * params.group + row + thread] = vec2<f32>(largest[thread], sum[thread]);
        }
    }
}
