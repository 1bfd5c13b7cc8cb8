//! Training. [`train`] is the loop; open it first.

mod checkpoints;
mod evaluation;
mod finish;
mod fits;
mod freeze;
mod history;
mod job;
mod output;
mod results;
mod run;
mod saver;
mod schedule;
mod score;
mod state;
mod tuning;

pub use checkpoints::newest_checkpoint;
pub use evaluation::evaluate;
pub use fits::Remedy;
pub use freeze::freeze_selection;
pub use history::{EvalLine, History, LogEntry, LogLine};
pub use job::{Event, Job, Observer, Outcome, Planned, Silent, Start, Wish, carried_files, largest_micro_batches, plan_run};
pub use output::check_output;
pub use run::train;
pub use schedule::Schedule;
pub use score::{Score, score, score_adapted};
pub use state::SavedState;
pub use tuning::Tuning;
