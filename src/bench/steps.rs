//! Whole training steps of known model shapes with random weights, as the trainer runs them.

use std::collections::BTreeMap;
use std::rc::Rc;

use web_time::Instant;

use super::{KernelResult, StepResult};
use crate::adapter::{AdapterConfig, ResolvedAdapter, TargetModules};
use crate::data::{Batch, Sample};
use crate::engine::{Engine, EngineOptions, Method, Objective};
use crate::error::Result;
use crate::gpu::{Gpu, human_bytes};
use crate::graph::{ParamId, WeightType};
use crate::kernels::{Dispatch, StepValues};
use crate::model::{ModelConfig, ParamDecl, ParamKind, params};
use crate::optim::Optimizer;
use crate::plan::Part;
use crate::quant::Packer;
use crate::random::Random;

/// A model's shape and the batch to train it with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// For the report.
    pub name: &'static str,
    /// Its config.json.
    config: &'static str,
    /// Sequences of a step.
    pub batch: usize,
    /// Tokens of a sequence.
    pub sequence: usize,
}

impl Shape {
    /// The embedded model, with a batch as the demo trains it.
    pub const EMBEDDED: Shape = Shape {
        name: "embedded",
        config: r#"{"model_type": "llama", "vocab_size": 512, "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 5,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "tie_word_embeddings": true}"#,
        batch: 32,
        sequence: 64,
    };

    /// SmolLM2-135M, one sequence.
    pub const SMOLLM2_135M: Shape = Shape {
        name: "SmolLM2-135M",
        config: r#"{"model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
            "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "tie_word_embeddings": true, "max_position_embeddings": 8192}"#,
        batch: 1,
        sequence: 256,
    };

    pub(super) fn config(&self) -> Result<ModelConfig> {
        Shape::parse(self.name, self.config)
    }

    /// A shape's config.json.
    pub(super) fn parse(name: &str, config: &str) -> Result<ModelConfig> {
        ModelConfig::parse(name, config.as_bytes())
    }

    /// Floating-point operations of one fine-tuning step: 6 for each matmul parameter (the head included, tied or not) and token, and 3.5
    /// times the causal attention's 2·T·Q·L a token, Q = heads · head_dim. A frozen parameter, which gets no gradient, counts 4.
    pub fn model_flops(&self, tuned: Tuned) -> Result<f64> {
        let config = self.config()?;
        let (each, added) = match tuned {
            Tuned::Full => (6.0, 0),
            Tuned::Lora | Tuned::Lora8 | Tuned::Lora4 => {
                (4.0, lora_adapter(&config)?.declarations(&params(&config)).iter().map(|p| p.decl.elements()).sum())
            }
        };
        let linear: u64 =
            params(&config).iter().filter(|p| matches!(p.kind, ParamKind::Linear | ParamKind::Head)).map(|p| p.elements()).sum();
        let tied = if config.tie_word_embeddings { config.vocab_size * config.hidden_size } else { 0 };
        let tokens = (self.batch * self.sequence) as f64;
        let attention = 2.0 * self.sequence as f64 * (config.query_width() * config.num_hidden_layers) as f64;
        Ok(tokens * (each * (linear as f64 + tied as f64) + 6.0 * added as f64 + 3.5 * attention))
    }
}

/// What a timed step trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tuned {
    /// Everything, in f32.
    Full,
    /// LoRA of rank 8 on every linear map but the head, beside bf16 weights.
    Lora,
    /// The same with the linear maps in 8 bits.
    Lora8,
    /// The same with the linear maps in NF4.
    Lora4,
}

impl Tuned {
    /// Its name in the report.
    pub fn name(self) -> &'static str {
        match self {
            Tuned::Full => "full",
            Tuned::Lora => "lora",
            Tuned::Lora8 => "lora-8bit",
            Tuned::Lora4 => "lora-4bit",
        }
    }
}

fn lora_adapter(config: &ModelConfig) -> Result<ResolvedAdapter> {
    let adapter = AdapterConfig { target_modules: Some(TargetModules::AllLinear), ..AdapterConfig::default() };
    ResolvedAdapter::resolve(&adapter, config, &params(config))
}

/// Steps that are timed after the first; the median counts.
pub(super) const STEPS: usize = 3;

/// A model of random weights on the GPU, and a batch for it.
struct Bench {
    engine: Engine,
    batch: Batch,
    step: StepValues,
}

impl Bench {
    async fn open(gpu: &Rc<Gpu>, shape: &Shape, tuned: Tuned) -> Result<Bench> {
        let config = shape.config()?;
        let declarations = params(&config);
        let method = match tuned {
            Tuned::Full => Method::Full,
            _ => Method::Adapter { resolved: Rc::new(lora_adapter(&config)?), loraplus_lr_ratio: 1.0 },
        };
        let frozen = |d: &ParamDecl| match tuned {
            Tuned::Lora8 if d.kind == ParamKind::Linear => WeightType::Int8,
            Tuned::Lora4 if d.kind == ParamKind::Linear => WeightType::Nf4 { double: true },
            _ => WeightType::Bf16,
        };
        let options = EngineOptions {
            method,
            gradient_checkpointing: false,
            kept: None,
            sequence: shape.sequence,
            optimizer: Optimizer::default(),
            objective: Objective::default(),
        };
        let engine = Engine::new(gpu.clone(), config.clone(), &declarations, frozen, options).await?;
        fill(&engine);
        let mut random = Random::new(1, 0);
        let samples: Vec<Sample> = (0..shape.batch)
            .map(|_| {
                let ids: Vec<u32> = (0..shape.sequence).map(|_| random.below(config.vocab_size as u64) as u32).collect();
                let labels = ids.iter().map(|i| *i as i32).collect();
                Sample::new(ids, labels, 1)
            })
            .collect();
        let batch = Batch::of(&samples.iter().collect::<Vec<_>>());
        let step = StepValues {
            loss_scale: 1.0 / batch.target_count() as f32,
            learning_rate: 1e-5,
            bias_correction1: 10.0,
            bias_correction2: 1000.0,
            max_grad_norm: 1.0,
            ..StepValues::default()
        };
        Ok(Bench { engine, batch, step })
    }

    /// Seconds of a whole training step: the median of [`STEPS`] after one that compiles the kernels.
    async fn seconds(&mut self) -> Result<f64> {
        let mut times = Vec::new();
        for _ in 0..=STEPS {
            let start = Instant::now();
            self.engine.micro_step(&self.batch, self.step).await?;
            self.engine.update(&self.step).await?;
            self.engine.stats().await?;
            times.push(start.elapsed().as_secs_f64());
        }
        times.remove(0);
        times.sort_by(f64::total_cmp);
        Ok(times[times.len() / 2])
    }
}

/// A step long enough that starting it does not count.
const LONG_STEP: f64 = 0.05;

/// About how many floating-point operations a second full fine-tuning reaches on this device, six a parameter and token, so that the time
/// of a run can be guessed before there was one: the embedded model with ever more sequences a step, until a step takes 50 ms.
/// Larger models make more of a graphics card.
///
/// # Errors
/// [`crate::Error::Gpu`] when the device fails, [`crate::Error::TooLittleMemory`] when it has no room for that.
pub async fn speed(gpu: &Rc<Gpu>) -> Result<f64> {
    let shape = Shape::EMBEDDED;
    let parameters: u64 = params(&shape.config()?).iter().map(|p| p.elements()).sum();
    let mut batch = 4;
    loop {
        let mut bench = Bench::open(gpu, &Shape { batch, ..shape }, Tuned::Full).await?;
        let seconds = bench.seconds().await?;
        if seconds >= LONG_STEP || batch >= 4 * shape.batch {
            return Ok(6.0 * parameters as f64 * bench.batch.tokens as f64 / seconds);
        }
        batch *= 4;
    }
}

/// Trains a few steps, then one with each kernel timed on its own.
pub(super) async fn measure(gpu: &Rc<Gpu>, shape: &Shape, tuned: Tuned) -> Result<(StepResult, Vec<KernelResult>)> {
    gpu.reset_peak();
    let mut bench = Bench::open(gpu, shape, tuned).await?;
    let seconds = bench.seconds().await?;
    let Bench { mut engine, batch, step } = bench;
    let peak_bytes = gpu.peak_bytes();
    let mut timings = engine.profile(&batch, step).await?;
    for _ in 1..STEPS {
        for (known, again) in timings.iter_mut().zip(engine.profile(&batch, step).await?) {
            known.1 = known.1.min(again.1);
        }
    }
    // A program takes all its tokens for one sequence when it counts the pairs of a query and a key; here their number is known.
    for (dispatch, _) in timings.iter_mut().filter(|(d, _)| d.owner.op == "attention") {
        dispatch.flops /= shape.batch as u64;
    }
    let result = StepResult {
        model: shape.name,
        method: tuned.name(),
        batch: shape.batch,
        sequence: shape.sequence,
        seconds,
        tokens_per_second: batch.tokens as f64 / seconds,
        utilisation: 0.0,
        peak_bytes,
    };
    Ok((result, summarise(shape.name, tuned.name(), &timings)))
}

/// Numbers of a piece of random weights.
const PIECE: usize = 1 << 20;

/// Random numbers of the size that a trained model's weights have.
pub(super) fn noise() -> Vec<f32> {
    let mut random = Random::new(0, 0);
    (0..PIECE).map(|_| ((random.unit() - 0.5) * 0.07) as f32).collect()
}

/// Random weights of the size that a trained model has; norms are 1.
fn fill(engine: &Engine) {
    let noise = noise();
    for (index, d) in engine.declarations.iter().enumerate() {
        let rows = (PIECE / d.cols).clamp(1, d.rows);
        for first in (0..d.rows).step_by(rows) {
            let count = rows.min(d.rows - first) * d.cols;
            let ones;
            let data = if d.kind == ParamKind::Norm {
                ones = vec![1.0; count];
                &ones
            } else {
                &noise[..count]
            };
            let (store, id) = (&engine.runner.store, ParamId(index as u32));
            let weight_type = store.params[index].weight_type;
            if weight_type.is_packed() {
                let mut packer = Packer::new(weight_type, count / d.cols, d.cols);
                packer.push(data);
                store.upload_packed(&engine.runner.gpu, id, first, &packer.finish());
            } else if weight_type == WeightType::Bf16 {
                let halves: Vec<u16> = data.iter().map(|&x| half::bf16::from_f32(x).to_bits()).collect();
                store.upload_half(&engine.runner.gpu, id, first, &halves);
            } else {
                store.upload(&engine.runner.gpu, Part::Weights, id, first, data);
            }
            engine.runner.flush();
        }
    }
}

/// One line a kernel and shape, the slowest first.
pub(super) fn summarise(model: &'static str, measured: &'static str, timings: &[(Dispatch, f64)]) -> Vec<KernelResult> {
    let mut groups: BTreeMap<(&'static str, String), (usize, f64, u64, u64)> = BTreeMap::new();
    for (dispatch, seconds) in timings {
        let shape = match dispatch.shape {
            Some([m, n, k]) => format!("{m} × {n} × {k}"),
            None => human_bytes(dispatch.bytes()),
        };
        let entry = groups.entry((dispatch.shader.name, shape)).or_default();
        *entry = (entry.0 + 1, entry.1 + seconds, entry.2 + dispatch.flops, entry.3 + dispatch.bytes());
    }
    let mut list: Vec<KernelResult> = groups
        .into_iter()
        .map(|((shader, shape), (count, seconds, flops, bytes))| {
            let (name, variant) = shader.split_once('.').unwrap_or((shader, ""));
            KernelResult {
                model,
                measured,
                name: name.to_string(),
                shape,
                variant: variant.to_string(),
                count,
                seconds,
                flops: flops as f64 / seconds.max(1e-9),
                bandwidth: bytes as f64 / seconds.max(1e-9),
                fraction_of_peak: 0.0,
            }
        })
        .collect();
    list.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    list
}
