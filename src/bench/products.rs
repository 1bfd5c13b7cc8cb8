//! The products of a layer with frozen weights of every type, beside those with weights in bf16.

use std::rc::Rc;

use serde::Serialize;

use super::Shape;
use crate::adapter::{AdapterConfig, ResolvedAdapter, TargetModules};
use crate::data::{Batch, Sample};
use crate::engine::{Method, encode, parameters, program_tokens};
use crate::error::Result;
use crate::gpu::Gpu;
use crate::graph::{ParamLayout, Purpose, WeightType};
use crate::kernels::{GgmlType, StepValues};
use crate::model::{ParamDecl, ParamKind, forward, params};
use crate::plan::{BoundProgram, Options, ParamStore, Program, Runner, compile};
use crate::platform::processor_seconds;

/// Qwen3-0.6B's shape, whose rows are whole blocks of every type: one layer of it, and few tokens that it knows.
const SHAPE: &str = r#"{"model_type": "qwen3", "vocab_size": 1024, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 1,
    "num_attention_heads": 16, "num_key_value_heads": 8, "head_dim": 128, "tie_word_embeddings": true}"#;

/// Tokens of the step.
const TOKENS: usize = 256;

/// Tokens that a generated one looks back on.
const CONTEXT: usize = 64;

/// Rounds in which each type has a turn; the shortest counts.
const ROUNDS: usize = 7;

/// What all products of a layer take in one direction.
#[derive(Debug, Clone, Serialize)]
pub struct ProductResult {
    /// The type of the weights.
    pub weights: &'static str,
    /// `forward` and `input gradient` of 256 tokens beside an adapter of rank 8, or `one token`: forward, as when text is generated.
    pub product: &'static str,
    /// Bytes of the layer's weights.
    pub bytes: u64,
    /// Seconds, the shortest of a few rounds in which each type has a turn.
    pub seconds: f64,
    /// The same over bf16's.
    pub over_bf16: f64,
    /// Seconds that the processor's cores worked for the program meanwhile, all of them together: on a processor, what other programs slow down
    /// least. `None` where that cannot be told.
    pub processor_seconds: Option<f64>,
    /// The same over bf16's.
    pub processor_over_bf16: Option<f64>,
}

/// A program of the products of one type in one direction.
struct Turn {
    weights: WeightType,
    product: &'static str,
    bytes: u64,
    runner: Rc<Runner>,
    bound: BoundProgram,
    inputs: Vec<u8>,
    step: StepValues,
    /// The shortest times of each dispatch, and of the processor.
    best: Vec<f64>,
    processor: Option<f64>,
}

/// Times the products of each type in turns.
pub(super) async fn measure(gpu: &Rc<Gpu>) -> Result<Vec<ProductResult>> {
    let four_bits = [false, true].map(|double| [WeightType::Nf4 { double }, WeightType::Fp4 { double }]);
    let others = four_bits.into_iter().flatten().chain([WeightType::Int8]).chain(GgmlType::ALL.map(WeightType::Ggml));
    let mut turns = Vec::new();
    for weights in [WeightType::Bf16, WeightType::F16].into_iter().chain(others) {
        turns.extend(prepare(gpu, weights).await?);
    }
    for _ in 0..=ROUNDS {
        for turn in &mut turns {
            turn.run().await?;
        }
    }
    Ok(turns.iter().map(|turn| turn.result(&turns)).collect())
}

/// The three programs of a type.
async fn prepare(gpu: &Rc<Gpu>, weights: WeightType) -> Result<Vec<Turn>> {
    let config = Shape::parse("products", SHAPE)?;
    let base = params(&config);
    let adapter = AdapterConfig { target_modules: Some(TargetModules::AllLinear), ..AdapterConfig::default() };
    let resolved = Rc::new(ResolvedAdapter::resolve(&adapter, &config, &base)?);
    let frozen = |d: &ParamDecl| if d.kind == ParamKind::Linear { weights } else { WeightType::Bf16 };
    let bytes = base.iter().filter(|d| d.kind == ParamKind::Linear).map(|d| (d.rows * weights.row_bytes(d.cols)) as u64).sum();
    let mut turns = Vec::new();
    for method in [Method::Adapter { resolved, loraplus_lr_ratio: 1.0 }, Method::Inference(None)] {
        let trains = method.trains();
        let params = Rc::new(parameters(&base, &method, frozen).1);
        let layout = ParamLayout::new(&params, gpu.profile());
        let (tokens, purpose) = match trains {
            true => (program_tokens(TOKENS), Purpose::Train),
            false => (1, Purpose::Generate { cache_rows: CONTEXT, logit_rows: 1 }),
        };
        let graph = || forward::build(&config, params.clone(), tokens, purpose, TOKENS);
        let ids: Vec<u32> = (0..if trains { TOKENS as u32 } else { 1 }).collect();
        let labels = ids.iter().map(|id| *id as i32).collect();
        let (inputs, _) = encode(&Batch::of(&[&Sample::new(ids, labels, 1)]), tokens);
        let store = Rc::new(ParamStore::allocate(gpu, params.clone(), trains).await?);
        let products: &[(&str, &str)] = match trains {
            true => &[("forward", "linear_forward."), ("input gradient", "linear_backward_input.")],
            false => &[("one token", "linear_forward.")],
        };
        for (product, kernel) in products {
            let mut program = compile(&graph(), &layout, gpu.profile(), Options::default());
            retain(&mut program, kernel);
            let mut runner = Runner::new(gpu.clone(), store.clone()).await?;
            let bound = runner.bind(&program).await?;
            let step = StepValues { position: CONTEXT as u32 - 1, tokens: tokens as u32, targets: tokens as u32, ..StepValues::default() };
            let best = vec![f64::INFINITY; program.dispatches.len()];
            let (runner, inputs) = (Rc::new(runner), inputs.clone());
            turns.push(Turn { weights, product, bytes, runner, bound, inputs, step, best, processor: Some(f64::INFINITY) });
        }
    }
    Ok(turns)
}

/// Leaves of a program the products of this kernel with the layers' frozen weights: those of adapters are in f32, unless their weights were decoded just before,
/// which belongs to them.
fn retain(program: &mut Program, kernel: &str) {
    let names: Vec<Option<&str>> = program.dispatches.iter().map(|d| d.owner.layer.and(Some(d.shader.name))).collect();
    // A gate may be made within them (gated_linear_…).
    let product = |at: usize| names[at].is_some_and(|name| name.trim_start_matches("gated_").starts_with(kernel));
    let decodes = |at: usize| names[at].is_some_and(|name| name.starts_with("unpack_forward"));
    let keeps = |at: usize| {
        if decodes(at) {
            return at + 1 < names.len() && product(at + 1);
        }
        product(at) && (names[at].is_some_and(|name| !name.ends_with(".f32")) || at > 0 && decodes(at - 1))
    };
    let mut kept = (0..names.len()).map(keeps);
    program.dispatches.retain(|_| kept.next() == Some(true));
}

impl Turn {
    async fn run(&mut self) -> Result<()> {
        let before = processor_seconds();
        let timings = self.runner.profile(&self.bound, &self.step, &self.inputs).await?;
        let worked = processor_seconds().zip(before).map(|(after, before)| after - before);
        self.processor = self.processor.zip(worked).map(|(best, worked)| best.min(worked));
        for timing in timings {
            let best = &mut self.best[timing.dispatch];
            *best = best.min(timing.seconds);
        }
        Ok(())
    }

    /// The times of its dispatches that ran.
    fn seconds(&self) -> f64 {
        self.best.iter().filter(|seconds| seconds.is_finite()).sum()
    }

    fn result(&self, all: &[Turn]) -> ProductResult {
        let (seconds, processor) = (self.seconds(), self.processor);
        let bf16 = all.iter().find(|turn| turn.product == self.product && turn.weights == WeightType::Bf16);
        let processor_of_bf16 = bf16.and_then(|bf16| bf16.processor);
        ProductResult {
            weights: self.weights.name(),
            product: self.product,
            bytes: self.bytes,
            seconds,
            over_bf16: seconds / bf16.map_or(f64::NAN, Turn::seconds),
            processor_seconds: processor,
            processor_over_bf16: processor.zip(processor_of_bf16).map(|(own, bf16)| own / bf16),
        }
    }
}
