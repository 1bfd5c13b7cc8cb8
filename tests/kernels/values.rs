//! The value head of a reward model: its map to one feature, the values of the answers' last tokens, their loss, and the gradients of hidden
//! states, weight and bias.

use std::rc::Rc;

use pollster::block_on;
use rootstock::data::{Batch, Feedback, Sample};
use rootstock::engine::encode;
use rootstock::gpu::{Gpu, Profile};
use rootstock::graph::{Graph, Objective, ParamId, Purpose};
use rootstock::kernels::StepValues;
use rootstock::plan::{Options, ParamStore, Part, Runner, compile};

use super::{Ends, error, gpu, param, profiles};
use crate::reference::preference::{self, Answers};
use crate::reference::{Random, dot};

/// Of a gradient: it goes through an exponential, which a device computes to about 1e-5.
const TOLERANCE: f64 = 1e-4;

const X: ParamId = ParamId(0);
const W: ParamId = ParamId(1);
const B: ParamId = ParamId(2);

/// `samples` pairs of answers of up to `longest` tokens.
fn batch(samples: usize, longest: usize) -> Batch {
    let answer = |i: usize| {
        let length = 1 + (i * 7 + 3) % longest;
        ((0..length as u32).collect::<Vec<u32>>(), vec![0; length])
    };
    let samples: Vec<Sample> =
        (0..samples).map(|i| Sample::of_answers(Feedback::Judged, [answer(2 * i), answer(2 * i + 1)], i + 1)).collect();
    Batch::of(&samples.iter().collect::<Vec<_>>())
}

fn check(gpu: &Rc<Gpu>, profile: &Profile, hidden: usize, batch: &Batch, purpose: Purpose) {
    let tokens = batch.len().next_multiple_of(32);
    let mut random = Random::new(hidden as u64);
    let (x, w, b) = (random.vector(tokens * hidden), random.vector(hidden), random.vector(1));
    let params = Rc::new(vec![param("x", tokens, hidden, true), param("w", 1, hidden, true), param("b", 1, 1, true)]);
    let mut graph = Graph::new(tokens, purpose, params.clone());
    graph.objective = Objective { preference: Some(preference::reward()), ..Objective::default() };
    let fed = graph.feed(X);
    let values = graph.linear(fed, W, Some(B));
    graph.values(values);
    let training = purpose == Purpose::Train;
    let store = Rc::new(block_on(ParamStore::allocate(gpu, params, training)).expect("memory for a small test"));
    for (id, data) in [(X, &x), (W, &w), (B, &b)] {
        store.upload(gpu, Part::Weights, id, 0, &data.iter().map(|v| *v as f32).collect::<Vec<_>>());
    }
    let program = compile(&graph, &store.layout, profile, Options::default());
    let mut runner = block_on(Runner::new(gpu.clone(), store.clone())).expect("memory for a small test");
    let prepared = block_on(runner.bind(&program)).expect("the device takes the kernels");
    runner.clear_stats();
    let (inputs, counts) = encode(batch, tokens);
    let scale = 0.25;
    // Two micro-steps of one group.
    for accumulate in 0..2 {
        let (targets, answers) = (counts.targets, counts.answers);
        let step = StepValues { accumulate, targets, answers, loss_scale: scale, ..StepValues::default() };
        runner.run(&prepared, &step, &inputs).expect("the program runs");
    }
    let stats = block_on(async { runner.start_read_stats()?.wait(&runner).await }).expect("the statistics can be read");

    let (rows, _) = batch.target_rows();
    let rows: Vec<usize> = rows.into_iter().map(|row| row as usize).collect();
    let row = |at: usize| &x[at * hidden..(at + 1) * hidden];
    let values: Vec<f64> = rows.iter().map(|at| dot(row(*at), &w) + b[0]).collect();
    let pairs = values.len() / 2;
    let answers = Answers { tokens: vec![1; values.len()], references: vec![0.0; values.len()], good: vec![true; pairs] };
    let scale = f64::from(scale);
    let what = format!("{pairs} pairs of {hidden} features on {:?}", profile.class);
    let compare = |name: &str, got: &[f32], want: &[f64]| {
        let error = error(got, want, 1e-30);
        assert!(error < TOLERANCE, "{name} {what}: off by {error:.2e}");
    };
    compare("loss", &[stats.loss_sum], &[2.0 * scale * preference::forward(&preference::reward(), &answers, &values)]);
    let sum = |first: usize| 2.0 * values.iter().skip(first).step_by(2).sum::<f64>();
    for (name, got, want) in [("chosen", stats.chosen_reward, sum(0)), ("rejected", stats.rejected_reward, sum(1))] {
        assert!((f64::from(got) - want).abs() < 1e-4 * want.abs().max(1.0), "values of {name} {what}: {got} instead of {want}");
    }
    let lead = values.chunks(2).filter(|pair| pair[0] > pair[1]).count();
    assert_eq!((stats.correct, stats.chosen), (2.0 * lead as f32, 2.0 * pairs as f32), "{what}");
    if !training {
        let losses = block_on(runner.read_losses(rows.len())).expect("the losses can be read");
        return compare("values", &losses, &values.iter().map(|value| -value).collect::<Vec<_>>());
    }
    let by_value = preference::backward(&preference::reward(), &answers, &values);
    let (mut dx, mut dw, mut db) = (vec![0.0; x.len()], vec![0.0; hidden], 0.0);
    for (at, by) in rows.iter().zip(&by_value) {
        for k in 0..hidden {
            dx[at * hidden + k] += scale * by * w[k];
            dw[k] += 2.0 * scale * by * row(*at)[k];
        }
        db += 2.0 * scale * by;
    }
    let read = |id, rows| block_on(store.download(gpu, Part::Gradients, id, 0..rows)).expect("a gradient can be read");
    compare("dx", &read(X, tokens), &dx);
    compare("dw", &read(W, 1), &dw);
    // The derivatives by the bias cancel in each pair: what is left is rounding.
    assert!((f64::from(read(B, 1)[0]) - db).abs() < 1e-6, "db {what}: {:?} for {db}", read(B, 1));
}

#[test]
fn values_losses_and_gradients() {
    let gpu = gpu();
    for profile in profiles(&gpu) {
        for (hidden, samples, longest) in [(12, 3, 5), (53, 9, 40), (260, 1, 1)] {
            let batch = batch(samples, longest);
            assert_eq!(batch.target_count(), 2 * samples);
            check(&gpu, &profile, hidden, &batch, Purpose::Train);
            check(&gpu, &profile, hidden, &batch, Purpose::Evaluate);
        }
    }
}
