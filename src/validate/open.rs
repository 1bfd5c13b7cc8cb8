//! Opens a model for use, with its tokenizer, by the validator's rules: an error names every fault, and warnings are returned.

use std::rc::Rc;

use super::case::Case;
use super::code::Severity;
use super::report::{Finding, Kind};
use super::tokenizer;
use super::view::{Source, Tensor};
use crate::checkpoint::{Checkpoint, Place};
use crate::data::Tokenizer;
use crate::error::{Error, Result};
use crate::platform::Directory;

/// A model that passed validation, with its tokenizer.
pub struct Opened {
    /// Its configuration and weights.
    pub checkpoint: Checkpoint,
    /// Its tokenizer.
    pub tokenizer: Tokenizer,
    /// The validator's warnings to show to the user, one sentence each.
    pub warnings: Vec<String>,
}

/// Opens a directory as the base of a run or for inference; refuses whatever `rootstock validate --quick` would not call ready.
///
/// # Errors
/// [`Error::NotReady`] with every fault.
pub async fn open(directory: Rc<dyn Directory>) -> Result<Opened> {
    let mut case = examined(&directory).await?;
    let loaded = match case.kind {
        Kind::Model | Kind::ModelAndAdapter => {
            tokenizer::check(&*directory, &case.entries, &case.view, case.config.as_ref(), None, &mut case.findings).await
        }
        _ => None,
    };
    let warnings = case.findings.iter().filter(|finding| finding.severity == Severity::Warning).map(Finding::to_string).collect();
    let checkpoint = assemble(directory.clone(), case).await?;
    let tokenizer = match loaded {
        Some(tokenizer) => tokenizer,
        None => Tokenizer::load(&*directory).await?,
    };
    Ok(Opened { checkpoint, tokenizer, warnings })
}

/// Opens the weights alone, without the tokenizer. Accepts the same directories as [`Checkpoint::open`], but reports every fault
/// instead of only the first.
///
/// # Errors
/// [`Error::NotReady`] with every fault by which the directory differs from the model that its configuration declares.
pub async fn open_checkpoint(directory: Rc<dyn Directory>) -> Result<Checkpoint> {
    let case = examined(&directory).await?;
    assemble(directory, case).await
}

async fn examined(directory: &Rc<dyn Directory>) -> Result<Case> {
    let mut case = Case::new(directory.clone(), directory.list().await?, Kind::Unknown);
    case.structure(None, true).await?;
    Ok(case)
}

async fn assemble(directory: Rc<dyn Directory>, mut case: Case) -> Result<Checkpoint> {
    case.findings.sort_by_key(|finding| finding.severity);
    let faults: Vec<String> = case.findings.iter().filter(|finding| finding.is_error()).map(Finding::to_string).collect();
    let Some(config) = case.config.filter(|_| faults.is_empty()) else {
        return Err(Error::NotReady { path: directory.label(), faults });
    };
    // Without errors nothing was repaired, so every tensor is stored in a file unchanged.
    let place = |tensor: &Tensor| match &tensor.source {
        Source::Stored { file, tensor: stored } => Some((tensor.name.clone(), Place { file: *file, tensor: stored.clone() })),
        _ => None,
    };
    let places = case.view.tensors.iter().filter_map(place).collect();
    Checkpoint::assemble(directory, config, case.view.files, places).await
}
