//! Answers of known model shapes with random weights, as the generator writes them.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde::Serialize;
use web_time::Instant;

use super::steps::{STEPS, noise, summarise};
use super::{KernelResult, Measured, Shape};
use crate::checkpoint::{Dtype, ModelSource, ParamSource};
use crate::error::Result;
use crate::generate::{Generator, GeneratorOptions, Sampler, SamplingOptions};
use crate::gpu::Gpu;
use crate::model::{ModelConfig, ParamDecl, ParamKind, params};

/// Tokens of the prompt.
const PROMPT: usize = 256;

/// Tokens of the answer that are timed, after one that is not.
const ANSWER: usize = 16;

/// What writing reaches.
#[derive(Debug, Clone, Serialize)]
pub struct GenerationResult {
    /// Whose shape, with weights in bfloat16.
    pub model: &'static str,
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens of the prompt that are read a second.
    pub prompt_tokens_per_second: f64,
    /// Seconds from one token of the answer to the next, choosing it included; the median.
    pub seconds: f64,
    /// Tokens of the answer a second.
    pub tokens_per_second: f64,
    /// Bytes of weights that each token needs.
    pub weights_bytes: u64,
    /// Those bytes a second over the measured peak: what memory allows is 1.
    pub fraction_of_bandwidth: f64,
    /// Dispatches of a token.
    pub dispatches: usize,
    /// Every kernel of a token.
    pub kernels: Vec<KernelResult>,
}

/// A model of random weights in bfloat16.
struct RandomModel {
    config: ModelConfig,
    params: Vec<ParamDecl>,
    noise: Vec<f32>,
}

#[async_trait(?Send)]
impl ParamSource for RandomModel {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let d = &self.params[param];
        let count = rows.len() * d.cols;
        Ok(if d.kind == ParamKind::Norm { vec![1.0; count] } else { self.noise.iter().copied().cycle().take(count).collect() })
    }

    async fn read_rows_half(&self, param: usize, rows: Range<usize>) -> Result<Vec<u16>> {
        Ok(self.read_rows(param, rows).await?.into_iter().map(|x| half::bf16::from_f32(x).to_bits()).collect())
    }
}

#[async_trait(?Send)]
impl ModelSource for RandomModel {
    fn label(&self) -> String {
        "random weights".into()
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn params(&self) -> &[ParamDecl] {
        &self.params
    }

    fn dtype(&self, _param: &ParamDecl) -> Dtype {
        Dtype::BF16
    }
}

/// Reads a prompt, then writes an answer of the likeliest tokens.
pub(super) async fn measure(gpu: &Rc<Gpu>, shape: &Shape) -> Result<GenerationResult> {
    let config = shape.config()?;
    let params = params(&config);
    let vocabulary = config.vocab_size;
    let model = RandomModel { config, params, noise: noise() };
    let options = GeneratorOptions { context: Some(PROMPT + ANSWER + STEPS + 2), chunk: None };
    let mut generator = Generator::load(gpu.clone(), &model, options).await?;
    let mut ids: Vec<u32> = (0..PROMPT).map(|i| (i * 31 % vocabulary) as u32).collect();
    let mut sampler = Sampler::new(SamplingOptions { greedy: true, ..SamplingOptions::default() })?;
    let mut prompt_seconds = f64::INFINITY;
    let mut logits = Vec::new();
    for _ in 0..2 {
        generator.clear();
        let start = Instant::now();
        logits = generator.next_logits(&ids).await?;
        prompt_seconds = prompt_seconds.min(start.elapsed().as_secs_f64());
    }
    let mut times = Vec::new();
    for _ in 0..=ANSWER {
        let start = Instant::now();
        ids.push(sampler.next(&logits, &ids)?);
        logits = generator.next_logits(&ids).await?;
        times.push(start.elapsed().as_secs_f64());
    }
    times.remove(0);
    times.sort_by(f64::total_cmp);
    let seconds = times[times.len() / 2];

    let mut timings = generator.profile(ids[0]).await?;
    for _ in 1..STEPS {
        for (known, again) in timings.iter_mut().zip(generator.profile(ids[0]).await?) {
            known.1 = known.1.min(again.1);
        }
    }
    Ok(GenerationResult {
        model: shape.name,
        prompt: PROMPT,
        prompt_tokens_per_second: PROMPT as f64 / prompt_seconds,
        seconds,
        tokens_per_second: 1.0 / seconds,
        weights_bytes: read_bytes(&model),
        fraction_of_bandwidth: 0.0,
        dispatches: timings.len(),
        kernels: summarise(shape.name, Measured::Generation.name(), &timings),
    })
}

/// Bytes of weights that a token reads: all but those that are looked up.
fn read_bytes(model: &RandomModel) -> u64 {
    let tied = model.config.tie_word_embeddings;
    let read = model.params.iter().filter(|p| tied || p.kind != ParamKind::Embedding);
    read.map(|p| p.elements() * if matches!(p.kind, ParamKind::Norm | ParamKind::Bias) { 4 } else { 2 }).sum()
}
