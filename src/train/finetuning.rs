//! What a recipe's `finetuning_type` means for a model: which parameters are trained, and from what they begin.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::fingerprint;
use super::freeze::freeze_selection;
use super::quantised;
use crate::adapter::config::is_set;
use crate::adapter::initial::NewAdapter;
use crate::adapter::pissa::{self, Beginning, Principal};
use crate::adapter::{Adapted, Adapter, AdapterConfig, ResolvedAdapter, TargetModules};
use crate::checkpoint::{Checkpoint, ModelSource};
use crate::config::{FinetuningType, Recipe};
use crate::engine::{Engine, Method, parameters, stored_type};
use crate::error::{Error, Result};
use crate::graph::WeightType;
use crate::model::{ModelConfig, ParamDecl};
use crate::platform::Directory;

/// What is trained.
#[derive(Clone)]
pub struct Finetuning {
    /// For the engine.
    pub method: Method,
    /// What the user should know.
    pub notices: Vec<String>,
    /// The model that is trained on: the recipe's, with adapters added to its weights where the recipe says so.
    base: Rc<Adapted>,
    pub(super) adapter: Option<Rc<TunedAdapter>>,
}

/// An adapter that is trained.
pub(super) struct TunedAdapter {
    /// What it is while it is trained.
    config: AdapterConfig,
    /// What that means for the base.
    pub(super) resolved: Rc<ResolvedAdapter>,
    /// What is written of it.
    pub(super) written: Written,
    begins: Begins,
}

/// An adapter's directory, as a run writes it.
pub(super) struct Written {
    /// What will stand in `adapter_config.json`.
    pub(super) config: AdapterConfig,
    /// What that means for the base.
    pub(super) resolved: Rc<ResolvedAdapter>,
}

/// How an adapter begins.
enum Begins {
    /// As one that changes nothing.
    New,
    /// As the weights' strongest directions, which are found with so many iterations, or exactly.
    Principal(Option<usize>),
    /// Where an earlier run left it.
    From(Box<Adapter>),
}

impl Finetuning {
    /// Resolves what a recipe asks for.
    ///
    /// # Errors
    /// [`crate::Error::Recipe`] for modules that the model has not, and what opening the adapters fails with.
    pub async fn of(recipe: &Recipe, checkpoint: &Checkpoint, adapters: &[Rc<dyn Directory>]) -> Result<Finetuning> {
        let of_base = |method| {
            let base = Rc::new(Adapted::added(checkpoint, &[])?);
            Ok(Finetuning { method, notices: Vec::new(), base, adapter: None })
        };
        let finetuning = match recipe.finetuning_type {
            FinetuningType::Full => of_base(Method::Full),
            FinetuningType::Freeze => {
                let layers = checkpoint.config().num_hidden_layers;
                let selection = freeze_selection(&recipe.freeze, layers, checkpoint.params())?;
                of_base(Method::Freeze(Rc::new(selection)))
            }
            FinetuningType::Lora => Finetuning::of_adapter(recipe, checkpoint, adapters.to_vec()).await,
        };
        let mut finetuning = finetuning?;
        let notices = quantised::notices(recipe.quantization, &finetuning.method, finetuning.base());
        finetuning.notices.extend(notices);
        Ok(finetuning)
    }

    /// How a model of which only the configuration is known is trained; a new adapter, where the recipe trains one.
    ///
    /// # Errors
    /// [`crate::Error::Recipe`] for modules that the model has not.
    pub(super) fn of_shape(recipe: &Recipe, config: &ModelConfig, declarations: &[ParamDecl]) -> Result<Method> {
        Ok(match recipe.finetuning_type {
            FinetuningType::Full => Method::Full,
            FinetuningType::Freeze => Method::Freeze(Rc::new(freeze_selection(&recipe.freeze, config.num_hidden_layers, declarations)?)),
            FinetuningType::Lora => {
                let resolved = ResolvedAdapter::resolve(&new_config(recipe), config, declarations).map_err(|e| in_recipe(e, recipe))?;
                if let Some(error) = resolved.unmatched_error(config, declarations) {
                    return Err(error);
                }
                let loraplus_lr_ratio = recipe.lora.loraplus_lr_ratio.unwrap_or(1.0) as f32;
                Method::Adapter { resolved: Rc::new(resolved), loraplus_lr_ratio }
            }
        })
    }

    /// As LLaMA-Factory: the recipe's adapters are added to the model, but for the last where it is trained on.
    async fn of_adapter(recipe: &Recipe, checkpoint: &Checkpoint, mut adapters: Vec<Rc<dyn Directory>>) -> Result<Finetuning> {
        let last = if recipe.lora.create_new_adapter { None } else { adapters.pop() };
        let added = Adapter::open_all(adapters, checkpoint).await?;
        let sum = Adapted::added(checkpoint, &added)?;
        let base = sum.model();
        let mut notices: Vec<String> = added.iter().flat_map(|adapter| adapter.notes.iter().cloned()).collect();
        if !added.is_empty() {
            let named = format!("base_model_name_or_path: {}", base.label());
            notices.push(format!(
                "the model that is trained on is {}, added up in memory; the result belongs to that sum ({named}): use it with the \
                 same adapters before it, or on what `rootstock merge` makes of them",
                base.label()
            ));
        }
        let (config, resolved, begins) = match last {
            Some(directory) => {
                let alone: &[&dyn ModelSource] = if added.is_empty() { &[] } else { &[checkpoint] };
                let mut adapter = Adapter::open_among(directory, base, alone).await?;
                notices.append(&mut adapter.notes);
                (adapter.config.clone(), adapter.resolved.clone(), Begins::From(Box::new(adapter)))
            }
            None => {
                let config = new_config(recipe);
                let resolved = ResolvedAdapter::resolve(&config, base.config(), base.params()).map_err(|e| in_recipe(e, recipe))?;
                if let Some(error) = resolved.unmatched_error(base.config(), base.params()) {
                    return Err(error);
                }
                let begins = if recipe.lora.pissa_init { Begins::Principal(recipe.lora.pissa_iter) } else { Begins::New };
                (config, resolved, begins)
            }
        };
        let named = if added.is_empty() { recipe.model_name_or_path.clone() } else { base.label() };
        let config = AdapterConfig { base_model_name_or_path: Some(named), ..config };
        let resolved = Rc::new(resolved);
        let written = match begins {
            Begins::Principal(_) => {
                pissa::check(&resolved, base).map_err(|e| in_recipe(e, recipe))?;
                let config = pissa::converted(&config);
                let resolved = ResolvedAdapter::resolve(&config, base.config(), base.params()).map_err(|e| match e {
                    Error::Config { field, reason, .. } if field == "r" => {
                        Error::recipe("lora_rank", format!("pissa_init ships an adapter of twice the rank: {reason}"))
                    }
                    other => in_recipe(other, recipe),
                })?;
                Written { config, resolved: Rc::new(resolved) }
            }
            _ => Written { config: config.clone(), resolved: resolved.clone() },
        };
        let loraplus_lr_ratio = recipe.lora.loraplus_lr_ratio.unwrap_or(1.0) as f32;
        let method = Method::Adapter { resolved: resolved.clone(), loraplus_lr_ratio };
        let adapter = Some(Rc::new(TunedAdapter { config, resolved, written, begins }));
        Ok(Finetuning { method, notices, base: Rc::new(sum), adapter })
    }

    /// The model that is trained on: the recipe's, with adapters added to its weights where the recipe says so.
    pub fn base(&self) -> &dyn ModelSource {
        self.base.model()
    }

    /// How a parameter of that model is kept on the GPU while it is not trained.
    pub fn stored_type(&self, base: &dyn ModelSource, param: &ParamDecl) -> WeightType {
        let is_target = |resolved: &ResolvedAdapter| resolved.targets.iter().any(|target| base.params()[target.param].name == param.name);
        match self.principal() {
            // What is left of it is computed.
            Some((resolved, _)) if is_target(resolved) => WeightType::F32,
            _ => stored_type(base, param),
        }
    }

    /// How many matrices are decomposed before the first step of a new run.
    pub(super) fn decomposed(&self) -> Option<usize> {
        self.principal().map(|(resolved, _)| resolved.targets.len())
    }

    fn principal(&self) -> Option<(&Rc<ResolvedAdapter>, Option<usize>)> {
        let adapter = self.adapter.as_ref()?;
        let Begins::Principal(iterations) = adapter.begins else { return None };
        Some((&adapter.resolved, iterations))
    }

    /// The directions that a run begins with where that is PiSSA: those of the base, or of the `checkpoint-N` that it goes on from.
    ///
    /// # Errors
    /// What reading fails with.
    pub(super) async fn find_principal(
        &self,
        base: &dyn ModelSource,
        earlier: Option<Rc<dyn Directory>>,
        seed: u64,
    ) -> Result<Option<Principal>> {
        let Some((resolved, iterations)) = self.principal() else { return Ok(None) };
        match earlier {
            Some(directory) => Principal::of_converted(&Adapter::open(directory, base).await?, resolved).await.map(Some),
            None => Principal::of(resolved, base, iterations, seed).await.map(Some),
        }
    }

    /// The number of all parameters, those that are trained beside the model included, and of those that are trained.
    pub fn count(&self) -> (u64, u64) {
        let (declarations, params) = parameters(self.base().params(), &self.method, |_| WeightType::F32);
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
    pub(super) async fn begin(&self, engine: &Engine, base: &dyn ModelSource, principal: Option<&Principal>, seed: u64) -> Result<()> {
        let Some(adapter) = &self.adapter else { return Ok(()) };
        let new = || NewAdapter::new(&adapter.resolved, base, seed);
        match (&adapter.begins, principal) {
            (Begins::From(from), _) => engine.load_adapter(&**from).await,
            (_, Some(principal)) => {
                let params = adapter.resolved.declarations(base.params());
                engine.load_adapter(&Beginning::new(new(), params, principal)).await
            }
            (_, None) => engine.load_adapter(&new()).await,
        }
    }

    /// What a resumed run must have in common with the interrupted one beyond recipe and data: the base, of which only the fingerprint is
    /// given, and the configuration of what is trained on it. Nothing for a full run, whose checkpoints hold all there is.
    pub(super) fn fingerprint(&self, base: &str) -> Map<String, Value> {
        let mut entries = match &self.adapter {
            Some(adapter) => AdapterConfig { base_model_name_or_path: None, ..adapter.config.clone() }.to_json(),
            None => Map::new(),
        };
        entries.retain(|_, value| is_set(value));
        if !matches!(self.method, Method::Full) {
            entries.insert(fingerprint::BASE.into(), base.into());
        }
        entries
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
        "init_lora_weights" => Error::recipe("pissa_init", reason),
        "rank_pattern" => Error::recipe("rank_pattern", reason),
        "alpha_pattern" => Error::recipe("alpha_pattern", reason),
        _ => error,
    }
}
