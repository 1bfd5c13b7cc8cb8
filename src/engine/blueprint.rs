//! What an engine will be, computed before anything is allocated: its parameters and their places, its largest programs, its memory.

use std::rc::Rc;

use super::params::{check_adapter_fits, parameters};
use super::{EngineOptions, Kind, program_tokens};
use crate::error::Result;
use crate::gpu::Profile;
use crate::graph::{Adapted, Change, Graph, Objective, Param, ParamLayout, WeightType};
use crate::model::{ModelConfig, ParamDecl, ParamKind, forward};
use crate::ops::dora;
use crate::optim::{Role, update_program};
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
    budget: Budget,
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
        let (declarations, mut params) = parameters(declarations, &options.method, frozen);
        if options.objective.preference.is_some() && !options.objective.gives_values() {
            params.iter_mut().for_each(without_dropout);
        }
        let params = Rc::new(params);
        let states = |index: usize| match declarations.get(index) {
            Some(decl) => {
                let role = match decl.kind {
                    ParamKind::ValueHead => Role::Matrix,
                    _ if decl.rows == 1 => Role::Vector,
                    ParamKind::Embedding | ParamKind::PositionEmbedding => Role::Embedding,
                    ParamKind::Head => Role::Head,
                    _ => Role::Matrix,
                };
                options.optimizer.states(decl.rows * decl.cols, role)
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
        let update = training.then(|| Rc::new(update_program(&params, &layout, &profile.tuning, &options.optimizer)));
        let norms = Rc::new(dora::norm_program(&params, &layout, &profile.tuning));
        update.iter().for_each(|update| budget.add(update));
        budget.add(&norms);
        let (config, options) = (config.clone(), options.clone());
        Blueprint { config, declarations, base_count, params, layout, options, programs, update, norms, budget }
    }

    /// The same with a program for [`Engine::reference`](super::Engine::reference) of micro-batches of at most so many tokens.
    #[must_use]
    pub fn with_reference(mut self, profile: &Profile, tokens: usize) -> Blueprint {
        let (kind, tokens) = (Kind::Reference, program_tokens(tokens));
        let graph = graph(&self.config, &self.params, &self.options, kind, tokens);
        let program = compile(&graph, &self.layout, profile, plan_options(&self.options));
        self.budget.add(&program);
        self.programs.push(((kind, tokens), Rc::new(program)));
        self
    }

    /// The memory of the run.
    pub fn memory(&self) -> Memory {
        self.budget.total()
    }

    /// How its engine will be opened.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// How its programs are compiled.
    pub fn plan_options(&self) -> Options {
        plan_options(&self.options)
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
    let (params, objective) = match kind {
        Kind::Train | Kind::Evaluate => (params.clone(), options.objective),
        Kind::Reference => {
            let plain = |param: &Param| Param { adapted: Adapted::default(), ..param.clone() };
            (Rc::new(params.iter().map(plain).collect()), Objective::default())
        }
    };
    forward::build_for(config, params, tokens, kind.purpose(), options.sequence, objective)
}

/// Preferences (but for a reward model's) are trained without dropout, as LLaMA-Factory does it: an answer's log-probability is one number, for the loss and its
/// gradient.
fn without_dropout(param: &mut Param) {
    for change in [&mut param.adapted.matrix, &mut param.adapted.table] {
        if let Some(Change::LowRank(low_rank)) = change {
            low_rank.dropout = 0.0;
        }
    }
}

pub(super) fn plan_options(options: &EngineOptions) -> Options {
    Options { gradient_checkpointing: options.gradient_checkpointing, kept: options.kept }
}
