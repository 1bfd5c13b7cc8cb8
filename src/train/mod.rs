//! Training. [`train`] is the loop; open it first.

mod fits;
mod freeze;
mod history;
mod job;
mod output;
mod results;
mod run;
mod schedule;
mod score;
mod state;
mod tuning;

pub use fits::Remedy;
pub use freeze::freeze_selection;
pub use history::{EvalLine, History, LogEntry, LogLine};
pub use job::{Event, Job, Observer, Outcome, Planned, Silent, Start, Wish, carried_files, largest_micro_batches, plan_run};
pub use output::check_output;
pub use run::{evaluate, train};
pub use schedule::Schedule;
pub use score::{Score, score, score_adapted};
pub use state::{SavedState, newest_checkpoint};
pub use tuning::Tuning;
