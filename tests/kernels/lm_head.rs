//! The output head: losses, their sum, the gradients of the hidden states and of the weight; in one chunk and in two, masked
//! tokens left out, with a softcap and without, and tied to the embedding.

use std::rc::Rc;

use pollster::block_on;
use rootstock::gpu::{Gpu, Profile};
use rootstock::graph::{Graph, Objective, ParamId, Purpose};
use rootstock::kernels::{Input, InputLayout, StepValues};
use rootstock::plan::{Options, ParamStore, Part, Runner, compile};

use super::{Ends, error, gpu, param, profiles_by_lanes};
use crate::reference::{Random, cross_entropy};

/// Logits are sums of up to 64 products, and exp is good to a few units in the last place. Measured on lavapipe: 2e-6.
const TOLERANCE: f64 = 1e-5;

const X: ParamId = ParamId(0);
const W: ParamId = ParamId(1);

struct Head {
    tokens: usize,
    hidden: usize,
    vocabulary: usize,
    softcap: Option<f32>,
    objective: Objective,
    x: Vec<f64>,
    w: Vec<f64>,
    /// Rows with a target, ascending, and their labels.
    targets: Vec<(usize, usize)>,
}

impl Head {
    fn new(random: &mut Random, tokens: usize, hidden: usize, vocabulary: usize, softcap: Option<f32>) -> Head {
        let targets = (0..tokens).filter(|i| i % 5 != 2).map(|i| (i, (i * 7 + 3) % vocabulary)).collect();
        let (x, w) = (random.vector(tokens * hidden), random.vector(vocabulary * hidden));
        Head { tokens, hidden, vocabulary, softcap, objective: Objective::default(), x, w, targets }
    }

    fn with(self, label_smoothing: f32, weigh_by_probability: bool) -> Head {
        Head { objective: Objective { label_smoothing, weigh_by_probability, ..Objective::default() }, ..self }
    }

    fn batch(&self) -> Vec<u8> {
        let layout = InputLayout::new(self.tokens);
        let mut bytes = vec![0u8; layout.bytes() as usize];
        for (i, (row, label)) in self.targets.iter().enumerate() {
            for (input, value) in [(Input::TargetRows, row), (Input::TargetLabels, label)] {
                let at = layout.offset(input) as usize + 4 * i;
                bytes[at..at + 4].copy_from_slice(&(*value as u32).to_le_bytes());
            }
        }
        bytes
    }

    /// Losses and the gradients of x and w for a gradient of `scale` of every loss.
    fn twin(&self, scale: f64) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
        let (mut losses, mut dx, mut dw) = (Vec::new(), vec![0.0; self.x.len()], vec![0.0; self.w.len()]);
        let cap = self.softcap.map(f64::from);
        for &(row, label) in &self.targets {
            let at = row * self.hidden..(row + 1) * self.hidden;
            let x = &self.x[at.clone()];
            let logits: Vec<f64> = self.w.chunks(self.hidden).map(|w| crate::reference::dot(w, x)).collect();
            let (smoothing, weighed) = (f64::from(self.objective.label_smoothing), self.objective.weigh_by_probability);
            let (loss, gradient) = cross_entropy::changed(&logits, label, cap, scale, smoothing, weighed);
            losses.push(loss);
            for (v, d) in gradient.into_iter().enumerate() {
                for k in 0..self.hidden {
                    dx[row * self.hidden + k] += d * self.w[v * self.hidden + k];
                    dw[v * self.hidden + k] += d * x[k];
                }
            }
        }
        (losses, dx, dw)
    }

    fn check(&self, gpu: &Rc<Gpu>, profile: &Profile, purpose: Purpose) {
        let training = purpose == Purpose::Train;
        let params = Rc::new(vec![param("x", self.tokens, self.hidden, true), param("w", self.vocabulary, self.hidden, true)]);
        let mut graph = Graph::new(self.tokens, purpose, params.clone());
        graph.objective = self.objective;
        let x = graph.feed(X);
        graph.lm_head(x, W, self.softcap);
        let store = Rc::new(block_on(ParamStore::allocate(gpu, params, training)).expect("memory for a small test"));
        for (id, data) in [(X, &self.x), (W, &self.w)] {
            store.upload(gpu, Part::Weights, id, 0, &data.iter().map(|v| *v as f32).collect::<Vec<_>>());
        }
        let program = compile(&graph, &store.layout, profile, Options::default());
        let mut runner = block_on(Runner::new(gpu.clone(), store.clone())).expect("memory for a small test");
        let prepared = block_on(runner.bind(&program)).expect("the device takes the kernels");
        runner.clear_stats();
        let loss_scale = 0.25;
        // Two micro-steps of one group.
        for accumulate in 0..2 {
            let step = StepValues { accumulate, targets: self.targets.len() as u32, loss_scale, ..StepValues::default() };
            runner.run(&prepared, &step, &self.batch()).expect("the program runs");
        }
        let (losses, dx, dw) = self.twin(f64::from(loss_scale));
        let what = format!("({}, {}) to {} on {:?}", self.tokens, self.hidden, self.vocabulary, profile.class);
        // A loss that weighs or spreads takes one exponential or one sum more.
        let tolerance = if self.objective == Objective::default() { TOLERANCE } else { 2.0 * TOLERANCE };
        let compare = |name: &str, got: &[f32], want: &[f64]| {
            let error = error(got, want, 1e-30);
            assert!(error < tolerance, "{name} {what}: off by {error:.2e}");
        };
        compare("losses", &block_on(runner.read_losses(losses.len())).expect("losses can be read"), &losses);
        let stats = block_on(async { runner.start_read_stats()?.wait(&runner).await }).expect("the statistics can be read");
        compare("loss sum", &[stats.loss_sum], &[2.0 * losses.iter().sum::<f64>()]);
        assert_eq!(stats.targets as usize, 2 * losses.len(), "targets {what}");
        if training {
            let read = |id, rows| block_on(store.download(gpu, Part::Gradients, id, 0..rows)).expect("a gradient can be read");
            compare("dx", &read(X, self.tokens), &dx);
            compare("dw", &read(W, self.vocabulary), &dw.iter().map(|v| 2.0 * v).collect::<Vec<_>>());
        }
    }
}

#[test]
fn losses_and_gradients() {
    let gpu = gpu();
    let mut random = Random::new(71);
    let heads = [
        Head::new(&mut random, 1, 3, 5, None),
        Head::new(&mut random, 70, 20, 307, None),
        Head::new(&mut random, 33, 64, 50, Some(2.5)),
        // More targets than a chunk has rows.
        Head::new(&mut random, 700, 6, 11, Some(30.0)),
        Head::new(&mut random, 40, 20, 307, None).with(0.1, false),
        Head::new(&mut random, 40, 20, 50, Some(2.5)).with(0.3, false),
        Head::new(&mut random, 40, 20, 307, Some(2.5)).with(0.0, true),
    ];
    for profile in profiles_by_lanes(&gpu) {
        for head in &heads {
            head.check(&gpu, &profile, Purpose::Train);
            head.check(&gpu, &profile, Purpose::Evaluate);
        }
    }
}
