//! Training: the loop (`run`), what it logs, saves and resumes from, and its plan (`plan`). Open `run` first.

mod checkpoints;
mod checksums;
mod device;
mod evaluation;
mod events;
mod execute;
mod finetuning;
mod fingerprint;
mod finish;
mod freeze;
mod history;
mod job;
mod names;
mod optimizer_file;
mod output;
mod plan;
mod results;
mod resume;
mod run;
mod saver;
mod schedule;
mod score;
mod state;

pub use checkpoints::newest_checkpoint;
pub use device::RecordedDevice;
pub use evaluation::evaluate;
pub use finetuning::Finetuning;
pub use fingerprint::{Fingerprint, SamplesHash};
pub use freeze::freeze_selection;
pub use history::{EvalLine, History, LogEntry, LogLine};
pub use job::{Event, Observer, Outcome, RunInput, Silent, Start, Wish, carried_files};
pub use output::check_output;
pub use plan::{PlannedRun, largest_micro_batches};
pub use schedule::{Plateau, Schedule};
pub use score::{Score, score, score_adapted};
pub use state::{SavedState, Unlogged, began_at};
