//! Runs: their progress, their end, and how they are kept.

use serde::{Deserialize, Serialize};

use super::{BaseSource, Settings};
#[cfg(test)]
use ts_rs::TS;

/// The prompts that the model answers while it learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct Samples {
    /// Number of steps between two rounds of answers; 0 asks never.
    pub every: u64,
    /// User messages, each answered on its own.
    pub prompts: Vec<String>,
    /// Most tokens of an answer.
    pub max_new_tokens: usize,
}

/// A line of `trainer_log.jsonl`, in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct StepLine {
    /// Steps done.
    pub current_steps: u64,
    /// Steps of the run.
    pub total_steps: u64,
    /// Mean loss a target token since the line before.
    pub loss: f64,
    /// Gradient norm before clipping.
    pub grad_norm: f64,
    /// Learning rate.
    pub lr: f64,
    /// Epochs done.
    pub epoch: f64,
    /// Tokens a second since the line before.
    pub tokens_per_second: f64,
    /// To the end at the present speed.
    pub remaining_seconds: Option<f64>,
    /// GPU memory in use.
    pub memory_bytes: Option<u64>,
    /// Preferences: what the answers gain.
    pub rewards: Option<Rewards>,
}

/// What stages dpo and kto tell about answers.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Rewards {
    /// Mean reward of preferred answers.
    pub chosen: Option<f64>,
    /// Mean reward of rejected answers.
    pub rejected: Option<f64>,
    /// Share of pairs whose preferred answer has the higher reward.
    pub accuracy: Option<f64>,
}

/// An evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct EvalLine {
    /// Steps done.
    pub current_steps: u64,
    /// Loss on the evaluation samples.
    pub eval_loss: f64,
    /// Preferences: what the answers gain.
    pub rewards: Option<Rewards>,
}

/// An answer of a model that learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct SampleLine {
    /// Steps done; 0 is before the first.
    pub step: u64,
    /// The prompt.
    pub prompt: String,
    /// The answer.
    pub text: String,
    /// stop, length, context, skipped, or refused: then the answer says why.
    pub finish: String,
}

/// What a stored run logged.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct RunLog {
    /// Its steps.
    pub lines: Vec<StepLine>,
    /// Its evaluations.
    pub evaluations: Vec<EvalLine>,
    /// Its answers.
    pub answers: Vec<SampleLine>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Ended {
    /// The run, as it is kept.
    pub run: Run,
    /// Whether it came to its end, or was stopped.
    pub finished: bool,
    /// Mean of the steps' losses.
    pub train_loss: Option<f64>,
    /// The last evaluation's.
    pub eval_loss: Option<f64>,
    /// Seconds of this part of the run.
    pub seconds: f64,
    /// Tokens a second.
    pub tokens_per_second: Option<f64>,
    /// The most GPU memory in use at one time.
    pub peak_bytes: Option<u64>,
}

/// A run or a model that is kept in this browser.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Run {
    /// Its id.
    pub id: String,
    /// What to call it.
    pub name: String,
    /// Where what it was made from is.
    pub source: BaseSource,
    /// The name of its folder when it is taken home.
    pub folder: String,
    /// How it came about.
    pub method: RunMethod,
    /// The name of what it was made from.
    pub base: String,
    /// What it takes in this browser.
    pub bytes: u64,
    /// What of it is taken home: without snapshots.
    pub result_bytes: u64,
    /// Steps done.
    pub step: u64,
    /// Steps of the run; 0 for what was not trained.
    pub steps: u64,
    /// Whether it came to its end. One that did not can go on.
    pub finished: bool,
    /// Whether there is something that can be used: a result or a snapshot.
    pub usable: bool,
    /// Whether it is being written now, here or in another tab.
    pub live: bool,
    /// Whether it is a whole model, which can be a base; an adapter is not.
    pub model: bool,
    /// Milliseconds since 1970.
    pub created: f64,
    /// The last training loss of the log.
    pub train_loss: Option<f64>,
    /// The last evaluation's loss.
    pub eval_loss: Option<f64>,
    /// Seconds that its parts took so far, where that is known.
    pub seconds: Option<f64>,
    /// The settings that it was started with; none for what was not trained.
    pub recipe: Settings,
    /// What it learned from.
    pub data: Option<String>,
    /// What its owner noted.
    pub notes: String,
}

/// How a stored model came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(rename_all = "snake_case")]
pub enum RunMethod {
    /// All parameters trained.
    Full,
    /// An adapter trained.
    Lora,
    /// Some layers trained.
    Freeze,
    /// An adapter merged into its base.
    Merge,
    /// A repaired copy.
    Repair,
    /// A copy of a base that was given or fetched, which a run here needs.
    Copy,
}

/// What this origin stores.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Storage {
    /// Bytes in use.
    pub usage: Option<u64>,
    /// Bytes that it may use.
    pub quota: Option<u64>,
    /// Whether the browser has promised not to clear it by itself.
    pub persistent: bool,
    /// Bytes of the worker's own memory, weights on the GPU not among them.
    pub worker_bytes: Option<u64>,
    /// Why the browser stores nothing here, where it does not: what is kept then lies in memory and ends with the tab.
    pub refused: Option<String>,
}

/// A file that a person takes home.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct StoredFile {
    /// Its name in the folder that is taken home.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
    /// Where it lies in the origin's private file system: names from its root.
    pub path: Vec<String>,
}

/// The type of the matrices in a GGUF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the format's own names")]
pub enum GgufType {
    F32,
    F16,
    Bf16,
    #[serde(rename = "q8_0")]
    Q8_0,
    #[serde(rename = "q4_0")]
    Q4_0,
}

/// A GGUF file that was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct GgufFile {
    /// Where it is.
    pub file: StoredFile,
    /// What the format says otherwise than the model, a sentence each.
    pub remarks: Vec<String>,
}

/// How well a model predicts a run's own samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct HeldOutScore {
    /// Mean loss a target token, in nats.
    pub loss: f64,
    /// Samples that were looked at.
    pub samples: usize,
    /// Whether the run held them out; else it learned from them.
    pub held_out: bool,
}
