//! Checkpoints in and out: configurations, headers, inventories, round trips.

mod config;
mod golden;
mod header;
mod new_directory;
mod open;
mod pickle;
mod round_trip;
pub(crate) mod support;
mod tensor_file;
