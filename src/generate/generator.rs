//! A model with its caches of keys and values: token ids in, logits of the next token out.

use std::rc::Rc;

use crate::adapter::targets::ResolvedAdapter;
use crate::checkpoint::{ModelSource, ParamSource};
use crate::engine::{Engine, Method, check_adapter_fits, parameters, stored_type, upload};
use crate::error::{Error, Result};
use crate::gpu::{Gpu, Profile, human_bytes};
use crate::graph::{Param, ParamLayout, Purpose};
use crate::kernels::{Dispatch, Input, InputLayout, StepValues};
use crate::model::{ModelConfig, forward};
use crate::ops::dora;
use crate::plan::{Budget, Memory, Options, ParamStore, Part, Prepared, Program, ProgramCache, Runner, compile};

/// The longest sequence by default: enough for a conversation, with small caches.
const DEFAULT_CONTEXT: usize = 4096;

/// Most bytes of logits that are computed and read back at once when those of a whole text are asked for.
const LOGITS_BYTES: usize = 32 << 20;

/// What a [`Generator`] is made for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GeneratorOptions {
    /// The longest sequence, prompt and answer together, in tokens: the caches are as long. `None`: 4096, or less where the
    /// model or the device allows less.
    pub context: Option<usize>,
    /// Tokens of a prompt that are computed at once. `None`: as the device's tuning says.
    pub chunk: Option<usize>,
}

/// A model that writes.
///
/// The programs for a chunk of the prompt and for a single token share one pool and one set of caches. What the caches hold is
/// remembered, so that a conversation that goes on computes only its new tokens.
pub struct Generator {
    config: ModelConfig,
    runner: Runner,
    params: Rc<Vec<Param>>,
    programs: ProgramCache<Shape>,
    context: usize,
    chunk: usize,
    /// The weights belong to an engine, which may change them.
    shared: bool,
    /// The tokens whose keys and values the caches hold.
    cached: Vec<u32>,
    /// The row of the RoPE tables that the cached keys were turned from.
    rope_row: usize,
}

/// What a program is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Shape {
    /// Tokens computed at once.
    tokens: usize,
    /// Rows of logits.
    logit_rows: usize,
}

/// The longest sequence that a model can work on with a device: the positions that it was made for, as far as a layer's keys fit
/// into one binding.
pub fn context_limit(config: &ModelConfig, profile: &Profile) -> usize {
    let row = config.key_value_width().next_multiple_of(4) as u64 * 4;
    config.max_position_embeddings.min((profile.max_binding.min(profile.max_buffer) / row.max(1)) as usize).max(1)
}

impl Generator {
    /// Opens a model for generation: weights only, those stored in half precision kept so.
    ///
    /// # Errors
    /// [`Error::TooLittleMemory`] before anything is allocated, [`Error::Recipe`] for a context that is not possible, and what reading
    /// the model fails with.
    pub async fn load(gpu: Rc<Gpu>, model: &dyn ModelSource, options: GeneratorOptions) -> Result<Generator> {
        Generator::load_adapted(gpu, model, None, options).await
    }

    /// Opens a model with an adapter on it, which is not merged: what it changes, and its tensors in the order of
    /// [`ResolvedAdapter::declarations`].
    ///
    /// # Errors
    /// As [`Generator::load`].
    pub async fn load_adapted(
        gpu: Rc<Gpu>,
        model: &dyn ModelSource,
        adapter: Option<(Rc<ResolvedAdapter>, &dyn ParamSource)>,
        options: GeneratorOptions,
    ) -> Result<Generator> {
        let config = model.config();
        let base = model.params();
        let method = Method::Inference(adapter.as_ref().map(|(resolved, _)| resolved.clone()));
        let (declarations, params) = parameters(base, &method, |d| stored_type(model, d));
        let params = Rc::new(params);
        check_adapter_fits(&params[base.len()..], gpu.profile())?;
        let settled = Settled::of(options, config, gpu.profile())?;
        check_memory(&settled, config, &params, gpu.profile())?;
        let store = Rc::new(ParamStore::allocate(&gpu, params, false).await?);
        let mut generator = Generator::over(gpu, config.clone(), store, settled, false).await?;
        upload(&generator.runner, base, 0, Part::Weights, model).await?;
        if let Some((_, source)) = adapter {
            upload(&generator.runner, &declarations[base.len()..], base.len(), Part::Weights, source).await?;
            let norms = dora::norm_program(&generator.params, &generator.runner.store.layout, &generator.runner.gpu.profile().tuning);
            if !norms.dispatches.is_empty() {
                Prepared::new(Rc::new(norms)).run(&mut generator.runner, &StepValues::default(), &[]).await?;
            }
        }
        Ok(generator)
    }

    /// Generates with the parameters of an engine, without a copy of them: for samples between the steps of a training run. As the
    /// engine may change them, every answer begins with empty caches.
    ///
    /// # Errors
    /// [`Error::Gpu`] when memory for the caches is short, [`Error::Recipe`] for a context that is not possible.
    pub async fn sharing(engine: &Engine, options: GeneratorOptions) -> Result<Generator> {
        let (gpu, store) = (engine.runner.gpu.clone(), engine.runner.store.clone());
        let settled = Settled::of(options, &engine.config, gpu.profile())?;
        Generator::over(gpu, engine.config.clone(), store, settled, true).await
    }

    async fn over(gpu: Rc<Gpu>, config: ModelConfig, store: Rc<ParamStore>, settled: Settled, shared: bool) -> Result<Generator> {
        let params = store.params.clone();
        let runner = Runner::new(gpu, store).await?;
        let Settled { context, chunk } = settled;
        let mut generator = Generator {
            config,
            runner,
            params,
            programs: ProgramCache::default(),
            context,
            chunk,
            shared,
            cached: Vec::new(),
            rope_row: 0,
        };
        // The larger program first: the other one fits into its pool.
        for tokens in [chunk, 1] {
            generator.bound(Shape { tokens, logit_rows: 1 }).await?;
        }
        Ok(generator)
    }

    /// The longest sequence, prompt and answer together, in tokens.
    pub fn context(&self) -> usize {
        self.context
    }

    /// The model's configuration.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Where it runs.
    pub fn gpu(&self) -> &Rc<Gpu> {
        &self.runner.gpu
    }

    /// Bytes of the weights on the GPU.
    pub fn weights_bytes(&self) -> u64 {
        self.runner.store.layout.weights_bytes()
    }

    /// Forgets what the caches hold.
    pub fn clear(&mut self) {
        self.cached.clear();
    }

    /// Forgets what the caches hold if the weights may have changed since.
    pub(super) fn clear_if_shared(&mut self) {
        if self.shared {
            self.clear();
        }
    }

    /// The logits of the token after `ids`, one per token of the vocabulary. Only what the caches do not hold yet is computed:
    /// asked token by token, it is one token each time.
    ///
    /// # Errors
    /// [`Error::Recipe`] for no tokens, too many, or one that the vocabulary lacks; [`Error::Gpu`] when the device failed.
    pub async fn next_logits(&mut self, ids: &[u32]) -> Result<Vec<f32>> {
        self.check(ids)?;
        self.begin(ids);
        while self.cached.len() < ids.len() {
            let rest = &ids[self.cached.len()..];
            let tokens = if rest.len() == 1 { 1 } else { self.chunk };
            let part = &rest[..rest.len().min(tokens)];
            let wanted = if part.len() == rest.len() { part.len() - 1..part.len() } else { 0..0 };
            self.run(Shape { tokens, logit_rows: 1 }, part, wanted).await?;
        }
        let mut rows = self.read_rows(1).await?;
        Ok(rows.swap_remove(0))
    }

    /// The logits after every one of `ids`, taken as one text from its beginning: row i predicts token i + 1.
    ///
    /// # Errors
    /// As [`Generator::next_logits`].
    pub async fn logits(&mut self, ids: &[u32]) -> Result<Vec<Vec<f32>>> {
        let mut logits = Vec::with_capacity(ids.len());
        self.each_logits(ids, |_, row| logits.push(row)).await?;
        Ok(logits)
    }

    /// The loss of every token of a text but its first, in nats: -ln p(token | those before it).
    ///
    /// # Errors
    /// As [`Generator::next_logits`].
    pub async fn losses(&mut self, ids: &[u32]) -> Result<Vec<f64>> {
        self.losses_told(ids, |_| {}).await
    }

    /// As [`Generator::losses`]; `told` hears how many tokens are done.
    ///
    /// # Errors
    /// As [`Generator::next_logits`].
    pub async fn losses_told(&mut self, ids: &[u32], mut told: impl FnMut(usize)) -> Result<Vec<f64>> {
        let mut losses = Vec::with_capacity(ids.len());
        self.each_logits(ids, |at, row| {
            told(at + 1);
            let Some(&next) = ids.get(at + 1) else { return };
            losses.push(surprise(&row, next));
        })
        .await?;
        Ok(losses)
    }

    /// Calls `each` with every position of a text and the logits there; a part of them is in memory at a time.
    pub(crate) async fn each_logits(&mut self, ids: &[u32], mut each: impl FnMut(usize, Vec<f32>)) -> Result<()> {
        self.check(ids)?;
        self.clear();
        self.begin(ids);
        let tokens = rows_at_once(&self.config, self.chunk);
        let mut at = 0;
        for part in ids.chunks(tokens) {
            self.run(Shape { tokens, logit_rows: tokens }, part, 0..part.len()).await?;
            for row in self.read_rows(part.len()).await? {
                each(at, row);
                at += 1;
            }
        }
        Ok(())
    }

    /// Computes one more token with every dispatch timed on its own; what the caches hold stays as it is.
    pub(crate) async fn profile(&mut self, id: u32) -> Result<Vec<(Dispatch, f64)>> {
        let (shape, position) = (Shape { tokens: 1, logit_rows: 1 }, self.cached.len());
        let (step, inputs) = self.step(shape, &[id], 0..1, position);
        let (runner, prepared) = self.bound(shape).await?;
        let timings = runner.profile(prepared.bound()?, &step, &inputs).await?;
        Ok(timings.into_iter().map(|t| (prepared.program().dispatches[t.dispatch].clone(), t.seconds)).collect())
    }

    fn check(&self, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            return Err(Error::recipe("prompt", "it holds no token, and this model has none that begins a text; write a word"));
        }
        if ids.len() > self.context {
            return Err(Error::recipe(
                "prompt",
                format!("it has {} tokens, and the context holds {}; shorten it or ask for a longer context", ids.len(), self.context),
            ));
        }
        let rows = self.config.vocab_size;
        match ids.iter().find(|id| **id as usize >= rows) {
            Some(id) => Err(Error::recipe(
                "prompt",
                format!("it holds the token {id}, and the model's vocabulary ends at {rows}: the tokenizer is of another model"),
            )),
            None => Ok(()),
        }
    }

    /// Keeps of the caches what `ids` begin with, but not the last token: its logits are wanted.
    fn begin(&mut self, ids: &[u32]) {
        let rope_row = forward::rope_row(&self.config, ids.len());
        let common = self.cached.iter().zip(&ids[..ids.len() - 1]).take_while(|(a, b)| a == b).count();
        // Keys that were turned by other angles are of no use (LongRoPE past its original context; transformers starts anew, too).
        self.cached.truncate(if rope_row == self.rope_row { common } else { 0 });
        self.rope_row = rope_row;
    }

    /// Queues the forward pass of the tokens that follow what is cached, and the logits of some of them.
    async fn run(&mut self, shape: Shape, part: &[u32], wanted: std::ops::Range<usize>) -> Result<()> {
        let (step, inputs) = self.step(shape, part, wanted, self.cached.len());
        let (runner, prepared) = self.bound(shape).await?;
        runner.run(prepared.bound()?, &step, &inputs)?;
        self.cached.extend_from_slice(part);
        Ok(())
    }

    /// What a replay reads, for tokens from `position` on.
    fn step(&self, shape: Shape, part: &[u32], wanted: std::ops::Range<usize>, position: usize) -> (StepValues, Vec<u8>) {
        let step = StepValues {
            position: position as u32,
            tokens: part.len() as u32,
            targets: wanted.len() as u32,
            rope_row: self.rope_row as u32,
            ..StepValues::default()
        };
        (step, encode(part, position, shape.tokens, wanted))
    }

    /// The program of a shape, bound, and what runs it.
    async fn bound(&mut self, shape: Shape) -> Result<(&Runner, &Prepared)> {
        let (config, params, context) = (&self.config, &self.params, self.context);
        let (store, gpu) = (self.runner.store.clone(), self.runner.gpu.clone());
        let build = || program(config, params, &store.layout, gpu.profile(), shape, context);
        let prepared = self.programs.get(&mut self.runner, shape, build).await?;
        Ok((&self.runner, prepared))
    }

    async fn read_rows(&self, rows: usize) -> Result<Vec<Vec<f32>>> {
        let (vocabulary, softcap) = (self.config.vocab_size, self.config.final_logit_softcapping);
        let stride = vocabulary.next_multiple_of(4);
        let numbers = self.runner.read_logits(0, rows * stride).await?;
        let row = |row: &[f32]| {
            let mut row = row[..vocabulary].to_vec();
            if let Some(cap) = softcap {
                row.iter_mut().for_each(|x| *x = cap * (*x / cap).tanh());
            }
            row
        };
        Ok(numbers.chunks_exact(stride).map(row).collect())
    }
}

/// The options with their defaults filled in.
#[derive(Debug, Clone, Copy)]
struct Settled {
    context: usize,
    chunk: usize,
}

impl Settled {
    fn of(options: GeneratorOptions, config: &ModelConfig, profile: &Profile) -> Result<Settled> {
        let limit = context_limit(config, profile);
        let context = match options.context {
            None => DEFAULT_CONTEXT.min(limit),
            Some(context) if (1..=limit).contains(&context) => context,
            Some(context) => {
                return Err(Error::recipe(
                    "context",
                    format!("{context} tokens are not possible; this model takes 1 to {limit} on this device"),
                ));
            }
        };
        // A chunk costs the same whether it is full or not.
        let chunk = options.chunk.unwrap_or(profile.tuning.prompt_tokens);
        Ok(Settled { context, chunk: chunk.clamp(1, context.max(2)) })
    }
}

/// −ln of the probability that logits give a token, in nats.
pub(crate) fn surprise(logits: &[f32], token: u32) -> f64 {
    let highest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|x| (f64::from(*x) - highest).exp()).sum();
    sum.ln() + highest - f64::from(logits[token as usize])
}

fn program(
    config: &ModelConfig,
    params: &Rc<Vec<Param>>,
    layout: &ParamLayout,
    profile: &Profile,
    shape: Shape,
    context: usize,
) -> Program {
    let purpose = Purpose::Generate { cache_rows: context, logit_rows: shape.logit_rows };
    let graph = forward::build(config, params.clone(), shape.tokens, purpose, context);
    compile(&graph, layout, profile, Options::default())
}

/// GPU memory that [`Generator::sharing`] takes on top of what the engine has: caches, logits, activations of a chunk, tables.
/// `params` are the engine's (`ParamStore::params`, or what [`forward::graph_params`] makes of the declarations before there is one).
///
/// # Errors
/// [`Error::Recipe`] for a context that is not possible.
pub fn estimate_sharing(config: &ModelConfig, params: &Rc<Vec<Param>>, profile: &Profile, options: GeneratorOptions) -> Result<Memory> {
    let settled = Settled::of(options, config, profile)?;
    Ok(add_programs(Budget::of_runner(), &settled, config, params, &ParamLayout::new(params, profile), profile))
}

/// The same for a generator that also gives the logits or losses of whole texts, many rows at once.
///
/// # Errors
/// As [`estimate_sharing`].
pub fn estimate_reading(config: &ModelConfig, params: &Rc<Vec<Param>>, profile: &Profile, options: GeneratorOptions) -> Result<Memory> {
    let settled = Settled::of(options, config, profile)?;
    let (layout, rows) = (ParamLayout::new(params, profile), rows_at_once(config, settled.chunk));
    let mut budget = Budget::of_runner();
    budget.add(&program(config, params, &layout, profile, Shape { tokens: rows, logit_rows: rows }, settled.context));
    budget.add_readback((rows as u64 - 1) * config.vocab_size.next_multiple_of(4) as u64 * 4);
    Ok(add_programs(budget, &settled, config, params, &layout, profile))
}

/// Rows of logits that are computed and read back at once when those of a whole text are asked for.
fn rows_at_once(config: &ModelConfig, chunk: usize) -> usize {
    chunk.min(LOGITS_BYTES / (config.vocab_size.next_multiple_of(4) * 4)).max(1)
}

/// Adds the programs of a generator to what it stands on.
fn add_programs(
    mut budget: Budget,
    settled: &Settled,
    config: &ModelConfig,
    params: &Rc<Vec<Param>>,
    layout: &ParamLayout,
    profile: &Profile,
) -> Memory {
    for tokens in [settled.chunk, 1] {
        budget.add(&program(config, params, layout, profile, Shape { tokens, logit_rows: 1 }, settled.context));
    }
    // One row of logits comes back at a time.
    budget.add_readback(config.vocab_size.next_multiple_of(4) as u64 * 4);
    budget.total()
}

/// Fails when the device's memory does not suffice.
fn check_memory(settled: &Settled, config: &ModelConfig, params: &Rc<Vec<Param>>, profile: &Profile) -> Result<()> {
    let layout = ParamLayout::new(params, profile);
    let memory = add_programs(Budget::of_store(&layout, false), settled, config, params, &layout, profile);
    let needed = memory.peak_bytes();
    let Some(available) = profile.usable_memory().filter(|available| needed > *available) else { return Ok(()) };
    let suggestion = if memory.weights_bytes < available && settled.context > 256 {
        format!("ask for a shorter context than {} tokens", settled.context)
    } else {
        format!("take a smaller model: the weights alone are {}", human_bytes(memory.weights_bytes))
    };
    let device = profile.name.clone();
    Err(Error::TooLittleMemory { needed: human_bytes(needed), device, available: human_bytes(available), suggestion })
}

/// The batch for a program of `tokens`: as much of it as generation reads. Filling tokens stand at position 0; nothing sees them.
fn encode(ids: &[u32], position: usize, tokens: usize, wanted: std::ops::Range<usize>) -> Vec<u8> {
    let layout = InputLayout::new(tokens);
    let mut words = vec![0u32; layout.offset(Input::TargetLabels) as usize / 4];
    let mut put = |input: Input, index: usize, value: usize| words[layout.offset(input) as usize / 4 + index] = value as u32;
    for (i, id) in ids.iter().enumerate() {
        put(Input::Ids, i, *id as usize);
        put(Input::Positions, i, position + i);
    }
    for (i, row) in wanted.enumerate() {
        put(Input::TargetRows, i, row);
    }
    bytemuck::cast_slice(&words).to_vec()
}
