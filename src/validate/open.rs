//! Opening a model to use it: the validator's own rules, all that headers and small files tell.

use std::rc::Rc;

use super::{Case, Finding, Kind, Source};
use crate::checkpoint::{Checkpoint, Place};
use crate::error::{Error, Result};
use crate::platform::Directory;

impl Checkpoint {
    /// Opens a directory: reads `config.json`, the index and the headers of the weight files, and judges them as
    /// [`validate`](crate::validate::validate) does. Numbers are read only where a tied model stores its head once more.
    ///
    /// # Errors
    /// [`Error::NotReady`] with every fault that keeps the directory from being the model that its configuration declares.
    pub async fn open(directory: Rc<dyn Directory>) -> Result<Checkpoint> {
        let entries = directory.list().await?;
        let mut case = Case::new(directory.clone(), entries, Kind::Unknown);
        case.structure(None, true).await?;
        let faults: Vec<String> = case.findings.iter().filter(|finding| finding.is_error()).map(Finding::to_string).collect();
        let Some(config) = case.config.filter(|_| faults.is_empty()) else {
            return Err(Error::NotReady { path: directory.label(), faults });
        };
        // Without errors nothing was mended: every tensor stands in a file as it is.
        let place = |tensor: &super::Tensor| match &tensor.source {
            Source::Stored { file, tensor: stored } => Some((tensor.name.clone(), Place { file: *file, tensor: stored.clone() })),
            _ => None,
        };
        let places = case.view.tensors.iter().filter_map(place).collect();
        Ok(Checkpoint::assemble(directory, config, case.view.files, places))
    }
}
