//! A run of the page: the native training loop, with an observer (`watch`) that reports to the page and follows its commands, and an
//! output directory in this browser.

use std::rc::Rc;

use web_time::Instant;

use super::super::messages::{self, DataSource, Ended, Event, RunMethod, Samples, SettingValue, Settings, Unit};
use super::base::OpenBase;
use super::begun::began_with;
use super::data::{PreparedData, READING};
use super::given::{GivenData, PagePlaces};
use super::kept::{About, Claim, now};
use super::steer::{Steering, Turn};
use super::watch::Watch;
use super::{Boxed, Call, Session, data};
use crate::config::{FinetuningType, Resume};
use crate::data::Loader;
use crate::error::{Error, Result};
use crate::gpu::Gpu;
use crate::platform::OutputDirectory;
use crate::train::{Outcome, newest_checkpoint};
use crate::workflow::{Model, Run};

/// What is told while kernels are compiled.
const COMPILING: &str = "Compiling kernels for this device";
/// What is cancelled where a run is given up before its first step.
const READ: &str = "reading the data";
/// How many lost devices a run survives before it fails.
const LOST_DEVICES: usize = 3;

impl Session {
    /// Starts a run on the prepared data.
    pub(super) async fn train_new(self: &Rc<Self>, settings: Settings, samples: Samples, beside: bool, call: &Call) -> Result<Ended> {
        let turn = Turn::begin(self, beside, call)?;
        let base = self.base()?;
        call.progress(READING, 0, None, Unit::Bytes);
        let known = call.unless_cancelled(READ, self.prepared_again(&settings, call)).await?;
        turn.check()?;
        let given = &known.given;
        let run = self.open_run(&base, &settings, &known).await?;
        let method = match run.input.recipe.finetuning_type {
            FinetuningType::Full => RunMethod::Full,
            FinetuningType::Lora => RunMethod::Lora,
            FinetuningType::Freeze => RunMethod::Freeze,
        };
        let source = if method == RunMethod::Lora { self.lasting(&base, call).await? } else { base.source.clone() };
        let about = About {
            name: run_name(&settings, &base.name, &given.data, method),
            method,
            base_name: base.name.clone(),
            base: source,
            recipe: settings,
            steps: 0,
            created: now(),
            finished: false,
            samples: Some(samples.clone()),
            data: Some(data_name(&given.data)),
            seconds: None,
            notes: String::new(),
        };
        // Request persistent storage now that there is data worth keeping; browsers decide silently or ask the user.
        crate::platform::storage(true).await;
        turn.check()?;
        let claim = self.keep(&about, Some(given), call).await?;
        turn.check()?;
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
        call.progress(READING, 0, None, Unit::Bytes);
        let given = self.kept_data(id).await?;
        let samples = about.samples.clone().unwrap_or(Samples { every: 0, prompts: Vec::new(), max_new_tokens: 1 });
        let base = self.base_of(id, &about, call).await?;
        let run = call.unless_cancelled(READ, self.reopen_run(id, &base, &about.recipe, &given, &turn, call)).await?;
        turn.check()?;
        self.run_to_its_end(id, about, run, samples, &turn, call).await
    }

    /// The model that a stored run began with, with its base. Unless the run trains an adapter, its newest snapshot contains the whole model.
    pub(super) fn base_of<'a>(&'a self, id: &'a str, about: &'a About, call: &'a Call) -> Boxed<'a, Rc<OpenBase>> {
        Box::pin(async move {
            let open = self.base.borrow().clone().filter(|open| open.source == about.base);
            let own_weights = about.method != RunMethod::Lora && newest_checkpoint(&*self.kept_out(id).await?).await?.is_some();
            let directory = match &open {
                Some(open) => began_with(open.directory.clone(), &about.recipe).await?,
                None if own_weights => self.kept_model(id).await?,
                None => began_with(self.base_directory(&about.base, call).await?, &about.recipe).await?,
            };
            if let Some(open) = open.filter(|open| Rc::ptr_eq(&open.directory, &directory)) {
                return Ok(open);
            }
            let model = Model::open(directory.clone()).await;
            Ok(Rc::new(OpenBase { name: about.base_name.clone(), source: about.base.clone(), directory, model }))
        })
    }

    /// Opens a new run of data that is prepared.
    fn open_run<'a>(&'a self, base: &'a OpenBase, settings: &'a Settings, known: &'a PreparedData) -> Boxed<'a, Run> {
        Box::pin(async move {
            let files = self.data_files(&known.given).await?;
            let recipe = data::recipe_for(settings, &base.reference(), &files)?;
            Run::with(known.model.clone(), known.prepared.clone(), recipe, &PagePlaces { session: self, files: &files }).await
        })
    }

    /// Opens a stored run to go on with it.
    fn reopen_run<'a>(
        &'a self,
        id: &'a str,
        base: &'a OpenBase,
        settings: &'a Settings,
        given: &'a GivenData,
        turn: &'a Turn<'a>,
        call: &'a Call,
    ) -> Boxed<'a, Run> {
        Box::pin(async move {
            let files = self.data_files(given).await?;
            let mut recipe = data::recipe_for(settings, &base.reference(), &files)?;
            recipe.resume_from_checkpoint = Resume::Newest;
            let places = PagePlaces { session: self, files: &files };
            let model = base.model.clone()?.as_begun(&recipe, &places, &*self.kept_out(id).await?).await?;
            let mut watch = |at| turn.check().and_then(|()| call.reading(&files, at));
            let prepared = model.prepare_watched(&recipe, &places, &mut watch).await?;
            Run::with(model, Rc::new(prepared), recipe, &places).await
        })
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
fn run_name(settings: &Settings, base: &str, data: &DataSource, method: RunMethod) -> String {
    if let Some(SettingValue::Text(name)) = settings.get("run_name") {
        return name.clone();
    }
    let learnt = data_name(data);
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
