//! A run of the page: the native training loop, with an observer (`watch`) that reports to the page and follows its commands, and an
//! output directory in this browser.

use std::rc::Rc;

use web_time::Instant;

use super::super::messages::{self, DataSource, Ended, Event, RunMethod, Samples, SettingValue, Settings, Unit};
use super::base::OpenBase;
use super::data::PagePlaces;
use super::kept::{About, Claim, KeptData, now};
use super::steer::{Steering, Turn};
use super::watch::Watch;
use super::{Call, Session, data};
use crate::config::{FinetuningType, Resume};
use crate::data::Loader;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::platform::OutputDirectory;
use crate::train::{Outcome, newest_checkpoint};
use crate::workflow::{Model, Run};

/// What is told while kernels are compiled.
const COMPILING: &str = "Compiling kernels for this device";
/// How many lost devices a run survives before it fails.
const LOST_DEVICES: usize = 3;

impl Session {
    /// Starts a run on the prepared data.
    pub(super) async fn train_new(self: &Rc<Self>, settings: Settings, samples: Samples, beside: bool, call: &Call) -> Result<Ended> {
        let turn = Turn::begin(self, beside, call)?;
        let base = self.base()?;
        call.progress("Reading the data", 0, None, Unit::Samples);
        let known = self.prepared_again(&settings).await?;
        turn.check()?;
        let kept_data = KeptData { data: known.data.clone(), evaluation: known.evaluation.clone() };
        let run = self.open_run(&base, &settings, &kept_data, None).await?;
        let method = match run.input.recipe.finetuning_type {
            FinetuningType::Full => RunMethod::Full,
            FinetuningType::Lora => RunMethod::Lora,
            FinetuningType::Freeze => RunMethod::Freeze,
        };
        let source = if method == RunMethod::Lora { self.lasting(&base, call).await? } else { base.source.clone() };
        let about = About {
            name: run_name(&settings, &base.name, &kept_data, method),
            method,
            base_name: base.name.clone(),
            base: source,
            recipe: settings,
            steps: 0,
            created: now(),
            finished: false,
            samples: Some(samples.clone()),
            data: Some(data_name(&kept_data.data)),
            seconds: None,
            notes: String::new(),
        };
        // Request persistent storage now that there is data worth keeping; browsers decide silently or ask the user.
        crate::platform::storage(true).await;
        turn.check()?;
        let claim = self.keep(&about, Some(&kept_data)).await?;
        let ended = self.run_to_its_end(&claim.id, about, run, samples, &turn, call).await;
        if ended.is_err() {
            self.remove_if_empty(claim).await;
        }
        ended
    }

    /// Resumes a stored run from its last snapshot, with its own prompts.
    pub(super) async fn go_on(self: &Rc<Self>, id: &str, beside: bool, call: &Call) -> Result<Ended> {
        let turn = Turn::begin(self, beside, call)?;
        let about = self.about(id).await?;
        if about.finished {
            return Err(Error::file(about.name, "this run came to its end; start another one from its result"));
        }
        // Held until the run has ended, so that another tab can neither resume nor delete it.
        let claim = self.claim(id).await?;
        self.complete(&claim).await?;
        call.progress("Reading the data", 0, None, Unit::Samples);
        let kept_data = self.kept_data(id).await?;
        let samples = about.samples.clone().unwrap_or(Samples { every: 0, prompts: Vec::new(), max_new_tokens: 1 });
        let base = self.base_of(id, &about, call).await?;
        let run = self.open_run(&base, &about.recipe, &kept_data, Some(&*self.kept_out(id).await?)).await?;
        turn.check()?;
        self.run_to_its_end(id, about, run, samples, &turn, call).await
    }

    /// The base that a stored run was started from. Unless it trains an adapter, its newest snapshot contains the whole model.
    pub(super) async fn base_of(&self, id: &str, about: &About, call: &Call) -> Result<Rc<OpenBase>> {
        let open = self.base.borrow().clone();
        if let Some(open) = open.filter(|open| open.source == about.base) {
            return Ok(open);
        }
        let own_weights = about.method != RunMethod::Lora && newest_checkpoint(&*self.kept_out(id).await?).await?.is_some();
        let directory = if own_weights { self.kept_model(id).await? } else { self.base_directory(&about.base, call).await? };
        let model = Model::open(directory.clone()).await;
        Ok(Rc::new(OpenBase { name: about.base_name.clone(), source: about.base.clone(), directory, model }))
    }

    /// Opens a run; `resumed` is the output directory of a run to resume.
    async fn open_run(&self, base: &OpenBase, settings: &Settings, kept: &KeptData, resumed: Option<&dyn OutputDirectory>) -> Result<Run> {
        let mut model = base.model.clone()?;
        let files = self.data_files(&kept.data, kept.evaluation.as_ref()).await?;
        let mut recipe = data::recipe_for(settings, &base.reference(), &files)?;
        let places = PagePlaces { session: self, files: &files };
        if let Some(out) = resumed {
            recipe.resume_from_checkpoint = Resume::Newest;
            model = model.as_begun(&recipe, &places, out).await?;
        }
        Run::on(model, recipe, &places).await
    }

    async fn run_to_its_end(
        self: &Rc<Self>,
        id: &str,
        mut about: About,
        mut run: Run,
        samples: Samples,
        turn: &Turn<'_>,
        call: &Call,
    ) -> Result<Ended> {
        turn.is_for(id);
        let out = self.kept_out(id).await?;
        // Written before training, so that the run is listed correctly even if the tab is closed.
        about.steps = Loader::new(run.input.data.train.samples.len(), &run.input.recipe)?.total_steps();
        self.write_about(id, &about).await?;
        // Release the models loaded for chat before the run starts.
        self.forget_talkers();
        let started = Instant::now();
        let mut lost = 0;
        let result = loop {
            // Check the run's own device: another request may already have dropped it from the session.
            let gpu = Rc::new(self.gpu().await?.counted_apart());
            match self.attempt(gpu.clone(), id, &run, &*out, &samples, &turn.steering, call).await {
                Err(error) if gpu.check().is_err() && lost < LOST_DEVICES => {
                    lost += 1;
                    let step = newest_checkpoint(&*out).await?.and_then(|name| name.strip_prefix("checkpoint-")?.parse().ok()).unwrap_or(0);
                    self.drop_lost_device();
                    run.input.recipe.resume_from_checkpoint = Resume::Newest;
                    (call.emit)(Event::DeviceLost { step, cause: error.to_string() });
                }
                other => break other,
            }
        };
        self.keep_speed().await;
        let seconds = (started.elapsed() - turn.steering.waited()).as_secs_f64();
        about.seconds = Some(about.seconds.unwrap_or(0.0) + seconds);
        let outcome = match result {
            Ok(outcome) => {
                about.finished = true;
                Some(outcome)
            }
            // Stopped: its snapshot serves as the result for now.
            Err(Error::Interrupted { .. }) => None,
            Err(error) => return Err(error),
        };
        self.write_about(id, &about).await?;
        if let Some(outcome) = &outcome {
            self.tuned.replace(Some(id.to_string()));
            (call.emit)(Event::Finished { step: outcome.steps, run: id.to_string() });
        }
        Ok(Ended {
            // The claim is released when this function returns.
            run: messages::Run { live: false, ..self.run(id).await? },
            finished: outcome.is_some(),
            train_loss: outcome.as_ref().map(|o| o.train_loss),
            eval_loss: outcome.as_ref().and_then(|o| o.eval_loss),
            seconds,
            tokens_per_second: outcome.as_ref().map(|o| o.tokens_per_second),
            peak_bytes: outcome.as_ref().map(|o| o.peak_bytes),
        })
    }

    #[expect(clippy::too_many_arguments, reason = "everything that a run is made of, once")]
    async fn attempt(
        &self,
        gpu: Rc<Gpu>,
        id: &str,
        run: &Run,
        out: &dyn OutputDirectory,
        samples: &Samples,
        steering: &Rc<Steering>,
        call: &Call,
    ) -> Result<Outcome> {
        call.progress("Loading the weights", 0, None, Unit::Bytes);
        let (log, answers) = match run.input.recipe.resume_from_checkpoint {
            Resume::No => Default::default(),
            _ => (self.log(out).await, self.kept_answers(id).await?),
        };
        let emit = call.emit.clone();
        gpu.tell_compiling(Some(Rc::new(move |done, total| {
            let (done, total) = (done as u64, Some(total as u64));
            emit(Event::Progress { progress: messages::Progress { what: COMPILING.into(), done, total, unit: Unit::Kernels } });
        })));
        let mut watch = Watch::new(self, id, call, steering, samples, gpu.clone(), run).after(log, answers);
        let outcome = run.train(&gpu, out, &mut watch).await;
        gpu.tell_compiling(None);
        outcome
    }

    /// Removes a run that produced no output.
    async fn remove_if_empty(&self, claim: Claim) {
        if let Ok(run) = self.run(&claim.id).await
            && !run.usable
        {
            let _ = self.discard(claim).await;
        }
    }
}

/// What data is called in lists.
fn data_name(data: &DataSource) -> String {
    match data {
        DataSource::Example { name } => name.clone(),
        DataSource::Files { files } => files.first().map_or_else(String::new, |file| file.name.clone()),
    }
}

/// A name that distinguishes a run from others in a list.
fn run_name(settings: &Settings, base: &str, data: &KeptData, method: RunMethod) -> String {
    if let Some(SettingValue::Text(name)) = settings.get("run_name") {
        return name.clone();
    }
    let learnt = data_name(&data.data);
    let how = match method {
        RunMethod::Lora => "adapter",
        RunMethod::Freeze => "some layers",
        _ => "tuned",
    };
    let base = match base.rsplit_once('/') {
        Some((_, last)) => last,
        None => base,
    };
    format!("{base}, {how}: {learnt}")
}
