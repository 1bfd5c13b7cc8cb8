//! Rootstock fine-tunes small language models with WebGPU, in a browser tab and on any desktop GPU, from one Rust core.
//!
//! A Hugging Face directory goes in (`config.json`, safetensors, tokenizer); a complete model directory or a PEFT adapter comes out.
//!
//! ```text
//! directory ─ open, validate ─► Model ─┬─ score ─────────► loss, perplexity
//!                                      ├─ responder ─────► answers, token by token
//!                recipe, data ─► Run ◄─┤
//!                                 │    └─ write_merged ──► directory (base + adapters as one model)
//!                               plan ──► steps, memory to the byte
//!                                 │
//!                               train ─► directory (a complete model, or a PEFT adapter), checkpoints to resume from
//! ```
//!
//! # Where to begin
//! - [`workflow`]: [`Model`], [`Run`] and [`Responder`] are the way in for most programs.
//! - [`gpu::Gpu::open`] opens a device; [`config::Recipe`] reads a recipe with LLaMA-Factory's keys.
//! - [`validate::validate()`] judges a directory; every finding is a sentence, and [`validate::fix`] repairs what can be repaired.
//! - [`platform`]: directories on disk, in memory and in a browser; everything else takes these, never paths.
//!
//! Everything is async and never blocks; a native program calls [`platform::block_on`] once. The Cargo feature `cli` (on by default) holds
//! the program `rootstock`; a program that uses the library switches it off with `default-features = false`.
//!
//! # Example
//! LoRA on a directory, then a question to the result:
//! ```no_run
//! use std::rc::Rc;
//!
//! use rootstock::config::Recipe;
//! use rootstock::data::Message;
//! use rootstock::generate::{GeneratorOptions, SamplingOptions};
//! use rootstock::gpu::{DeviceChoice, Gpu};
//! use rootstock::platform::{NativeDirectory, block_on};
//! use rootstock::train::Silent;
//! use rootstock::{Model, Paths, Places, Run};
//!
//! # fn main() -> rootstock::Result<()> {
//! block_on(async {
//!     let recipe = "
//!         model_name_or_path: models/SmolLM2-135M-Instruct
//!         finetuning_type: lora
//!         dataset: data/answers.jsonl
//!         output_dir: out
//!         learning_rate: 1.0e-4";
//!     let recipe = Recipe::parse("recipe.yaml", recipe, &[])?;
//!     let gpu = Rc::new(Gpu::open(&DeviceChoice::default()).await?);
//!
//!     let run = Run::open(recipe, &Paths).await?;
//!     let planned = run.plan(gpu.profile()).await?;
//!     println!("{} steps, {} bytes of GPU memory", planned.loader.total_steps(), planned.memory.peak_bytes());
//!     planned.train(&gpu, &NativeDirectory::create("out")?, &mut Silent).await?;
//!
//!     let tuned: Model = run.model.with_adapters(vec![Paths.directory("out").await?]).await?;
//!     let mut responder = tuned.responder(gpu, GeneratorOptions::default()).await?;
//!     println!("{}", responder.respond(&[Message::new("user", "Who are you?")], SamplingOptions::default(), 64).await?);
//!     Ok(())
//! })
//! # }
//! ```

pub mod workflow;

pub mod config;
pub mod data;
pub mod generate;
pub mod platform;
pub mod train;
pub mod validate;

pub mod adapter;
pub mod bench;
pub mod bitsandbytes;
pub mod checkpoint;
pub mod engine;
pub mod error;
pub mod gguf;
pub mod gpu;
pub mod model;

// What only this house uses: for its program, its tests and its browser build.
#[doc(hidden)]
pub mod graph;
#[doc(hidden)]
pub mod kernels;
#[doc(hidden)]
pub mod ops;
#[doc(hidden)]
pub mod optim;
#[doc(hidden)]
pub mod plan;
#[doc(hidden)]
pub mod quant;
#[doc(hidden)]
pub mod random;
#[doc(hidden)]
pub mod web;

pub use error::{Cause, Error, ErrorSource, Result};
pub use workflow::{Model, Paths, Places, Responder, Run, write_merged};
