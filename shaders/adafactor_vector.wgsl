// One Adafactor step of a vector, whose second moments are kept whole: v = beta v + (1 - beta) (g^2 + eps), u = g / sqrt(v), p -= lr * d * u.
// Saves passes: the root mean square of the update, by which d clips it, is found in the workgroup that applies it.
// One workgroup for each vector and a fixed order, so the same bits every run.
// use: shared/step.wgsl
// use: shared/stats.wgsl
// use: shared/total.wgsl

/// Threads of the workgroup, a power of two.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of the vector in vec4; the padding is zero.
    count: u32,
    /// 1 / numbers of the vector.
    inverse: f32,
    /// Added to every square.
    eps: f32,
    /// The root mean square above which the update is clipped.
    threshold: f32,
    /// Weight decay.
    weight_decay: f32,
    /// Multiplies the step's learning rate.
    lr_scale: f32,
    /// From one vector to the next in vec4 units, and from one's second moments to the next's.
    apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> stats: Stats;
/// Sum of the gradients of the accumulation group.
@group(0) @binding(3) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> parameter: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> second_moment: array<vec4<f32>>;

// Workgroups: z over the vectors.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let first = group.z * params.apart;
    let end = first + params.count;
    let halted = stats.halt != 0u;
    var squares = vec4<f32>();
    for (var i = first + local.x; i < end; i += WORKGROUP) {
        let g = gradient[i] * stats.clip;
        let v = (1.0 - step.factor_rate) * second_moment[i] + step.factor_rate * (g * g + params.eps);
        if (!halted) {
            second_moment[i] = v;
        }
        let u = g * inverseSqrt(v);
        squares += u * u;
    }
    let sum = total(local.x, squares.x + squares.y + squares.z + squares.w);
    let clipped = stats.clip / max(1.0, sqrt(sum * params.inverse) / params.threshold);
    let rate = step.learning_rate * params.lr_scale;
    if (halted) {
        return;
    }
    for (var i = first + local.x; i < end; i += WORKGROUP) {
        // Each thread reads what it wrote itself.
        let u = gradient[i] * clipped * inverseSqrt(second_moment[i]);
        parameter[i] = parameter[i] * (1.0 - rate * params.weight_decay) - rate * u;
    }
}
