//! Training arguments in LLaMA-Factory's vocabulary.

mod docs;
pub mod keys;
mod recipe;
mod settings;
pub mod value;

pub use docs::markdown;
pub use recipe::{ExportDtype, FinetuningType, Freeze, Interval, Lora, Recipe, Resume, SchedulerKwargs, SchedulerType, Stage, Strategy};
