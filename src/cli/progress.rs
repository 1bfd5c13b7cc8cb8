//! Shows a run while it goes on: a bar on a terminal, lines in a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rootstock::engine::Engine;
use rootstock::error::{on_one_line, visible};
use rootstock::gpu::human_bytes;
use rootstock::train::{EvalLine, Event, LogLine, Observer, Start, Wish};
use rootstock::{Error, Result};
use serde::Serialize;
use serde_json::json;

use super::console::{self, Console, count, thousands};

/// The observer that shows a run on the terminal.
pub(super) struct Progress {
    console: Console,
    bar: Option<ProgressBar>,
    memory: String,
    started: Option<Start>,
    training: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    /// Whether events also go to stdout, one JSON object a line.
    json: bool,
    /// What keeps stdout from being written; it ends the run at the next step.
    unwritten: Option<Error>,
}

impl Progress {
    /// Shows one run after the other. Ctrl-C ends a run after its step, a second Ctrl-C ends the program at once. One per process.
    pub(super) fn new(console: Console) -> Self {
        let (training, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (running, pressed) = (training.clone(), stop.clone());
        // Without a handler Ctrl-C ends the program at once; files on disk are whole all the same.
        let _ = ctrlc::set_handler(move || {
            if !running.load(Ordering::Relaxed) || pressed.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            console::say("\nstopping after this step and saving; press Ctrl-C again to stop at once");
        });
        Progress { console, bar: None, memory: String::new(), started: None, training, stop, json: false, unwritten: None }
    }

    /// The same, and each event is a JSON object on a line of stdout: {"event": "start" | "notice" | "log" | "evaluation" | "saved", …}.
    pub(super) fn with_json(console: Console) -> Self {
        Progress { json: true, ..Progress::new(console) }
    }

    fn tell(&mut self, event: &str, content: &impl Serialize) {
        if self.json && self.unwritten.is_none() {
            self.unwritten = console::print_event(event, content).err();
        }
    }

    /// The start event of the last run.
    pub(super) fn started(&self) -> Option<&Start> {
        self.started.as_ref()
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(visible(text)),
            None => self.console.say(text),
        }
    }

    fn start(&mut self, start: &Start) {
        self.training.store(true, Ordering::Relaxed);
        self.started = Some(start.clone());
        let m = &start.memory;
        self.memory = format!("{} GPU", human_bytes(m.peak_bytes()));
        let trained = if start.trainable == start.parameters {
            "all".to_string()
        } else {
            format!("{} of {}", thousands(start.trainable), thousands(start.parameters))
        };
        self.console.say(&format!(
            "device   {}: {} planned (weights {}, gradients {}, optimizer {}, activations {})",
            start.device,
            human_bytes(m.peak_bytes()),
            human_bytes(m.weights_bytes),
            human_bytes(m.gradients_bytes),
            human_bytes(m.optimizer_bytes),
            human_bytes(m.activations_bytes)
        ));
        let from = if start.resumed_at > 0 { format!(", going on after step {}", thousands(start.resumed_at)) } else { String::new() };
        self.console.say(&format!("training {trained} parameters, {}{from}", count(start.total_steps as usize, "step")));
        if self.console.is_interactive() {
            let bar = ProgressBar::with_draw_target(Some(start.total_steps), ProgressDrawTarget::stderr_with_hz(8));
            let style = ProgressStyle::with_template("{bar:24} {pos}/{len} steps{msg}  {eta} left");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─"));
            bar.set_position(start.resumed_at);
            bar.reset_eta();
            self.bar = Some(bar);
        }
    }

    fn log(&self, line: &LogLine) {
        let speed = thousands(line.tokens_per_second as u64);
        let figure = |name: &str| line.more.get(name).copied().flatten();
        let accuracy = figure("rewards/accuracies").map(|share| format!("  accuracy {:.0} %", share * 100.0)).unwrap_or_default();
        let margin = figure("rewards/margins").map(|margin| format!("  margin {margin:.3}{accuracy}")).unwrap_or_default();
        match &self.bar {
            Some(bar) => bar.set_message(format!("  loss {:.4}{margin}  {speed} tokens/s  {}", line.loss, self.memory)),
            None => self.say(&format!(
                "step {}/{}  loss {:.4}{margin}  grad_norm {:.3}  lr {:.2e}  {speed} tokens/s  {}  {} left",
                line.current_steps, line.total_steps, line.loss, line.grad_norm, line.lr, self.memory, line.remaining_time
            )),
        }
    }

    fn evaluation(&self, line: &EvalLine) {
        let each = line.each.iter().map(|(name, loss)| format!(", {name} {:.4}", loss.unwrap_or(f64::NAN)));
        let each: String = each.collect();
        // Of answers that are compared there is no perplexity.
        let compares = line.each.keys().any(|name| name.starts_with("eval_rewards/"));
        let perplexity = if compares { String::new() } else { format!(" (perplexity {:.2})", line.eval_loss.exp()) };
        self.say(&format!("step {}: eval_loss {:.4}{perplexity}{each}", line.current_steps, line.eval_loss));
    }

    /// Removes the bar when the run is over.
    pub(super) fn finish(&mut self) {
        self.training.store(false, Ordering::Relaxed);
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

#[async_trait(?Send)]
impl Observer for Progress {
    fn event(&mut self, event: Event<'_>) {
        match &event {
            Event::Start(start) => {
                let content = json!({
                    "device": start.device, "parameters": start.parameters, "trainable": start.trainable, "total_steps": start.total_steps,
                    "resumed_at": start.resumed_at, "samples": start.samples, "tokens": start.tokens,
                    "gradient_checkpointing": start.checkpointing, "peak_bytes": start.memory.peak_bytes()
                });
                self.tell("start", &content);
            }
            Event::Notice(text) => self.tell("notice", &json!({"text": text})),
            Event::Step(..) => {}
            Event::Log(line) => self.tell("log", line),
            Event::Evaluation(line) => self.tell("evaluation", line),
            Event::Saved(name) => self.tell("saved", &json!({"checkpoint": name})),
        }
        match event {
            Event::Start(start) => self.start(start),
            Event::Notice(text) => self.say(&format!("note: {}", on_one_line(&text))),
            Event::Step(done, _) => {
                if let Some(bar) = &self.bar {
                    bar.set_position(done);
                }
            }
            Event::Log(line) => self.log(line),
            Event::Evaluation(line) => self.evaluation(line),
            Event::Saved(name) => self.say(&format!("saved {name}")),
        }
    }

    async fn between_steps(&mut self, _engine: &Engine, _done: u64) -> Result<Wish> {
        if let Some(error) = self.unwritten.take() {
            return Err(error);
        }
        Ok(if self.stop.load(Ordering::Relaxed) { Wish::Stop } else { Wish::GoOn })
    }
}
