//! Opening a model directory: `config.json`, the index and the headers of the weight files. Accepts a directory that holds the model
//! declared by the configuration, and stops at the first fault; `validate` finds all faults and says how to repair them.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use serde_json::Value;

use super::{Checkpoint, Place, TensorFile};
use crate::error::{Error, Result};
use crate::model::config::{CONFIG_FILE, parse_object};
use crate::model::{ModelConfig, ParamDecl, params};
use crate::platform::{Directory, read_small};

/// The weight file when there is only one.
pub(crate) const WEIGHTS: &str = "model.safetensors";
/// The index that maps tensors to files when there are several.
pub(crate) const INDEX: &str = "model.safetensors.index.json";
/// The output head, which may be tied to the embedding.
pub(crate) const HEAD: &str = "lm_head.weight";
/// The name prefix that the published GPT-2 files lack.
const OPTIONAL_PREFIX: &str = "transformer.";
/// Number of elements compared at once.
const PIECE: u64 = 2 << 20;

/// Whether a tensor is a buffer that old versions of transformers saved and that is recomputed instead of read.
pub(crate) fn is_buffer(name: &str) -> bool {
    ["rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"].iter().any(|buffer| name.ends_with(buffer))
}

/// Whether a tensor belongs to a reward or value head, which training tools save together with a language model.
pub(crate) fn is_other_head(name: &str) -> bool {
    ["v_head.", "score.", "value_head."].iter().any(|head| name.starts_with(head))
}

impl Checkpoint {
    /// Opens a directory without its tokenizer: reads `config.json`, the index and the headers of the weight files. Tensor data are read
    /// only where a tied model also stores its head.
    ///
    /// # Errors
    /// The first fault that makes the directory differ from the model declared by its configuration: [`Error::File`] for a file that is
    /// missing or damaged, [`Error::Line`] and [`Error::Config`] for a JSON file, [`Error::Tensor`] for a tensor that is missing,
    /// unexpected or of another shape.
    pub async fn open(directory: Rc<dyn Directory>) -> Result<Checkpoint> {
        let config = ModelConfig::parse(CONFIG_FILE, &read(&*directory, CONFIG_FILE).await?)?;
        let files = open_files(&directory).await?;
        let mut found: HashMap<&str, usize> = HashMap::new();
        for (number, file) in files.iter().enumerate() {
            for tensor in file.tensors() {
                if let Some(other) = found.insert(&tensor.name, number) {
                    let reason = format!("is also in {}; the two files do not belong to the same model", files[other].name());
                    return Err(Error::tensor(file.name(), &tensor.name, reason));
                }
            }
        }
        let places = places(&config, &files, &mut found)?;
        if config.tie_word_embeddings
            && let Some(head) = found.remove(HEAD)
        {
            let embedding = params(&config).first().and_then(|param| places.get(&param.name).cloned());
            same_as_embedding(&files, head, embedding.as_ref()).await?;
        }
        let mut unexpected: Vec<&str> = found.keys().copied().filter(|name| !is_buffer(name) && !is_other_head(name)).collect();
        unexpected.sort_unstable();
        if let Some(name) = unexpected.first() {
            let file = found.get(name).map_or("", |file| files[*file].name());
            let reason = format!("is not a tensor of the {} model that config.json declares", config.architecture.model_type());
            return Err(Error::tensor(file, *name, reason));
        }
        Checkpoint::assemble(directory, config, files, places).await
    }
}

async fn read(directory: &dyn Directory, name: &str) -> Result<Vec<u8>> {
    match directory.size(name).await? {
        Some(_) => read_small(directory, name).await,
        None => Err(Error::file(format!("{}/{name}", directory.label()), "there is no such file, so this is not a model directory")),
    }
}

/// Opens the single file, or the shards that the index names.
pub(crate) async fn open_files(directory: &Rc<dyn Directory>) -> Result<Vec<TensorFile>> {
    let indexed = directory.size(INDEX).await?.is_some();
    if directory.size(WEIGHTS).await?.is_some() {
        if indexed && weight_map(&**directory).await?.values().any(|file| file != WEIGHTS) {
            let reason = format!("stands beside {INDEX}: two sets of weights; remove the set that is outdated");
            return Err(Error::file(format!("{}/{WEIGHTS}", directory.label()), reason));
        }
        return Ok(vec![TensorFile::open(directory.clone(), WEIGHTS).await?]);
    }
    if !indexed {
        let reason = format!("there are no weights here, neither {WEIGHTS} nor {INDEX}; rootstock validate says what the directory holds");
        return Err(Error::file(directory.label(), reason));
    }
    let map = weight_map(&**directory).await?;
    let mut names: Vec<&String> = map.values().collect();
    names.sort_unstable();
    names.dedup();
    let mut files: Vec<TensorFile> = Vec::with_capacity(names.len());
    for name in names {
        files.push(TensorFile::open(directory.clone(), name).await?);
    }
    let by_name: HashMap<&str, &TensorFile> = files.iter().map(|file| (file.name(), file)).collect();
    for (tensor, name) in &map {
        if by_name.get(name.as_str()).is_none_or(|file| file.get(tensor).is_none()) {
            let reason = format!("the index says that this tensor is in {name}, but it is not");
            return Err(Error::tensor(INDEX, tensor, reason));
        }
    }
    for file in &files {
        if let Some(tensor) = file.tensors().iter().find(|tensor| !map.contains_key(&tensor.name)) {
            return Err(Error::tensor(INDEX, &tensor.name, format!("is in {}, but the index does not list it", file.name())));
        }
    }
    Ok(files)
}

/// Reads the index: the file of each tensor.
async fn weight_map(directory: &dyn Directory) -> Result<BTreeMap<String, String>> {
    let index = parse_object(INDEX, &read(directory, INDEX).await?)?;
    let Some(Value::Object(map)) = index.get("weight_map") else {
        return Err(Error::config(INDEX, "weight_map", "has no weight_map, which says where each tensor is"));
    };
    let entry = |(tensor, file): (&String, &Value)| match file {
        Value::String(file) => Ok((tensor.clone(), file.clone())),
        _ => Err(Error::tensor(INDEX, tensor, "is mapped to something that is not a file's name in weight_map")),
    };
    map.iter().map(entry).collect()
}

/// Locates every declared tensor and removes it from `found`.
fn places<'a>(config: &ModelConfig, files: &'a [TensorFile], found: &mut HashMap<&'a str, usize>) -> Result<HashMap<String, Place>> {
    let mut places = HashMap::new();
    for param in params(config) {
        let short = param.name.strip_prefix(OPTIONAL_PREFIX);
        let Some((name, file)) = found.remove_entry(param.name.as_str()).or_else(|| found.remove_entry(short?)) else {
            let reason = "config.json declares this tensor, and no weight file has it";
            return Err(Error::tensor(files.first().map_or("", TensorFile::name), &param.name, reason));
        };
        check_stored(&param, &files[file], name)?;
        places.insert(param.name.clone(), Place { file, tensor: name.to_string() });
    }
    Ok(places)
}

/// Checks that the tensor has the declared shape and a floating-point type.
fn check_stored(param: &ParamDecl, file: &TensorFile, name: &str) -> Result<()> {
    let Some(entry) = file.get(name) else { return Ok(()) };
    let wanted: Vec<u64> = param.stored_shape().iter().map(|&n| n as u64).collect();
    if entry.shape != wanted {
        let reason = format!("has the shape {:?}, config.json asks for {wanted:?}", entry.shape);
        return Err(Error::tensor(file.name(), name, reason));
    }
    if !super::convert::is_readable(entry.dtype) {
        return Err(Error::tensor(file.name(), name, format!("holds {}, not floating-point numbers", entry.dtype)));
    }
    Ok(())
}

/// Checks that the stored head of a tied model equals the embedding.
async fn same_as_embedding(files: &[TensorFile], head: usize, embedding: Option<&Place>) -> Result<()> {
    let differs = || {
        let reason = "differs from the embedding, though config.json says that the two are one (tie_word_embeddings)";
        Error::tensor(files[head].name(), HEAD, reason)
    };
    let place = embedding.ok_or_else(differs)?;
    let (one, other) = (files[head].get(HEAD), files[place.file].get(&place.tensor));
    let Some((one, other)) = one.zip(other).filter(|(one, other)| one.shape == other.shape && one.dtype == other.dtype) else {
        return Err(differs());
    };
    let mut at = 0;
    while at < one.elements() {
        let range = at..(at + PIECE).min(other.elements());
        let embedding = files[place.file].read_bytes(&place.tensor, range.clone()).await?;
        if files[head].read_bytes(HEAD, range.clone()).await? != embedding {
            return Err(differs());
        }
        at = range.end;
    }
    Ok(())
}
