//! Whole models against transformers, and adapters against PEFT: logits, loss, every gradient, ten or twenty optimiser steps
//! (tests/fixtures/golden/README.md, tests/fixtures/peft/README.md).

mod kept;
mod peft;
mod pissa;

use std::collections::BTreeMap;
use std::rc::Rc;

use rootstock::checkpoint::{Checkpoint, ParamSource, TensorFile};
use rootstock::config::{SchedulerKwargs, SchedulerType};
use rootstock::data::{Batch, Sample};
use rootstock::engine::{Engine, EngineOptions, Half, Method, Objective};
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::kernels::StepValues;
use rootstock::model::{Layout, ParamDecl};
use rootstock::optim::{AdamW, Optimizer};
use rootstock::plan::Part;
use rootstock::platform::{Directory, NativeDirectory, block_on};
use rootstock::train::Schedule;
use serde_json::Value;

use crate::kernels::gpu;

/// Largest error of a loss, gradient or parameter over the largest magnitude of the tensor. transformers in f32 differs from itself
/// in f64 by up to 3e-6; the weakest wrong configuration ("mutants" in the fixtures) moves the logits by 1e-2.
const TOLERANCE: f64 = 2e-5;

/// After ten AdamW steps: where a gradient is nearly zero, Adam divides rounding by rounding.
const TOLERANCE_AFTER_TRAINING: f64 = 1e-4;

const _: () = assert!(TOLERANCE <= 1e-4 && TOLERANCE_AFTER_TRAINING <= 1e-4, "the promise is 1e-4");

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) golden: Value,
    pub(crate) tensors: TensorFile,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) samples: Vec<Sample>,
    /// What is trained.
    method: Method,
    /// The trained parameters, and where they begin among the engine's.
    trained: Vec<ParamDecl>,
    first: usize,
    /// How activations are kept.
    kept: Option<Half>,
}

pub(crate) fn cases() -> Vec<String> {
    folders("tests/fixtures/golden")
}

fn folders(path: &str) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(path)
        .expect("the fixtures are part of the repository")
        .filter_map(|e| e.ok().filter(|e| e.path().is_dir()).map(|e| e.file_name().to_string_lossy().into_owned()))
        .collect();
    names.sort();
    names
}

pub(crate) async fn open(name: &str) -> Case {
    let directory: Rc<dyn Directory> = Rc::new(NativeDirectory::new(format!("tests/fixtures/golden/{name}")));
    let golden: Value = serde_json::from_slice(&directory.read("golden.json").await.expect("golden.json")).expect("JSON");
    let tensors = TensorFile::open(directory.clone(), "golden.safetensors").await.expect("golden.safetensors");
    let checkpoint = Checkpoint::open(directory).await.unwrap_or_else(|e| panic!("{name}: {e}"));
    let ints = |v: &Value| v.as_array().expect("a list").iter().map(|i| i.as_i64().expect("an integer")).collect::<Vec<_>>();
    let samples = golden["sequences"].as_array().expect("a list").iter().map(|s| {
        let ids = ints(&s["input_ids"]).into_iter().map(|i| i as u32).collect();
        let labels = ints(&s["labels"]).into_iter().map(|i| i as i32).collect();
        Sample::new(ids, labels, 1)
    });
    let samples = samples.collect();
    let trained = checkpoint.params().to_vec();
    Case { name: name.into(), golden, tensors, checkpoint, samples, method: Method::Full, trained, first: 0, kept: None }
}

impl Case {
    fn sequence(&self) -> usize {
        self.samples.iter().map(|s| s.ids.len()).max().unwrap_or(1)
    }

    async fn engine(&self, gpu: Rc<Gpu>, gradient_checkpointing: bool) -> Engine {
        let t = &self.golden["train"];
        let adamw = AdamW {
            beta1: number(&t["adam_beta1"]),
            beta2: number(&t["adam_beta2"]),
            epsilon: number(&t["adam_epsilon"]),
            weight_decay: number(&t["weight_decay"]),
        };
        let options = EngineOptions {
            method: self.method.clone(),
            gradient_checkpointing,
            kept: self.kept,
            sequence: self.sequence(),
            optimizer: Optimizer::AdamW(adamw),
            objective: Objective::default(),
        };
        Engine::load(gpu, &self.checkpoint, options).await.unwrap_or_else(|e| panic!("{}: {e}", self.name))
    }

    fn batch(&self, indices: &Value) -> Batch {
        let chosen: Vec<&Sample> =
            indices.as_array().expect("a list").iter().map(|i| &self.samples[i.as_u64().expect("an index") as usize]).collect();
        Batch::of(&chosen)
    }

    /// A golden tensor in compute layout.
    async fn golden(&self, prefix: &str, d: &ParamDecl) -> Vec<f32> {
        in_compute_layout(&self.tensors, &format!("{prefix}/{}", d.name), d).await
    }
}

/// A stored tensor as the kernels compute with it.
async fn in_compute_layout(file: &TensorFile, name: &str, d: &ParamDecl) -> Vec<f32> {
    let stored = file.read_f32(name, 0..d.elements()).await.expect("a tensor");
    if d.layout == Layout::AsStored {
        return stored;
    }
    (0..d.rows).flat_map(|r| (0..d.cols).map(move |c| (r, c))).map(|(r, c)| stored[c * d.rows + r]).collect()
}

fn number(v: &Value) -> f64 {
    v.as_f64().expect("a number")
}

/// Largest difference over the largest magnitude.
pub(crate) fn difference(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let scale = want.iter().map(|w| f64::from(w.abs())).fold(0.0, f64::max).max(1e-12);
    let worst =
        got.iter().zip(want).map(|(g, w)| f64::from(g - w).abs()).fold(0.0, |a, d| if d.is_nan() { f64::INFINITY } else { a.max(d) });
    worst / scale
}

/// Collects what is too far off, so that one run shows all of it.
#[derive(Default)]
struct Report {
    worst: BTreeMap<&'static str, f64>,
    failures: Vec<String>,
}

impl Report {
    fn check(&mut self, kind: &'static str, what: &str, difference: f64, tolerance: f64) {
        let worst = self.worst.entry(kind).or_default();
        *worst = worst.max(difference);
        if difference.is_nan() || difference > tolerance {
            self.failures.push(format!("{kind} {what}: {difference:.2e} (at most {tolerance:.0e})"));
        }
    }
}

async fn loss_and_gradients(case: &Case, engine: &mut Engine, report: &mut Report) {
    let golden = &case.golden["batch"];
    let batch = case.batch(&golden["sequences"]);
    let targets = number(&golden["num_targets"]);
    assert_eq!(batch.target_count() as f64, targets, "{}: targets", case.name);
    let step = StepValues { loss_scale: 1.0 / targets as f32, ..StepValues::default() };
    engine.micro_step(&batch, step).await.expect("a step");
    engine.update(&step).await.expect("an update with a learning rate of 0");
    let stats = engine.stats().await.expect("statistics");
    let relative = |got: f64, want: f64| (got - want).abs() / want.abs();
    report.check("loss", "", relative(f64::from(stats.loss_sum) / targets, number(&golden["loss"])), TOLERANCE);
    report.check("grad_norm", "", relative(f64::from(stats.grad_norm), number(&golden["grad_norm"])), TOLERANCE);
    let gradients = engine.part(Part::Gradients);
    for (index, d) in case.trained.iter().enumerate() {
        let got = gradients.read_rows(case.first + index, 0..d.rows).await.expect("a gradient");
        report.check("gradient", &d.name, difference(&got, &case.golden("grad", d).await), TOLERANCE);
    }
}

async fn steps(case: &Case, engine: &mut Engine, report: &mut Report) {
    let t = &case.golden["train"];
    let (warmup, total) = (t["warmup_steps"].as_u64().expect("steps"), t["max_steps"].as_u64().expect("steps"));
    let schedule = Schedule::new(SchedulerType::Cosine, number(&t["learning_rate"]), warmup, total, SchedulerKwargs::default());
    for (step, golden) in t["steps"].as_array().expect("a list").iter().enumerate() {
        let batches: Vec<Batch> = golden["micro_batches"].as_array().expect("a list").iter().map(|b| case.batch(b)).collect();
        let targets: usize = batches.iter().map(Batch::target_count).sum();
        let n = step as i32 + 1;
        let lr = schedule.learning_rate(step as u64);
        assert!((lr - number(&golden["lr"])).abs() <= 1e-12, "{}: step {step}: lr {lr}", case.name);
        let mut values = StepValues {
            loss_scale: 1.0 / targets as f32,
            learning_rate: lr as f32,
            bias_correction1: (1.0 / (1.0 - number(&t["adam_beta1"]).powi(n))) as f32,
            bias_correction2: (1.0 / (1.0 - number(&t["adam_beta2"]).powi(n))) as f32,
            max_grad_norm: number(&t["max_grad_norm"]) as f32,
            ..StepValues::default()
        };
        for (i, batch) in batches.iter().enumerate() {
            values.accumulate = u32::from(i > 0);
            engine.micro_step(batch, values).await.expect("a step");
        }
        engine.update(&values).await.expect("an update");
        let stats = engine.stats().await.expect("statistics");
        let relative = |got: f64, want: f64| (got - want).abs() / want.abs();
        let what = format!("of step {step}");
        report.check(
            "train loss",
            &what,
            relative(f64::from(stats.loss_sum) / targets as f64, number(&golden["loss"])),
            TOLERANCE_AFTER_TRAINING,
        );
        report.check(
            "train grad_norm",
            &what,
            relative(f64::from(stats.grad_norm), number(&golden["grad_norm"])),
            TOLERANCE_AFTER_TRAINING,
        );
    }
    let weights = engine.part(Part::Weights);
    for (index, d) in case.trained.iter().enumerate() {
        let mut got = weights.read_rows(case.first + index, 0..d.rows).await.expect("weights");
        let mut want = case.golden("final", d).await;
        if let Some(range) = t["no_gradient"][&d.name].as_array() {
            let (a, b) = (range[0].as_u64().expect("a start") as usize, range[1].as_u64().expect("an end") as usize);
            got[a..b].fill(0.0);
            want[a..b].fill(0.0);
        }
        // Where the fixture itself moves by that much between f32 and f64 in this or another layer, no more can be asked of us: a key bias
        // hardly changes a softmax, so its gradient is mostly rounding, which Adam divides by itself.
        let module = d.name.rsplit('.').take(3).collect::<Vec<_>>();
        let same = |name: &&String| name.rsplit('.').take(3).collect::<Vec<_>>() == module;
        let moves = case.golden["f32_against_f64"]["final"].as_object().expect("differences");
        let uncertain = moves.iter().filter(|(name, _)| same(name)).filter_map(|(_, v)| v.as_f64()).fold(0.0, f64::max);
        report.check("final weights", &d.name, difference(&got, &want), TOLERANCE_AFTER_TRAINING.max(10.0 * uncertain));
    }
}

fn run(gpu: Rc<Gpu>, gradient_checkpointing: bool) {
    println!("device: {}", gpu.profile().name);
    let mut failures = Vec::new();
    for name in cases() {
        block_on(async {
            let case = open(&name).await;
            let mut report = Report::default();
            let mut engine = case.engine(gpu.clone(), gradient_checkpointing).await;
            loss_and_gradients(&case, &mut engine, &mut report).await;
            // The update above had a learning rate of 0, but it moved the moments: start afresh.
            drop(engine);
            let mut engine = case.engine(gpu.clone(), gradient_checkpointing).await;
            steps(&case, &mut engine, &mut report).await;
            let worst: Vec<String> = report.worst.iter().map(|(k, v)| format!("{k} {v:.1e}")).collect();
            println!("{name}: {}", worst.join(", "));
            failures.extend(report.failures.into_iter().map(|f| format!("{name}: {f}")));
        });
    }
    assert!(failures.is_empty(), "{} differences from transformers:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn loss_gradients_and_ten_steps_equal_transformers() {
    run(gpu(), false);
}

#[test]
fn recomputation_changes_nothing() {
    run(gpu(), true);
}

/// Embeddings, heads and whatever else is larger than 20 KiB cut by rows, as a large vocabulary is on a real device.
#[test]
fn matrices_cut_by_rows_change_nothing() {
    let choice = DeviceChoice { largest_binding: Some(20 << 10), ..DeviceChoice::default() };
    run(Rc::new(block_on(Gpu::open(&choice)).expect("a device")), false);
}

/// The kernels that a browser gets on the same machine.
#[test]
fn kernels_without_subgroups_change_nothing() {
    let choice = DeviceChoice { without_subgroups: true, ..DeviceChoice::default() };
    run(Rc::new(block_on(Gpu::open(&choice)).expect("a device")), false);
}

/// LongRoPE by the length of each batch, as transformers does it, not by the longest that the engine may see: a short batch is turned by the
/// short factors, before and after a long one.
#[test]
fn longrope_is_chosen_for_each_batch() {
    block_on(async {
        let case = open("phi3-longrope-long").await;
        let original = 12;
        let cut: Vec<Sample> =
            case.samples.iter().map(|s| Sample::new(s.ids[..original].to_vec(), s.labels[..original].to_vec(), 1)).collect();
        let short = Batch::of(&cut.iter().collect::<Vec<_>>());
        let long = case.batch(&case.golden["batch"]["sequences"]);
        let options = |sequence| EngineOptions {
            method: Method::Full,
            gradient_checkpointing: false,
            kept: None,
            sequence,
            optimizer: Optimizer::default(),
            objective: Objective::default(),
        };
        // An engine that knows no other factors than the short ones.
        let mut alone = Engine::load(gpu(), &case.checkpoint, options(original)).await.expect("memory");
        let (expected, _) = alone.loss(&short).await.expect("a loss");
        let mut both = Engine::load(gpu(), &case.checkpoint, options(case.sequence())).await.expect("memory");
        let golden = number(&case.golden["batch"]["loss"]);
        for _ in 0..2 {
            let (sum, targets) = both.loss(&long).await.expect("a loss");
            assert!((sum / targets as f64 - golden).abs() <= TOLERANCE * golden, "{} for {golden}", sum / targets as f64);
            let (sum, _) = both.loss(&short).await.expect("a loss");
            assert_eq!(sum.to_bits(), expected.to_bits(), "{sum} for {expected}");
        }
    });
}
