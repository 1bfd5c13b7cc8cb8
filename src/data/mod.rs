//! From a dataset on disk to the batches that a training step reads: formats → conversations → samples → batches.

mod batch;
mod conversation;
mod dataset_info;
mod formats;
mod loader;
mod packing;
mod prepare;
mod sample;
mod samples;
mod template;
mod tokenizer;
mod well_formed;

pub use batch::{Batch, Buckets};
pub use dataset_info::{OpenPath, load_datasets};
pub use formats::{AlpacaColumns, Content, Layout, MessageColumns, Record, read_records};
pub use loader::{Loader, split};
pub use packing::share_length;
pub use prepare::{Prepared, check_fits_model, prepare};
pub use sample::{IGNORE, Sample};
pub use samples::{Encoded, Encoding, encode_records};
pub use template::{ChatTemplate, Message};
pub use tokenizer::{ByteRange, TextStream, Tokenizer};
