//! Takes over what a training run elsewhere left: a complete model or adapter is written from it, whatever state it is in.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::super::case::examine;
use super::super::directory;
use super::super::options::{Options, Progress};
use super::super::report::{Finding, Kind, Verdict};
use super::super::subdirectory::Subdirectory;
use super::super::view::{Source, Tensor, View};
use super::super::{fsdp, zero};
use super::fix::{Fixed, check, left_behind, take_value_head, written};
use super::patched::Patched;
use crate::adapter::format::read_config;
use crate::adapter::{ADAPTER_CONFIG, ADAPTER_WEIGHTS, Adapter, AdapterFiles, fingerprint, write_adapter};
use crate::checkpoint::{Carry, Checkpoint, Dtype, NewDirectory, TensorFile, TensorFileWriter, TensorInfo, TorchFile};
use crate::error::{Error, Result};
use crate::platform::{Directory, Entry, MemoryDirectory, OutputDirectory, as_directory};

const PICKLED_ADAPTER: &str = "adapter_model.bin";
/// Elements read at once.
const PIECE: u64 = 4 << 20;

/// Validates `dir` and writes a complete directory from it as `name` in `parent`, which must not exist yet: a model with its tokenizer, or
/// an adapter of the base in `options` with the base's tokenizer. Unlike [`super::fix`] it also writes what is ready already, without the
/// trainer's files, and keeps an adapter an adapter.
///
/// # Errors
/// As [`super::fix`]; [`Error::File`] also when it is an adapter and no base was given.
pub async fn adopt(
    dir: Rc<dyn Directory>,
    parent: &dyn OutputDirectory,
    name: &str,
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fixed> {
    let options = &Options { quick: false, as_adapter: false, ..options.clone() };
    if let Some((adapter, steps)) = adapter_in(&dir).await? {
        return adopt_adapter(adapter, steps, parent, name, options, progress).await;
    }
    let validation = examine(dir, options, progress).await?;
    if validation.report.verdict == Verdict::Unusable {
        return Ok(Fixed { before: validation.report, steps: Vec::new(), after: None });
    }
    let as_it_is = validation.report.findings.iter().all(|finding| finding.repair.is_none());
    let mut fixed = written(validation, parent, name, options, progress).await?;
    if as_it_is {
        fixed.steps.insert(0, "write the model as it is: nothing had to be repaired".into());
    }
    Ok(fixed)
}

/// The adapter's directory, if that is what was given, with what was decided on the way.
async fn adapter_in(dir: &Rc<dyn Directory>) -> Result<Option<(Rc<dyn Directory>, Vec<String>)>> {
    let entries = dir.list().await?;
    match directory::kind(&entries) {
        Kind::Adapter => Ok(Some((dir.clone(), Vec::new()))),
        Kind::Run => {
            let Some(child) = directory::newest_checkpoint(&entries) else { return Ok(None) };
            if !entries.iter().any(|entry| entry.name == format!("{child}/{ADAPTER_CONFIG}")) {
                return Ok(None);
            }
            let steps = vec![format!("take the adapter from {child}/, the newest checkpoint")];
            Ok(Some((Rc::new(Subdirectory { parent: dir.clone(), name: child }), steps)))
        }
        _ => Ok(None),
    }
}

async fn adopt_adapter(
    dir: Rc<dyn Directory>,
    mut steps: Vec<String>,
    parent: &dyn OutputDirectory,
    name: &str,
    options: &Options,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Fixed> {
    let label = dir.label();
    let dir = with_weights(dir, &mut steps).await?;
    let Some(base) = &options.base else {
        let named = read_config(&*dir).await?.base_model_name_or_path;
        let named = named.map_or(String::new(), |named| format!(" ({named}, it says)"));
        let reason = format!(
            "this is an adapter; give the model that it was trained on{named} with --base, so that it can be checked and completed"
        );
        return Err(Error::file(label, reason));
    };
    let options = &Options { as_adapter: true, ..options.clone() };
    let before = examine(dir.clone(), options, progress).await?.report;
    if before.verdict != Verdict::Ready {
        return Ok(Fixed { before, steps: Vec::new(), after: None });
    }
    let new = NewDirectory::begin(parent, name).await?;
    let out = new.directory();
    let result = match complete(&dir, base, &*out, &mut steps).await {
        Ok(()) => {
            steps.extend(new.cleared());
            check(as_directory(out).into(), options, progress).await
        }
        Err(error) => Err(error),
    };
    let after = new.complete(result).await?;
    Ok(Fixed { before, steps, after: Some(after) })
}

/// Writes the adapter with all that belongs to it.
async fn complete(dir: &Rc<dyn Directory>, base: &Rc<dyn Directory>, out: &dyn OutputDirectory, steps: &mut Vec<String>) -> Result<()> {
    let checkpoint = Checkpoint::open(base.clone()).await?;
    let adapter = Adapter::open(dir.clone(), &checkpoint).await?;
    let mut config = adapter.config.clone();
    let named = config.base_model_name_or_path.replace(base.label());
    if named.as_ref().is_some_and(|named| *named != base.label()) {
        steps.push(format!("name {} as its base; it was {}", base.label(), named.unwrap_or_default()));
    }
    let own = Carry::load(&**dir).await?;
    if own.file("tokenizer.json").is_none() {
        steps.push("take tokenizer and chat template from the base".into());
    }
    let mut carry = Carry::load(&**base).await?;
    carry.replace_by(own);
    let fingerprint = fingerprint(&checkpoint).await?;
    let files =
        AdapterFiles { config: &config, resolved: &adapter.resolved, base: checkpoint.params(), fingerprint: &fingerprint, carry: &carry };
    write_adapter(out, &files, &adapter).await?;
    take_value_head(dir, checkpoint.config().hidden_size, out).await?;
    out.sync().await?;
    steps.extend(left_behind(&**dir, out, "an adapter", |_| false).await?);
    Ok(())
}

/// The directory with the adapter's weights as safetensors: as they are, read from a pickle, or put together from shards.
async fn with_weights(dir: Rc<dyn Directory>, steps: &mut Vec<String>) -> Result<Rc<dyn Directory>> {
    let entries = dir.list().await?;
    let there = |name: &str| entries.iter().any(|entry| entry.name == name);
    let shards = [("DeepSpeed", directory::has_zero_shards(&entries)), ("FSDP", directory::has_fsdp_shards(&entries))];
    let sharded = shards.into_iter().find_map(|(by, are)| are.then_some(by));
    // ZeRO 3 without gathering leaves a file without numbers beside its shards.
    let usable = there(ADAPTER_WEIGHTS) && !(sharded.is_some() && is_empty(&dir).await);
    if usable || !(sharded.is_some() || there(PICKLED_ADAPTER)) {
        return Ok(dir);
    }
    let view = match sharded {
        Some(by) => {
            let view = factors_of_shards(&dir, &entries, by).await?;
            steps.push(format!("put the adapter's {} tensors together from {by}'s shards", view.tensors.len()));
            view
        }
        None => {
            let view = factors_of_pickle(&dir).await?;
            steps.push(format!("read {PICKLED_ADAPTER}, a Python pickle, without running it, and write it as safetensors"));
            view
        }
    };
    let bytes = as_safetensors(&view).await?;
    let changed = BTreeMap::from([(ADAPTER_WEIGHTS.to_string(), Some(bytes)), (PICKLED_ADAPTER.to_string(), None)]);
    Ok(Rc::new(Patched { dir, changed }))
}

/// Whether the weight file holds no numbers.
async fn is_empty(dir: &Rc<dyn Directory>) -> bool {
    TensorFile::open(dir.clone(), ADAPTER_WEIGHTS).await.is_ok_and(|file| file.tensors().iter().all(|tensor| tensor.elements() == 0))
}

async fn factors_of_shards(dir: &Rc<dyn Directory>, entries: &[Entry], by: &str) -> Result<View> {
    let (mut view, mut findings) = (View::default(), Vec::<Finding>::new());
    match by {
        "FSDP" => fsdp::gather(dir, entries, &mut view, &mut findings).await,
        _ => zero::gather(dir, entries, &mut view, &mut findings).await,
    }
    let is_part = |name: &str| name.contains(".lora_") || name.contains(".modules_to_save.");
    view.tensors.edit().retain(|tensor| is_part(&tensor.name));
    match findings.first().filter(|_| view.tensors.is_empty()) {
        Some(finding) if finding.repair.is_none() => Err(Error::file(dir.label(), finding.message.to_string())),
        Some(_) => Err(Error::file(dir.label(), format!("{by}'s shards hold no factor of an adapter (lora_A, lora_B)"))),
        None => Ok(view),
    }
}

async fn factors_of_pickle(dir: &Rc<dyn Directory>) -> Result<View> {
    let torch = TorchFile::open(dir.clone(), PICKLED_ADAPTER).await?;
    let mut view = View::default();
    for entry in torch.file.tensors() {
        let source = Source::Stored { file: 0, tensor: entry.name.clone() };
        let mut tensor = Tensor { name: entry.name.clone(), dtype: entry.dtype, shape: entry.shape.clone(), source };
        if torch.transposed.contains(&entry.name) {
            tensor.transpose();
        }
        view.tensors.edit().push(tensor);
    }
    view.files = vec![torch.file];
    Ok(view)
}

/// The tensors of a view as a safetensors file in f32, in memory: an adapter is small.
async fn as_safetensors(view: &View) -> Result<Vec<u8>> {
    let memory = MemoryDirectory::new("adapter");
    let infos: Vec<TensorInfo> =
        view.tensors.iter().map(|tensor| TensorInfo::new(&tensor.name, Dtype::F32, tensor.shape.clone())).collect();
    let mut file = TensorFileWriter::create(&memory, ADAPTER_WEIGHTS, &infos, &[]).await?;
    for tensor in view.tensors.iter() {
        let (rows, width) = match tensor.shape[..] {
            [rows, width] => (rows, width),
            _ => (1, tensor.elements()),
        };
        let step = (PIECE / width.max(1)).max(1);
        let mut at = 0;
        while at < rows {
            let end = (at + step).min(rows);
            file.write_f32(&tensor.name, &view.rows(tensor, at..end).await?).await?;
            at = end;
        }
    }
    file.finish().await?;
    memory.read(ADAPTER_WEIGHTS).await
}
