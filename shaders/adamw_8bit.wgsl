// One AdamW step with moments of 8 bits: each block of 256 numbers has a scale, its largest magnitude, and a byte a number that points
// into a map of 256 values (bitsandbytes' dynamic map: signed for the first moment, unsigned for the second). 16 bytes a parameter.
// A workgroup owns a block: it decodes, updates, finds the new scale, and encodes to the nearest value. Bias is as in shaders/adamw.wgsl.
// use: shared/step.wgsl
// use: shared/stats.wgsl

/// Numbers of a block: a vec4 for each thread.
const BLOCK: u32 = 256u;
/// Threads of a workgroup.
const THREADS: u32 = 64u;
/// Values of a map.
const VALUES: u32 = 256u;

struct Params {
    /// Size of the range in vec4.
    count: u32,
    /// Decoupled weight decay.
    weight_decay: f32,
    /// Multiplies the step's learning rate.
    lr_scale: f32,
    /// Decay of the first moment.
    beta1: f32,
    /// 1 - beta1, given because 1 - 0.9 in f32 is not 0.1.
    one_minus_beta1: f32,
    /// Decay of the second moment.
    beta2: f32,
    /// 1 - beta2, given because 1 - 0.999 in f32 is wrong in the fifth digit.
    one_minus_beta2: f32,
    /// Added to the root of the second moment.
    eps: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> stats: Stats;
/// The signed map, then the unsigned one, each ascending.
@group(0) @binding(3) var<storage, read> maps: array<f32>;
/// Sum of the gradients of the accumulation group.
@group(0) @binding(4) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> parameter: array<vec4<f32>>;
/// Four codes a word.
@group(0) @binding(6) var<storage, read_write> first_codes: array<u32>;
@group(0) @binding(7) var<storage, read_write> first_scales: array<f32>;
/// Four codes a word.
@group(0) @binding(8) var<storage, read_write> second_codes: array<u32>;
@group(0) @binding(9) var<storage, read_write> second_scales: array<f32>;

var<workgroup> largest: array<vec2<f32>, THREADS>;

/// The four values of a word of codes in the map that begins at `map`.
fn decode(codes: u32, map: u32) -> vec4<f32> {
    return vec4<f32>(
        maps[map + (codes & 0xffu)],
        maps[map + ((codes >> 8u) & 0xffu)],
        maps[map + ((codes >> 16u) & 0xffu)],
        maps[map + (codes >> 24u)],
    );
}

/// The code of the value nearest to x; of two that are as near the lower one.
fn encode(x: f32, map: u32) -> u32 {
    var low = 0u;
    for (var half = VALUES / 2u; half > 0u; half /= 2u) {
        if (maps[map + low + half] <= x) {
            low += half;
        }
    }
    if (low + 1u < VALUES && maps[map + low + 1u] - x < x - maps[map + low]) {
        low += 1u;
    }
    return low;
}

fn encode4(x: vec4<f32>, map: u32) -> u32 {
    return encode(x.x, map) | (encode(x.y, map) << 8u) | (encode(x.z, map) << 16u) | (encode(x.w, map) << 24u);
}

fn largest_of(x: vec4<f32>) -> f32 {
    let a = abs(x);
    return max(max(a.x, a.y), max(a.z, a.w));
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let block = workgroup.y * workgroups.x + workgroup.x;
    if (block * THREADS >= params.count || stats.halt != 0u) {
        return;
    }
    let i = block * THREADS + local.x;
    // The last block of the range may be cut.
    let inside = i < params.count;
    var m = vec4<f32>(0.0);
    var v = vec4<f32>(0.0);
    if (inside) {
        let g = gradient[i] * stats.clip;
        m = params.beta1 * (decode(first_codes[i], 0u) * first_scales[block]) + params.one_minus_beta1 * g;
        v = params.beta2 * (decode(second_codes[i], VALUES) * second_scales[block]) + params.one_minus_beta2 * g * g;
        let rate = step.learning_rate * params.lr_scale;
        let root = sqrt(v * step.bias_correction2) + params.eps;
        parameter[i] = parameter[i] * (1.0 - rate * params.weight_decay) - rate * step.bias_correction1 * m / root;
    }
    largest[local.x] = vec2<f32>(largest_of(m), largest_of(v));
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        if (local.x < half) {
            largest[local.x] = max(largest[local.x], largest[local.x + half]);
        }
        workgroupBarrier();
    }
    var scales = largest[0];
    // A block of zeros: any scale will do.
    scales = select(scales, vec2<f32>(1.0), scales == vec2<f32>(0.0));
    if (inside) {
        first_codes[i] = encode4(m / scales.x, 0u);
        second_codes[i] = encode4(v / scales.y, VALUES);
    }
    if (local.x == 0u) {
        first_scales[block] = scales.x;
        second_scales[block] = scales.y;
    }
}
