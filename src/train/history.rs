//! The log of a run: what LLaMA-Factory and its users' scripts read (`trainer_log.jsonl`, `trainer_state.json`), at full precision.

use serde::{Deserialize, Deserializer, Serialize};

use super::rewards::Figures;
use crate::error::Result;
use crate::platform::{OutputDirectory, json_line, write_file};

/// A logged training step; losses are means over the steps since the line before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// Steps done.
    pub current_steps: u64,
    /// Steps of the run.
    pub total_steps: u64,
    /// Mean loss of a target token, in nats, or of a sample's answers; `null` in the file where it is not finite.
    #[serde(deserialize_with = "null_is_nan")]
    pub loss: f64,
    /// Gradient norm before clipping, of the last step.
    #[serde(deserialize_with = "null_is_nan")]
    pub grad_norm: f64,
    /// Learning rate that the last step was taken with.
    pub lr: f64,
    /// Epochs done.
    pub epoch: f64,
    /// Share of the steps done, in percent.
    pub percentage: f64,
    /// Time since the start, h:mm:ss.
    pub elapsed_time: String,
    /// Time to the end at the present speed, h:mm:ss.
    pub remaining_time: String,
    /// Tokens a second since the line before.
    pub tokens_per_second: f64,
    /// What stages dpo and kto tell about answers, as `rewards/chosen`: means over the steps since the line before.
    #[serde(flatten)]
    pub more: Figures,
}

/// An evaluation during the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalLine {
    /// Steps done.
    pub current_steps: u64,
    /// Steps of the run.
    pub total_steps: u64,
    /// Loss on the evaluation set: sum over targets / targets.
    #[serde(deserialize_with = "null_is_nan")]
    pub eval_loss: f64,
    /// The same of each evaluation set, as `eval_NAME_loss`, where there are several; and what stages dpo and kto tell about answers, as
    /// `eval_rewards/chosen`. `None` where a number is not finite.
    #[serde(flatten)]
    pub each: Figures,
    /// Epochs done.
    pub epoch: f64,
    /// Share of the steps done, in percent.
    pub percentage: f64,
    /// Time since the start, h:mm:ss.
    pub elapsed_time: String,
    /// Time to the end at the present speed, h:mm:ss.
    pub remaining_time: String,
}

/// JSON has no NaN and no infinity; they are written as `null`.
fn null_is_nan<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(deserializer)?.unwrap_or(f64::NAN))
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LogEntry {
    /// A training step.
    Step(LogLine),
    /// An evaluation.
    Evaluation(EvalLine),
}

impl LogEntry {
    /// Steps done when it was written.
    pub fn step(&self) -> u64 {
        match self {
            LogEntry::Step(l) => l.current_steps,
            LogEntry::Evaluation(l) => l.current_steps,
        }
    }
}

/// The log so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// All lines, in order.
    pub entries: Vec<LogEntry>,
}

/// The file that grows while a run goes on.
pub(super) const LOG_FILE: &str = "trainer_log.jsonl";

impl History {
    /// Adds a line, also to the file; all lines where the file is gone (its directory was removed during the run).
    pub(super) async fn add(&mut self, out: &dyn OutputDirectory, entry: LogEntry) -> Result<()> {
        let line = json_line(LOG_FILE, &entry)? + "\n";
        self.entries.push(entry);
        match out.size(LOG_FILE).await? {
            Some(_) => out.append(LOG_FILE, line.as_bytes()).await,
            None => self.rewrite(out).await,
        }
    }

    /// Writes the whole file anew: a resumed run drops what the interrupted one logged after its checkpoint.
    pub(super) async fn rewrite(&self, out: &dyn OutputDirectory) -> Result<()> {
        let mut lines = String::new();
        for entry in &self.entries {
            lines += &json_line(LOG_FILE, entry)?;
            lines.push('\n');
        }
        write_file(out, LOG_FILE, lines.as_bytes()).await
    }

    /// (step, loss) of the training lines.
    pub fn losses(&self) -> Vec<(u64, f64)> {
        let step = |e: &LogEntry| match e {
            LogEntry::Step(l) => Some((l.current_steps, l.loss)),
            LogEntry::Evaluation(_) => None,
        };
        self.entries.iter().filter_map(step).collect()
    }

    /// (step, loss) of the evaluations.
    pub fn eval_losses(&self) -> Vec<(u64, f64)> {
        let eval = |e: &LogEntry| match e {
            LogEntry::Evaluation(l) => Some((l.current_steps, l.eval_loss)),
            LogEntry::Step(_) => None,
        };
        self.entries.iter().filter_map(eval).collect()
    }

    /// What else an evaluation told that had this loss, the newest of them.
    pub(super) fn figures_of(&self, eval_loss: f64) -> Figures {
        let lines = self.entries.iter().rev().filter_map(|entry| if let LogEntry::Evaluation(line) = entry { Some(line) } else { None });
        let found = lines.into_iter().find(|line| line.eval_loss == eval_loss);
        found.map(|line| line.each.clone()).unwrap_or_default()
    }

    /// (step, number) of a figure of the training lines, and of the evaluations.
    pub(super) fn figure(&self, name: &str) -> [Vec<(u64, f64)>; 2] {
        let mut found = [Vec::new(), Vec::new()];
        for entry in &self.entries {
            let (place, number) = match entry {
                LogEntry::Step(line) => (0, line.more.get(name)),
                LogEntry::Evaluation(line) => (1, line.each.get(&format!("eval_{name}"))),
            };
            found[place].extend(number.copied().flatten().map(|number| (entry.step(), number)));
        }
        found
    }

    /// The lines as transformers' `log_history` spells them.
    pub(super) fn log_history(&self) -> impl Iterator<Item = serde_json::Value> {
        let one = |e: &LogEntry| match e {
            LogEntry::Step(l) => {
                let line = serde_json::json!({
                    "epoch": l.epoch, "grad_norm": l.grad_norm, "learning_rate": l.lr, "loss": l.loss, "step": l.current_steps,
                });
                with(line, &l.more)
            }
            LogEntry::Evaluation(l) => {
                with(serde_json::json!({ "epoch": l.epoch, "eval_loss": l.eval_loss, "step": l.current_steps }), &l.each)
            }
        };
        self.entries.iter().map(one)
    }
}

fn with(mut line: serde_json::Value, figures: &Figures) -> serde_json::Value {
    for (name, figure) in figures {
        line[name] = (*figure).into();
    }
    line
}

/// Seconds as h:mm:ss, as LLaMA-Factory logs them.
pub(super) fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0).round() as u64;
    format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}
