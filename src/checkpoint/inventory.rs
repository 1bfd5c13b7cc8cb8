//! Whether a directory holds the model that its `config.json` declares: every tensor there, in the right shape, and nothing
//! else; and one clear sentence for each usual way in which that fails.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use safetensors::Dtype;
use serde_json::Value;

use super::convert;
use super::tensor_file::TensorFile;
use crate::error::{Error, Result};
use crate::model::config::{CONFIG_FILE, parse_object};
use crate::model::{Architecture, ModelConfig, ParamDecl, ParamKind};
use crate::platform::{Directory, Entry};

const WEIGHTS: &str = "model.safetensors";
const INDEX: &str = "model.safetensors.index.json";
const ADAPTER: &str = "adapter_config.json";
/// Extra tensors that old versions of transformers saved and nobody reads: buffers that are computed.
const COMPUTED: [&str; 3] = ["rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias"];
/// Prefixes that training wrappers leave in front of every name.
const WRAPPERS: [&str; 7] =
    ["module.", "_orig_mod.", "_fsdp_wrapped_module.", "_forward_module.", "pretrained_model.", "base_model.model.", "language_model."];

/// Where the tensor of a declaration lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Index into the files.
    pub(super) file: usize,
    /// Its name there, which may lack the declared name's prefix.
    pub(super) tensor: String,
}

/// Reads `config.json`, or says what the directory is instead of a model.
pub(super) async fn read_config(dir: &dyn Directory, entries: &[Entry]) -> Result<Vec<u8>> {
    let has = |name: &str| entries.iter().any(|e| e.name == name);
    let fail = |reason: String| Err(Error::file(dir.label(), reason));
    if has(CONFIG_FILE) {
        if has(ADAPTER) {
            return fail(format!(
                "holds a whole model and an adapter ({ADAPTER}), which other tools would apply silently; \
                 move the adapter into a directory of its own"
            ));
        }
        return dir.read(CONFIG_FILE).await;
    }
    if has(ADAPTER) {
        let base = parse_object(ADAPTER, &dir.read(ADAPTER).await?)?;
        let base = base.get("base_model_name_or_path").and_then(Value::as_str).unwrap_or("its base model");
        return fail(format!(
            "this is a LoRA adapter for {base}, not a model; give that model's directory, or merge the adapter into it first"
        ));
    }
    // A training run's output folder: the model is one level down, in the latest checkpoint.
    let mut children: Vec<(u64, &str)> = entries
        .iter()
        .filter_map(|e| e.name.strip_suffix("/config.json"))
        .filter(|child| !child.contains('/'))
        .map(|child| (child.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0), child))
        .collect();
    children.sort_unstable();
    if let Some((_, child)) = children.last() {
        return fail(format!("there is no {CONFIG_FILE} here; the model is in {child}/, give {}/{child}", dir.label()));
    }
    if has("params.json") {
        return fail("this is a model in Meta's format (params.json); convert it to the Hugging Face layout first".into());
    }
    if let Some(gguf) = entries.iter().find(|e| e.name.ends_with(".gguf")) {
        return fail(format!("{} is for llama.cpp; the Hugging Face directory that it was made from is needed", gguf.name));
    }
    if entries.iter().any(|e| e.name.ends_with(".safetensors") || e.name.ends_with(".bin")) {
        return fail(format!("there are weights but no {CONFIG_FILE}; copy it from the base model, whose shapes must match"));
    }
    fail(format!("this is no model directory: it has no {CONFIG_FILE}"))
}

/// Opens the weight files, or says what stands there instead.
pub(super) async fn open_weights(dir: &Rc<dyn Directory>, entries: &[Entry]) -> Result<Vec<TensorFile>> {
    let has = |name: &str| entries.iter().any(|e| e.name == name);
    match (has(WEIGHTS), has(INDEX)) {
        (true, true) => Err(Error::file(
            dir.label(),
            format!("holds {WEIGHTS} and {INDEX}: two sets of weights; remove the outdated one (other tools load the single file)"),
        )),
        (true, false) => Ok(vec![TensorFile::open(dir.clone(), WEIGHTS).await?]),
        (false, true) => open_shards(dir, entries).await,
        (false, false) => Err(Error::file(dir.label(), explain_missing_weights(entries))),
    }
}

fn explain_missing_weights(entries: &[Entry]) -> String {
    let top: Vec<&str> = entries.iter().map(|e| e.name.as_str()).filter(|name| !name.contains('/')).collect();
    let find = |suffix: &str| top.iter().find(|name| name.ends_with(suffix));
    if entries.iter().any(|e| e.name.split('/').any(|part| part.starts_with("global_step"))) {
        return "the weights are DeepSpeed ZeRO shards; run zero_to_fp32.py, which lies beside them, and try again".into();
    }
    if entries.iter().any(|e| e.name.ends_with(".distcp")) {
        return "the weights are sharded FSDP state; merge them first (accelerate merge-weights)".into();
    }
    if let Some(name) = find(".gguf") {
        return format!("{name} is for llama.cpp; the Hugging Face weights that it was made from are needed");
    }
    if let Some(name) = find(".safetensors") {
        return match top.iter().filter(|name| name.ends_with(".safetensors")).count() {
            1 => format!("the weights must be called {WEIGHTS}; rename {name} if that is what it is"),
            n => format!("there are {n} .safetensors files but no {INDEX}; take it from the model's source"),
        };
    }
    if let Some(name) = find(".bin").or_else(|| find(".pt")).or_else(|| find(".pth")) {
        return format!(
            "{name} is a Python pickle, which can run code and is not read; save the model as safetensors \
             (save_pretrained in transformers does)"
        );
    }
    format!("there is a {CONFIG_FILE} but no weights ({WEIGHTS}, or {INDEX} and its shards)")
}

async fn open_shards(dir: &Rc<dyn Directory>, entries: &[Entry]) -> Result<Vec<TensorFile>> {
    let index = parse_object(INDEX, &dir.read(INDEX).await?)?;
    let map = index.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| Error::config(INDEX, "weight_map", "weight_map is missing; take the file from the model's source"))?;
    let mut shards: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (tensor, file) in map {
        let file = file.as_str().ok_or_else(|| Error::tensor(INDEX, tensor, "must be mapped to a file's name"))?;
        shards.entry(file).or_default().push(tensor);
    }
    let count = shards.len();
    let mut files = Vec::with_capacity(count);
    for (number, (name, tensors)) in shards.iter().enumerate() {
        if !entries.iter().any(|e| e.name == *name) {
            return Err(Error::file(
                format!("{}/{name}", dir.label()),
                format!("this shard ({} of {count}, {} tensors) is missing; get it again", number + 1, tensors.len()),
            ));
        }
        let file = TensorFile::open(dir.clone(), name).await?;
        if let Some(tensor) = tensors.iter().find(|tensor| file.get(tensor).is_none()) {
            return Err(Error::tensor(
                *name,
                *tensor,
                format!("{INDEX} says it is in this file, but it is not; the two are not of one model"),
            ));
        }
        if let Some(extra) = file.tensors().iter().find(|t| map.get(&t.name).and_then(Value::as_str) != Some(name)) {
            return Err(Error::tensor(
                *name,
                &extra.name,
                format!("is in this file, but {INDEX} does not say so; the two are not of one model"),
            ));
        }
        files.push(file);
    }
    Ok(files)
}

/// Finds every declared tensor, in the right shape and type, and nothing undeclared that matters.
pub(super) fn match_tensors(config: &ModelConfig, params: &[ParamDecl], files: &[TensorFile]) -> Result<HashMap<String, Place>> {
    let mut found: HashMap<&str, usize> = HashMap::new();
    for (index, file) in files.iter().enumerate() {
        for tensor in file.tensors() {
            if found.insert(&tensor.name, index).is_some() {
                return Err(Error::tensor(file.name(), &tensor.name, "stands in two shards"));
            }
        }
    }
    let first_file = files.first().map_or(WEIGHTS, TensorFile::name);
    // Files of the bare GPT-2, as its authors published it, lack the prefix of the language model.
    let prefix = config.architecture.base_prefix();
    let bare = config.architecture == Architecture::Gpt2 && !found.keys().any(|name| name.starts_with(prefix));
    let stored_name = |decl: &ParamDecl| match decl.name.strip_prefix(prefix) {
        Some(rest) if bare => rest.to_string(),
        _ => decl.name.clone(),
    };

    let mut places = HashMap::with_capacity(params.len());
    let mut missing = Vec::new();
    for decl in params {
        let name = stored_name(decl);
        match found.remove(name.as_str()) {
            Some(file) => {
                check(config, decl, &files[file], &name)?;
                places.insert(decl.name.clone(), Place { file, tensor: name });
            }
            None => missing.push(decl),
        }
    }
    let mut extra: Vec<&str> = found
        .keys()
        .copied()
        .filter(|name| !COMPUTED.iter().any(|computed| name.ends_with(computed)))
        .filter(|name| !(config.tie_word_embeddings && *name == "lm_head.weight"))
        .collect();
    extra.sort_unstable();
    if let Some(decl) = missing.first() {
        return Err(Error::tensor(first_file, &decl.name, explain_missing(config, &missing, params.len(), &extra)));
    }
    if let Some(name) = extra.first() {
        let more = match extra.len() {
            1 => String::new(),
            n => format!(" (nor do {} others)", n - 1),
        };
        return Err(Error::tensor(
            files[found[name]].name(),
            *name,
            format!(
                "does not belong to the {} model of {} layers that config.json declares{more}",
                config.architecture.model_type(),
                config.num_hidden_layers
            ),
        ));
    }
    Ok(places)
}

fn explain_missing(config: &ModelConfig, missing: &[&ParamDecl], declared: usize, extra: &[&str]) -> String {
    let model_type = config.architecture.model_type();
    let name = &missing[0].name;
    if missing.len() == 1 && missing[0].kind == ParamKind::Head {
        return "is missing, and config.json does not say that the head is the embedding; \
                set tie_word_embeddings to true if it is, otherwise get the complete weights"
            .into();
    }
    if extra.iter().any(|n| n.contains(".lora_") || n.contains(".base_layer.")) {
        return "is missing: the file holds an un-merged PEFT model; merge the adapter before saving".into();
    }
    if let Some(wrapper) = WRAPPERS.iter().find(|wrapper| extra.contains(&format!("{wrapper}{name}").as_str())) {
        return format!("is missing: all names begin with \"{wrapper}\", left by the training program; save the unwrapped model");
    }
    let prefix = config.architecture.base_prefix();
    if name.strip_prefix(prefix).is_some_and(|bare| extra.contains(&bare)) {
        return format!("is missing: the names lack \"{prefix}\"; this is the model without its head, save the causal language model");
    }
    if extra.contains(&format!("{prefix}{name}").as_str()) {
        return format!("is missing: the names begin with \"{prefix}\" twice");
    }
    match missing.len() {
        1 => format!("is missing from the weights of this {model_type} model"),
        n if n == declared => {
            format!("is missing, as are all others: these are not the weights of a {model_type} model")
        }
        n => format!("is missing, as are {} other tensors of this {model_type} model", n - 1),
    }
}

fn check(config: &ModelConfig, decl: &ParamDecl, file: &TensorFile, name: &str) -> Result<()> {
    let fail = |reason: String| Err(Error::tensor(file.name(), name, reason));
    let Some(entry) = file.get(name) else { return fail("is missing".into()) };
    let wanted: Vec<u64> = decl.stored_shape().iter().map(|&n| n as u64).collect();
    if entry.shape != wanted {
        if entry.elements() == 0 {
            return fail("is empty: it was saved under DeepSpeed ZeRO-3 without gathering the parameters".into());
        }
        if let (ParamKind::Embedding, &[rows, cols]) = (decl.kind, entry.shape.as_slice())
            && cols == config.hidden_size as u64
        {
            return Err(Error::config(
                CONFIG_FILE,
                "vocab_size",
                format!("vocab_size is {}, but the embedding {name} in {} has {rows} rows", config.vocab_size, file.name()),
            ));
        }
        return fail(format!("has the shape {:?}, config.json asks for {wanted:?}", entry.shape));
    }
    if !convert::is_readable(entry.dtype) {
        let dtype = entry.dtype;
        return fail(format!("holds {dtype}; weights must be F32, F16 or BF16 (is the model quantised?)"));
    }
    Ok(())
}

/// A tied model's file may hold the head once more; it must be the same as the embedding, for another head would be lost.
pub(super) async fn check_tied_head(
    config: &ModelConfig,
    params: &[ParamDecl],
    files: &[TensorFile],
    places: &HashMap<String, Place>,
) -> Result<()> {
    const HEAD: &str = "lm_head.weight";
    const PIECE: u64 = 4 << 20; // elements
    let Some(file) = files.iter().find(|file| config.tie_word_embeddings && file.get(HEAD).is_some()) else {
        return Ok(());
    };
    let embedding = params.iter().find(|decl| decl.kind == ParamKind::Embedding).map(|decl| &places[&decl.name]);
    let embedding = embedding.expect("every architecture declares its embedding");
    let (head, other) = (file.get(HEAD), files[embedding.file].get(&embedding.tensor));
    let what = |entry: &super::header::TensorEntry| (entry.shape.clone(), entry.dtype);
    let mut same = head.map(what) == other.map(what);
    let elements = head.map_or(0, |entry| entry.elements());
    let mut at = 0;
    while same && at < elements {
        let range = at..(at + PIECE).min(elements);
        same = file.read_bytes(HEAD, range.clone()).await? == files[embedding.file].read_bytes(&embedding.tensor, range.clone()).await?;
        at = range.end;
    }
    if same {
        return Ok(());
    }
    Err(Error::tensor(
        file.name(),
        HEAD,
        "differs from the embedding, though config.json says that the two are one; set tie_word_embeddings to false to keep this head",
    ))
}

/// The type of a parameter in its file; F32 for what is not there.
pub(super) fn dtype_of(files: &[TensorFile], place: &Place) -> Dtype {
    files[place.file].get(&place.tensor).map_or(Dtype::F32, |entry| entry.dtype)
}
