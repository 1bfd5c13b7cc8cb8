//! Whether a directory is a model that can be used, and as a base for LoRA: every fault at once, each in a sentence with its way out.
//!
//! The rules come in families, one file each, and run from what hides most to what hides least: what kind of directory it is,
//! its files, config.json, the tensors, tokenizer and settings, the numbers, a test run, the comparison with a base. They share
//! a [`View`]: a rule that finds a fault which can be undone undoes it there, so that the next rule sees what lies behind it;
//! `--fix` writes the view. Opening a model to train or run it goes through the same rules.

mod code;
mod repair;
mod report;
mod view;

use std::rc::Rc;

pub use code::{Code, Fault, Group};
pub use repair::{Candidate, Repair};
pub use report::{Finding, Kind, Report, Severity, Verdict};
pub use view::{Source, Tensor, View};

use crate::error::Result;
use crate::gpu::Gpu;
use crate::platform::Directory;

/// What to look at.
#[derive(Clone, Default)]
pub struct Options {
    /// The model that this one was made from: says what training changed, and serves what the directory lacks.
    pub base: Option<Rc<dyn Directory>>,
    /// Leave out everything that reads the weights themselves.
    pub quick: bool,
    /// Where to run the self-test; without it, it is left out.
    pub gpu: Option<Rc<Gpu>>,
}

/// How far a validation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub what: &'a str,
    /// Bytes of weights read so far.
    pub done: u64,
    /// Bytes to read.
    pub total: u64,
}

/// A judgement, with the view that it was made on.
pub struct Validation {
    /// What is to be said.
    pub report: Report,
    /// Configuration and tensors with all repairs applied; `None` where the directory holds no model.
    pub view: Option<View>,
}

/// Judges a directory. However damaged it is, that is a report.
///
/// # Errors
/// Only what has nothing to do with the directory's content: it cannot be listed, the GPU is lost.
pub async fn validate(dir: Rc<dyn Directory>, options: &Options, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Report> {
    Ok(examine(dir, options, progress).await?.report)
}

/// As [`validate`], and hands out the mended view, which `--fix` writes.
///
/// # Errors
/// As [`validate`].
pub async fn examine(dir: Rc<dyn Directory>, _options: &Options, _progress: &mut dyn FnMut(Progress<'_>)) -> Result<Validation> {
    dir.list().await?;
    let mut report = Report {
        verdict: Verdict::Unusable,
        kind: Kind::Unknown,
        model_type: None,
        parameters: None,
        lora_targets: Vec::new(),
        loss: None,
        findings: Vec::new(),
    };
    report.conclude();
    Ok(Validation { report, view: None })
}
