//! From a dataset on disk to the batches that a training step reads: formats → conversations → samples → batches.

mod batch;
mod bytes;
mod conversation;
mod dataset_info;
mod faults;
mod formats;
mod layout;
mod loader;
mod named;
mod packing;
mod prepare;
mod record;
mod sample;
mod samples;
mod scan;
mod split_name;
mod table;
mod template;
mod tokenizer;
mod tools;
mod unread;
mod well_formed;

pub use batch::{Batch, Buckets};
pub use dataset_info::{LoadedRecords, OpenPath, load_datasets};
pub use formats::read_records;
pub use layout::{AlpacaColumns, Layout, MessageColumns};
pub use loader::{Loader, split};
pub use named::TemplateChoice;
pub use packing::share_length;
pub use prepare::{PrepareProgress, Prepared, check_fits_model, prepare};
pub use record::{Content, Conversation, Record};
pub use sample::{IGNORE, Sample};
pub use samples::{Encoded, Encoding, encode_records};
pub use table::column_names;
pub use template::{ChatTemplate, Message};
pub use tokenizer::{ByteRange, TextStream, Tokenizer};
