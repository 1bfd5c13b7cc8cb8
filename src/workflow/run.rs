//! A training run, from its recipe to the plan that is trained.

use std::rc::Rc;

use super::{Model, Places};
use crate::checkpoint::{ModelSource, NewDirectory, WriteOptions, write_checkpoint};
use crate::config::{FinetuningType, Recipe, Resume, Stage};
use crate::data::Prepared;
use crate::error::Result;
use crate::gpu::{Gpu, Profile};
use crate::model::{ParamDecl, ParamKind};
use crate::platform::OutputDirectory;
use crate::train::{Observer, Outcome, PlannedRun, RunInput, carried_files, with_value_head};

/// A run whose model, data, adapters and checkpoint to resume from are open. Nothing is on the GPU yet, and nothing is written.
#[derive(Clone)]
pub struct Run {
    /// The model that it starts from.
    pub model: Model,
    /// What it is made of.
    pub input: RunInput,
}

impl Run {
    /// Opens everything that a recipe names.
    ///
    /// # Errors
    /// The first thing that is wrong with model, data or adapters.
    pub async fn open(recipe: Recipe, places: &dyn Places) -> Result<Run> {
        let model = Model::for_run(places.directory(&recipe.model_name_or_path).await?, &recipe).await?;
        Run::on(model, recipe, places).await
    }

    /// The same for a model that is open already.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub async fn on(model: Model, recipe: Recipe, places: &dyn Places) -> Result<Run> {
        let data = Rc::new(model.prepare(&recipe, places).await?);
        Run::with(model, data, recipe, places).await
    }

    /// The same for data that is prepared already, by [`Model::prepare`] with the same settings.
    ///
    /// # Errors
    /// As [`Run::open`].
    pub async fn with(model: Model, data: Rc<Prepared>, mut recipe: Recipe, places: &dyn Places) -> Result<Run> {
        let model = model.with_template(&recipe).await?.quantised(recipe.quantization);
        let carry = carried_files(&model.checkpoint, &model.tokenizer, recipe.stage).await?;
        let mut adapters = Vec::new();
        for name in &recipe.adapter_name_or_path {
            adapters.push(places.directory(name).await?);
        }
        let reference = match recipe.pref.ref_model.as_ref().filter(|_| recipe.needs_reference()) {
            Some(name) => Some(Box::pin(Model::open(places.directory(name).await?)).await?.checkpoint),
            None => None,
        };
        let resume_from = match &recipe.resume_from_checkpoint {
            Resume::From(name) => Some(places.directory(name).await?),
            Resume::No | Resume::Newest => None,
        };
        let mut checkpoint = model.checkpoint.clone();
        if recipe.stage == Stage::Rm {
            checkpoint = with_value_head(checkpoint, &adapters, &recipe).await?;
        }
        if has_own_base(&recipe) {
            recipe.model_name_or_path = own_base(&recipe);
            if recipe.lora.additional_target.is_empty() {
                recipe.lora.additional_target = vocabulary_modules(checkpoint.params());
            }
        }
        let date = model.tokenizer.now();
        Ok(Run { model, input: RunInput { recipe, checkpoint, carry, data, adapters, reference, resume_from, date } })
    }

    /// Plans the run for a device: its order of samples, what is trained, its memory to the byte. Nothing is allocated.
    ///
    /// # Errors
    /// As [`PlannedRun::new`].
    pub async fn plan(&self, profile: &Profile) -> Result<PlannedRun> {
        PlannedRun::new(self.input.clone(), profile).await
    }

    /// Plans and trains. The result and everything to resume from goes to `out`.
    ///
    /// # Errors
    /// As [`PlannedRun::train`].
    pub async fn train(&self, gpu: &Rc<Gpu>, out: &dyn OutputDirectory, observer: &mut dyn Observer) -> Result<Outcome> {
        let outcome = self.plan(gpu.profile()).await?.train(gpu, out, observer).await?;
        if has_own_base(&self.input.recipe) {
            self.write_base(out).await?;
        }
        Ok(outcome)
    }

    /// Writes the model that the run's adapter belongs to, where no stored one is the same.
    async fn write_base(&self, out: &dyn OutputDirectory) -> Result<()> {
        let (checkpoint, carry) = (&self.model.checkpoint, &self.input.carry);
        let new = NewDirectory::replacing(out, OWN_BASE).await?;
        let options = WriteOptions { dtype: checkpoint.common_dtype(), ..WriteOptions::default() };
        let directory = new.directory();
        let written = write_checkpoint(&*directory, &options, checkpoint.config(), checkpoint.params(), checkpoint, carry).await;
        new.complete(written).await
    }
}

/// Where an adapter's base goes in `output_dir`, when tokens were added to it.
pub(crate) const OWN_BASE: &str = "base";

/// Whether the run's adapter belongs to a model that is stored nowhere yet.
fn has_own_base(recipe: &Recipe) -> bool {
    recipe.finetuning_type == FinetuningType::Lora && recipe.vocabulary.grows()
}

fn own_base(recipe: &Recipe) -> String {
    format!("{}/{OWN_BASE}", recipe.output_dir.trim_end_matches('/'))
}

/// The modules whose rows are tokens, as LLaMA-Factory trains them whole when the vocabulary grows.
fn vocabulary_modules(params: &[ParamDecl]) -> Vec<String> {
    let of_tokens = params.iter().filter(|param| matches!(param.kind, ParamKind::Embedding | ParamKind::Head));
    of_tokens.filter_map(|param| param.name.strip_suffix(".weight")?.rsplit('.').next().map(str::to_string)).collect()
}
