//! A run of the page: the native training loop, with an observer that reports to the page and follows its commands, and an output
//! directory in this browser.

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use web_time::Instant;

use super::super::messages::{self, Ended, EvalLine, Event, RunMethod, Samples, SettingValue, Settings, StepLine, Unit};
use super::base::OpenBase;
use super::estimate::flops_per_token;
use super::kept::{About, Claim, KeptData, now};
use super::steer::{Steering, Turn};
use super::{Call, Session, data};
use crate::config::{FinetuningType, Recipe, Resume};
use crate::data::{Loader, Message, Tokenizer};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::generate::{AnswerOptions, Generator, GeneratorOptions, SamplingOptions, chat_prompt, stop_ids};
use crate::gpu::Gpu;
use crate::platform::OutputDirectory;
use crate::train::{Event as TrainEvent, LogEntry, Observer, Outcome, Wish, newest_checkpoint};
use crate::workflow::{Model, Run};

/// A snapshot is written at least this often, whatever the settings say, so that a closed tab loses no more than this.
const SNAPSHOT_SECONDS: u64 = 120;
/// How many lost devices a run survives before it fails.
const LOST_DEVICES: usize = 3;

impl Session {
    /// Starts a run on the prepared data.
    pub(super) async fn train_new(self: &Rc<Self>, settings: Settings, samples: Samples, call: &Call) -> Result<Ended> {
        let turn = Turn::begin(self, call)?;
        let base = self.base()?;
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

    /// Resumes a stored run from its last snapshot.
    pub(super) async fn go_on(self: &Rc<Self>, id: &str, samples: Samples, call: &Call) -> Result<Ended> {
        let turn = Turn::begin(self, call)?;
        let about = self.about(id).await?;
        if about.finished {
            return Err(Error::file(about.name, "this run came to its end; start another one from its result"));
        }
        // Held until the run has ended, so that another tab can neither resume nor delete it.
        let claim = self.claim(id).await?;
        self.complete(&claim).await?;
        let kept_data = self.kept_data(id).await?;
        let base = self.base_of(id, &about, call).await?;
        let run = self.open_run(&base, &about.recipe, &kept_data, Some(&*self.kept_out(id).await?)).await?;
        turn.check()?;
        self.run_to_its_end(id, about, run, samples, &turn, call).await
    }

    /// The base that a stored run was started from. Unless it trains an adapter, its newest snapshot contains the whole model.
    async fn base_of(&self, id: &str, about: &About, call: &Call) -> Result<Rc<OpenBase>> {
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
        if let Some(out) = resumed {
            recipe.resume_from_checkpoint = Resume::Newest;
            model = model.as_begun(&recipe, &files, out).await?;
        }
        Run::on(model, recipe, &files).await
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
            let gpu = self.gpu().await?;
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
        let seconds = started.elapsed().as_secs_f64();
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
        let log = if run.input.recipe.resume_from_checkpoint == Resume::No { Vec::new() } else { self.log(out).await };
        let mut watch = Watch {
            session: self,
            id,
            call,
            steering,
            samples,
            gpu: gpu.clone(),
            tokenizer: &run.model.tokenizer,
            config: run.model.config(),
            generator: RefCell::default(),
            log,
            sampled_at: None,
            answered: (0.0, 0),
            held_with_snapshot: false,
            saved: Instant::now(),
            recipe: &run.input.recipe,
            flops_per_token: 0.0,
        };
        run.train(&gpu, out, &mut watch).await
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

/// A name that distinguishes a run from others in a list.
fn run_name(settings: &Settings, base: &str, data: &KeptData, method: RunMethod) -> String {
    use super::super::messages::DataSource;
    if let Some(SettingValue::Text(name)) = settings.get("run_name") {
        return name.clone();
    }
    let learnt = match &data.data {
        DataSource::Example { name } => name.clone(),
        DataSource::Files { files } => files.first().map_or_else(String::new, |file| file.name.clone()),
    };
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

/// Parses h:mm:ss into seconds.
fn seconds(clock: &str) -> Option<f64> {
    clock.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

/// The observer: reports events to the page and follows its commands.
struct Watch<'a> {
    session: &'a Session,
    id: &'a str,
    call: &'a Call,
    steering: &'a Rc<Steering>,
    samples: &'a Samples,
    gpu: Rc<Gpu>,
    tokenizer: &'a Tokenizer,
    config: &'a crate::model::ModelConfig,
    generator: RefCell<Option<Generator>>,
    /// The log of a resumed run.
    log: Vec<LogEntry>,
    sampled_at: Option<u64>,
    /// Total seconds spent on answering the sample prompts, and how many times that was done.
    answered: (f64, u32),
    /// Whether the snapshot for the current pause was already written.
    held_with_snapshot: bool,
    saved: Instant,
    recipe: &'a Recipe,
    flops_per_token: f64,
}

impl Watch<'_> {
    fn emit(&self, event: Event) {
        (self.call.emit)(event);
    }

    fn step_line(&self, line: &crate::train::LogLine, memory: bool) -> StepLine {
        StepLine {
            current_steps: line.current_steps,
            total_steps: line.total_steps,
            loss: line.loss,
            grad_norm: line.grad_norm,
            lr: line.lr,
            epoch: line.epoch,
            tokens_per_second: line.tokens_per_second,
            remaining_seconds: seconds(&line.remaining_time).map(|left| left + self.answering(line.current_steps, line.total_steps)),
            memory_bytes: memory.then(|| self.gpu.allocated_bytes()),
        }
    }

    /// Estimated seconds for the remaining sample answers, from the average so far. The trainer's own estimate leaves them out.
    fn answering(&self, done: u64, steps: u64) -> f64 {
        let (seconds, times) = self.answered;
        match self.samples.every {
            0 => 0.0,
            every => seconds / f64::from(times.max(1)) * (steps / every - done / every) as f64,
        }
    }

    fn started(&self, start: &crate::train::Start) {
        let known = self.log.iter().filter(|entry| entry.step() <= start.resumed_at);
        let (mut lines, mut evaluations) = (Vec::new(), Vec::new());
        for entry in known {
            match entry {
                LogEntry::Step(line) => lines.push(self.step_line(line, false)),
                LogEntry::Evaluation(line) => evaluations.push(EvalLine { current_steps: line.current_steps, eval_loss: line.eval_loss }),
            }
        }
        self.emit(Event::Started { run: self.id.to_string(), step: start.resumed_at, steps: start.total_steps, lines, evaluations });
    }

    /// Answers the page's prompts independently of each other, with greedy decoding.
    async fn sample(&self, engine: &Engine, step: u64) -> Result<()> {
        let stop = stop_ids(self.config, self.tokenizer);
        let prompts: Vec<&String> = self.samples.prompts.iter().filter(|prompt| !prompt.trim().is_empty()).collect();
        for (index, prompt) in prompts.iter().copied().enumerate() {
            self.call.progress("Answering the prompts", index as u64, Some(prompts.len() as u64), Unit::Prompts);
            if self.steering.is_stopped() {
                return Ok(());
            }
            let ids = chat_prompt(self.tokenizer, &[Message::new("user", prompt.as_str())])?;
            let text = match self.answer(engine, &ids, &stop).await {
                Ok(text) => text,
                // A prompt that is too long must not end the run.
                Err(error @ Error::Recipe { .. }) => error.to_string(),
                Err(error) => return Err(error),
            };
            self.emit(Event::Sample { step, prompt: prompt.clone(), text });
        }
        Ok(())
    }

    async fn answer(&self, engine: &Engine, prompt: &[u32], stop: &std::collections::BTreeSet<u32>) -> Result<String> {
        let wanted = prompt.len() + self.samples.max_new_tokens;
        let known = self.generator.borrow_mut().take().filter(|generator| generator.context() >= wanted);
        let mut generator = match known {
            Some(generator) => generator,
            None => {
                let context = wanted.next_power_of_two().max(256).min(crate::generate::context_limit(self.config, self.gpu.profile()));
                Generator::sharing(engine, GeneratorOptions { context: Some(context), chunk: None }).await?
            }
        };
        let sampling = SamplingOptions { greedy: true, ..SamplingOptions::default() };
        let options = AnswerOptions { sampling, max_new_tokens: self.samples.max_new_tokens, stop_ids: stop.clone() };
        let mut answer = generator.answer(prompt, options).await?.text(self.tokenizer, true);
        let mut text = String::new();
        while !self.steering.is_stopped() {
            let Some(piece) = answer.next_text().await? else { break };
            text.push_str(&piece);
        }
        drop(answer);
        *self.generator.borrow_mut() = Some(generator);
        Ok(text)
    }
}

#[async_trait(?Send)]
impl Observer for Watch<'_> {
    fn event(&mut self, event: TrainEvent<'_>) {
        match event {
            TrainEvent::Start(start) => {
                self.flops_per_token = flops_per_token(self.recipe, start.checkpointing, start.parameters, start.trainable);
                self.started(start);
            }
            TrainEvent::Notice(words) => self.emit(Event::Notice { words }),
            TrainEvent::Step(..) => {}
            TrainEvent::Log(line) => {
                self.session.speed.set(Some(self.flops_per_token * line.tokens_per_second));
                self.emit(Event::Step { line: self.step_line(line, true) });
            }
            TrainEvent::Evaluation(line) => {
                self.emit(Event::Evaluation { line: EvalLine { current_steps: line.current_steps, eval_loss: line.eval_loss } });
            }
            TrainEvent::Saved(name) => {
                self.saved = Instant::now();
                let step = name.strip_prefix("checkpoint-").and_then(|n| n.parse().ok()).unwrap_or(0);
                self.emit(Event::Saved { step });
            }
        }
    }

    async fn between_steps(&mut self, engine: &Engine, done: u64) -> Result<Wish> {
        if self.steering.is_stopped() {
            return Ok(Wish::Stop);
        }
        let due = self.samples.every > 0 && done.is_multiple_of(self.samples.every) && self.sampled_at != Some(done);
        if due {
            self.sampled_at = Some(done);
            let begun = Instant::now();
            self.sample(engine, done).await?;
            self.answered = (self.answered.0 + begun.elapsed().as_secs_f64(), self.answered.1 + 1);
        }
        if self.steering.takes_save() {
            return Ok(Wish::Save);
        }
        if self.steering.is_held() {
            if !self.held_with_snapshot {
                self.held_with_snapshot = true;
                return Ok(Wish::Save);
            }
            self.emit(Event::Paused { step: done });
            self.steering.wait().await;
            if self.steering.is_held() && !self.steering.is_stopped() {
                // Woken by a snapshot request; the snapshot of the pause already exists.
                return Ok(Wish::Save);
            }
            self.held_with_snapshot = false;
            self.saved = Instant::now();
            if self.steering.is_stopped() {
                return Ok(Wish::Stop);
            }
            self.emit(Event::Resumed { step: done });
        }
        if self.saved.elapsed().as_secs() >= SNAPSHOT_SECONDS {
            return Ok(Wish::Save);
        }
        Ok(Wish::GoOn)
    }
}
