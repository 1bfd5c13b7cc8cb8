//! Training arguments in LLaMA-Factory's vocabulary.

mod checks;
mod docs;
mod entries;
pub mod keys;
mod preference;
mod recipe;
mod scheduler_kwargs;
mod settings;
mod types;
mod using;
pub mod value;
mod version1;
mod written;

pub use docs::markdown;
pub use recipe::Recipe;
pub use settings::{GivenKeys, read_keys};
pub use types::{
    Batching, DescribedTokens, ExportDtype, FinetuningType, Freeze, Half, Interval, Lora, MixStrategy, Momentum, NewRows, OnBadRecord,
    OptimizerName, Pref, PrefLoss, Quantization, QuantizationType, Resume, SchedulerKwargs, SchedulerType, Stage, Strategy, Vocabulary,
};
pub use using::{Generating, Using};
pub use written::{as_written, to_yaml};
