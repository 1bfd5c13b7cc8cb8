//! The observer of a run: reports its events to the page, follows the page's commands, and has the model answer between steps.

use std::cell::RefCell;
use std::rc::Rc;

use async_trait::async_trait;
use web_time::Instant;

use super::super::messages::{Answered, EvalLine, Event, Rewards, SampleLine, Samples, StepLine, Unit};
use super::estimate::flops_per_token;
use super::steer::{Question, Steering};
use super::talk::{finish_word, messages_of, sampling_options};
use super::{Call, Session};
use crate::config::Recipe;
use crate::data::{Message, Tokenizer};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::generate::{AnswerOptions, Generator, GeneratorOptions, SamplingOptions, chat_prompt, context_limit, stop_ids};
use crate::gpu::Gpu;
use crate::train::{self, Event as TrainEvent, Figures, LogEntry, LogLine, Observer, Wish};
use crate::workflow::Run;

/// A snapshot is written at least this often, whatever the settings say, so that a closed tab loses no more than this.
const SNAPSHOT_SECONDS: u64 = 120;
/// The word for an answer that the user did not wait for.
const SKIPPED: &str = "skipped";

/// Parses h:mm:ss into seconds.
fn seconds(clock: &str) -> Option<f64> {
    clock.split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}

impl From<LogLine> for StepLine {
    /// Of a stored log, which knows nothing of memory.
    fn from(line: LogLine) -> StepLine {
        StepLine {
            current_steps: line.current_steps,
            total_steps: line.total_steps,
            loss: line.loss,
            grad_norm: line.grad_norm,
            lr: line.lr,
            epoch: line.epoch,
            tokens_per_second: line.tokens_per_second,
            remaining_seconds: seconds(&line.remaining_time),
            memory_bytes: None,
            rewards: rewards(&line.more, ""),
        }
    }
}

/// The figures of preferences, if there are any.
fn rewards(figures: &Figures, prefix: &str) -> Option<Rewards> {
    let of = |name: &str| figures.get(&format!("{prefix}rewards/{name}")).copied().flatten();
    let rewards = Rewards { chosen: of("chosen"), rejected: of("rejected"), accuracy: of("accuracies") };
    (rewards.chosen.is_some() || rewards.rejected.is_some()).then_some(rewards)
}

impl From<train::EvalLine> for EvalLine {
    fn from(line: train::EvalLine) -> EvalLine {
        EvalLine { current_steps: line.current_steps, eval_loss: line.eval_loss, rewards: rewards(&line.each, "eval_") }
    }
}

/// The observer: reports events to the page and follows its commands.
pub(super) struct Watch<'a> {
    session: &'a Session,
    id: &'a str,
    call: &'a Call,
    steering: &'a Rc<Steering>,
    samples: &'a Samples,
    gpu: Rc<Gpu>,
    run: &'a Run,
    generator: RefCell<Option<Generator>>,
    /// The log of a resumed run.
    log: Vec<LogEntry>,
    /// The answers so far.
    answers: Vec<SampleLine>,
    sampled_at: Option<u64>,
    /// Total seconds spent on answering the sample prompts, and how many times that was done.
    answered: (f64, u32),
    /// Whether the snapshot for the current pause was already written.
    held_with_snapshot: bool,
    saved: Instant,
    total_steps: u64,
    parameters: u64,
    flops_per_token: f64,
}

impl<'a> Watch<'a> {
    pub(super) fn new(
        session: &'a Session,
        id: &'a str,
        call: &'a Call,
        steering: &'a Rc<Steering>,
        samples: &'a Samples,
        gpu: Rc<Gpu>,
        run: &'a Run,
    ) -> Watch<'a> {
        Watch {
            session,
            id,
            call,
            steering,
            samples,
            gpu,
            run,
            generator: RefCell::default(),
            log: Vec::new(),
            answers: Vec::new(),
            sampled_at: None,
            answered: (0.0, 0),
            held_with_snapshot: false,
            saved: Instant::now(),
            total_steps: 0,
            parameters: 0,
            flops_per_token: 0.0,
        }
    }

    /// Of a resumed run: what it logged and answered before.
    pub(super) fn after(self, log: Vec<LogEntry>, answers: Vec<SampleLine>) -> Watch<'a> {
        Watch { log, answers, ..self }
    }

    fn recipe(&self) -> &'a Recipe {
        &self.run.input.recipe
    }

    fn tokenizer(&self) -> &'a Tokenizer {
        &self.run.model.tokenizer
    }

    fn emit(&self, event: Event) {
        (self.call.emit)(event);
    }

    fn step_line(&self, line: &LogLine) -> StepLine {
        let line = StepLine::from(line.clone());
        let answering = self.answering(line.current_steps, line.total_steps);
        StepLine {
            remaining_seconds: line.remaining_seconds.map(|left| left + answering),
            memory_bytes: Some(self.gpu.allocated_bytes()),
            ..line
        }
    }

    /// Estimated seconds for the remaining sample answers, from the average so far. The trainer's own estimate leaves them out.
    fn answering(&self, done: u64, steps: u64) -> f64 {
        let (seconds, times) = self.answered;
        match self.samples.every {
            0 => 0.0,
            every => seconds / f64::from(times.max(1)) * (steps.div_ceil(every) - done / every) as f64,
        }
    }

    fn started(&mut self, start: &train::Start) {
        self.answers.retain(|answer| answer.step <= start.resumed_at);
        let known = self.log.iter().filter(|entry| entry.step() <= start.resumed_at).cloned();
        let (mut lines, mut evaluations) = (Vec::new(), Vec::new());
        for entry in known {
            match entry {
                LogEntry::Step(line) => lines.push(line.into()),
                LogEntry::Evaluation(line) => evaluations.push(line.into()),
            }
        }
        self.emit(Event::Started {
            run: self.id.to_string(),
            step: start.resumed_at,
            steps: start.total_steps,
            lines,
            evaluations,
            answers: self.answers.clone(),
        });
    }

    /// Answers the page's prompts if it is their turn after `done` steps (before the first, every so many, after the last) and they
    /// were not answered there before.
    async fn sample_if_due(&mut self, engine: &Engine, done: u64) -> Result<()> {
        let turn = done.is_multiple_of(self.samples.every.max(1)) || done == self.total_steps;
        let due = self.samples.every > 0 && turn && self.sampled_at != Some(done);
        if !due || self.answers.iter().any(|answer| answer.step == done) {
            return Ok(());
        }
        self.sampled_at = Some(done);
        let begun = Instant::now();
        let answers = self.sample(engine, done).await?;
        let skipped = answers.iter().any(|answer| answer.finish == SKIPPED);
        if !skipped && !self.steering.is_stopped() {
            self.answered = (self.answered.0 + begun.elapsed().as_secs_f64(), self.answered.1 + 1);
        }
        if !answers.is_empty() {
            self.answers.extend(answers);
            self.session.keep_answers(self.id, &self.answers).await?;
        }
        Ok(())
    }

    /// Answers the prompts independently of each other, with greedy decoding.
    async fn sample(&self, engine: &Engine, step: u64) -> Result<Vec<SampleLine>> {
        self.steering.begin_answers();
        let prompts: Vec<&String> = self.samples.asked().collect();
        let mut answers = Vec::new();
        let begun = Instant::now();
        let mut tokens = 0;
        for (index, prompt) in prompts.iter().copied().enumerate() {
            self.call.progress("Answering the prompts", index as u64, Some(prompts.len() as u64), Unit::Prompts);
            if self.steering.is_stopped() || self.steering.is_skipped() {
                break;
            }
            let mut tell = |text: &str| self.emit(Event::Writing { step, prompt: prompt.clone(), text: text.to_string() });
            tell("");
            let options = AnswerOptions {
                sampling: SamplingOptions { greedy: true, ..SamplingOptions::default() },
                max_new_tokens: self.samples.max_new_tokens,
                stop_ids: Default::default(),
            };
            let ended = || self.steering.is_stopped() || self.steering.is_skipped();
            let message = [Message::new("user", prompt.as_str())];
            let line = match self.answer(engine, &message, options, &mut tell, &ended).await {
                Ok(answered) => {
                    tokens += answered.tokens;
                    let cut = answered.finish == "cancelled";
                    SampleLine {
                        step,
                        prompt: prompt.clone(),
                        text: answered.text,
                        finish: if cut { SKIPPED.into() } else { answered.finish },
                    }
                }
                // A prompt that is too long must not end the run.
                Err(error @ Error::Recipe { .. }) => {
                    SampleLine { step, prompt: prompt.clone(), text: error.to_string(), finish: "refused".into() }
                }
                Err(error) => return Err(error),
            };
            self.emit(Event::Sample { line: line.clone() });
            answers.push(line);
        }
        if tokens > 0 {
            let seconds = begun.elapsed().as_secs_f64().max(1e-9);
            self.session.answer_speed.set(Some(2.0 * self.parameters as f64 * tokens as f64 / seconds));
        }
        Ok(answers)
    }

    /// Answers what was asked about the learning model meanwhile.
    async fn answer_questions(&self, engine: &Engine) -> Result<()> {
        while let Some(Question { messages, sampling, call, reply }) = self.steering.takes_question() {
            if call.is_cancelled() {
                continue;
            }
            let options = AnswerOptions {
                sampling: sampling_options(&sampling),
                max_new_tokens: sampling.max_new_tokens,
                stop_ids: Default::default(),
            };
            let mut tell = |text: &str| (call.emit)(Event::Text { text: text.to_string() });
            let ended = || call.is_cancelled() || self.steering.is_stopped();
            let answered = self.answer(engine, &messages_of(&messages), options, &mut tell, &ended).await;
            // Nobody may listen any more: the question was cancelled.
            let _ = reply.send(answered);
        }
        Ok(())
    }

    /// Waits while another run of the session is to do its step first.
    async fn take_turn(&self, engine: &Engine) -> Result<Wish> {
        while !self.steering.has_turn(self.session) {
            let begun = Instant::now();
            self.steering.wait_for_turn(self.session).await;
            self.steering.has_waited(begun.elapsed());
            self.answer_questions(engine).await?;
            if self.steering.is_stopped() {
                return Ok(Wish::Stop);
            }
            if self.steering.takes_save() {
                return Ok(Wish::Save);
            }
        }
        Ok(Wish::GoOn)
    }

    /// Has the learning model answer; `tell` receives the text as it is written, `ended` ends it early.
    async fn answer(
        &self,
        engine: &Engine,
        messages: &[Message],
        options: AnswerOptions,
        tell: &mut dyn FnMut(&str),
        ended: &dyn Fn() -> bool,
    ) -> Result<Answered> {
        let config = self.run.model.config();
        let prompt = chat_prompt(self.tokenizer(), messages)?;
        let wanted = prompt.len() + options.max_new_tokens;
        let known = self.generator.borrow_mut().take().filter(|generator| generator.context() >= wanted);
        let mut generator = match known {
            Some(generator) => generator,
            None => {
                let context = wanted.next_power_of_two().max(256).min(context_limit(config, self.gpu.profile()));
                Generator::sharing(engine, GeneratorOptions { context: Some(context), chunk: None }).await?
            }
        };
        let options = AnswerOptions { stop_ids: stop_ids(config, self.tokenizer()), ..options };
        let mut answer = generator.answer(&prompt, options).await?.text(self.tokenizer(), true);
        let mut text = String::new();
        while !ended() {
            let Some(piece) = answer.next_text().await? else { break };
            if !piece.is_empty() {
                tell(&piece);
                text.push_str(&piece);
            }
        }
        text.push_str(&answer.rest()?);
        let finish = finish_word(answer.answer().finish_reason());
        let (tokens, tokens_per_second) = (answer.answer().tokens().len(), answer.answer().tokens_per_second());
        drop(answer);
        *self.generator.borrow_mut() = Some(generator);
        Ok(Answered { text, tokens, tokens_per_second, finish: finish.into() })
    }
}

#[async_trait(?Send)]
impl Observer for Watch<'_> {
    fn event(&mut self, event: TrainEvent<'_>) {
        match event {
            TrainEvent::Start(start) => {
                self.total_steps = start.total_steps;
                self.parameters = start.parameters;
                self.flops_per_token = flops_per_token(self.recipe(), start.checkpointing, start.parameters, start.trainable);
                self.started(start);
            }
            TrainEvent::Notice(words) => self.emit(Event::Notice { words }),
            TrainEvent::Step(..) => {}
            TrainEvent::Log(line) => {
                self.session.speed.set(Some(self.flops_per_token * line.tokens_per_second));
                self.emit(Event::Step { line: self.step_line(line) });
            }
            TrainEvent::Evaluation(line) => self.emit(Event::Evaluation { line: line.clone().into() }),
            TrainEvent::Saved(name) => {
                self.saved = Instant::now();
                let step = name.strip_prefix("checkpoint-").and_then(|n| n.parse().ok()).unwrap_or(0);
                self.emit(Event::Saved { step });
            }
        }
    }

    /// The base's answers, so that what training changes can be seen.
    async fn before_first_step(&mut self, engine: &Engine, done: u64) -> Result<()> {
        self.steering.has_done(done, self.session);
        self.sample_if_due(engine, done).await?;
        self.call.progress("Computing the first step", 0, None, Unit::Steps);
        Ok(())
    }

    async fn between_steps(&mut self, engine: &Engine, done: u64) -> Result<Wish> {
        self.steering.has_done(done, self.session);
        if self.steering.is_stopped() {
            return Ok(Wish::Stop);
        }
        self.sample_if_due(engine, done).await?;
        self.answer_questions(engine).await?;
        if self.steering.takes_save() {
            return Ok(Wish::Save);
        }
        if self.steering.is_held() {
            if !self.held_with_snapshot {
                self.held_with_snapshot = true;
                return Ok(Wish::Save);
            }
            self.emit(Event::Paused { step: done });
            while self.steering.is_held() && !self.steering.is_stopped() {
                self.steering.wait().await;
                self.answer_questions(engine).await?;
                if self.steering.takes_save() {
                    return Ok(Wish::Save);
                }
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
        self.take_turn(engine).await
    }
}
