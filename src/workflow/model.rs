//! A model that can be used: validated, with its tokenizer and the adapters that lie on it.

use std::rc::Rc;

use super::{Responder, beginning};
use crate::adapter::{Adapted, Adapter};
use crate::checkpoint::{Checkpoint, ModelSource};
use crate::config::{Quantization, Recipe, Resume};
use crate::data::{PrepareProgress, Prepared, Sample, TemplateChoice, Tokenizer, prepare};
use crate::error::Result;
use crate::generate::{Generator, GeneratorOptions};
use crate::gpu::Gpu;
use crate::model::ModelConfig;
use crate::platform::{Directory, OutputDirectory, as_directory};
use crate::train::{PreferenceScore, Score, began_at, judge, newest_checkpoint, quantised_type, score_adapted, score_preferences};
use crate::validate::{self, Opened};

use super::Places;

/// A model directory that passed validation, with its tokenizer and the LoRA adapters that lie on it. Weights are read when they are
/// asked for, so that opening is cheap.
#[derive(Clone)]
pub struct Model {
    /// Configuration and weights.
    pub checkpoint: Checkpoint,
    /// The tokenizer, its chat template included.
    pub tokenizer: Rc<Tokenizer>,
    /// What validation found odd, a sentence each: to be shown.
    pub warnings: Vec<String>,
    /// What a recipe made of the model, a sentence each: to be shown.
    pub remarks: Vec<String>,
    /// Adapters that are applied where the model scores or generates. A run trains the model without them.
    pub adapters: Rc<Vec<Adapter>>,
}

impl Model {
    /// Opens a model's directory. What `rootstock validate --quick` would not call ready is refused.
    ///
    /// # Errors
    /// [`crate::Error::NotReady`] with every fault of the directory.
    pub async fn open(directory: Rc<dyn Directory>) -> Result<Model> {
        let Opened { checkpoint, tokenizer, warnings } = validate::open(directory).await?;
        Ok(Model { checkpoint, tokenizer: Rc::new(tokenizer), warnings, remarks: Vec::new(), adapters: Rc::default() })
    }

    /// Opens what a recipe's run begins with: the model of this directory, with weights at random or more tokens where the recipe says so.
    ///
    /// # Errors
    /// As [`Model::open`] and [`beginning`].
    pub async fn for_run(directory: Rc<dyn Directory>, recipe: &Recipe) -> Result<Model> {
        let (directory, remarks) = beginning(directory, recipe).await?;
        Ok(Model { remarks, ..Model::open(directory).await? })
    }

    /// The same model with PEFT adapters on it, which are not merged.
    ///
    /// # Errors
    /// What keeps a directory from being an adapter of this model.
    pub async fn with_adapters(mut self, directories: Vec<Rc<dyn Directory>>) -> Result<Model> {
        self.adapters = Rc::new(Adapter::open_all(directories, &self.checkpoint).await?);
        Ok(self)
    }

    /// The same model, quantised (or decoded) while it is loaded to be trained on, scored or asked.
    pub fn quantised(mut self, quantization: Quantization) -> Model {
        let checkpoint = if quantization.dequantize { self.checkpoint.dequantised() } else { self.checkpoint };
        self.checkpoint = checkpoint.quantised(quantised_type(quantization));
        self
    }

    /// The same model for a run that goes on from a checkpoint, of the recipe or the newest in `out`: its chat template writes the date
    /// that the run began with, as some write the present one.
    ///
    /// # Errors
    /// What reading the checkpoint's state or the tokenizer fails with.
    pub async fn as_begun(mut self, recipe: &Recipe, places: &dyn Places, out: &dyn OutputDirectory) -> Result<Model> {
        let checkpoint: Rc<dyn Directory> = match &recipe.resume_from_checkpoint {
            Resume::No => return Ok(self),
            Resume::From(name) => places.directory(name).await?,
            Resume::Newest => match newest_checkpoint(out).await? {
                Some(name) => Rc::from(as_directory(out.subdirectory(&name))),
                None => return Ok(self),
            },
        };
        if let Some(date) = began_at(&*checkpoint).await?.filter(|date| *date != self.tokenizer.now()) {
            self.tokenizer = Rc::new(Tokenizer::load_at(&**self.checkpoint.directory(), date).await?);
        }
        Ok(self)
    }

    /// The configuration.
    pub fn config(&self) -> &ModelConfig {
        self.checkpoint.config()
    }

    /// The number of the model's parameters, those of adapters not counted.
    pub fn parameters(&self) -> u64 {
        self.checkpoint.params().iter().map(|param| param.elements()).sum()
    }

    /// Model and adapters as the engine and the generator load them.
    ///
    /// # Errors
    /// [`crate::Error::Config`] when the adapters do not go together.
    pub fn adapted(&self) -> Result<Adapted> {
        Adapted::new(&self.checkpoint, &self.adapters)
    }

    /// Reads and tokenises the datasets that a recipe names.
    ///
    /// # Errors
    /// What is wrong with the data, with file and line.
    pub async fn prepare(&self, recipe: &Recipe, places: &dyn Places) -> Result<Prepared> {
        self.prepare_watched(recipe, places, &mut |_| Ok(())).await
    }

    /// The same; `watch` is told how far it is, and may end it with an error.
    ///
    /// # Errors
    /// As [`Model::prepare`]; what `watch` returns.
    pub async fn prepare_watched(
        &self,
        recipe: &Recipe,
        places: &dyn Places,
        watch: &mut dyn FnMut(PrepareProgress) -> Result<()>,
    ) -> Result<Prepared> {
        let model = self.clone().with_template(recipe).await?;
        let cache = recipe.tokenized_path.as_ref().map(|path| places.tokens(path)).transpose()?.flatten();
        let open = |path: &str| places.dataset(path);
        let mut prepared = prepare(recipe, &model.tokenizer, self.config(), &open, cache.as_deref(), watch).await?;
        let told = if prepared.train.samples.is_empty() { &mut prepared.eval } else { &mut prepared.train };
        told.notices.splice(0..0, model.tokenizer.template_notices().iter().cloned());
        Ok(prepared)
    }

    /// The same model with the chat template that a recipe chooses.
    ///
    /// # Errors
    /// [`crate::Error::Recipe`] for a template that does not go with the tokenizer.
    pub async fn with_template(mut self, recipe: &Recipe) -> Result<Model> {
        let choice = TemplateChoice {
            name: recipe.template.clone(),
            tool_format: recipe.tool_format.clone(),
            default_system: recipe.default_system.clone(),
            enable_thinking: recipe.enable_thinking,
            preserve_thinking: recipe.preserve_thinking,
        };
        if *self.tokenizer.template_choice() != choice {
            let tokenizer = Tokenizer::load_at(&**self.checkpoint.directory(), self.tokenizer.now()).await?;
            self.tokenizer = Rc::new(tokenizer.choose(&choice)?);
        }
        Ok(self)
    }

    /// Mean loss and perplexity over samples, up to `batch_size` at a time.
    ///
    /// # Errors
    /// [`crate::Error::TooLittleMemory`] when not even one sample fits; what reading and the device fail with.
    pub async fn score(&self, gpu: &Rc<Gpu>, samples: &[Sample], batch_size: usize) -> Result<Score> {
        let adapted = self.adapted()?;
        score_adapted(gpu, adapted.model(), adapted.apart(), samples, batch_size, false).await
    }

    /// The same with the share of targets that are the likeliest token.
    ///
    /// # Errors
    /// As [`Model::score`].
    pub async fn score_accuracy(&self, gpu: &Rc<Gpu>, samples: &[Sample]) -> Result<Score> {
        let adapted = self.adapted()?;
        score_adapted(gpu, adapted.model(), adapted.apart(), samples, 1, true).await
    }

    /// How well it tells preferred answers from rejected ones, by the loss of a recipe of stage dpo, kto or rm. The reference is `reference`, else
    /// the model without its adapters.
    ///
    /// # Errors
    /// [`crate::Error::Recipe`] where the loss needs a reference and there is none; as [`Model::score`].
    pub async fn score_preferences(
        &self,
        gpu: &Rc<Gpu>,
        samples: &[Sample],
        recipe: &Recipe,
        reference: Option<&Checkpoint>,
    ) -> Result<PreferenceScore> {
        let adapted = self.adapted()?;
        let reference = reference.map(|checkpoint| checkpoint as &dyn ModelSource);
        score_preferences(gpu, adapted.model(), adapted.apart(), reference, samples, recipe).await
    }

    /// What a reward model gives the two answers of each sample of stage rm, the preferred one first. Its checkpoint is that of a [`super::Run`].
    ///
    /// # Errors
    /// As [`Model::score`].
    pub async fn judge(&self, gpu: &Rc<Gpu>, samples: &[Sample], recipe: &Recipe) -> Result<Vec<[f32; 2]>> {
        let adapted = self.adapted()?;
        judge(gpu, adapted.model(), adapted.apart(), samples, recipe).await
    }

    /// Loads the model to generate with, adapters included.
    ///
    /// # Errors
    /// [`crate::Error::TooLittleMemory`] before anything is allocated; what reading and the device fail with.
    pub async fn generator(&self, gpu: Rc<Gpu>, options: GeneratorOptions) -> Result<Generator> {
        let adapted = self.adapted()?;
        Generator::load_adapted(gpu, adapted.model(), adapted.apart(), options).await
    }

    /// Loads the model to answer in text.
    ///
    /// # Errors
    /// As [`Model::generator`].
    pub async fn responder(&self, gpu: Rc<Gpu>, options: GeneratorOptions) -> Result<Responder> {
        Ok(Responder::new(self.generator(gpu, options).await?, self.tokenizer.clone()))
    }
}
