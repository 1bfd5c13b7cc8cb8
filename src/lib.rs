//! Rootstock fine-tunes small language models with WebGPU, in a browser tab and natively, from one core.

pub mod adapter;
pub mod bench;
pub mod checkpoint;
pub mod config;
pub mod data;
pub mod engine;
pub mod error;
pub mod generate;
pub mod gpu;
pub mod graph;
pub mod kernels;
pub mod model;
pub mod ops;
pub mod optim;
pub mod plan;
pub mod platform;
pub mod random;
pub mod train;
pub mod validate;
pub mod web;
pub mod workflow;

pub use error::{Cause, Error, ErrorSource, Result};
