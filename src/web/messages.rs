//! What the page and its worker say to each other. `web/src/messages.ts` is written from these types (`typescript.rs`).
//!
//! A request has an id; its reply, its fault and the events on the way carry the same one. Names are those of recipes and logs:
//! snake_case, sizes in bytes, losses in nats a token.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
#[cfg(test)]
use ts_rs::TS;

use crate::validate::Report;
#[cfg(test)]
use crate::validate::Severity;

/// What the page asks for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// What computes here; nothing where the browser has no WebGPU.
    Adapter,
    /// Opens a base and judges it by its headers. The files of `source: files` travel beside the request.
    Open {
        /// Where it is.
        source: BaseSource,
    },
    /// Judges the open base to the end: reads every weight, and lets it speak where there is a GPU.
    Validate,
    /// Writes a repaired copy of the open base, which becomes the base.
    Repair,
    /// The datasets that come with the page.
    Examples,
    /// Reads and tokenises data for the open base, and shows some of it.
    Prepare {
        /// What is trained on.
        data: DataSource,
        /// What is evaluated on; without it `val_size` holds records out.
        evaluation: Option<DataSource>,
        /// The settings.
        recipe: Settings,
        /// The first sample to show, from 0.
        first: usize,
        /// How many to show.
        count: usize,
    },
    /// What a run of the prepared data would need and do.
    Plan {
        /// The settings.
        recipe: Settings,
    },
    /// Every key that a recipe may have.
    Keys,
    /// Reads a LLaMA-Factory recipe.
    ReadRecipe {
        /// Its text.
        yaml: String,
    },
    /// Writes one.
    WriteRecipe {
        /// The settings.
        recipe: Settings,
    },
    /// Trains on the prepared data; answers when the run has ended, by itself or by `stop`.
    Train {
        /// The settings.
        recipe: Settings,
        /// What the model is asked while it learns.
        samples: Samples,
    },
    /// Goes on with a stored run that was interrupted; answers as `train`.
    GoOn {
        /// The run.
        run: String,
        /// What the model is asked while it learns.
        samples: Samples,
    },
    /// Holds the run after the present step, with a snapshot.
    Pause,
    /// Lets a held run go on.
    Resume,
    /// Ends the run after the present step; what it has learnt is kept, and it can go on later.
    Stop,
    /// Writes a snapshot after the present step.
    Save,
    /// The runs and models that are kept in this browser.
    Runs,
    /// Deletes one.
    Remove {
        /// Its id.
        id: String,
    },
    /// What this origin may store, and what it does.
    Storage,
    /// Makes a stored run the tuned model that `chat`, `losses`, `deltas` and `merge` look at.
    Tuned {
        /// Its id.
        id: String,
    },
    /// Lets a model answer; the text comes in events.
    Chat {
        /// Which model.
        which: Which,
        /// The conversation, ending with a user's message.
        messages: Vec<ChatMessage>,
        /// How tokens are chosen.
        sampling: Sampling,
    },
    /// The loss of every token of a text.
    Losses {
        /// Which model.
        which: Which,
        /// The text.
        text: String,
    },
    /// Where the tuned model differs from its base.
    Deltas,
    /// Merges the tuned adapter into its base; the result is kept as a model of its own.
    Merge,
    /// The files of a stored run or model that a person takes home.
    Files {
        /// Its id.
        id: String,
    },
    /// Ends another request at its next chance; that one fails with a sentence, or ends with what it has.
    Cancel {
        /// The other request's id.
        request: u32,
    },
}

/// The replies, by the request's kind. Requests that are not named answer nothing.
#[cfg(test)]
#[derive(TS)]
#[expect(dead_code, reason = "only TypeScript has a use for the mapping")]
pub(super) struct Replies {
    adapter: Option<Adapter>,
    open: Base,
    validate: Report,
    repair: Repaired,
    examples: Vec<Example>,
    prepare: Preview,
    plan: Plan,
    keys: Vec<RecipeKey>,
    read_recipe: ReadRecipe,
    write_recipe: String,
    train: Ended,
    go_on: Ended,
    pause: (),
    resume: (),
    stop: (),
    save: (),
    runs: Vec<Run>,
    remove: (),
    storage: Storage,
    tuned: Run,
    chat: Answered,
    losses: Vec<TokenLoss>,
    deltas: Vec<Delta>,
    merge: Run,
    files: Vec<StoredFile>,
    cancel: (),
}

/// The reply to a request; see `Replies` for which.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each holds the type of its name")]
pub enum Reply {
    Nothing,
    Adapter(Option<Adapter>),
    Base(Box<Base>),
    Report(Box<Report>),
    Repaired(Box<Repaired>),
    Examples(Vec<Example>),
    Preview(Preview),
    Plan(Plan),
    Keys(Vec<RecipeKey>),
    ReadRecipe(ReadRecipe),
    Text(String),
    Ended(Ended),
    Runs(Vec<Run>),
    Storage(Storage),
    Run(Run),
    Answered(Answered),
    Losses(Vec<TokenLoss>),
    Deltas(Vec<Delta>),
    Files(Vec<StoredFile>),
}

/// What happens while a request is worked on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// How far it is.
    Progress {
        /// How far.
        progress: Progress,
    },
    /// The run begins.
    Started {
        /// Its id among the stored runs.
        run: String,
        /// Where it begins: 0, or the snapshot's step.
        step: u64,
        /// Its steps.
        steps: u64,
        /// The log so far of a run that goes on.
        lines: Vec<StepLine>,
        /// Its evaluations so far.
        evaluations: Vec<EvalLine>,
    },
    /// A line of the log.
    Step {
        /// The line.
        line: StepLine,
    },
    /// An evaluation.
    Evaluation {
        /// Its line.
        line: EvalLine,
    },
    /// What the model said to a prompt at a step.
    Sample {
        /// Steps done.
        step: u64,
        /// What was asked.
        prompt: String,
        /// What it said.
        text: String,
    },
    /// A snapshot was written.
    Saved {
        /// Of which step.
        step: u64,
    },
    /// The run is held.
    Paused {
        /// Steps done.
        step: u64,
    },
    /// The run goes on.
    Resumed {
        /// Steps done.
        step: u64,
    },
    /// Something to know.
    Notice {
        /// In words.
        words: String,
    },
    /// The GPU was lost. The run goes on by itself from the snapshot of `step`.
    DeviceLost {
        /// Of which step; 0 begins anew.
        step: u64,
        /// What the browser said of it.
        cause: String,
    },
    /// More of an answer.
    Text {
        /// What was added.
        text: String,
    },
    /// The run has ended and its model is kept.
    Finished {
        /// Steps done.
        step: u64,
        /// The run's id.
        run: String,
    },
}

/// What computes.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Adapter {
    /// As the browser tells it.
    pub name: String,
    /// Computes on the processor: correct, and slow.
    pub software: bool,
    /// Half precision in shaders.
    pub f16: bool,
    /// Subgroup operations.
    pub subgroups: bool,
    /// The largest buffer.
    pub max_buffer_bytes: u64,
    /// The largest part of a buffer that a shader sees at once.
    pub max_binding_bytes: u64,
    /// Memory for buffers, where the browser tells.
    pub memory_bytes: Option<u64>,
}

/// Where a base is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum BaseSource {
    /// The model that comes with the page.
    Embedded,
    /// A folder that the user gave; its files travel beside the request.
    Files {
        /// The folder's name.
        name: String,
    },
    /// A model's id on Hugging Face (`owner/name`, `owner/name@revision`) or the address of a folder. The network is used for this only.
    Url {
        /// The id or the address.
        url: String,
    },
    /// A run or a model that is kept in this browser.
    Run {
        /// Its id.
        id: String,
    },
}

/// An opened base.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Base {
    /// What to call it.
    pub name: String,
    /// Its files.
    pub files: Vec<FileSize>,
    /// The judgement by headers.
    pub report: Report,
    /// Fields of config.json that a person compares.
    pub config: BTreeMap<String, SettingValue>,
    /// Whether it brings a chat template.
    pub chat_template: bool,
}

/// A repaired base.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Repaired {
    /// The repaired copy, open.
    pub base: Base,
    /// What was done, a sentence each.
    pub done: Vec<String>,
    /// Its id among the stored models.
    pub id: String,
}

/// A file and its size.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct FileSize {
    /// Path inside the directory.
    pub name: String,
    /// Bytes.
    pub bytes: u64,
}

/// How far something is that takes its time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Progress {
    /// What is being done.
    pub what: String,
    /// So much is done.
    pub done: u64,
    /// Of so much; unknown where a server does not say.
    pub total: Option<u64>,
    /// Of what.
    pub unit: Unit,
}

/// What progress counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(TS))]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Unit {
    Bytes,
    Steps,
    Samples,
    Tensors,
}

/// The value of a recipe's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(untagged)]
#[expect(missing_docs, reason = "the names say it")]
pub enum SettingValue {
    Flag(bool),
    Number(f64),
    Text(String),
}

/// A recipe: LLaMA-Factory's keys with their values. What is not named has its default; the worker sets model, dataset and
/// output_dir.
pub type Settings = BTreeMap<String, SettingValue>;

/// A key of recipes, from the table that `docs/recipes.md` is written from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct RecipeKey {
    /// The key.
    pub name: String,
    /// The part of a recipe that it belongs to.
    pub group: String,
    /// What values it takes, in words.
    pub values: String,
    /// What stands for it when it is absent; empty for nothing.
    pub default: String,
    /// One line on what it does.
    pub help: String,
}

/// A recipe that was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct ReadRecipe {
    /// Its keys as they were written, without paths: a page has none.
    pub recipe: Settings,
    /// What to know: keys that have no meaning here, paths that were left out.
    pub notes: Vec<String>,
}

/// A dataset that comes with the page.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Example {
    /// Its name.
    pub name: String,
    /// What it teaches.
    pub about: String,
    /// Its records.
    pub records: usize,
    /// The example to evaluate on.
    pub held_out: Option<String>,
}

/// What a model shall learn from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum DataSource {
    /// One of the page's datasets.
    Example {
        /// Its name.
        name: String,
    },
    /// Files, pasted or given.
    Files {
        /// One after the other.
        files: Vec<DataFile>,
    },
}

/// A dataset file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct DataFile {
    /// Its name; the ending says how it is read.
    pub name: String,
    /// What it holds.
    pub text: String,
}

/// What a tokenizer makes of data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Preview {
    /// Records read.
    pub records: usize,
    /// Samples to train on.
    pub samples: usize,
    /// Samples to evaluate on.
    pub evaluation_samples: usize,
    /// Tokens of the training samples.
    pub tokens: usize,
    /// Those that are learned.
    pub trained: usize,
    /// Records that were cut at cutoff_len.
    pub truncated: usize,
    /// Records that leave nothing to learn.
    pub dropped: usize,
    /// Tokens of the longest sample.
    pub longest: usize,
    /// What to know.
    pub notices: Vec<String>,
    /// Some samples.
    pub shown: Vec<PreviewSample>,
}

/// A sample as the model sees it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct PreviewSample {
    /// Its tokens.
    pub tokens: Vec<PreviewToken>,
    /// How many of them are learned.
    pub trained: usize,
    /// Whether it fills cutoff_len.
    pub truncated: bool,
    /// The line of the file that it began at.
    pub line: usize,
}

/// A token of a sample.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct PreviewToken {
    /// Its text.
    pub text: String,
    /// Whether it is learned, or only read.
    pub trained: bool,
}

/// What a run would need and do.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Plan {
    /// Parameters that are trained.
    pub trainable: u64,
    /// All parameters.
    pub parameters: u64,
    /// GPU memory.
    pub memory: PlanMemory,
    /// What the adapter offers; unknown in many browsers.
    pub available: Option<u64>,
    /// Whether it fits, as far as that is known.
    pub fits: bool,
    /// A sentence where it does not.
    pub obstacle: Option<String>,
    /// What would make it fit.
    pub suggestions: Vec<Suggestion>,
    /// Optimiser steps.
    pub steps: u64,
    /// Bytes that the run's snapshots and its result will take in this browser.
    pub storage_bytes: u64,
    /// Seconds that it would take; unknown before anything was measured here.
    pub seconds: Option<f64>,
    /// What to know about the settings.
    pub notices: Vec<String>,
}

/// GPU memory of a run in bytes, as planned.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
#[expect(missing_docs, reason = "the names say it")]
pub struct PlanMemory {
    pub weights: u64,
    pub gradients: u64,
    pub optimizer: u64,
    pub activations: u64,
    pub other: u64,
    pub peak: u64,
}

/// What would make a run smaller.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Suggestion {
    /// In words.
    pub words: String,
    /// As keys to set; empty where a person has to choose.
    pub set: Settings,
}

/// What the model is asked while it learns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct Samples {
    /// Every so many steps; 0 never.
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
}

/// An evaluation.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct EvalLine {
    /// Steps done.
    pub current_steps: u64,
    /// Loss on the evaluation samples.
    pub eval_loss: f64,
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
    /// How it came about.
    pub method: RunMethod,
    /// The name of what it was made from.
    pub base: String,
    /// What it takes in this browser.
    pub bytes: u64,
    /// Steps done.
    pub step: u64,
    /// Steps of the run; 0 for what was not trained.
    pub steps: u64,
    /// Whether it came to its end. One that did not can go on.
    pub finished: bool,
    /// Whether there is something that can be used: a result or a snapshot.
    pub usable: bool,
    /// Whether it is a whole model, which can be a base; an adapter is not.
    pub model: bool,
    /// Milliseconds since 1970.
    pub created: f64,
    /// The last loss, evaluated or else trained.
    pub loss: Option<f64>,
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
    /// Whether the browser promised not to clear it by itself.
    pub persistent: bool,
    /// Bytes of the worker's own memory, weights on the GPU not among them.
    pub worker_bytes: Option<u64>,
}

/// Which of two models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(rename_all = "snake_case")]
pub enum Which {
    /// What the tuned model was trained from; the open base where there is none.
    Base,
    /// The tuned one.
    Tuned,
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct ChatMessage {
    /// system, user or assistant.
    pub role: String,
    /// What was said.
    pub content: String,
}

/// How tokens are chosen.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(TS))]
pub struct Sampling {
    /// 0 takes the likeliest token.
    pub temperature: f32,
    /// Keep the likeliest tokens that together reach this probability; 1 keeps all.
    pub top_p: f32,
    /// Most tokens of the answer.
    pub max_new_tokens: usize,
    /// Seed of the draws.
    pub seed: u32,
}

/// An answer that has ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Answered {
    /// The whole text.
    pub text: String,
    /// Tokens of the answer.
    pub tokens: usize,
    /// Tokens a second.
    pub tokens_per_second: f64,
    /// stop, length, context or cancelled.
    pub finish: String,
}

/// A token of a text and how well it was foreseen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct TokenLoss {
    /// Its text.
    pub text: String,
    /// In nats; the first token has none.
    pub loss: Option<f64>,
}

/// One parameter's update.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(TS))]
pub struct Delta {
    /// The parameter.
    pub name: String,
    /// Absent for what stands outside the layers.
    pub layer: Option<usize>,
    /// What it is in its layer.
    pub module: String,
    /// Frobenius norm of the update.
    pub delta_norm: f64,
    /// Frobenius norm of the base's weight.
    pub weight_norm: f64,
    /// Of the update, largest first; empty for what is no matrix.
    pub singular_values: Vec<f64>,
    /// (out, in)
    pub shape: Vec<usize>,
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

/// A finding of the validator, as its report writes it.
#[cfg(test)]
#[derive(TS)]
#[expect(dead_code, reason = "stands for the report's own serialisation in TypeScript")]
pub(crate) struct Finding {
    /// Which fault of the table in docs/checkpoint-faults.md.
    code: String,
    severity: Severity,
    /// Plain words.
    message: String,
    file: Option<String>,
    tensor: Option<String>,
    /// What a repair does, or nothing where a person has to act.
    repair: Option<String>,
}
