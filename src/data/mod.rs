//! From a dataset on disk to the batches that a training step reads: formats → conversations → samples → batches.

mod batch;
mod loader;
mod samples;

pub use batch::{Batch, Buckets};
pub use loader::{Loader, split};
pub use samples::{IGNORE, Sample};
