// Turns the losses of an answer's tokens into what each counts in the gradient of a preference loss, in place; adds that loss and its figures to stats.
// One workgroup reads each loss once between the head's forward and its backward, so that the host need not come in between.
// An answer's sum is short chains and a tree in a fixed order; a pair's loss needs both sums, KTO's also the mean over the batch.
// use: shared/step.wgsl
// use: shared/stats.wgsl
// use: shared/total.wgsl

/// Threads of the workgroup, a power of two.
override WORKGROUP: u32 = 64u;
/// The loss: 0 sigmoid, 1 hinge, 2 IPO, 3 ORPO, 4 SimPO, 5 KTO.
override LOSS: u32 = 0u;
/// Whether the losses are overwritten; off for evaluation.
override GRADIENT: bool = true;

struct Params {
    /// Capacity of losses and answers.
    capacity: u32,
    /// How much a log-probability counts.
    beta: f32,
    /// Sigmoid: the label smoothing. SimPO: the margin. KTO: the weight of good answers.
    first: f32,
    /// KTO: the weight of bad answers.
    second: f32,
    /// What the preferred answer's mean cross-entropy counts beside the loss.
    ftx: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// First target of each answer, (answers + 1)
@group(0) @binding(2) var<storage, read> offsets: array<u32>;
/// Log-probability of each answer by the reference, (answers)
@group(0) @binding(3) var<storage, read> references: array<f32>;
/// What each answer is: 0 preferred, 1 rejected, 2 of another prompt (KTO), (answers)
@group(0) @binding(4) var<storage, read> roles: array<u32>;
/// In: loss of each target, out: what it counts in the gradient, (capacity)
@group(0) @binding(5) var<storage, read_write> losses: array<f32>;
/// Log-probability of each answer, then the derivative of the loss by it, (capacity)
@group(0) @binding(6) var<storage, read_write> answers: array<f32>;
@group(0) @binding(7) var<storage, read_write> stats: Stats;

const SIGMOID: u32 = 0u;
const HINGE: u32 = 1u;
const IPO: u32 = 2u;
const ORPO: u32 = 3u;
const SIMPO: u32 = 4u;
const KTO: u32 = 5u;

const PREFERRED: u32 = 0u;
const REJECTED: u32 = 1u;

fn sigmoid(x: f32) -> f32 {
    return 1.0 / (1.0 + exp(-clamp(x, -80.0, 80.0)));
}

/// ln(1 / (1 + e^-x)) without overflow, and without losing what is left of a small e^-x.
fn log_sigmoid(x: f32) -> f32 {
    let e = exp(-min(abs(x), 80.0));
    return min(x, 0.0) - select(log(1.0 + e), e - 0.5 * e * e, e < 1e-3);
}

/// 1 - e^x for x <= 0, at least the smallest number that has a logarithm here.
fn rest(x: f32) -> f32 {
    let series = -x * (1.0 + x * (0.5 + x * (1.0 / 6.0 + x / 24.0)));
    return max(select(1.0 - exp(max(x, -80.0)), series, x > -0.05), 1e-30);
}

/// The value of a pair's loss and its derivatives by the two log-probabilities (which are means for IPO, ORPO and SimPO).
fn pair_loss(chosen: f32, rejected: f32, chosen_reference: f32, rejected_reference: f32) -> vec3<f32> {
    let margin = (chosen - chosen_reference) - (rejected - rejected_reference);
    let x = params.beta * margin;
    if (LOSS == SIGMOID) {
        let value = -(1.0 - params.first) * log_sigmoid(x) - params.first * log_sigmoid(-x);
        let by_margin = params.beta * (params.first * sigmoid(x) - (1.0 - params.first) * sigmoid(-x));
        return vec3<f32>(value, by_margin, -by_margin);
    }
    if (LOSS == HINGE) {
        let by_margin = select(0.0, -params.beta, x < 1.0);
        return vec3<f32>(max(1.0 - x, 0.0), by_margin, -by_margin);
    }
    if (LOSS == IPO) {
        let off = margin - 0.5 / params.beta;
        return vec3<f32>(off * off, 2.0 * off, -2.0 * off);
    }
    if (LOSS == ORPO) {
        let odds = (chosen - rejected) - (log(rest(chosen)) - log(rest(rejected)));
        let by_odds = params.beta * sigmoid(-odds);
        let value = -chosen - params.beta * log_sigmoid(odds);
        return vec3<f32>(value, -1.0 - by_odds / rest(chosen), by_odds / rest(rejected));
    }
    let off = params.beta * (chosen - rejected) - params.first;
    let by_margin = -params.beta * sigmoid(-off);
    return vec3<f32>(-log_sigmoid(off), by_margin, -by_margin);
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_id) local: vec3<u32>) {
    let lane = local.x;
    let count = min(step.answers, params.capacity);
    for (var answer = 0u; answer < count; answer += 1u) {
        let end = min(offsets[answer + 1u], params.capacity);
        var sum = 0.0;
        for (var i = offsets[answer] + lane; i < end; i += WORKGROUP) {
            sum += losses[i];
        }
        let all = total(lane, sum);
        if (lane == 0u) {
            answers[answer] = -all;
        }
    }
    storageBarrier();

    let samples = count / 2u;
    var good = 0.0;
    var gain = 0.0;
    for (var sample = lane; sample < samples; sample += WORKGROUP) {
        let other = 2u * sample + 1u;
        good += select(0.0, 1.0, roles[other - 1u] == PREFERRED);
        gain += answers[other] - references[other];
    }
    let chosen_count = total(lane, good);
    let kl = max(total(lane, gain) / f32(max(samples, 1u)), 0.0);

    var value = 0.0;
    var rejected_count = 0.0;
    var chosen_reward = 0.0;
    var rejected_reward = 0.0;
    var chosen_logp = 0.0;
    var rejected_logp = 0.0;
    var correct = 0.0;
    for (var sample = lane; sample < samples; sample += WORKGROUP) {
        let a = 2u * sample;
        let b = a + 1u;
        let a_tokens = f32(max(offsets[b] - offsets[a], 1u));
        let b_tokens = f32(max(offsets[b + 1u] - offsets[b], 1u));
        let a_mean = answers[a] / a_tokens;
        var by_a = 0.0;
        var by_b = 0.0;
        var by_mean = 0.0;
        if (LOSS == KTO) {
            let gained = answers[a] - references[a];
            if (roles[a] == PREFERRED) {
                let s = sigmoid(params.beta * (gained - kl));
                value += params.first * (1.0 - s);
                by_a = -params.first * params.beta * s * (1.0 - s);
                // As LLaMA-Factory rescales it: the mean over the good answers, times all samples over the good ones.
                by_mean = -params.ftx * f32(samples) * f32(samples) / (chosen_count * chosen_count);
                value -= params.ftx * a_mean * f32(samples) * f32(samples) / (chosen_count * chosen_count);
                chosen_reward += params.beta * gained;
                chosen_logp += answers[a];
            } else {
                let s = sigmoid(params.beta * (kl - gained));
                value += params.second * (1.0 - s);
                by_a = params.second * params.beta * s * (1.0 - s);
                rejected_count += 1.0;
                rejected_reward += params.beta * gained;
                rejected_logp += answers[a];
            }
        } else {
            // IPO, ORPO and SimPO are of means.
            let means = LOSS == IPO || LOSS == ORPO || LOSS == SIMPO;
            let a_share = select(1.0, 1.0 / a_tokens, means);
            let b_share = select(1.0, 1.0 / b_tokens, means);
            let referred = select(0.0, 1.0, LOSS != ORPO && LOSS != SIMPO);
            let a_logp = answers[a] * a_share;
            let b_logp = answers[b] * b_share;
            let a_reference = references[a] * a_share * referred;
            let b_reference = references[b] * b_share * referred;
            let loss = pair_loss(a_logp, b_logp, a_reference, b_reference);
            value += loss.x - params.ftx * a_mean;
            by_a = loss.y * a_share;
            by_b = loss.z * b_share;
            by_mean = -params.ftx;
            let a_reward = params.beta * (a_logp - a_reference);
            let b_reward = params.beta * (b_logp - b_reference);
            rejected_count += 1.0;
            chosen_reward += a_reward;
            rejected_reward += b_reward;
            chosen_logp += a_logp;
            rejected_logp += b_logp;
            correct += select(0.0, 1.0, a_reward > b_reward);
        }
        answers[a] = by_a + by_mean / a_tokens;
        answers[b] = by_b;
    }
    let value_sum = total(lane, value) * step.loss_scale;
    let rejected_sum = total(lane, rejected_count);
    let chosen_reward_sum = total(lane, chosen_reward);
    let rejected_reward_sum = total(lane, rejected_reward);
    let chosen_logp_sum = total(lane, chosen_logp);
    let rejected_logp_sum = total(lane, rejected_logp);
    let correct_sum = total(lane, correct);
    if (lane == 0u) {
        let adds = step.accumulate == 1u;
        stats.loss_sum = select(0.0, stats.loss_sum, adds) + value_sum;
        stats.targets = select(0u, stats.targets, adds) + min(step.targets, params.capacity);
        stats.chosen = select(0.0, stats.chosen, adds) + chosen_count;
        stats.rejected = select(0.0, stats.rejected, adds) + rejected_sum;
        stats.chosen_reward = select(0.0, stats.chosen_reward, adds) + chosen_reward_sum;
        stats.rejected_reward = select(0.0, stats.rejected_reward, adds) + rejected_reward_sum;
        stats.chosen_logp = select(0.0, stats.chosen_logp, adds) + chosen_logp_sum;
        stats.rejected_logp = select(0.0, stats.rejected_logp, adds) + rejected_logp_sum;
        stats.correct = select(0.0, stats.correct, adds) + correct_sum;
        stats.kl = select(0.0, stats.kl, adds) + kl * f32(samples);
    }
    if (!GRADIENT) {
        return;
    }
    storageBarrier();
    for (var answer = 0u; answer < count; answer += 1u) {
        let end = min(offsets[answer + 1u], params.capacity);
        // The losses fall by what the log-probability gains.
        let counts = -answers[answer] * step.loss_scale;
        for (var i = offsets[answer] + lane; i < end; i += WORKGROUP) {
            losses[i] = counts;
        }
    }
}
