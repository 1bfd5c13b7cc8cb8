//! Reading and writing an adapter's directory: `adapter_config.json` and `adapter_model.safetensors`, with PEFT's keys. When PEFT loads an
//! adapter it checks only shapes; this code checks every key.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use serde_json::Value;

use super::config::{ADAPTER_CONFIG, AdapterConfig, AdapterInit, TargetModules};
use super::fingerprint::fingerprint;
use super::targets::{AdapterParam, KEY_PREFIX, ResolvedAdapter, TargetKind};
use crate::checkpoint::{Carry, Dtype, ModelSource, ParamSource, TensorFile, write_params};
use crate::error::{Error, Result};
use crate::model::{Layout, ParamDecl};
use crate::platform::{Directory, OutputDirectory, read_small, write_file};

/// The name of the weight file.
pub const ADAPTER_WEIGHTS: &str = "adapter_model.safetensors";
/// Key in the weight file's header for the fingerprint of the base that the adapter was made on ([`fingerprint`]). PEFT ignores it.
const BASE_FINGERPRINT: &str = "base_fingerprint";
/// Number of elements read at once.
const PIECE: usize = 4 << 20;

/// An open adapter directory: its configuration is resolved for a base, and the file holds exactly the tensors that the configuration
/// requires, each finite and in the right shape.
#[derive(Clone)]
pub struct Adapter {
    /// The content of `adapter_config.json`.
    pub config: AdapterConfig,
    /// The configuration resolved for the base.
    pub resolved: ResolvedAdapter,
    /// The tensors.
    pub params: Vec<AdapterParam>,
    /// Notes for the user that are not errors: a different base, names that match nothing.
    pub notes: Vec<String>,
    label: String,
    file: TensorFile,
    /// The tensors' names in the file.
    keys: Vec<String>,
}

impl Adapter {
    /// Opens a directory as an adapter of `base`.
    ///
    /// # Errors
    /// One sentence on whatever keeps the directory from being an adapter of this base.
    pub async fn open(directory: Rc<dyn Directory>, base: &dyn ModelSource) -> Result<Adapter> {
        Adapter::open_among(directory, base, &[]).await
    }

    /// Opens a directory as an adapter of `base` that may also have been made on one of `others`.
    ///
    /// # Errors
    /// As [`Adapter::open`].
    pub async fn open_among(directory: Rc<dyn Directory>, base: &dyn ModelSource, others: &[&dyn ModelSource]) -> Result<Adapter> {
        let label = directory.label();
        let config = read_config(&*directory).await?;
        let resolved = ResolvedAdapter::resolve(&config, base.config(), base.params()).map_err(|e| within(&label, e))?;
        let params = resolved.declarations(base.params());
        let file = TensorFile::open(directory, ADAPTER_WEIGHTS).await.map_err(|e| within(&label, e))?;
        let keys = match_keys(&file, &resolved, &params, base).await.map_err(|e| within(&label, e))?;
        let mut adapter = Adapter { config, resolved, params, notes: Vec::new(), label, file, keys };
        adapter.check_finite().await.map_err(|e| within(&adapter.label, e))?;
        adapter.add_notes(base, others).await?;
        Ok(adapter)
    }

    /// The directory from which it was opened.
    pub fn directory(&self) -> &Rc<dyn Directory> {
        self.file.directory()
    }

    /// The directory's name as the user gave it.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Size in bytes of the tensors in the weight file.
    pub fn bytes(&self) -> u64 {
        self.file.tensors().iter().map(|tensor| tensor.bytes).sum()
    }

    /// All elements of one tensor in compute layout.
    ///
    /// # Errors
    /// [`Error::File`] when reading fails.
    pub async fn read(&self, param: usize) -> Result<Vec<f32>> {
        self.read_rows(param, 0..self.params[param].decl.rows).await
    }

    async fn check_finite(&self) -> Result<()> {
        for (index, param) in self.params.iter().enumerate() {
            let step = (PIECE / param.decl.cols).max(1);
            for first in (0..param.decl.rows).step_by(step) {
                let values = self.read_rows(index, first..(first + step).min(param.decl.rows)).await?;
                let bad = values.iter().filter(|x| !x.is_finite()).count();
                if bad > 0 {
                    let what = if values.iter().any(|x| x.is_nan()) { "NaN" } else { "Inf" };
                    return Err(self.fail(
                        index,
                        format!("holds {bad} numbers that are not finite ({what}); the adapter is damaged or its training diverged"),
                    ));
                }
            }
        }
        Ok(())
    }

    async fn add_notes(&mut self, base: &dyn ModelSource, others: &[&dyn ModelSource]) -> Result<()> {
        const NAMED: usize = 6;
        let unmatched = &self.resolved.unmatched;
        if unmatched.len() > NAMED {
            self.notes.push(format!(
                "{}: {} names in {ADAPTER_CONFIG} are no modules of this base; the first are",
                self.label,
                unmatched.len()
            ));
        }
        for name in unmatched.iter().take(NAMED) {
            self.notes
                .push(format!("{}: \"{name}\" in {ADAPTER_CONFIG} is not a module of this base; PEFT ignores it as well", self.label));
        }
        let Some(made_on) = self.file.metadata(BASE_FINGERPRINT) else { return Ok(()) };
        for base in std::iter::once(&base).chain(others) {
            if made_on == fingerprint(*base).await? {
                return Ok(());
            }
        }
        let named = self.config.base_model_name_or_path.as_deref().unwrap_or("another model");
        self.notes.push(format!(
            "warning: {} was made on other weights than those of {} (it names {named}): the shapes fit, the numbers do not; \
             expect wrong answers unless you know better",
            self.label,
            base.label()
        ));
        Ok(())
    }

    fn fail(&self, param: usize, reason: String) -> Error {
        Error::tensor(self.file.name(), &self.keys[param], reason)
    }
}

#[async_trait(?Send)]
impl ParamSource for Adapter {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let decl = &self.params[param].decl;
        if rows.start > rows.end || rows.end > decl.rows {
            return Err(self.fail(param, format!("has {} rows, {rows:?} were requested", decl.rows)));
        }
        let (key, cols) = (&self.keys[param], decl.cols);
        if decl.layout == Layout::AsStored {
            return self.file.read_f32(key, (rows.start * cols) as u64..(rows.end * cols) as u64).await;
        }
        let mut out = vec![0.0; rows.len() * cols];
        for col in 0..cols {
            let first = (col * decl.rows) as u64;
            let stored = self.file.read_f32(key, first + rows.start as u64..first + rows.end as u64).await?;
            for (row, value) in stored.into_iter().enumerate() {
                out[row * cols + col] = value;
            }
        }
        Ok(out)
    }
}

/// Prefixes the file name in an error with the adapter's directory, because a command may read several adapters.
fn within(label: &str, error: Error) -> Error {
    let at = |file: String| if file.starts_with(&format!("{label}/")) || file == label { file } else { format!("{label}/{file}") };
    match error {
        Error::NoSpace { .. } => error,
        error => error.renamed(at),
    }
}

/// Whether a directory contains an `adapter_config.json`.
///
/// # Errors
/// [`Error::File`] when it cannot be listed.
pub async fn is_adapter(directory: &dyn Directory) -> Result<bool> {
    Ok(directory.size(ADAPTER_CONFIG).await?.is_some())
}

/// Reads `adapter_config.json`, or reports what the directory contains instead of an adapter.
///
/// # Errors
/// As [`AdapterConfig::parse`]; [`Error::File`] when it is not an adapter.
pub async fn read_config(directory: &dyn Directory) -> Result<AdapterConfig> {
    let entries = directory.list().await?;
    let has = |name: &str| entries.iter().any(|e| e.name == name);
    let fail = |reason: String| Err(Error::file(directory.label(), reason));
    if !has(ADAPTER_CONFIG) {
        let mut children: Vec<(u64, &str)> = entries
            .iter()
            .filter_map(|e| e.name.strip_suffix("/adapter_config.json"))
            .map(|child| (child.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0), child))
            .collect();
        children.sort_unstable();
        return match children.last() {
            _ if has(ADAPTER_WEIGHTS) => {
                fail(format!("there are an adapter's weights but no {ADAPTER_CONFIG}, which says their rank and α; get it again"))
            }
            _ if has("config.json") => {
                fail(format!("this is a whole model, not an adapter (it has no {ADAPTER_CONFIG}); give it as the model"))
            }
            Some((_, child)) => {
                fail(format!("there is no {ADAPTER_CONFIG} here; the adapter is in {child}/, give {}/{child}", directory.label()))
            }
            None => fail(format!("this is not an adapter: it has no {ADAPTER_CONFIG}")),
        };
    }
    let config =
        AdapterConfig::parse(ADAPTER_CONFIG, &read_small(directory, ADAPTER_CONFIG).await?).map_err(|e| within(&directory.label(), e))?;
    if !has(ADAPTER_WEIGHTS) {
        return match entries.iter().find(|e| e.name == "adapter_model.bin") {
            Some(_) => fail(
                "adapter_model.bin is a Python pickle, which can run code and is not read; save the adapter as safetensors \
                 (save_pretrained in PEFT does)"
                    .into(),
            ),
            None => fail(format!("there is an {ADAPTER_CONFIG} but no {ADAPTER_WEIGHTS}; get the weights again")),
        };
    }
    Ok(config)
}

/// Converts a key of the file to PEFT's current form: without adapter names and wrappers.
fn normal_key(key: &str) -> String {
    let key = key.replace(".modules_to_save.default.", ".").replace(".modules_to_save.", ".").replace(".default.", ".");
    let key = key.strip_suffix(".default").unwrap_or(&key);
    match key.strip_suffix("lora_magnitude_vector.weight") {
        Some(rest) => format!("{rest}lora_magnitude_vector"),
        None => key.to_string(),
    }
}

/// Checks that the file holds each declared tensor in the right shape and type, and no others; returns the tensors' names in the file.
async fn match_keys(file: &TensorFile, resolved: &ResolvedAdapter, params: &[AdapterParam], base: &dyn ModelSource) -> Result<Vec<String>> {
    let mut found: BTreeMap<String, &str> = BTreeMap::new();
    for tensor in file.tensors() {
        if !tensor.name.starts_with(KEY_PREFIX) || tensor.name[KEY_PREFIX.len()..].starts_with(KEY_PREFIX) {
            return Err(Error::tensor(file.name(), &tensor.name, explain_prefix(&tensor.name)));
        }
        if let Some(other) = found.insert(normal_key(&tensor.name), &tensor.name) {
            return Err(Error::tensor(file.name(), &tensor.name, format!("occurs twice in the file, also as {other}; keep one of them")));
        }
    }
    let mut keys = Vec::with_capacity(params.len());
    let mut missing = Vec::new();
    for param in params {
        match found.remove(&param.decl.name) {
            Some(key) => {
                check(file, key, param, resolved)?;
                keys.push(key.to_string());
            }
            None => missing.push(&param.decl.name),
        }
    }
    drop_copies_of_the_base(file, &mut found, resolved, base).await?;
    if let Some(first) = missing.first() {
        let others = match missing.len() {
            1 => String::new(),
            n => format!(", as are {} others", n - 1),
        };
        return Err(Error::tensor(
            file.name(),
            *first,
            format!(
                "is missing{others}: {ADAPTER_CONFIG} asks for it on this base; the two files do not belong to the same adapter, or it was made for a base with fewer layers"
            ),
        ));
    }
    if let Some((_, key)) = found.first_key_value() {
        let others = match found.len() {
            1 => String::new(),
            n => format!(" (nor for {} others)", n - 1),
        };
        return Err(Error::tensor(
            file.name(),
            *key,
            format!("{ADAPTER_CONFIG} has no place for it on this base{others}; PEFT would leave it out silently"),
        ));
    }
    Ok(keys)
}

fn explain_prefix(key: &str) -> String {
    if key.starts_with(KEY_PREFIX) {
        return format!("begins with \"{KEY_PREFIX}\" twice: PEFT would load nothing of it; save the adapter again without the wrapper");
    }
    match key.find(KEY_PREFIX) {
        Some(at) => format!("begins with \"{}\", left by the training program; save the unwrapped model's adapter", &key[..at]),
        None if key.contains("lora_") => {
            format!("lacks the prefix \"{KEY_PREFIX}\" that PEFT writes and looks for; PEFT would load nothing of it")
        }
        None => format!("is not a tensor of a LoRA adapter, whose names begin with \"{KEY_PREFIX}\""),
    }
}

fn check(file: &TensorFile, key: &str, param: &AdapterParam, resolved: &ResolvedAdapter) -> Result<()> {
    let fail = |reason: String| Err(Error::tensor(file.name(), key, reason));
    let Some(entry) = file.get(key) else { return fail("is missing".into()) };
    if !matches!(entry.dtype, Dtype::F32 | Dtype::F16 | Dtype::BF16 | Dtype::F64) {
        return fail(format!("holds {}; an adapter's numbers must be F32, F16 or BF16", entry.dtype));
    }
    let wanted: Vec<u64> = param.decl.stored_shape().iter().map(|&n| n as u64).collect();
    if entry.shape == wanted {
        return Ok(());
    }
    let found = &entry.shape;
    if found.contains(&0) {
        return fail("is empty: it was saved under DeepSpeed ZeRO-3 without gathering the parameters".into());
    }
    let rank = resolved.targets.iter().find(|t| key.contains(&format!("{}.lora_", t.module))).map(|t| t.rank as u64);
    if let (Some(rank), [a, b]) = (rank, found.as_slice()) {
        let (rank_at, other_at) = if key.contains("lora_A") || key.contains("embedding_A") { (0, 1) } else { (1, 0) };
        let stored_rank = [a, b][rank_at];
        if *stored_rank != rank && wanted[other_at] == found[other_at] {
            return fail(format!("has rank {stored_rank}, {ADAPTER_CONFIG} says {rank}; the two files do not belong to the same adapter"));
        }
    }
    fail(format!("has the shape {found:?}, this base asks for {wanted:?}: the adapter was made for a model of other sizes"))
}

/// Drops copies of the embedding or the head that PEFT stores beside an adapter on them. They must match the base's weights and are then
/// redundant; different ones would silently replace the base's.
async fn drop_copies_of_the_base(
    file: &TensorFile,
    found: &mut BTreeMap<String, &str>,
    resolved: &ResolvedAdapter,
    base: &dyn ModelSource,
) -> Result<()> {
    let mut copies: Vec<(String, usize)> = Vec::new();
    for target in resolved.targets.iter().filter(|t| t.kind != TargetKind::Linear) {
        copies.push((format!("{KEY_PREFIX}{}.base_layer.weight", target.module), target.param));
        copies.push((format!("{KEY_PREFIX}{}.weight", target.module), target.param));
    }
    for (name, param) in copies {
        let Some(key) = found.remove(&name) else { continue };
        let decl = &base.params()[param];
        if file.get(key).map(|entry| entry.elements()) != Some(decl.elements()) {
            return Err(Error::tensor(
                file.name(),
                key,
                format!(
                    "is a copy of the base's {} in another size: the vocabulary was resized before training; resize the base in the same way first",
                    decl.name
                ),
            ));
        }
        let elements = decl.elements();
        for first in (0..elements).step_by(PIECE) {
            let range = first..(first + PIECE as u64).min(elements);
            let (ours, theirs) = (base.read_stored(param, range.clone()).await?, file.read_f32(key, range).await?);
            // The training program may have rounded the copy to bf16.
            if ours.iter().zip(&theirs).any(|(a, b)| (a - b).abs() > a.abs() / 128.0 + f32::MIN_POSITIVE) {
                return Err(Error::tensor(
                    file.name(),
                    key,
                    format!("is not this base's {}: the adapter was made on other weights", decl.name),
                ));
            }
        }
    }
    Ok(())
}

/// The inputs for writing an adapter directory.
pub struct AdapterFiles<'a> {
    /// The configuration; an absent or `all-linear` `target_modules` is written as names.
    pub config: &'a AdapterConfig,
    /// The configuration resolved for the base.
    pub resolved: &'a ResolvedAdapter,
    /// The base's declarations.
    pub base: &'a [ParamDecl],
    /// The base's [`fingerprint`].
    pub fingerprint: &'a str,
    /// The base's tokenizer and chat template, which are also written.
    pub carry: &'a Carry,
}

/// Writes an adapter that PEFT can load: weights in f32, the configuration, tokenizer and chat template. `source` provides the tensors of
/// [`ResolvedAdapter::declarations`] by index. To publish the directory atomically, the caller passes a temporary sub-directory and renames
/// it afterwards.
///
/// # Errors
/// [`Error::NoSpace`] and [`Error::File`] from writing, and any error from `source`.
pub async fn write_adapter(out: &dyn OutputDirectory, files: &AdapterFiles<'_>, source: &dyn ParamSource) -> Result<()> {
    let decls: Vec<ParamDecl> = files.resolved.declarations(files.base).into_iter().map(|param| param.decl).collect();
    let metadata = [("format".to_string(), "pt".to_string()), (BASE_FINGERPRINT.to_string(), files.fingerprint.to_string())];
    let all: Vec<usize> = (0..decls.len()).collect();
    write_params(out, ADAPTER_WEIGHTS, Dtype::F32, &decls, &all, source, &metadata).await?;
    for (name, bytes) in files.carry.tokenizer_files() {
        write_file(out, name, bytes).await?;
    }
    let mut config = files.config.clone();
    config.fan_in_fan_out = files.resolved.fan_in_fan_out(files.base);
    config.init = AdapterInit::default();
    if matches!(config.target_modules, None | Some(TargetModules::AllLinear)) {
        config.target_modules = Some(TargetModules::Names(files.resolved.target_names(files.base)));
    }
    let json = format!("{:#}\n", Value::Object(config.to_json()));
    write_file(out, ADAPTER_CONFIG, json.as_bytes()).await
}
