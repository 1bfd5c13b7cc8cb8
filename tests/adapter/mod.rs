//! LoRA adapters: PEFT's files in and out, targets, merging, extracting. No GPU; what they compute is tests/golden's business.

mod extract;
mod format;
mod gguf;
mod merge;
mod run;
mod support;
mod targets;
