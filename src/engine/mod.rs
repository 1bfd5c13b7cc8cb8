//! A model on the GPU: its parameters, and the programs for the shapes of its batches.
//!
//! Training, evaluation and benchmarks use this one type; the order of steps is decided in `train`.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;

use crate::checkpoint::{ModelSource, ParamSource};
use crate::data::Batch;
use crate::error::Result;
use crate::gpu::{Gpu, Profile};
pub use crate::graph::{Objective, Preference, PreferenceLoss};
use crate::graph::{Param, ParamId, Purpose, State, WeightType};
pub use crate::kernels::Half;
use crate::kernels::{Stats, StepValues};
use crate::model::{ModelConfig, ParamDecl, forward};
use crate::optim::Optimizer;
use crate::plan::{Memory, ParamStore, Part, Prepared, Program, ProgramCache, Runner, compile};

mod blueprint;
mod feed;
mod load;
mod params;

pub use blueprint::Blueprint;
use blueprint::{graph, plan_options};
pub use feed::{encode, program_tokens};
pub use load::{stored_type, upload};
pub use params::{Method, check_adapter_fits, parameters};

/// How an [`Engine`] is opened.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineOptions {
    /// What is trained.
    pub method: Method,
    /// Keep only the layers' inputs, compute the rest again.
    pub gradient_checkpointing: bool,
    /// Keep activations for the backward pass in 16 bits; in f32 without.
    pub kept: Option<Half>,
    /// The longest sequence that will come, in tokens.
    pub sequence: usize,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// What training minimises and an evaluation measures.
    pub objective: Objective,
}

/// A model on the GPU.
pub struct Engine {
    /// The configuration.
    pub config: ModelConfig,
    /// The parameters' declarations: the base's, then the adapter's.
    pub declarations: Vec<ParamDecl>,
    /// How many of them are the base's.
    pub base_count: usize,
    /// Where everything runs.
    pub runner: Runner,
    params: Rc<Vec<Param>>,
    options: EngineOptions,
    programs: ProgramCache<(Kind, usize)>,
    update: Option<Prepared>,
    /// Computes the lengths that DoRA divides by.
    norms: Option<Prepared>,
    /// Whether A and B changed since those were computed.
    norms_due: Cell<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Train,
    Evaluate,
    /// The losses of targets by the base as it is, whatever adapter is on it.
    Reference,
}

impl Kind {
    fn purpose(self) -> Purpose {
        match self {
            Kind::Train => Purpose::Train,
            Kind::Evaluate | Kind::Reference => Purpose::Evaluate,
        }
    }
}

/// The memory of a run before anything is allocated: that of its [`Blueprint`].
pub fn estimate(
    config: &ModelConfig,
    declarations: &[ParamDecl],
    frozen: impl Fn(&ParamDecl) -> WeightType,
    profile: &Profile,
    options: &EngineOptions,
    largest: [usize; 2],
) -> Memory {
    Blueprint::new(config, declarations, frozen, profile, options, largest).memory()
}

impl Engine {
    /// Allocates a model's parameters, all zero. `declarations` are the base's; `frozen` says how those that are not trained are kept.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when memory is short.
    pub async fn new(
        gpu: Rc<Gpu>,
        config: ModelConfig,
        declarations: &[ParamDecl],
        frozen: impl Fn(&ParamDecl) -> WeightType,
        options: EngineOptions,
    ) -> Result<Engine> {
        let blueprint = Blueprint::new(&config, declarations, frozen, gpu.profile(), &options, [0, 0]);
        Engine::allocate(gpu, &blueprint).await
    }

    /// Allocates what is planned: parameters, all zero, and all that the largest micro-batches need, so that nothing is allocated later.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when memory is short; [`crate::Error::Recipe`] for an adapter that the device cannot bind.
    pub async fn allocate(gpu: Rc<Gpu>, blueprint: &Blueprint) -> Result<Engine> {
        blueprint.check(gpu.profile())?;
        let training = blueprint.options.method.trains();
        let store = ParamStore::allocate_as(&gpu, blueprint.params.clone(), blueprint.layout.clone(), training).await?;
        let runner = Runner::new(gpu, Rc::new(store)).await?;
        let programs = blueprint.programs.iter().map(|(_, program)| program).chain(&blueprint.update).chain([&blueprint.norms]);
        runner.compile(programs.map(|program| &**program)).await?;
        let used = |program: &Rc<Program>| (!program.dispatches.is_empty()).then(|| Prepared::new(program.clone()));
        let mut engine = Engine {
            config: blueprint.config.clone(),
            declarations: blueprint.declarations.clone(),
            base_count: blueprint.base_count,
            runner,
            params: blueprint.params.clone(),
            options: blueprint.options.clone(),
            programs: ProgramCache::default(),
            update: blueprint.update.as_ref().and_then(used),
            norms: used(&blueprint.norms),
            norms_due: Cell::new(false),
        };
        for (key, program) in &blueprint.programs {
            engine.programs.insert(*key, program.clone());
        }
        for ((kind, tokens), _) in &blueprint.programs {
            engine.bound(*kind, *tokens).await?;
        }
        for resident in engine.update.iter_mut().chain(&mut engine.norms) {
            resident.bind(&mut engine.runner).await?;
        }
        Ok(engine)
    }

    /// Opens a model as planned: [`Engine::allocate`], and its weights are streamed to the GPU piece by piece.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub async fn load_planned(gpu: Rc<Gpu>, source: &dyn ParamSource, blueprint: &Blueprint) -> Result<Engine> {
        let engine = Engine::allocate(gpu, blueprint).await?;
        engine.load_base(source).await?;
        Ok(engine)
    }

    /// Opens a model: allocates, and streams its weights to the GPU piece by piece. What is not trained is kept as it is stored. An
    /// adapter is all zero until [`Engine::load_adapter`].
    ///
    /// # Errors
    /// What reading the checkpoint or allocating fails with.
    pub async fn load(gpu: Rc<Gpu>, model: &dyn ModelSource, options: EngineOptions) -> Result<Engine> {
        let config = model.config().clone();
        let engine = Engine::new(gpu, config, model.params(), |d| stored_type(model, d), options).await?;
        engine.load_base(model).await?;
        Ok(engine)
    }

    /// Streams the base's weights to the GPU.
    ///
    /// # Errors
    /// What the source fails with.
    pub async fn load_base(&self, source: &dyn ParamSource) -> Result<()> {
        upload(&self.runner, &self.declarations[..self.base_count], 0, Part::Weights, source).await?;
        self.norms_due.set(true);
        Ok(())
    }

    /// Streams an adapter's tensors to the GPU; `source` counts them from 0, as [`ResolvedAdapter::declarations`] does.
    ///
    /// [`ResolvedAdapter::declarations`]: crate::adapter::targets::ResolvedAdapter::declarations
    ///
    /// # Errors
    /// What the source fails with.
    pub async fn load_adapter(&self, source: &dyn ParamSource) -> Result<()> {
        upload(&self.runner, &self.declarations[self.base_count..], self.base_count, Part::Weights, source).await?;
        self.norms_due.set(true);
        Ok(())
    }

    /// Streams numbers of all trained parameters to the GPU; `source` counts as [`Engine::declarations`] does.
    ///
    /// # Errors
    /// What the source fails with.
    pub async fn load_trained(&self, part: Part, source: &dyn ParamSource) -> Result<()> {
        for index in self.trained() {
            self.load_one(index, part, source).await?;
        }
        self.norms_due.set(true);
        Ok(())
    }

    /// Streams numbers of one trained parameter to the GPU; `source` counts as [`Engine::declarations`] does.
    ///
    /// # Errors
    /// What the source fails with.
    pub async fn load_one(&self, index: usize, part: Part, source: &dyn ParamSource) -> Result<()> {
        let one = Shifted { source, by: index };
        upload(&self.runner, &self.declarations[index..=index], index, part, &one).await
    }

    /// What the optimiser keeps for a parameter.
    pub fn states(&self, index: usize) -> &'static [State] {
        self.runner.store.layout.states(ParamId(index as u32))
    }

    /// Bytes of a state that [`Engine::read_state`] returns.
    pub fn state_bytes(&self, index: usize, state: u8) -> u64 {
        self.runner.store.state_bytes(state, ParamId(index as u32))
    }

    /// A state of a parameter as the GPU keeps it.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn read_state(&self, index: usize, state: u8) -> Result<Vec<u8>> {
        self.runner.store.download_state(&self.runner.gpu, state, ParamId(index as u32)).await
    }

    /// Brings back what [`Engine::read_state`] returned.
    pub fn write_state(&self, index: usize, state: u8, bytes: &[u8]) {
        self.runner.store.upload_state(&self.runner.gpu, state, ParamId(index as u32), bytes);
        self.runner.flush();
    }

    /// Which of the declared parameters are trained.
    pub fn trained(&self) -> Vec<usize> {
        (0..self.declarations.len()).filter(|&i| self.params[i].trainable).collect()
    }

    /// Whether evaluations count the targets that are the likeliest token, in [`Stats::correct`].
    pub fn counts_right(&self) -> bool {
        self.options.objective.accuracy
    }

    /// What is trained.
    pub fn method(&self) -> &Method {
        &self.options.method
    }

    /// Numbers of all parameters as a source for a writer.
    pub fn part(&self, part: Part) -> StorePart<'_> {
        StorePart { engine: self, part }
    }

    /// The program of a micro-batch, bound, and what runs it.
    async fn bound(&mut self, kind: Kind, tokens: usize) -> Result<(&Runner, &Prepared)> {
        let (config, params, options, store) = (&self.config, &self.params, &self.options, self.runner.store.clone());
        let gpu = self.runner.gpu.clone();
        let build = || compile(&graph(config, params, options, kind, tokens), &store.layout, gpu.profile(), plan_options(options));
        let prepared = self.programs.get(&mut self.runner, (kind, tokens), build).await?;
        Ok((&self.runner, prepared))
    }

    /// Queues forward and backward of one micro-batch. `step` brings what only the caller knows: accumulation, loss scale, seed.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn micro_step(&mut self, batch: &Batch, step: StepValues) -> Result<()> {
        self.run(Kind::Train, batch, step).await
    }

    async fn run(&mut self, kind: Kind, batch: &Batch, step: StepValues) -> Result<()> {
        self.catch_up().await?;
        let tokens = program_tokens(batch.len());
        let (inputs, step) = self.encode(batch, tokens, step);
        let (runner, prepared) = self.bound(kind, tokens).await?;
        runner.run(prepared.bound()?, &step, &inputs)
    }

    /// A batch as the kernels read it, and the step with what it takes from the batch.
    fn encode(&self, batch: &Batch, tokens: usize, step: StepValues) -> (Vec<u8>, StepValues) {
        let (inputs, counts) = encode(batch, tokens);
        let step = StepValues {
            targets: counts.targets,
            buckets: counts.buckets,
            position_buckets: counts.position_buckets,
            answers: counts.answers,
            tokens: batch.tokens as u32,
            rope_row: forward::rope_row(&self.config, counts.longest) as u32,
            ..step
        };
        (inputs, step)
    }

    /// Computes what follows from the adapter's weights, if these changed: before another program uses the engine's parameters.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn catch_up(&mut self) -> Result<()> {
        match &mut self.norms {
            Some(norms) if self.norms_due.replace(false) => norms.run(&mut self.runner, &StepValues::default(), &[]).await,
            _ => Ok(()),
        }
    }

    /// Queues the norm, clipping and the optimiser.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn update(&mut self, step: &StepValues) -> Result<()> {
        let Some(update) = &mut self.update else { return Ok(()) };
        update.run(&mut self.runner, step, &[]).await?;
        self.norms_due.set(true);
        self.catch_up().await
    }

    /// Sum of the losses over a batch's targets, and their number; waits for the result.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn loss(&mut self, batch: &Batch) -> Result<(f64, usize)> {
        let stats = self.measure(batch).await?;
        Ok((f64::from(stats.loss_sum), batch.target_count()))
    }

    /// The statistics of a batch that is evaluated: the sum of the losses of its targets, or of its samples' preferences; waits for the
    /// result.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn measure(&mut self, batch: &Batch) -> Result<Stats> {
        self.run(Kind::Evaluate, batch, StepValues { loss_scale: 1.0, ..StepValues::default() }).await?;
        self.stats().await
    }

    /// The log-probabilities of a batch's answers by the model as it is now, less its adapter; two for each sample. Waits for them.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn reference(&mut self, batch: &Batch) -> Result<Vec<[f32; 2]>> {
        self.run(Kind::Reference, batch, StepValues::default()).await?;
        self.answers(batch).await
    }

    /// The values that a reward model gives a batch's answers, two for each sample. Waits for them.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn values(&mut self, batch: &Batch) -> Result<Vec<[f32; 2]>> {
        self.run(Kind::Evaluate, batch, StepValues { loss_scale: 1.0, ..StepValues::default() }).await?;
        self.answers(batch).await
    }

    /// Minus the sums of the losses of each answer's targets, as the last program left them; two for each sample.
    async fn answers(&self, batch: &Batch) -> Result<Vec<[f32; 2]>> {
        let losses = self.runner.read_losses(batch.target_count()).await?;
        let mut rest = losses.as_slice();
        let sums = batch.answers.iter().map(|answer| {
            let (own, after) = rest.split_at(answer.targets.min(rest.len()));
            rest = after;
            -own.iter().map(|loss| f64::from(*loss)).sum::<f64>() as f32
        });
        Ok(sums.collect::<Vec<_>>().chunks_exact(2).map(|pair| [pair[0], pair[1]]).collect())
    }

    /// The statistics as they are now; waits for all that was queued.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn stats(&self) -> Result<Stats> {
        self.runner.start_read_stats()?.wait(&self.runner).await
    }

    /// Runs a training micro-step with every dispatch timed on its own.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn profile(&mut self, batch: &Batch, step: StepValues) -> Result<Vec<(crate::kernels::Dispatch, f64)>> {
        self.catch_up().await?;
        let tokens = program_tokens(batch.len());
        let (inputs, step) = self.encode(batch, tokens, step);
        let (runner, prepared) = self.bound(Kind::Train, tokens).await?;
        let timings = runner.profile(prepared.bound()?, &step, &inputs).await?;
        Ok(timings.into_iter().map(|t| (prepared.program().dispatches[t.dispatch].clone(), t.seconds)).collect())
    }
}

/// A source whose numbering begins elsewhere.
pub struct Shifted<'a> {
    /// The source.
    pub source: &'a dyn ParamSource,
    /// What is 0 here is this there.
    pub by: usize,
}

#[async_trait(?Send)]
impl ParamSource for Shifted<'_> {
    async fn read_rows(&self, param: usize, rows: std::ops::Range<usize>) -> Result<Vec<f32>> {
        self.source.read_rows(param + self.by, rows).await
    }

    async fn read_blocks(&self, param: usize, kept: WeightType, rows: std::ops::Range<usize>) -> Result<Option<Vec<u8>>> {
        self.source.read_blocks(param + self.by, kept, rows).await
    }
}

/// One part (weights, gradients, a moment) of all parameters, read back from the GPU.
pub struct StorePart<'a> {
    engine: &'a Engine,
    part: Part,
}

#[async_trait(?Send)]
impl ParamSource for StorePart<'_> {
    async fn read_rows(&self, param: usize, rows: std::ops::Range<usize>) -> Result<Vec<f32>> {
        let runner = &self.engine.runner;
        runner.store.download(&runner.gpu, self.part, ParamId(param as u32), rows).await
    }
}
