//! A run that is planned: what `rootstock estimate` prints is what training follows.

use std::rc::Rc;

use super::finetuning::Finetuning;
use super::job::RunInput;
use super::quantised::quantised_type;
use crate::checkpoint::ModelSource;
use crate::config::{self, Momentum, OptimizerName, PrefLoss, Recipe, Stage};
use crate::data::{Loader, Sample};
use crate::engine::{Blueprint, EngineOptions, Half, Method, Objective, Preference, PreferenceLoss, parameters, stored_type};
use crate::error::{Error, Result};
use crate::gpu::{Profile, human_bytes};
use crate::graph::WeightType;
use crate::kernels::Version;
use crate::model::{ModelConfig, ParamDecl, ParamKind, params};
use crate::optim::{Adafactor, AdamW, Lion, Muon, Optimizer, Sgd};
use crate::plan::{Memory, Options};

/// What a run does and needs, computed once, before anything is allocated.
#[derive(Clone)]
pub struct PlannedRun {
    /// What it is made of.
    pub input: RunInput,
    /// Which samples come when.
    pub loader: Loader,
    /// The model on the GPU.
    pub blueprint: Rc<Blueprint>,
    /// GPU memory.
    pub memory: Memory,
    /// What is trained.
    pub finetuning: Finetuning,
    /// What to tell before the run.
    pub notices: Vec<String>,
    /// Where answers are compared with a reference, which one.
    pub(super) reference: PlannedReference,
}

/// The reference of stages dpo and kto, which is asked before the first step.
#[derive(Clone)]
pub(super) enum PlannedReference {
    /// The loss needs none.
    None,
    /// The run's own model, less its adapter, so many tokens at a time.
    Own { tokens: usize },
    /// A model that is loaded for it before the run's own, so many tokens at a time.
    Other { blueprint: Rc<Blueprint>, tokens: usize },
}

impl PlannedRun {
    /// Plans a run for a device.
    ///
    /// # Errors
    /// [`crate::Error::Dataset`] without samples; what [`Finetuning::of`] fails with.
    pub async fn new(input: RunInput, profile: &Profile) -> Result<PlannedRun> {
        let RunInput { recipe, checkpoint, data, adapters, .. } = &input;
        let (train, eval) = (&data.train.samples, &data.eval.samples);
        let finetuning = Finetuning::of(recipe, checkpoint, adapters).await?;
        let lengths: Vec<usize> = train.iter().map(|sample| sample.ids.len()).collect();
        let loader = Loader::of_lengths(&lengths, recipe)?;
        let options = engine_options(recipe, finetuning.method.clone(), longest_sequence(train, eval));
        let mut largest = largest_micro_batches(&loader, recipe, train, eval);
        let mut rest = eval.as_slice();
        for (_, samples) in &data.eval_parts {
            let (part, after) = rest.split_at(*samples);
            largest[1] = largest[1].max(largest_micro_batches(&loader, recipe, train, part)[1]);
            rest = after;
        }
        let base = finetuning.base();
        let reference = plan_reference(&input, &options, profile, largest)?;
        let plan = |options| {
            let blueprint = Blueprint::new(base.config(), base.params(), |d| finetuning.stored_type(base, d), profile, options, largest);
            match reference {
                PlannedReference::Own { tokens } => blueprint.with_reference(profile, tokens),
                PlannedReference::None | PlannedReference::Other { .. } => blueprint,
            }
        };
        let mut blueprint = plan(&options);
        let mut notices = finetuning.notices.clone();
        if options.kept == Some(Half::F16) {
            notices.push(half_products(profile));
        }
        let available = profile.usable_memory().unwrap_or(u64::MAX);
        let needed = blueprint.memory().peak_bytes();
        if recipe.gradient_checkpointing.is_none() && needed > available {
            let smaller = plan(&EngineOptions { gradient_checkpointing: true, ..options.clone() });
            // Where it does not fit either, the error is about the run as the recipe has it.
            if smaller.memory().peak_bytes() <= available {
                notices.push(format!(
                    "gradient_checkpointing is turned on: without it the run needs {} of GPU memory and {} has {}; with it {}, in about a \
                     third more time",
                    human_bytes(needed),
                    profile.name,
                    human_bytes(available),
                    human_bytes(smaller.memory().peak_bytes())
                ));
                blueprint = smaller;
            }
        }
        let (mut memory, blueprint) = (blueprint.memory(), Rc::new(blueprint));
        if let PlannedReference::Other { blueprint, .. } = &reference {
            // The two models are in memory one after the other.
            memory = if blueprint.memory().peak_bytes() > memory.peak_bytes() { blueprint.memory() } else { memory };
        }
        Ok(PlannedRun { loader, blueprint, memory, finetuning, notices, input, reference })
    }

    /// Whether activations are computed again in the backward pass.
    pub fn checkpointing(&self) -> bool {
        self.blueprint.options().gradient_checkpointing
    }

    /// What was chosen of the remedies for short memory.
    pub fn plan_options(&self) -> Options {
        self.blueprint.plan_options()
    }
}

/// The reference of a run, as the recipe has it.
fn plan_reference(input: &RunInput, options: &EngineOptions, profile: &Profile, largest: [usize; 2]) -> Result<PlannedReference> {
    let tokens = largest[0].max(largest[1]);
    let Some(model) = input.reference.as_ref().filter(|_| input.recipe.needs_reference()) else {
        return Ok(if input.recipe.needs_reference() { PlannedReference::Own { tokens } } else { PlannedReference::None });
    };
    let (other, own) = (model.config(), input.checkpoint.config());
    if other.vocab_size < own.vocab_size {
        return Err(Error::recipe(
            "ref_model",
            format!(
                "{} has a vocabulary of {} tokens and the model to train one of {}: the reference must read the same tokens",
                model.label(),
                other.vocab_size,
                own.vocab_size
            ),
        ));
    }
    let options = EngineOptions {
        method: Method::Inference(None),
        gradient_checkpointing: false,
        kept: None,
        objective: Objective::default(),
        ..options.clone()
    };
    let blueprint = Blueprint::new(other, model.params(), |d| stored_type(model, d), profile, &options, [0, 0]);
    Ok(PlannedReference::Other { blueprint: Rc::new(blueprint.with_reference(profile, tokens)), tokens })
}

/// The loss over answers that a recipe asks for.
pub(super) fn preference(recipe: &Recipe) -> Option<Preference> {
    let pref = &recipe.pref;
    let loss = match (recipe.stage, pref.loss) {
        (Stage::Sft | Stage::Pt, _) => return None,
        (Stage::Rm, _) => return Some(Preference { loss: PreferenceLoss::Reward, beta: 1.0, ftx: 0.0 }),
        (Stage::Kto, _) => {
            PreferenceLoss::Kto { chosen_weight: pref.kto_chosen_weight as f32, rejected_weight: pref.kto_rejected_weight as f32 }
        }
        (Stage::Dpo, PrefLoss::Sigmoid) => PreferenceLoss::Sigmoid { label_smoothing: pref.dpo_label_smoothing as f32 },
        (Stage::Dpo, PrefLoss::Hinge) => PreferenceLoss::Hinge,
        (Stage::Dpo, PrefLoss::Ipo) => PreferenceLoss::Ipo,
        (Stage::Dpo, PrefLoss::Orpo) => PreferenceLoss::Orpo,
        (Stage::Dpo, PrefLoss::Simpo) => PreferenceLoss::Simpo { gamma: pref.simpo_gamma as f32 },
    };
    Some(Preference { loss, beta: pref.beta as f32, ftx: pref.ftx as f32 })
}

/// What a run on a model's shape needs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PlannedShape {
    /// All parameters.
    pub parameters: u64,
    /// Those that are trained.
    pub trainable: u64,
    /// GPU memory.
    pub memory: Memory,
    /// What was chosen of the remedies for short memory.
    pub options: Options,
}

/// Plans a run of which only the model's config.json is known: its samples have `sequence` tokens each, and weights that are not
/// trained are kept in bfloat16, or quantised as the recipe says. There is no evaluation.
///
/// # Errors
/// As [`ModelConfig::parse`]; [`crate::Error::Recipe`] for modules that the model has not.
pub fn plan_shape(config: &str, recipe: &Recipe, sequence: usize, profile: &Profile) -> Result<PlannedShape> {
    let config = ModelConfig::parse("config.json", config.as_bytes())?;
    let base = params(&config);
    let method = Finetuning::of_shape(recipe, &config, &base)?;
    let quantised = quantised_type(recipe.quantization);
    let frozen = |param: &ParamDecl| match quantised {
        Some(wanted) if param.kind == ParamKind::Linear && param.cols.is_multiple_of(wanted.block()) => wanted,
        _ => WeightType::Bf16,
    };
    let (declarations, graph_params) = parameters(&base, &method, frozen);
    let trained = declarations.iter().zip(&graph_params).filter(|(_, param)| param.trainable);
    let trainable = trained.map(|(declaration, _)| declaration.elements()).sum();
    let options = engine_options(recipe, method, sequence);
    let tokens = recipe.per_device_train_batch_size.saturating_mul(sequence);
    let blueprint = Blueprint::new(&config, &base, frozen, profile, &options, [tokens, 0]);
    Ok(PlannedShape {
        parameters: base.iter().map(ParamDecl::elements).sum(),
        trainable,
        memory: blueprint.memory(),
        options: blueprint.plan_options(),
    })
}

/// Tokens of the longest sequence that attention sees at once.
fn longest_sequence(train: &[Sample], eval: &[Sample]) -> usize {
    let longest = train.iter().chain(eval).flat_map(|s| {
        let starts = std::iter::once(0).chain(s.ends.iter().copied());
        s.ends.iter().zip(starts).map(|(end, start)| end - start).max()
    });
    longest.max().unwrap_or(1)
}

/// What `fp16` means for the products on this device.
fn half_products(profile: &Profile) -> String {
    let name = &profile.name;
    if profile.half_products() {
        return format!(
            "fp16: products on {name} take both factors in IEEE half precision and sum in f32; gradients are scaled by a power of two on their way there and back"
        );
    }
    let why = match (profile.tuning.products, profile.shader_f16) {
        (Version::Quads | Version::Registers | Version::Subgroup, _) => {
            "its kernels multiply in registers, where halves would save nothing"
        }
        (Version::Tiled, false) => "its shaders have no numbers of 16 bits",
        (Version::Tiled, true) => "converting halves costs its kernels more than they save",
    };
    format!("fp16: products on {name} compute in f32: {why}")
}

/// The options of the engine that a recipe asks for.
fn engine_options(recipe: &Recipe, method: Method, sequence: usize) -> EngineOptions {
    EngineOptions {
        method,
        gradient_checkpointing: recipe.gradient_checkpointing.unwrap_or(false),
        kept: recipe.activations.map(|half| match half {
            config::Half::Bf16 => Half::Bf16,
            config::Half::Fp16 => Half::F16,
        }),
        sequence,
        optimizer: optimizer(recipe),
        objective: Objective {
            label_smoothing: recipe.label_smoothing_factor as f32,
            weigh_by_probability: recipe.use_dft_loss,
            embedding_noise: recipe.neftune_noise_alpha.unwrap_or(0.0) as f32,
            accuracy: recipe.compute_accuracy && recipe.stage == Stage::Sft,
            preference: preference(recipe),
        },
    }
}

/// The optimiser that a recipe asks for.
fn optimizer(recipe: &Recipe) -> Optimizer {
    let (beta1, beta2, weight_decay) = (recipe.adam_beta1, recipe.adam_beta2, recipe.weight_decay);
    let adamw = AdamW { beta1, beta2, epsilon: recipe.adam_epsilon, weight_decay };
    if recipe.use_muon {
        let Momentum { decay, nesterov, iterations } = recipe.muon;
        return Optimizer::Muon(Muon { adamw, momentum: decay, nesterov, steps: iterations });
    }
    match recipe.optim {
        OptimizerName::Adamw => Optimizer::AdamW(adamw),
        OptimizerName::Adamw8bit => Optimizer::AdamW8bit(adamw),
        OptimizerName::AdamwTorch8bit => Optimizer::AdamWTorch8bit(adamw),
        OptimizerName::Sgd => Optimizer::Sgd(Sgd { weight_decay }),
        OptimizerName::Adafactor => Optimizer::Adafactor(Adafactor { weight_decay }),
        OptimizerName::Lion => Optimizer::Lion(Lion { beta1, beta2, weight_decay }),
    }
}

/// Steps whose batches are looked at one by one when the largest is searched.
const STEPS_LOOKED_AT: u64 = 20_000;

/// Tokens of the largest training and evaluation micro-batch of a run: the ones that decide about memory.
pub fn largest_micro_batches(loader: &Loader, recipe: &Recipe, train: &[Sample], eval: &[Sample]) -> [usize; 2] {
    let tokens = |group: &[usize]| group.iter().map(|i| train[*i].ids.len()).sum::<usize>();
    let largest = if loader.total_steps() <= STEPS_LOOKED_AT {
        (0..loader.total_steps()).flat_map(|s| loader.group(s)).map(|g| tokens(&g)).max()
    } else if let Some(limit) = loader.token_limit() {
        Some(limit)
    } else {
        let mut lengths: Vec<usize> = train.iter().map(|s| s.ids.len()).collect();
        lengths.sort_unstable_by(|a, b| b.cmp(a));
        Some(lengths.iter().take(recipe.per_device_train_batch_size).sum())
    };
    let evaluation = eval.chunks(recipe.per_device_eval_batch_size.max(1)).map(|c| c.iter().map(|s| s.ids.len()).sum()).max();
    [largest.unwrap_or(0), evaluation.unwrap_or(0)]
}
