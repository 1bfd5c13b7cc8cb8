//! All integration tests in one program: one link, one device.

mod adapter;
mod architecture;
mod checkpoint;
mod cli;
mod config;
mod data;
mod examples;
mod generate;
mod gguf;
mod golden;
mod kernels;
mod plan;
mod quant;
mod reference;
mod train;
mod validate;
mod web;

/// Tests of hostile files ask it how much memory they took; see fuzz/src/readers.rs.
#[global_allocator]
static ALLOCATOR: validate::counting::Counting = validate::counting::Counting;
