//! Checkpoints in and out: configurations, headers, inventories, round trips.

mod config;
mod golden;
mod header;
mod inventory;
mod pickle;
mod round_trip;
mod support;
mod tensor_file;
