// losses[first + i] = logsumexp(logits[i]) - logits[i, label]; the logits become their gradient, (softmax - onehot) * loss_scale.
// In place and a chunk of rows at a time, so [tokens x vocabulary] never exists; one read for max and sum together, one pass to rewrite.
// The sum is kept relative to a running maximum that is checked once per 16 logits, and in short chains for accuracy.
// use: shared/step.wgsl
// also lanes: LANES, maxima
// use: shared/row_sum.wgsl

/// Whether the logits are overwritten by their gradient; off for evaluation.
override GRADIENT: bool = true;
/// Whether logits pass through cap * tanh(l / cap) first.
override SOFTCAP: bool = false;
/// Whether a share of the target is spread evenly over the vocabulary (label smoothing).
override SMOOTHING: bool = false;
/// Whether a token's loss is weighed by its probability, which counts as a constant (DFT).
override WEIGHED: bool = false;
/// Whether `losses` hold what each row's loss counts in the gradient (shaders/preference.wgsl puts that there); they are read then, not
/// written, and loss_scale is in them.
override COUNTED: bool = false;
/// Whether the loss of a target that is the likeliest token is written with its sign turned (shaders/loss_sum.wgsl counts these); only
/// without GRADIENT.
override ACCURACY: bool = false;

struct Params {
    /// Rows of the chunk.
    rows: u32,
    /// Columns of the logits.
    vocab: u32,
    /// Row stride of the logits in vec4.
    logits_stride: u32,
    /// Target that row 0 of the chunk belongs to.
    first: u32,
    /// The softcap.
    cap: f32,
    /// The share of the target that is spread.
    smoothing: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// Label of each target, (targets)
@group(0) @binding(2) var<storage, read> labels: array<u32>;
/// In: logits, out: their gradient, (rows, vocab)
@group(0) @binding(3) var<storage, read_write> logits: array<vec4<f32>>;
/// (targets)
@group(0) @binding(4) var<storage, read_write> losses: array<f32>;

/// Lower than any logit, yet finite.
const LOWEST: f32 = -3.0e38;

fn capped(logit: vec4<f32>) -> vec4<f32> {
    if (SOFTCAP) {
        // tanh is 1 to f32 from 9.1 on, and some drivers make NaN of large arguments.
        return params.cap * tanh(clamp(logit / params.cap, vec4<f32>(-10.0), vec4<f32>(10.0)));
    }
    return logit;
}

/// The last vec4 of a row where it holds padding: LOWEST in the padding.
fn tail(at: u32) -> vec4<f32> {
    let inside = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.vocab % 4u);
    return select(vec4<f32>(LOWEST), capped(logits[at]), inside);
}

@compute @workgroup_size(LANES * ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = index % LANES;
    let slot = index / LANES;
    let row = (workgroup.y * workgroups.x + workgroup.x) * ROWS + slot;
    let exists = row < params.rows;
    let live = exists && params.first + row < step.targets;
    let row_first = row * params.logits_stride;
    let full = params.vocab / 4u; // vec4 without padding
    let end = select(0u, full, live);
    let has_tail = live && params.vocab % 4u != 0u && full % LANES == lane;

    // Four vec4 at a time: their maximum, and only if that is a new one are the sums rescaled.
    var largest = LOWEST;
    var total = vec4<f32>(0.0);
    var part = vec4<f32>(0.0);
    var parts = 0u;
    var i = lane;
    while (i + 3u * LANES < end) {
        let a = capped(logits[row_first + i]);
        let b = capped(logits[row_first + i + LANES]);
        let c = capped(logits[row_first + i + 2u * LANES]);
        let d = capped(logits[row_first + i + 3u * LANES]);
        let m4 = max(max(a, b), max(c, d));
        let m = max(max(m4.x, m4.y), max(m4.z, m4.w));
        if (m > largest) {
            let shrink = exp(largest - m);
            total *= shrink;
            part *= shrink;
            largest = m;
        }
        part += (exp(a - largest) + exp(b - largest)) + (exp(c - largest) + exp(d - largest));
        parts += 1u;
        if (parts == 64u) {
            total += part;
            part = vec4<f32>(0.0);
            parts = 0u;
        }
        i += 4u * LANES;
    }
    while (i < end || (has_tail && i == full)) {
        var a: vec4<f32>;
        if (i < end) {
            a = capped(logits[row_first + i]);
        } else {
            a = tail(row_first + i);
        }
        let m = max(max(a.x, a.y), max(a.z, a.w));
        if (m > largest) {
            let shrink = exp(largest - m);
            total *= shrink;
            part *= shrink;
            largest = m;
        }
        part += exp(a - largest);
        i += LANES;
    }
    total += part;
    let lane_total = (total.x + total.y) + (total.z + total.w);
    let maximum = row_max(slot, lane, largest);
    let sum = row_sum(slot, lane, lane_total * exp(largest - maximum));

    // All lanes have read the label's logit before one of them overwrites it.
    let label = labels[min(params.first + row, arrayLength(&labels) - 1u)];
    var label_logit = 0.0;
    if (live && label < params.vocab) {
        label_logit = capped(logits[row_first + label / 4u])[label % 4u];
    }
    var loss = (maximum - label_logit) + log(sum);
    // With smoothing s the loss is logsumexp(z) - (1 - s) * z[label] - s * mean(z); z is taken relative to its maximum.
    if (SMOOTHING) {
        var all = vec4<f32>(0.0);
        var some = vec4<f32>(0.0);
        var count = 0u;
        for (var j = lane; j < end; j += LANES) {
            some += capped(logits[row_first + j]) - maximum;
            count += 1u;
            if (count % 64u == 0u) {
                all += some;
                some = vec4<f32>(0.0);
            }
        }
        if (has_tail) {
            let inside = vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.vocab % 4u);
            some += select(vec4<f32>(0.0), capped(logits[row_first + full]) - maximum, inside);
        }
        all += some;
        let mean = row_sum(slot, lane, (all.x + all.y) + (all.z + all.w)) / f32(params.vocab);
        loss += params.smoothing * ((label_logit - maximum) - mean);
    }
    var weight = 1.0;
    if (WEIGHED) {
        weight = exp(-loss);
    }
    var scale = step.loss_scale * weight;
    if (COUNTED) {
        scale = losses[min(params.first + row, arrayLength(&losses) - 1u)];
    } else if (live && lane == 0u) {
        var told = loss * weight;
        if (ACCURACY) {
            // A loss is never below 0, and 0 only where the target has all the probability.
            told = select(max(told, 1.0e-30), -told, label_logit >= maximum);
        }
        losses[params.first + row] = told;
    }
    if (!GRADIENT) {
        return;
    }
    if (LANES > 1u) {
        storageBarrier();
    }
    let inverse = 1.0 / sum;
    let width = (params.vocab + 3u) / 4u;
    for (var j = lane; j < select(0u, width, exists); j += LANES) {
        var gradient = vec4<f32>(0.0);
        if (live) {
            var z = capped(logits[row_first + j]);
            let column = vec4<u32>(0u, 1u, 2u, 3u) + j * 4u;
            let onehot = select(vec4<f32>(0.0), vec4<f32>(1.0), column == vec4<u32>(label));
            var target_share = onehot;
            if (SMOOTHING) {
                target_share = onehot * (1.0 - params.smoothing) + params.smoothing / f32(params.vocab);
            }
            gradient = (exp(z - maximum) * inverse - target_share) * scale;
            if (SOFTCAP) {
                z /= params.cap;
                gradient *= 1.0 - z * z;
            }
            if (j == full) {
                gradient = select(vec4<f32>(0.0), gradient, column < vec4<u32>(params.vocab));
            }
        }
        logits[row_first + j] = gradient;
    }
}
