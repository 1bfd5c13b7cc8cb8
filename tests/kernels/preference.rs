//! The output head under a preference loss: the loss, its figures, the gradients of the hidden states and of the weight; in one chunk and
//! in two, where the logits are computed twice.

use std::rc::Rc;

use pollster::block_on;
use rootstock::data::{Batch, Feedback, Sample};
use rootstock::engine::encode;
use rootstock::gpu::{Gpu, Profile};
use rootstock::graph::{Graph, Objective, ParamId, Preference, PreferenceLoss, Purpose};
use rootstock::kernels::{Stats, StepValues};
use rootstock::plan::{Options, ParamStore, Part, Runner, compile};

use super::{Ends, error, gpu, param, profiles};
use crate::reference::preference::{self, Answers};
use crate::reference::{Random, cross_entropy, dot};

/// A log-probability is a sum of up to 125 losses of about 6, in f32, and what it counts for is a sigmoid of it.
const TOLERANCE: f64 = 1e-4;

const X: ParamId = ParamId(0);
const W: ParamId = ParamId(1);

/// A token that is learned: its row, its label, its logits.
type Target = (usize, usize, Vec<f64>);

struct Case {
    hidden: usize,
    vocabulary: usize,
    batch: Batch,
    tokens: usize,
    answers: Answers,
    x: Vec<f64>,
    w: Vec<f64>,
}

impl Case {
    /// Samples of two answers each, `longer` times as long as a few tokens.
    fn new(random: &mut Random, samples: usize, longer: usize, kto: bool) -> Case {
        let (hidden, vocabulary) = (12, 31);
        let mut ids = |length: usize| (0..length).map(|_| ((random.number() + 1.0) * 15.0) as u32).collect::<Vec<u32>>();
        let samples: Vec<Sample> = (0..samples)
            .map(|i| {
                let answer = |prompt: &[u32], answer: Vec<u32>| {
                    let labels = prompt.iter().map(|_| -100).chain(answer.iter().map(|id| *id as i32)).collect();
                    ([prompt, &answer].concat(), labels)
                };
                let prompt = ids(1 + i % 3);
                let answers = [answer(&prompt, ids(longer * (1 + i % 4))), answer(&prompt, ids(longer * (1 + (i + 2) % 5)))];
                let feedback = [Feedback::Good, Feedback::Bad][usize::from(i % 3 == 1)];
                Sample::of_answers(if kto { feedback } else { Feedback::Pair }, answers, i + 1)
            })
            .collect();
        let batch = Batch::of(&samples.iter().collect::<Vec<_>>());
        let tokens: Vec<usize> = batch.answers.iter().map(|answer| answer.targets).collect();
        let good = samples.iter().map(|sample| sample.feedback != Some(Feedback::Bad)).collect();
        let size = batch.len().next_multiple_of(32);
        let (x, w) = (random.vector(size * hidden), random.vector(vocabulary * hidden));
        let mut case = Case { hidden, vocabulary, batch, tokens: size, answers: Answers { tokens, references: Vec::new(), good }, x, w };
        // Near what the answers get, so that no sigmoid is at its end.
        let near = |logp: &f64| f64::from((logp + 3.0 * random.number()) as f32);
        case.answers.references = case.forward().1.iter().map(near).collect();
        let pairs: Vec<[f32; 2]> = case.answers.references.chunks_exact(2).map(|pair| [pair[0] as f32, pair[1] as f32]).collect();
        case.batch = case.batch.with_references(pairs);
        case
    }

    /// The logits of each target, their labels, and the answers' log-probabilities.
    fn forward(&self) -> (Vec<Target>, Vec<f64>) {
        let (rows, labels) = self.batch.target_rows();
        let targets: Vec<Target> = rows
            .iter()
            .zip(&labels)
            .map(|(row, label)| {
                let row = *row as usize;
                let x = &self.x[row * self.hidden..(row + 1) * self.hidden];
                (row, *label as usize, self.w.chunks(self.hidden).map(|w| dot(w, x)).collect())
            })
            .collect();
        let mut rest = &targets[..];
        let logps = self.answers.tokens.iter().map(|n| {
            let (own, after) = rest.split_at(*n);
            rest = after;
            -own.iter().map(|(_, label, logits)| cross_entropy::forward(logits, *label, None)).sum::<f64>()
        });
        let logps = logps.collect();
        (targets, logps)
    }

    fn check(&self, gpu: &Rc<Gpu>, profile: &Profile, loss: Preference, purpose: Purpose) {
        let training = purpose == Purpose::Train;
        let params = Rc::new(vec![param("x", self.tokens, self.hidden, true), param("w", self.vocabulary, self.hidden, true)]);
        let mut graph = Graph::new(self.tokens, purpose, params.clone());
        graph.objective = Objective { preference: Some(loss), ..Objective::default() };
        let x = graph.feed(X);
        graph.lm_head(x, W, None);
        let store = Rc::new(block_on(ParamStore::allocate(gpu, params, training)).expect("memory for a small test"));
        for (id, data) in [(X, &self.x), (W, &self.w)] {
            store.upload(gpu, Part::Weights, id, 0, &data.iter().map(|v| *v as f32).collect::<Vec<_>>());
        }
        let program = compile(&graph, &store.layout, profile, Options::default());
        let mut runner = block_on(Runner::new(gpu.clone(), store.clone())).expect("memory for a small test");
        let prepared = block_on(runner.bind(&program)).expect("the device takes the kernels");
        runner.clear_stats();
        let (inputs, counts) = encode(&self.batch, self.tokens);
        let scale = 0.125;
        // Two micro-steps of one group.
        for accumulate in 0..2 {
            let (targets, answers) = (counts.targets, counts.answers);
            let step = StepValues { accumulate, targets, answers, loss_scale: scale, ..StepValues::default() };
            runner.run(&prepared, &step, &inputs).expect("the program runs");
        }
        let stats = block_on(async { runner.start_read_stats()?.wait(&runner).await }).expect("the statistics can be read");
        let (targets, logps) = self.forward();
        let scale = f64::from(scale);
        let what = format!("{loss:?} of {} targets on {:?}", targets.len(), profile.class);
        let compare = |name: &str, got: &[f32], want: &[f64]| {
            let error = error(got, want, 1e-30);
            assert!(error < TOLERANCE, "{name} {what}: off by {error:.2e}");
        };
        compare("loss", &[stats.loss_sum], &[2.0 * scale * preference::forward(&loss, &self.answers, &logps)]);
        self.check_figures(&stats, &loss, &logps, &what);
        if !training {
            return;
        }
        let counts = preference::backward(&loss, &self.answers, &logps);
        let (mut dx, mut dw) = (vec![0.0; self.x.len()], vec![0.0; self.w.len()]);
        let answer_of = self.answers.tokens.iter().enumerate().flat_map(|(answer, n)| std::iter::repeat_n(answer, *n));
        for ((row, label, logits), answer) in targets.iter().zip(answer_of) {
            for (v, d) in cross_entropy::backward(logits, *label, None, -counts[answer] * scale).into_iter().enumerate() {
                for k in 0..self.hidden {
                    dx[row * self.hidden + k] += d * self.w[v * self.hidden + k];
                    dw[v * self.hidden + k] += d * self.x[row * self.hidden + k];
                }
            }
        }
        let read = |id, rows| block_on(store.download(gpu, Part::Gradients, id, 0..rows)).expect("a gradient can be read");
        compare("dx", &read(X, self.tokens), &dx);
        compare("dw", &read(W, self.vocabulary), &dw.iter().map(|v| 2.0 * v).collect::<Vec<_>>());
    }

    fn check_figures(&self, stats: &Stats, loss: &Preference, logps: &[f64], what: &str) {
        let kto = matches!(loss.loss, PreferenceLoss::Kto { .. });
        let means = matches!(loss.loss, PreferenceLoss::Ipo | PreferenceLoss::Orpo | PreferenceLoss::Simpo { .. });
        let reward = |i: usize| {
            let reference = if loss.needs_reference() { self.answers.references[i] } else { 0.0 };
            let gain = logps[i] - reference;
            f64::from(loss.beta) * if means { gain / self.answers.tokens[i] as f64 } else { gain }
        };
        let (mut chosen, mut rejected, mut correct) = (0.0, 0.0, 0.0);
        for (sample, good) in self.answers.good.iter().enumerate() {
            let (a, b) = (2 * sample, 2 * sample + 1);
            match (kto, good) {
                (true, true) => chosen += reward(a),
                (true, false) => rejected += reward(a),
                (false, _) => {
                    chosen += reward(a);
                    rejected += reward(b);
                    correct += f64::from(u8::from(reward(a) > reward(b)));
                }
            }
        }
        for (name, got, want) in [("chosen", stats.chosen_reward, chosen), ("rejected", stats.rejected_reward, rejected)] {
            let off = (f64::from(got) - 2.0 * want).abs();
            assert!(off < TOLERANCE * want.abs().max(10.0), "reward of {name} {what}: {got} instead of {}", 2.0 * want);
        }
        assert_eq!(f64::from(stats.correct), 2.0 * correct, "{what}");
    }
}

#[test]
fn losses_figures_and_gradients() {
    let gpu = gpu();
    let mut random = Random::new(29);
    // The second of each has more targets than a chunk has rows.
    let pairs = [Case::new(&mut random, 5, 2, false), Case::new(&mut random, 9, 25, false)];
    let rated = [Case::new(&mut random, 5, 2, true), Case::new(&mut random, 9, 25, true)];
    for profile in profiles(&gpu) {
        for loss in preference::all() {
            let cases = if matches!(loss.loss, PreferenceLoss::Kto { .. }) { &rated } else { &pairs };
            for case in cases {
                case.check(&gpu, &profile, loss, Purpose::Train);
                case.check(&gpu, &profile, loss, Purpose::Evaluate);
            }
        }
    }
}
