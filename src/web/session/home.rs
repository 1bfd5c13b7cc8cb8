//! What is taken home beside the folder itself: a stored model or adapter as a GGUF file for llama.cpp, Ollama and LM Studio.

use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::super::messages::{GgufFile, GgufType, StoredFile, Unit};
use super::kept::{KEPT, folder_name};
use super::{Call, Session};
use crate::adapter::{Adapter, Merged, is_adapter};
use crate::checkpoint::{Dtype, ModelSource, ParamSource};
use crate::error::{Error, Result};
use crate::gguf::{OutType, write_adapter, write_model};
use crate::model::{ModelConfig, ParamDecl};
use crate::platform::Directory;
use crate::validate::open_checkpoint;

/// Where such files lie beside a run's output until they are taken.
const GGUF: &str = "gguf";
/// What is told while one is written.
const WRITING: &str = "Writing the GGUF file";

impl From<GgufType> for OutType {
    fn from(kind: GgufType) -> OutType {
        match kind {
            GgufType::F32 => OutType::F32,
            GgufType::F16 => OutType::F16,
            GgufType::Bf16 => OutType::Bf16,
            GgufType::Q8_0 => OutType::Q8_0,
            GgufType::Q4_0 => OutType::Q4_0,
        }
    }
}

impl Session {
    /// Writes a stored model, or base and adapter in one, as a GGUF file; with `alone` the adapter by itself. It stays beside the run until
    /// [`Session::drop_gguf`].
    pub(super) async fn gguf(&self, id: &str, outtype: GgufType, alone: bool, call: &Call) -> Result<GgufFile> {
        let about = self.about(id).await?;
        let claim = self.claim(id).await?;
        let directory = self.kept_model(id).await?;
        let adapts = is_adapter(&*directory).await?;
        if alone && !adapts {
            return Err(Error::file(about.name, "this is a whole model; only an adapter is written without its base"));
        }
        let word = match (alone, outtype) {
            (true, _) => "adapter",
            (_, GgufType::F32) => "F32",
            (_, GgufType::F16) => "F16",
            (_, GgufType::Bf16) => "BF16",
            (_, GgufType::Q8_0) => "Q8_0",
            (_, GgufType::Q4_0) => "Q4_0",
        };
        let name = format!("{}.{word}.gguf", folder_name(&about.name));
        let folder = self.kept(&claim.id)?;
        folder.remove(GGUF).await?;
        let out = folder.subdirectory(GGUF);
        let write = async {
            if !adapts {
                let model = open_checkpoint(directory.clone()).await?;
                return write_model(&Told::new(&model, call), &*directory, outtype.into(), &*out, &name).await;
            }
            let base = self.base_of(id, &about, call).await?;
            let base = open_checkpoint(base.directory.clone()).await?;
            let adapter = Adapter::open(directory.clone(), &base).await?;
            if alone {
                call.progress(WRITING, 0, None, Unit::Tensors);
                write_adapter(&adapter, &base, &*out, &name).await?;
                return Ok(Vec::new());
            }
            let merged = Merged::new(&base, &[adapter])?;
            // A trained model speaks as its adapter was trained to.
            let own = directory.size("tokenizer.json").await?.is_some();
            let tokenizer: Rc<dyn Directory> = if own { directory.clone() } else { base.directory().clone() };
            write_model(&Told::new(&merged, call), &*tokenizer, outtype.into(), &*out, &name).await
        };
        match call.unless_cancelled("the GGUF file", write).await {
            Ok(remarks) => {
                let bytes = out.size(&name).await?.unwrap_or(0);
                let path = [KEPT, id, GGUF, &name].map(str::to_string).to_vec();
                Ok(GgufFile { file: StoredFile { name, bytes, path }, remarks })
            }
            Err(error) => {
                folder.remove(GGUF).await?;
                Err(error)
            }
        }
    }

    /// Deletes the GGUF file of a stored run, once it was taken.
    pub(super) async fn drop_gguf(&self, id: &str) -> Result<()> {
        let claim = self.claim(id).await?;
        self.kept(&claim.id)?.remove(GGUF).await
    }
}

/// A model that tells how many of its parameters were read.
struct Told<'a> {
    inner: &'a dyn ModelSource,
    call: &'a Call,
    last: Cell<Option<usize>>,
}

impl<'a> Told<'a> {
    fn new(inner: &'a dyn ModelSource, call: &'a Call) -> Told<'a> {
        Told { inner, call, last: Cell::new(None) }
    }
}

#[async_trait(?Send)]
impl ParamSource for Told<'_> {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        if self.last.replace(Some(param)) != Some(param) {
            self.call.progress(WRITING, param as u64, Some(self.params().len() as u64), Unit::Tensors);
        }
        self.inner.read_rows(param, rows).await
    }
}

#[async_trait(?Send)]
impl ModelSource for Told<'_> {
    fn label(&self) -> String {
        self.inner.label()
    }

    fn config(&self) -> &ModelConfig {
        self.inner.config()
    }

    fn params(&self) -> &[ParamDecl] {
        self.inner.params()
    }

    fn dtype(&self, param: &ParamDecl) -> Dtype {
        self.inner.dtype(param)
    }
}
