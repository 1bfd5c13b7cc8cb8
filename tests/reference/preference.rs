//! Preference losses in f64: what answers' log-probabilities give, and the derivative by each.

use rootstock::graph::{Preference, PreferenceLoss};

/// What a batch's answers are, two for each sample: `kto` says of a sample whether its answer is good.
#[derive(Debug, Clone)]
pub(crate) struct Answers {
    pub(crate) tokens: Vec<usize>,
    pub(crate) references: Vec<f64>,
    /// Whether a sample's answer is good; of pairs nothing.
    pub(crate) good: Vec<bool>,
}

/// The sum of the samples' losses.
pub(crate) fn forward(p: &Preference, answers: &Answers, logps: &[f64]) -> f64 {
    with_kl(p, answers, logps, kl(answers, logps))
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

fn odds(x: f64) -> f64 {
    x - (-x.exp()).ln_1p()
}

/// What answers to other prompts gained, at least 0.
fn kl(answers: &Answers, logps: &[f64]) -> f64 {
    let gains = (1..logps.len()).step_by(2).map(|i| logps[i] - answers.references[i]);
    (gains.sum::<f64>() / (logps.len() / 2) as f64).max(0.0)
}

fn with_kl(p: &Preference, answers: &Answers, logps: &[f64], kl: f64) -> f64 {
    let (beta, ftx) = (f64::from(p.beta), f64::from(p.ftx));
    let samples = (logps.len() / 2) as f64;
    let good = answers.good.iter().filter(|good| **good).count() as f64;
    let one = |s: usize| {
        let (a, b) = (2 * s, 2 * s + 1);
        let mean = |i: usize| logps[i] / answers.tokens[i] as f64;
        let ln_sigmoid = |x: f64| sigmoid(x).ln();
        let u = (logps[a] - answers.references[a]) - (logps[b] - answers.references[b]);
        let loss = match p.loss {
            PreferenceLoss::Sigmoid { label_smoothing } => {
                let s = f64::from(label_smoothing);
                -(1.0 - s) * ln_sigmoid(beta * u) - s * ln_sigmoid(-beta * u)
            }
            PreferenceLoss::Hinge => (1.0 - beta * u).max(0.0),
            PreferenceLoss::Ipo => {
                let gain = |i: usize| (logps[i] - answers.references[i]) / answers.tokens[i] as f64;
                (gain(a) - gain(b) - 0.5 / beta).powi(2)
            }
            PreferenceLoss::Orpo => -mean(a) - beta * ln_sigmoid(odds(mean(a)) - odds(mean(b))),
            PreferenceLoss::Simpo { gamma } => -ln_sigmoid(beta * (mean(a) - mean(b)) - f64::from(gamma)),
            PreferenceLoss::Reward => -ln_sigmoid(logps[a] - logps[b]),
            PreferenceLoss::Kto { chosen_weight, rejected_weight } => {
                let gain = logps[a] - answers.references[a];
                return if answers.good[s] {
                    f64::from(chosen_weight) * (1.0 - sigmoid(beta * (gain - kl))) - ftx * mean(a) * samples * samples / (good * good)
                } else {
                    f64::from(rejected_weight) * (1.0 - sigmoid(beta * (kl - gain)))
                };
            }
        };
        loss - ftx * mean(a)
    };
    (0..logps.len() / 2).map(one).sum()
}

/// The derivative by each log-probability; KTO's mean over other answers counts as a constant.
pub(crate) fn backward(p: &Preference, answers: &Answers, logps: &[f64]) -> Vec<f64> {
    let (beta, ftx) = (f64::from(p.beta), f64::from(p.ftx));
    let kl = kl(answers, logps);
    let samples = (logps.len() / 2) as f64;
    let good = answers.good.iter().filter(|good| **good).count() as f64;
    let one = |s: usize| {
        let (a, b) = (2 * s, 2 * s + 1);
        let (a_tokens, b_tokens) = (answers.tokens[a] as f64, answers.tokens[b] as f64);
        let u = (logps[a] - answers.references[a]) - (logps[b] - answers.references[b]);
        let by_u = |by_u: f64| [by_u, -by_u];
        let [by_a, by_b] = match p.loss {
            PreferenceLoss::Sigmoid { label_smoothing } => {
                let s = f64::from(label_smoothing);
                by_u(beta * (s * sigmoid(beta * u) - (1.0 - s) * sigmoid(-beta * u)))
            }
            PreferenceLoss::Hinge => by_u(if beta * u < 1.0 { -beta } else { 0.0 }),
            PreferenceLoss::Ipo => {
                let gain = |i: usize| (logps[i] - answers.references[i]) / answers.tokens[i] as f64;
                let off = 2.0 * (gain(a) - gain(b) - 0.5 / beta);
                [off / a_tokens, -off / b_tokens]
            }
            PreferenceLoss::Orpo => {
                let (x, y) = (logps[a] / a_tokens, logps[b] / b_tokens);
                let lead = beta * sigmoid(odds(y) - odds(x));
                [(-1.0 - lead / -x.exp_m1()) / a_tokens, lead / -y.exp_m1() / b_tokens]
            }
            PreferenceLoss::Simpo { gamma } => {
                let off = beta * (logps[a] / a_tokens - logps[b] / b_tokens) - f64::from(gamma);
                let lead = beta * sigmoid(-off);
                [-lead / a_tokens, lead / b_tokens]
            }
            PreferenceLoss::Reward => {
                let lead = sigmoid(logps[b] - logps[a]);
                [-lead, lead]
            }
            PreferenceLoss::Kto { chosen_weight, rejected_weight } => {
                let gain = logps[a] - answers.references[a];
                let bell = |x: f64| beta * sigmoid(x) * sigmoid(-x);
                return if answers.good[s] {
                    let by_mean = ftx * samples * samples / (good * good) / a_tokens;
                    [-f64::from(chosen_weight) * bell(beta * (gain - kl)) - by_mean, 0.0]
                } else {
                    [f64::from(rejected_weight) * bell(beta * (kl - gain)), 0.0]
                };
            }
        };
        [by_a - ftx / a_tokens, by_b]
    };
    (0..logps.len() / 2).flat_map(one).collect()
}

/// Every loss, with numbers at which each of its terms shows.
pub(crate) fn all() -> Vec<Preference> {
    let with = |loss, beta, ftx| Preference { loss, beta, ftx };
    vec![
        with(PreferenceLoss::Sigmoid { label_smoothing: 0.0 }, 0.5, 0.0),
        with(PreferenceLoss::Sigmoid { label_smoothing: 0.25 }, 0.3, 0.5),
        with(PreferenceLoss::Hinge, 0.375, 0.125),
        with(PreferenceLoss::Ipo, 0.5, 0.0),
        with(PreferenceLoss::Orpo, 0.75, 0.25),
        with(PreferenceLoss::Simpo { gamma: 0.5 }, 2.0, 0.0),
        with(PreferenceLoss::Kto { chosen_weight: 1.25, rejected_weight: 0.75 }, 0.5, 0.25),
    ]
}

/// A reward model's loss, of values in the place of log-probabilities.
pub(crate) fn reward() -> Preference {
    Preference { loss: PreferenceLoss::Reward, beta: 1.0, ftx: 0.0 }
}

#[test]
fn every_loss_has_its_derivative() {
    let answers =
        Answers { tokens: vec![4, 3, 1, 6, 5, 2], references: vec![-9.0, -7.5, -2.0, -11.0, -12.0, -4.5], good: vec![true, false, true] };
    for p in all().into_iter().chain([reward()]) {
        for logps in [[-8.5, -7.0, -2.5, -9.0, -11.0, -6.0], [-3.0, -9.5, -0.5, -13.0, -14.0, -2.0]] {
            let kl = kl(&answers, &logps);
            let gradient = backward(&p, &answers, &logps);
            assert!(gradient.iter().any(|g| *g != 0.0), "{p:?}");
            super::assert_gradient(&format!("{:?}", p.loss), &logps, &gradient, |at| with_kl(&p, &answers, at, kl));
        }
    }
}
