//! Training. [`train`] is the loop; open it first.

mod fits;
mod history;
mod job;
mod results;
mod run;
mod schedule;
mod state;

pub use history::{EvalLine, History, LogEntry, LogLine};
pub use job::{Event, Job, Observer, Outcome, Silent, Start, largest_micro_batches};
pub use run::{evaluate, train};
pub use schedule::Schedule;
pub use state::{SavedState, newest_checkpoint};
