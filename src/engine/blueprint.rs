//! What an engine will be, computed before anything is allocated: its parameters and their places, its largest programs, its memory.

use std::rc::Rc;

use super::params::{check_adapter_fits, parameters};
use super::{EngineOptions, Kind, program_tokens};
use crate::error::Result;
use crate::gpu::Profile;
use crate::graph::{Graph, Param, ParamLayout, WeightType};
use crate::model::{ModelConfig, ParamDecl, ParamKind, forward};
use crate::ops::dora;
use crate::optim::update_program;
use crate::plan::{Budget, Memory, Options, Program, compile};

/// A planned engine: `rootstock estimate` prints its memory, [`Engine::load_planned`](super::Engine::load_planned) takes it over.
pub struct Blueprint {
    pub(super) config: ModelConfig,
    /// The parameters' declarations: the base's, then the adapter's.
    pub(super) declarations: Vec<ParamDecl>,
    /// How many of them are the base's.
    pub(super) base_count: usize,
    pub(super) params: Rc<Vec<Param>>,
    pub(super) layout: ParamLayout,
    pub(super) options: EngineOptions,
    /// The programs of the largest micro-batches, by their kind and tokens, the larger first.
    pub(super) programs: Vec<((Kind, usize), Rc<Program>)>,
    /// The optimiser's; none where nothing is trained.
    pub(super) update: Option<Rc<Program>>,
    /// Computes the lengths that DoRA divides by; without dispatches where there are none.
    pub(super) norms: Rc<Program>,
    memory: Memory,
}

impl Blueprint {
    /// Plans an engine. `declarations` are the base's, `frozen` says how those that are not trained are kept ([`stored_type`]). `largest` are
    /// the tokens of the largest training and evaluation micro-batch (0: none of the kind).
    ///
    /// [`stored_type`]: super::stored_type
    pub fn new(
        config: &ModelConfig,
        declarations: &[ParamDecl],
        frozen: impl Fn(&ParamDecl) -> WeightType,
        profile: &Profile,
        options: &EngineOptions,
        largest: [usize; 2],
    ) -> Blueprint {
        let base_count = declarations.len();
        let training = options.method.trains();
        let (declarations, params) = parameters(declarations, &options.method, frozen);
        let params = Rc::new(params);
        let states = |index: usize| match declarations.get(index) {
            Some(decl) => {
                let is_embedding = matches!(decl.kind, ParamKind::Embedding | ParamKind::PositionEmbedding);
                options.optimizer.states(decl.rows * decl.cols, is_embedding)
            }
            None => &[], // what is computed has no state
        };
        let layout = ParamLayout::with_states(&params, profile, states);
        let mut budget = Budget::of_store(&layout, training);
        let mut programs = Vec::new();
        for (kind, tokens) in [Kind::Train, Kind::Evaluate].into_iter().zip(largest).filter(|(_, tokens)| *tokens > 0) {
            let tokens = program_tokens(tokens);
            let program = compile(&graph(config, &params, options, kind, tokens), &layout, profile, plan_options(options));
            budget.add(&program);
            programs.push(((kind, tokens), Rc::new(program)));
        }
        let update = training.then(|| Rc::new(update_program(&layout, &profile.tuning, &options.optimizer)));
        let norms = Rc::new(dora::norm_program(&params, &layout, &profile.tuning));
        update.iter().for_each(|update| budget.add(update));
        budget.add(&norms);
        let (config, options, memory) = (config.clone(), options.clone(), budget.total());
        Blueprint { config, declarations, base_count, params, layout, options, programs, update, norms, memory }
    }

    /// The memory of the run.
    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// How its engine will be opened.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// The parameters as the graphs see them.
    pub fn params(&self) -> &Rc<Vec<Param>> {
        &self.params
    }

    /// Refuses an adapter that the device cannot bind.
    pub(super) fn check(&self, profile: &Profile) -> Result<()> {
        check_adapter_fits(&self.params[self.base_count..], profile)
    }
}

/// The graph of a micro-batch.
pub(super) fn graph(config: &ModelConfig, params: &Rc<Vec<Param>>, options: &EngineOptions, kind: Kind, tokens: usize) -> Graph {
    forward::build_for(config, params.clone(), tokens, kind.purpose(), options.sequence, options.objective)
}

pub(super) fn plan_options(options: &EngineOptions) -> Options {
    Options { gradient_checkpointing: options.gradient_checkpointing }
}
