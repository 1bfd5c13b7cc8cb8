//! Training arguments in LLaMA-Factory's vocabulary.

mod docs;
pub mod keys;
mod recipe;
mod settings;
mod types;
pub mod value;

pub use docs::markdown;
pub use recipe::Recipe;
pub use settings::{GivenKeys, read_keys};
pub use types::{ExportDtype, FinetuningType, Freeze, Interval, Lora, Resume, SchedulerKwargs, SchedulerType, Stage, Strategy};
