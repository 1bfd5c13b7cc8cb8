//! What the page and its worker say to each other. `web/package/src/messages.ts` is written from these types (`typescript.rs`).
//!
//! A request has an id; its reply, its fault and the events on the way carry the same one. Names are those of recipes and logs:
//! snake_case, sizes in bytes, losses in nats a token.

mod base;
mod data;
mod estimate;
mod fault;
mod lesson;
mod recipe;
mod run;
mod speed;
mod talk;

use serde::{Deserialize, Serialize};
#[cfg(test)]
use ts_rs::TS;

pub use base::*;
pub use data::*;
pub use estimate::*;
pub use fault::*;
pub use lesson::*;
pub use recipe::*;
pub use run::*;
pub use speed::*;
pub use talk::*;

use crate::train::Score;
use crate::validate::Report;

/// What the page asks for.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[cfg_attr(test, derive(TS))]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Request {
    /// The graphics device; nothing where the browser has no WebGPU.
    Device,
    /// Asks for other kernels than the device would get, before the first use of the device or later, when it is opened anew: a family of
    /// devices, values by name, or both, as `--tuning` of the program takes them.
    Tune {
        /// The choice.
        tuning: String,
    },
    /// Measures, where that never happened, which kernels are fastest on the device, and uses them from then on: a second where a GPU computes.
    MeasureKernels,
    /// Measures what the device reaches with a model's shape: peaks, training steps, answers, kernels.
    Speed {
        /// Whose shape: `embedded` or `SmolLM2-135M`.
        model: String,
    },
    /// Opens a base and validates it by its headers. The files of `source: files` travel beside the request.
    Open {
        /// Where it is.
        source: BaseSource,
    },
    /// Validates the open base completely: reads every weight, and runs the model where there is a GPU.
    Validate,
    /// Writes a repaired copy of the open base, which becomes the base.
    Repair,
    /// The datasets that come with the page.
    Examples,
    /// The names of a file's columns, by its first record; none for plain text. A file without a text travels beside the request.
    Columns {
        /// The file.
        file: DataFile,
    },
    /// Reads and tokenises data for the open base, and shows some of it. Files without a text travel beside the request; the worker reads them as often as it needs.
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
    Estimate {
        /// The settings.
        recipe: Settings,
        /// What the model is asked while it learns.
        samples: Option<Samples>,
    },
    /// Measures how fast the device trains, unless a run has shown it already; estimates know the time from then on.
    Measure,
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
        /// Whether it may go on beside other such runs of the session: each takes a step in turn, so that they can be compared while they learn.
        #[serde(default)]
        #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
        beside: bool,
    },
    /// Resumes a stored run that was interrupted, with its own settings, data and prompts; answers as `train`.
    GoOn {
        /// The run.
        run: String,
        /// As of `train`.
        #[serde(default)]
        #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
        beside: bool,
    },
    /// Holds the session's run after the present step, with a snapshot; where runs go on beside each other, this and the next four are for all.
    Pause,
    /// Lets a held run go on.
    Resume,
    /// Ends the run after the present step; what it learned is kept, and it can be resumed later.
    Stop,
    /// Writes a snapshot after the present step.
    Save,
    /// Ends the answers that the run is writing; it goes on with the next step.
    Skip,
    /// The runs and models that are kept in this browser.
    Runs,
    /// Names a stored run and writes notes on it.
    Describe {
        /// Its id.
        id: String,
        /// Its new name; an empty one leaves the old.
        name: String,
        /// The notes.
        notes: String,
    },
    /// The log of a stored run, with what it answered on the way.
    Log {
        /// Its id.
        id: String,
    },
    /// Deletes one.
    Remove {
        /// Its id.
        id: String,
    },
    /// How much this origin may store, and how much it does.
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
    /// How well a model predicts data. Files without a text travel beside the request.
    Evaluate {
        /// Which model: the base or the tuned one.
        which: Which,
        /// The data.
        data: DataSource,
        /// Samples are cut after so many tokens; without it, where the model's own limit is.
        cutoff_len: Option<usize>,
    },
    /// How well a model predicts what a stored run held out, or what it learned from where it held nothing out.
    HeldOut {
        /// Which model: the base or the tuned one.
        which: Which,
        /// The run whose data it is.
        run: String,
    },
    /// A conversation as training sees it, token by token: what is learned, the loss, and what the model expected.
    Look {
        /// Which model.
        which: Which,
        /// The conversation, ending with an assistant's message.
        messages: Vec<ChatMessage>,
        /// The settings, which say what is learned.
        recipe: Settings,
        /// How many of the likeliest tokens to tell for each place.
        likeliest: usize,
    },
    /// Puts kept adapters on the open base, each in a strength, as the model `adapted`. Answers with what is odd about that.
    Adapt {
        /// Added one after the other; none leaves the base.
        parts: Vec<AdapterPart>,
    },
    /// Cuts the change that training made to a whole tuned model to a rank; the base with what is left is the model `adapted`.
    Truncate {
        /// The rank of each matrix.
        rank: usize,
    },
    /// The memory of a run on a model of which only config.json is known.
    ShapeMemory {
        /// The text of its config.json.
        config: String,
        /// The settings.
        recipe: Settings,
        /// Tokens of each sample.
        tokens: usize,
    },
    /// Where the tuned model differs from its base.
    Deltas,
    /// Keeps an adapter, whose files travel beside the request, for the open base, as if it had been trained here.
    Adopt {
        /// The folder's name.
        name: String,
    },
    /// Merges the tuned adapter into its base; the result is kept as a model of its own.
    Merge {
        /// Merge what `adapt` put on the open base instead, each adapter in its strength.
        #[serde(default)]
        #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
        adapted: bool,
    },
    /// The files of a stored run or model that a person takes home.
    Files {
        /// Its id.
        id: String,
    },
    /// Writes a stored model or adapter as a GGUF file for llama.cpp, Ollama and LM Studio. The file takes room in this browser until
    /// `drop_gguf`.
    Gguf {
        /// Its id.
        id: String,
        /// The type of the file's matrices.
        outtype: GgufType,
        /// Of an adapter: the adapter by itself instead of base and adapter in one.
        #[serde(default)]
        #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
        alone: bool,
    },
    /// Deletes the GGUF file of a stored run, once it was taken.
    DropGguf {
        /// Its id.
        id: String,
    },
    /// Cancels another request: a run ends after the present step with what it has, an answer with its text so far; others fail with a
    /// sentence.
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
    device: Option<Device>,
    tune: (),
    measure_kernels: (),
    speed: Speed,
    open: Base,
    validate: Report,
    repair: Repaired,
    examples: Vec<Example>,
    columns: Vec<String>,
    prepare: Preview,
    estimate: Estimate,
    measure: (),
    keys: Vec<RecipeKey>,
    read_recipe: ReadRecipe,
    write_recipe: String,
    train: Ended,
    go_on: Ended,
    pause: (),
    resume: (),
    stop: (),
    save: (),
    skip: (),
    runs: Vec<Run>,
    describe: Run,
    log: RunLog,
    remove: (),
    storage: Storage,
    tuned: Run,
    chat: Answered,
    losses: Vec<TokenLoss>,
    evaluate: Score,
    held_out: HeldOutScore,
    look: Vec<SeenToken>,
    adapt: Vec<String>,
    truncate: Truncated,
    shape_memory: ShapeMemory,
    deltas: Vec<Delta>,
    adopt: Run,
    merge: Run,
    files: Vec<StoredFile>,
    gguf: GgufFile,
    drop_gguf: (),
    cancel: (),
}

/// The reply to a request; see `Replies` for which.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
#[expect(missing_docs, reason = "each holds the type of its name")]
pub enum Reply {
    Nothing,
    Device(Option<Device>),
    Speed(Box<Speed>),
    Base(Box<Base>),
    Report(Box<Report>),
    Repaired(Box<Repaired>),
    Examples(Vec<Example>),
    Columns(Vec<String>),
    Preview(Preview),
    Estimate(Estimate),
    Keys(Vec<RecipeKey>),
    ReadRecipe(ReadRecipe),
    Text(String),
    Ended(Ended),
    Runs(Vec<Run>),
    Log(RunLog),
    Storage(Storage),
    Run(Run),
    Answered(Answered),
    Losses(Vec<TokenLoss>),
    Score(Score),
    Seen(Vec<SeenToken>),
    Notes(Vec<String>),
    Truncated(Truncated),
    ShapeMemory(ShapeMemory),
    Deltas(Vec<Delta>),
    Files(Vec<StoredFile>),
    HeldOut(HeldOutScore),
    Gguf(GgufFile),
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
        /// Its answers so far.
        answers: Vec<SampleLine>,
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
    /// More of the model's answer to a prompt at a step.
    Writing {
        /// Steps done.
        step: u64,
        /// The prompt.
        prompt: String,
        /// What was added; empty at its begin.
        text: String,
    },
    /// The model's whole answer to a prompt at a step.
    Sample {
        /// The answer.
        line: SampleLine,
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
        /// The browser's reason.
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
