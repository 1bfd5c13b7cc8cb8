//! The base model that a directory was made from (`--base`): it supplies missing files, resolves what the shapes leave ambiguous, and
//! shows what training changed.

use std::rc::Rc;

use serde_json::Value;

use super::view::View;
use super::{files, json, names};
use crate::checkpoint::HEAD;
use crate::error::{Error, Result};
use crate::model::config::CONFIG_FILE;
use crate::model::{Architecture, ModelConfig};
use crate::platform::{Directory, Entry};

/// An opened base.
pub(super) struct Base {
    pub(super) dir: Rc<dyn Directory>,
    pub(super) entries: Vec<Entry>,
    pub(super) view: View,
    pub(super) config: Option<ModelConfig>,
}

impl Base {
    /// Opens as much of the base as can be read.
    ///
    /// # Errors
    /// When neither its configuration nor its weights can be read.
    pub(super) async fn open(dir: Rc<dyn Directory>) -> Result<Base> {
        let entries = dir.list().await?;
        let (mut view, mut findings) = (View::default(), Vec::new());
        if let Ok(Some(json)) = json::read(&*dir, &entries, CONFIG_FILE).await {
            view.config = json.map;
        }
        files::open(&dir, &entries, &mut view, &mut findings).await;
        names::unwrap(&mut view, &mut Vec::new());
        if view.config.is_empty() && view.tensors.is_empty() {
            return Err(Error::file(dir.label(), "this is not a model, so it cannot serve as the base (--base)"));
        }
        let config = ModelConfig::from_map(CONFIG_FILE, view.config.clone()).ok();
        Ok(Base { dir, entries, view, config })
    }

    pub(super) fn architecture(&self) -> Option<Architecture> {
        self.config.as_ref().map(|config| config.architecture)
    }

    /// A field of its config.json.
    pub(super) fn field(&self, key: &str) -> Option<Value> {
        self.lookup(key)
    }

    /// Like [`Base::field`], for a key with dots.
    pub(super) fn lookup(&self, key: &str) -> Option<Value> {
        json::lookup(&self.view.config, key).filter(|value| !value.is_null()).cloned()
    }

    /// Whether names and shapes are equal (a tied head may be stored in only one of the two).
    pub(super) fn has_the_same_tensors(&self, view: &View) -> bool {
        let names = |view: &View| view.tensors.iter().filter(|tensor| tensor.name != HEAD).count();
        let same = |tensor: &super::view::Tensor| match self.view.get(&tensor.name) {
            Some(other) => other.shape == tensor.shape,
            None => tensor.name == HEAD,
        };
        !view.tensors.is_empty() && names(view) == names(&self.view) && view.tensors.iter().all(same)
    }
}
