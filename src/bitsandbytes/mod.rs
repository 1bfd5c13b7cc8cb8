//! Directories whose linear maps bitsandbytes quantised, as transformers saves them: opened as if they were not ([`model_directory`]), so that
//! everything that takes a directory takes them too. `config.json` loses its `quantization_config`, and the weights are decoded where they are read;
//! those whose rows are whole blocks can also be kept as they are.
//!
//! A map in 4 bits is its packed codes (`weight`), the scales of its blocks (`weight.absmax`; with double quantisation 8 bits each, and
//! `weight.nested_absmax`, `weight.nested_quant_map`), what the codes stand for (`weight.quant_map`), and JSON that says the rest
//! (`weight.quant_state.bitsandbytes__nf4`). One in 8 bits is its codes and the scale of each row (`SCB`).

mod matrix;
mod state;

use std::collections::HashMap;
use std::rc::Rc;

use serde_json::{Map, Value};

use self::matrix::{Matrices, Matrix};
use crate::checkpoint::{INDEX, MadeDirectory, MadeTensor, TensorFile, WEIGHTS, open_files};
use crate::error::Result;
use crate::model::config::{CONFIG_FILE, parse_object};
use crate::model::{Layout, ModelConfig, params};
use crate::platform::{Directory, Entry, read_small};

/// config.json's description of how the weights are quantised.
const SETTINGS: &str = "quantization_config";

/// The same directory; if bitsandbytes quantised its weights, the view of them decoded.
///
/// # Errors
/// [`crate::Error::Tensor`] for a quantised tensor that is damaged, in one sentence. Whatever else is wrong with the directory is left to who opens it.
pub async fn model_directory(directory: Rc<dyn Directory>) -> Result<Rc<dyn Directory>> {
    let Some(settings) = settings(&*directory).await else { return Ok(directory) };
    let Ok(config) = ModelConfig::from_map(CONFIG_FILE, settings.clone()) else { return Ok(directory) };
    let Ok(files) = open_files(&directory).await else { return Ok(directory) };
    let (matrices, tensors) = read_tensors(&config, files).await?;
    if matrices.iter().all(|matrix| matches!(matrix, Matrix::Plain { .. })) {
        return Ok(directory);
    }
    let same = directory.list().await?.into_iter().filter(|entry| !is_replaced(entry, &matrices)).collect();
    let small = vec![(CONFIG_FILE.to_string(), Value::Object(settings).to_string().into_bytes())];
    let source = Matrices(matrices);
    Ok(Rc::new(MadeDirectory::new(directory.label(), directory, same, small, tensors, source)))
}

/// config.json without its description of the quantisation, if that says bitsandbytes.
async fn settings(directory: &dyn Directory) -> Option<Map<String, Value>> {
    directory.size(CONFIG_FILE).await.ok()??;
    let mut config = parse_object(CONFIG_FILE, &read_small(directory, CONFIG_FILE).await.ok()?).ok()?;
    let method = config.get(SETTINGS)?.get("quant_method")?.as_str()?;
    (method == "bitsandbytes").then_some(())?;
    config.remove(SETTINGS);
    Some(config)
}

/// Whether the view has a file of its own in place of this one.
fn is_replaced(entry: &Entry, matrices: &[Matrix]) -> bool {
    [CONFIG_FILE, WEIGHTS, INDEX].contains(&entry.name.as_str()) || matrices.iter().any(|matrix| matrix.file().name() == entry.name)
}

/// What each tensor of the view is made of, and how it is shown.
async fn read_tensors(config: &ModelConfig, files: Vec<TensorFile>) -> Result<(Vec<Matrix>, Vec<MadeTensor>)> {
    let declared: HashMap<String, _> = params(config).into_iter().map(|param| (param.name.clone(), param)).collect();
    let (mut matrices, mut tensors) = (Vec::new(), Vec::new());
    // A tensor's parts may lie in other files than it does.
    let all: HashMap<String, TensorFile> =
        files.iter().flat_map(|file| file.tensors().iter().map(|tensor| (tensor.name.clone(), file.clone()))).collect();
    for file in &files {
        for tensor in file.tensors().iter().filter(|tensor| !state::is_part(&tensor.name, &all)) {
            let is_transposed = declared.get(&tensor.name).is_some_and(|param| param.layout == Layout::Transposed);
            let matrix = Matrix::read(file, tensor, &all, is_transposed).await?;
            tensors.push(MadeTensor {
                name: tensor.name.clone(),
                dtype: matrix.dtype(tensor),
                shape: matrix.shape(tensor),
                blocks: matrix.blocks(),
            });
            matrices.push(matrix);
        }
    }
    Ok((matrices, tensors))
}
