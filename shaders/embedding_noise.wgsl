// y = x + u * alpha / sqrt(L * width), u uniform in [-1, 1): NEFTune's noise on the embeddings of a sequence of L tokens.
// Jain et al., "NEFTune: Noisy Embeddings Improve Instruction Finetuning", 2023. The noise is a hash of (element, seed of the micro-step).
// Four hashed words (shared/pcg4d.wgsl) for the four floats of a vec4.
// use: shared/step.wgsl
// use: shared/pcg4d.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of both buffers in vec4: rows * stride.
    count: u32,
    /// Row stride in vec4.
    stride: u32,
    /// Columns.
    width: u32,
    /// Strength of the noise.
    alpha: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// First token of each token's sequence, (rows)
@group(0) @binding(2) var<storage, read> starts: array<u32>;
/// One past the last token of each token's sequence, (rows)
@group(0) @binding(3) var<storage, read> ends: array<u32>;
/// (rows, width)
@group(0) @binding(4) var<storage, read> x: array<vec4<f32>>;
/// (rows, width)
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (i >= params.count) {
        return;
    }
    let row = i / params.stride;
    let length = f32(max(ends[row] - starts[row], 1u));
    // 24 bits of each word: exact in f32.
    let words = pcg4d(vec4<u32>(i, step.seed, 0x4e45u, 0x9e3779b9u)) >> vec4<u32>(8u);
    let uniform_noise = vec4<f32>(words) * (2.0 / 16777216.0) - 1.0;
    let column = vec4<u32>(0u, 1u, 2u, 3u) + (i % params.stride) * 4u;
    let noise = uniform_noise * (params.alpha * inverseSqrt(length * f32(params.width)));
    y[i] = x[i] + select(vec4<f32>(0.0), noise, column < vec4<u32>(params.width));
}
