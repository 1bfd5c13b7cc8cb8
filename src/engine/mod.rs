//! A model on the GPU: its parameters, and the plans for the batch shapes that come along.
//!
//! Training, evaluation and benchmarks all drive this one type; what happens when is the business of `train`.

use std::cell::Cell;
use std::rc::Rc;

use async_trait::async_trait;

use crate::checkpoint::{ModelSource, ParamSource};
use crate::data::Batch;
use crate::error::Result;
use crate::gpu::{Gpu, Profile};
use crate::graph::{Param, ParamId, ParamLayout, Purpose, WeightType};
use crate::kernels::{Stats, StepValues};
use crate::model::{ModelConfig, ParamDecl, forward};
use crate::ops::dora;
use crate::optim::{AdamW, update_program};
use crate::plan::{Memory, Options, ParamStore, Part, Pool, Runner, compile};

mod bound;
mod feed;
mod load;
mod params;
mod plans;

pub use bound::Bound;
pub use feed::{encode, plan_tokens};
pub use load::{stored_type, upload};
pub use params::{Method, check_adapter_fits, parameters};
pub use plans::{Plan, Plans};

/// What an [`Engine`] is opened for.
#[derive(Debug, Clone, PartialEq)]
pub struct EngineOptions {
    /// What is trained.
    pub method: Method,
    /// Keep only the layers' inputs, compute the rest again.
    pub gradient_checkpointing: bool,
    /// The longest sequence that will come, in tokens.
    pub sequence: usize,
    /// The optimiser.
    pub adamw: AdamW,
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
    plans: Plans<(Kind, usize)>,
    update: Option<Bound>,
    /// Computes the lengths that DoRA divides by.
    norms: Option<Bound>,
    /// Whether A and B changed since those were computed.
    norms_due: Cell<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Train,
    Evaluate,
}

impl Kind {
    fn purpose(self) -> Purpose {
        match self {
            Kind::Train => Purpose::Train,
            Kind::Evaluate => Purpose::Evaluate,
        }
    }
}

/// The memory of a run before anything is allocated: what `rootstock estimate` prints and `train` checks.
///
/// `declarations` are the base's, `frozen` says how those that are not trained are kept ([`stored_type`]). `largest` are the tokens of the
/// largest training and evaluation micro-batch (0: none of the kind).
pub fn estimate(
    config: &ModelConfig,
    declarations: &[ParamDecl],
    frozen: impl Fn(&ParamDecl) -> WeightType,
    profile: &Profile,
    options: &EngineOptions,
    largest: [usize; 2],
) -> Memory {
    let training = options.method.trains();
    let params = Rc::new(parameters(declarations, &options.method, frozen).1);
    let layout = ParamLayout::new(&params, profile);
    let mut memory = Memory::of_store(&layout, training);
    let mut pool = Pool::default();
    for (kind, tokens) in [Kind::Train, Kind::Evaluate].into_iter().zip(largest) {
        if tokens == 0 {
            continue;
        }
        let tokens = plan_tokens(tokens);
        let graph = forward::build(config, params.clone(), tokens, kind.purpose(), options.sequence);
        let program = compile(&graph, &layout, profile, plan_options(options));
        memory.add_program(&program, &graph);
        pool.add(&program);
        memory.activations_bytes = pool.bytes();
    }
    if training {
        memory.add_update(&update_program(&layout, &profile.tuning, &options.adamw));
    }
    memory.add_update(&dora::norm_program(&params, &layout, &profile.tuning));
    memory
}

fn plan_options(options: &EngineOptions) -> Options {
    Options { gradient_checkpointing: options.gradient_checkpointing }
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
        let base_count = declarations.len();
        let training = options.method.trains();
        let (declarations, params) = parameters(declarations, &options.method, frozen);
        let params = Rc::new(params);
        check_adapter_fits(&params[base_count..], gpu.profile())?;
        let store = Rc::new(ParamStore::allocate(&gpu, params.clone(), training).await?);
        let mut runner = Runner::new(gpu.clone(), store.clone()).await?;
        let mut update = None;
        if training {
            update = Bound::new(&mut runner, update_program(&store.layout, &gpu.profile().tuning, &options.adamw)).await?;
        }
        let norms = Bound::new(&mut runner, dora::norm_program(&store.params, &store.layout, &gpu.profile().tuning)).await?;
        Ok(Engine {
            config,
            declarations,
            base_count,
            runner,
            params,
            options,
            plans: Plans::default(),
            update,
            norms,
            norms_due: Cell::new(false),
        })
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
            let one = Shifted { source, by: index };
            upload(&self.runner, &self.declarations[index..=index], index, part, &one).await?;
        }
        self.norms_due.set(true);
        Ok(())
    }

    /// Which of the declared parameters are trained.
    pub fn trained(&self) -> Vec<usize> {
        (0..self.declarations.len()).filter(|&i| self.params[i].trainable).collect()
    }

    /// What is trained.
    pub fn method(&self) -> &Method {
        &self.options.method
    }

    /// Numbers of all parameters as a source for a writer.
    pub fn part(&self, part: Part) -> StorePart<'_> {
        StorePart { engine: self, part }
    }

    /// Compiles and allocates for the largest micro-batches first, so that nothing is allocated later.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when memory is short.
    pub async fn reserve(&mut self, train_tokens: usize, evaluate_tokens: usize) -> Result<()> {
        for (kind, tokens) in [(Kind::Train, train_tokens), (Kind::Evaluate, evaluate_tokens)] {
            if tokens > 0 {
                self.plan(kind, plan_tokens(tokens)).await?;
            }
        }
        Ok(())
    }

    async fn plan(&mut self, kind: Kind, tokens: usize) -> Result<&Plan> {
        let build = || forward::build(&self.config, self.params.clone(), tokens, kind.purpose(), self.options.sequence);
        self.plans.get(&mut self.runner, (kind, tokens), plan_options(&self.options), build).await
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
        let (inputs, counts) = encode(batch, plan_tokens(batch.len()));
        let step = StepValues {
            targets: counts.targets,
            buckets: counts.buckets,
            position_buckets: counts.position_buckets,
            tokens: batch.tokens as u32,
            ..step
        };
        self.plan(kind, plan_tokens(batch.len())).await?;
        let plan = &self.plans[(kind, plan_tokens(batch.len()))];
        self.runner.run(&plan.prepared, &step, &inputs)
    }

    /// Computes what follows from the adapter's weights, if these changed: before another program uses the engine's parameters.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn catch_up(&mut self) -> Result<()> {
        match &mut self.norms {
            Some(norms) if self.norms_due.replace(false) => norms.run(&mut self.runner, &StepValues::default()).await,
            _ => Ok(()),
        }
    }

    /// Queues the norm, clipping and AdamW.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn update(&mut self, step: &StepValues) -> Result<()> {
        let Some(update) = &mut self.update else { return Ok(()) };
        update.run(&mut self.runner, step).await?;
        self.norms_due.set(true);
        self.catch_up().await
    }

    /// Sum of the losses over a batch's targets, and their number; waits for the result.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn loss(&mut self, batch: &Batch) -> Result<(f64, usize)> {
        self.run(Kind::Evaluate, batch, StepValues { loss_scale: 1.0, ..StepValues::default() }).await?;
        let stats = self.stats().await?;
        Ok((f64::from(stats.loss_sum), batch.target_count()))
    }

    /// The statistics as they are now; waits for all that was queued.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn stats(&self) -> Result<Stats> {
        Ok(Stats::decode(&self.runner.start_read_stats()?.wait(&self.runner.gpu).await?))
    }

    /// Floating-point operations of a training micro-step of this many tokens, as planned.
    ///
    /// # Errors
    /// As [`Engine::reserve`].
    pub async fn train_flops(&mut self, tokens: usize) -> Result<u64> {
        Ok(self.plan(Kind::Train, plan_tokens(tokens)).await?.prepared.flops)
    }

    /// Floating-point operations of a training micro-step of this many tokens, if its plan is there already.
    pub fn planned_flops(&self, tokens: usize) -> Option<u64> {
        self.plans.known((Kind::Train, plan_tokens(tokens))).map(|p| p.prepared.flops)
    }

    /// Runs a training micro-step with every dispatch timed on its own.
    ///
    /// # Errors
    /// [`crate::Error::Gpu`] when the device failed.
    pub async fn profile(&mut self, batch: &Batch, step: StepValues) -> Result<Vec<(crate::kernels::Dispatch, f64)>> {
        let tokens = plan_tokens(batch.len());
        let (inputs, counts) = encode(batch, tokens);
        let step = StepValues { targets: counts.targets, buckets: counts.buckets, position_buckets: counts.position_buckets, ..step };
        self.catch_up().await?;
        self.plan(Kind::Train, tokens).await?;
        let plan = &self.plans[(Kind::Train, tokens)];
        let timings = self.runner.profile(&plan.prepared, &step, &inputs).await?;
        Ok(timings.into_iter().map(|t| (plan.program.dispatches[t.dispatch].clone(), t.seconds)).collect())
    }

    /// The printed plan of a training micro-step.
    ///
    /// # Errors
    /// As [`Engine::reserve`].
    pub async fn print_plan(&mut self, tokens: usize) -> Result<String> {
        Ok(self.plan(Kind::Train, plan_tokens(tokens)).await?.program.to_string())
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
