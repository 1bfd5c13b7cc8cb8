//! What a recipe's `finetuning_type` means for a model: which parameters are trained, and from what they begin.

use std::rc::Rc;

use super::freeze::freeze_selection;
use crate::adapter::initial::NewAdapter;
use crate::adapter::{Adapter, AdapterConfig, AdapterPlan, TargetModules};
use crate::checkpoint::Checkpoint;
use crate::config::{FinetuningType, Recipe};
use crate::engine::{Engine, Method, parameters};
use crate::error::{Error, Result};
use crate::graph::WeightType;

/// What is trained.
#[derive(Clone)]
pub struct Tuning {
    /// For the engine.
    pub method: Method,
    /// What the user should know.
    pub notices: Vec<String>,
    pub(super) adapter: Option<Rc<TunedAdapter>>,
}

/// An adapter that is trained.
pub(super) struct TunedAdapter {
    /// What will stand in its `adapter_config.json`.
    pub(super) config: AdapterConfig,
    /// What that means for the base.
    pub(super) plan: Rc<AdapterPlan>,
    /// The adapter to go on from.
    from: Option<Adapter>,
}

impl Tuning {
    /// Resolves what a recipe asks for.
    ///
    /// # Errors
    /// [`crate::Error::Recipe`] for modules that the model has not, and what opening `adapter_name_or_path` fails with.
    pub async fn of(recipe: &Recipe, checkpoint: &Checkpoint) -> Result<Tuning> {
        let of_base = |method| Tuning { method, notices: Vec::new(), adapter: None };
        match recipe.finetuning_type {
            FinetuningType::Full => Ok(of_base(Method::Full)),
            FinetuningType::Freeze => {
                let layers = checkpoint.config().num_hidden_layers;
                let selection = freeze_selection(&recipe.freeze, layers, checkpoint.params())?;
                Ok(of_base(Method::Freeze(Rc::new(selection))))
            }
            FinetuningType::Lora => Tuning::of_adapter(recipe, checkpoint).await,
        }
    }

    async fn of_adapter(recipe: &Recipe, checkpoint: &Checkpoint) -> Result<Tuning> {
        let (config, plan, from, notices) = match recipe.adapter_name_or_path.first() {
            Some(path) => {
                let mut adapter = Adapter::open(Rc::from(crate::platform::open(path)?), checkpoint).await?;
                let notices = std::mem::take(&mut adapter.notes);
                (adapter.config.clone(), adapter.plan.clone(), Some(adapter), notices)
            }
            None => {
                let config = new_config(recipe);
                let plan = AdapterPlan::resolve(&config, checkpoint.config(), checkpoint.params()).map_err(|e| in_recipe(e, recipe))?;
                if let Some(error) = plan.unmatched_error(checkpoint.config(), checkpoint.params()) {
                    return Err(error);
                }
                (config, plan, None, Vec::new())
            }
        };
        let plan = Rc::new(plan);
        let config = AdapterConfig { base_model_name_or_path: Some(recipe.model_name_or_path.clone()), ..config };
        let loraplus_lr_ratio = recipe.lora.loraplus_lr_ratio.unwrap_or(1.0) as f32;
        let method = Method::Adapter { plan: plan.clone(), loraplus_lr_ratio };
        Ok(Tuning { method, notices, adapter: Some(Rc::new(TunedAdapter { config, plan, from })) })
    }

    /// All parameters of a model with what is trained beside it, and those that are trained.
    pub fn count(&self, checkpoint: &Checkpoint) -> (u64, u64) {
        let (declarations, params) = parameters(checkpoint.params(), &self.method, |_| WeightType::F32);
        let sum = |only_trained: bool| {
            let counted = declarations.iter().zip(&params).filter(|(_, p)| p.trainable || !only_trained);
            counted.map(|(d, _)| d.elements()).sum()
        };
        (sum(false), sum(true))
    }

    /// Gives the engine the adapter that training begins with.
    ///
    /// # Errors
    /// What reading fails with.
    pub(super) async fn begin(&self, engine: &Engine, checkpoint: &Checkpoint, seed: u64) -> Result<()> {
        let Some(adapter) = &self.adapter else { return Ok(()) };
        match &adapter.from {
            Some(from) => engine.load_adapter(from).await,
            None => engine.load_adapter(&NewAdapter::new(&adapter.plan, checkpoint, seed)).await,
        }
    }

    /// What a resumed run must have in common with the interrupted one beyond data and steps; nothing for a full run, whose checkpoints
    /// hold all there is.
    pub(super) fn describe(&self, recipe: &Recipe, base: &str) -> String {
        let Some(adapter) = &self.adapter else {
            return match &self.method {
                Method::Freeze(_) => format!(", base {base}, {:?}", recipe.freeze),
                _ => String::new(),
            };
        };
        let config = AdapterConfig { base_model_name_or_path: None, ..adapter.config.clone() };
        let config = serde_json::Value::Object(config.to_json());
        format!(", base {base}, LoRA+ {:?}, adapter {config}", recipe.lora.loraplus_lr_ratio)
    }
}

/// The configuration of a new adapter.
fn new_config(recipe: &Recipe) -> AdapterConfig {
    let lora = &recipe.lora;
    AdapterConfig {
        r: lora.rank,
        lora_alpha: lora.alpha,
        lora_dropout: lora.dropout,
        target_modules: Some(TargetModules::from_recipe(&lora.target)),
        rank_pattern: lora.rank_pattern.clone(),
        alpha_pattern: lora.alpha_pattern.clone(),
        use_rslora: lora.use_rslora,
        use_dora: lora.use_dora,
        modules_to_save: lora.additional_target.clone(),
        ..AdapterConfig::default()
    }
}

/// An error about a field of the adapter's configuration, told of the recipe's key that it came from.
fn in_recipe(error: Error, recipe: &Recipe) -> Error {
    let Error::Config { field, reason, .. } = &error else { return error };
    let reason = reason.strip_prefix(field.as_str()).unwrap_or(reason).trim_start();
    match field.as_str() {
        "target_modules" => Error::recipe("lora_target", format!("{} {reason}", recipe.lora.target.join(","))),
        "modules_to_save" => Error::recipe("additional_target", format!("{} {reason}", recipe.lora.additional_target.join(","))),
        "r" => Error::recipe("lora_rank", format!("the rank {reason}")),
        "use_dora" => Error::recipe("use_dora", reason),
        "rank_pattern" => Error::recipe("rank_pattern", reason),
        "alpha_pattern" => Error::recipe("alpha_pattern", reason),
        _ => error,
    }
}
