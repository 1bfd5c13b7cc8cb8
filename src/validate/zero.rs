//! Gathers the weights of a DeepSpeed ZeRO checkpoint into the view.

use std::rc::Rc;

use super::code::Code;
use super::repair::Repair;
use super::report::Finding;
use super::said::said;
use super::view::{Source, Tensor, View};
use crate::checkpoint::{Dtype, TensorFile, ZeroShards};
use crate::error::{Cause, Error};
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::platform::{Directory, Entry};

/// Adds the parameters of the newest ZeRO checkpoint to the view, each put together from the processes' pieces.
pub(super) async fn gather(dir: &Rc<dyn Directory>, entries: &[Entry], view: &mut View, findings: &mut Vec<Finding>) {
    let shards = match ZeroShards::open(dir, entries).await {
        Ok(shards) => shards,
        Err(error) => return findings.push(unreadable(entries, &error)),
    };
    let dtype_of = |file: &TensorFile, name: &str| file.get(name).map_or(Dtype::F32, |entry| entry.dtype);
    let list = view.tensors.edit();
    for parameter in shards.parameters {
        let dtype = parameter.pieces.first().map_or(Dtype::F32, |piece| dtype_of(&shards.files[piece.file], &piece.tensor));
        list.push(Tensor { name: parameter.name, dtype, shape: parameter.shape, source: Source::Pieces(parameter.pieces) });
    }
    view.files = shards.files;
    let folder = if shards.folder.is_empty() { "this directory".to_string() } else { shards.folder.clone() };
    let message = said!(
        "the weights are DeepSpeed ZeRO shards (stage {}, {}) that nobody gathered; `rootstock adopt DIR --out OUT` puts their f32 weights \
         together, as zero_to_fp32.py does",
        shards.stage,
        if shards.processes == 1 { "one process".to_string() } else { format!("{} processes", shards.processes) }
    );
    let repair = Repair::GatherShards { folder, processes: shards.processes };
    findings.push(Finding::new(Code::ZeroShards, message).file(shards.folder).repair(repair));
}

fn unreadable(entries: &[Entry], error: &Error) -> Finding {
    let reason = match error {
        Error::File { path, reason, .. } => format!("{path}: {reason}"),
        Error::Tensor { file, tensor, reason, .. } if !file.is_empty() => format!("{file}: {tensor}: {reason}"),
        Error::Tensor { tensor, reason, .. } => format!("{tensor} {reason}"),
        other => other.to_string(),
    };
    let config = if entries.iter().any(|entry| entry.name == CONFIG) { "" } else { " There is no config.json either: give the base." };
    let message = said!(
        "the weights are DeepSpeed ZeRO shards that nobody gathered, and they cannot be put together here: {reason}. Where DeepSpeed is \
         installed, `python zero_to_fp32.py . OUT` in this directory may do it.{config}"
    );
    let code = if error.cause() == Cause::OutsideDirectory { Code::OutsideDirectory } else { Code::ZeroShards };
    let shard = entries.iter().map(|entry| entry.name.as_str());
    let shard = shard.into_iter().find(|name| name.contains("global_step") || name.contains("zero_pp_rank")).unwrap_or("global_step…");
    Finding::new(code, message).file(shard)
}
