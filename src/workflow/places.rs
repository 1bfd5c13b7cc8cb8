//! How the names in a recipe become directories.

use std::rc::Rc;

use async_trait::async_trait;

use crate::data::HubDataset;
use crate::error::Result;
use crate::platform::{self, Directory, OutputDirectory};
use crate::{bitsandbytes, gguf};

/// Opens what a recipe names.
#[async_trait(?Send)]
pub trait Places {
    /// The directory of a model, of an adapter or of a checkpoint to resume from; of a GGUF file, its view as a directory.
    ///
    /// # Errors
    /// [`crate::Error::File`] when there is none of that name.
    async fn directory(&self, name: &str) -> Result<Rc<dyn Directory>>;

    /// The directory that a dataset file lies in, and its name there. Whether the file exists is not asked.
    ///
    /// # Errors
    /// [`crate::Error::File`] when there is no such directory.
    fn dataset(&self, path: &str) -> Result<(Box<dyn Directory>, String)>;

    /// The directory that tokens are kept in (`tokenized_path`), made where it is missing; None where none can be.
    ///
    /// # Errors
    /// [`crate::Error::File`] when it cannot be made.
    fn tokens(&self, path: &str) -> Result<Option<Box<dyn OutputDirectory>>> {
        let _ = path;
        Ok(None)
    }
}

/// The same directory; where its weights are stored in few bits (one GGUF file, or by bitsandbytes), the view of them as a Hugging Face model.
///
/// # Errors
/// What is wrong with the GGUF file or a quantised tensor.
pub async fn model_directory(directory: Rc<dyn Directory>) -> Result<Rc<dyn Directory>> {
    bitsandbytes::model_directory(gguf::model_directory(directory).await?).await
}

/// The paths of this machine's file system. In a browser there are none, so every name is refused there.
#[derive(Debug, Clone, Copy, Default)]
pub struct Paths;

#[async_trait(?Send)]
impl Places for Paths {
    async fn directory(&self, name: &str) -> Result<Rc<dyn Directory>> {
        if gguf::is_gguf(name) {
            let (directory, file) = platform::open_beside(name)?;
            return gguf::open(Rc::from(directory), &file).await;
        }
        model_directory(Rc::from(platform::open(name)?)).await
    }

    fn dataset(&self, path: &str) -> Result<(Box<dyn Directory>, String)> {
        if let Some((set, file)) = HubDataset::of_path(path) {
            return Ok((platform::open_hub_dataset(&set.name, &set.revision)?, file));
        }
        platform::open_beside(path)
    }

    fn tokens(&self, path: &str) -> Result<Option<Box<dyn OutputDirectory>>> {
        platform::create(path).map(Some)
    }
}
