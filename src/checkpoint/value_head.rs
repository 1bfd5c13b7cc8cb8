//! A reward model's value head in files: `value_head.safetensors` beside the language model or the adapter that it was trained with, as
//! LLaMA-Factory keeps it.

use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;

use super::pickle::TorchFile;
use super::tensor_file::{TensorFile, TensorFileWriter, TensorInfo};
use super::write::{ParamSource, write_params};
use super::{Checkpoint, Dtype, Place};
use crate::error::{Error, Result};
use crate::model::{ModelConfig, ParamDecl, params, value_head_params};
use crate::platform::{Directory, MemoryDirectory, OutputDirectory};

/// The file's name.
pub const VALUE_HEAD: &str = "value_head.safetensors";
/// The same as a pickle, by LLaMA-Factory with `save_safetensors: false`.
const PICKLED: &str = "value_head.bin";

/// An open value head: a file with weight and bias, each in the right shape.
#[derive(Clone)]
pub struct ValueHead {
    file: TensorFile,
    params: [ParamDecl; 2],
}

impl ValueHead {
    /// The value head in a directory, for a model whose hidden states have this size; none where there is no such file.
    ///
    /// # Errors
    /// [`Error::File`] and [`Error::Tensor`] for a file that is damaged or of another model.
    pub async fn find(directory: &Rc<dyn Directory>, hidden_size: usize) -> Result<Option<ValueHead>> {
        let file = if directory.size(VALUE_HEAD).await?.is_some() {
            TensorFile::open(directory.clone(), VALUE_HEAD).await?
        } else if directory.size(PICKLED).await?.is_some() {
            TorchFile::open(directory.clone(), PICKLED).await?.file
        } else {
            return Ok(None);
        };
        let params = value_head_params(hidden_size);
        for param in &params {
            let Some(entry) = file.get(&param.name) else {
                return Err(Error::tensor(file.name(), &param.name, "is missing: a value head is v_head.summary.weight and its bias"));
            };
            let wanted: Vec<u64> = param.stored_shape().iter().map(|&n| n as u64).collect();
            if entry.shape != wanted {
                let reason = format!("has the shape {:?}, this model asks for {wanted:?}: it was trained with another model", entry.shape);
                return Err(Error::tensor(file.name(), &param.name, reason));
            }
            if !super::convert::is_readable(entry.dtype) {
                return Err(Error::tensor(file.name(), &param.name, format!("holds {}, not floating-point numbers", entry.dtype)));
            }
        }
        Ok(Some(ValueHead { file, params }))
    }

    /// A value head of these numbers.
    ///
    /// # Errors
    /// None in practice: it is written to memory.
    pub async fn of(weight: &[f32], bias: f32) -> Result<ValueHead> {
        let params = value_head_params(weight.len());
        let memory = MemoryDirectory::new("a new value head");
        let infos = [info(&params[0]), info(&params[1])];
        let mut file = TensorFileWriter::create(&memory, VALUE_HEAD, &infos, &[]).await?;
        file.write_f32(&params[0].name, weight).await?;
        file.write_f32(&params[1].name, &[bias]).await?;
        file.finish().await?;
        Ok(ValueHead { file: TensorFile::open(Rc::new(memory), VALUE_HEAD).await?, params })
    }
}

fn info(param: &ParamDecl) -> TensorInfo {
    TensorInfo::new(&param.name, Dtype::F32, param.stored_shape().iter().map(|&n| n as u64).collect::<Vec<u64>>())
}

/// Its weight is parameter 0, its bias 1.
#[async_trait(?Send)]
impl ParamSource for ValueHead {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let decl = &self.params[param];
        self.file.read_f32(&decl.name, (rows.start * decl.cols) as u64..(rows.end * decl.cols) as u64).await
    }
}

impl Checkpoint {
    /// The same model with a value head, which becomes its last two parameters.
    ///
    /// # Errors
    /// As [`ModelConfig::with_value_head`].
    pub fn with_value_head(mut self, head: &ValueHead) -> Result<Checkpoint> {
        self.config = ModelConfig::with_value_head(self.config)?;
        self.params = params(&self.config);
        let place = |param: &ParamDecl| (param.name.clone(), Place { file: self.files.len(), tensor: param.name.clone() });
        self.places.extend(head.params.iter().map(place));
        self.files.push(head.file.clone());
        Ok(self)
    }
}

/// Writes the value head among parameters, in f32; nothing where there is none.
///
/// # Errors
/// What reading and writing fail with.
pub async fn write_value_head(out: &dyn OutputDirectory, params: &[ParamDecl], source: &dyn ParamSource) -> Result<()> {
    let head: Vec<usize> = (0..params.len()).filter(|&index| params[index].in_value_head()).collect();
    if head.is_empty() {
        return Ok(());
    }
    write_params(out, VALUE_HEAD, Dtype::F32, params, &head, source, &[("format".to_string(), "pt".to_string())]).await
}
