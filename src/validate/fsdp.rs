//! Gathers the weights of an FSDP checkpoint (`torch.distributed.checkpoint`) into the view.

use std::rc::Rc;

use super::code::Code;
use super::repair::Repair;
use super::report::Finding;
use super::said::said;
use super::view::{Source, Tensor, View};
use crate::adapter::ADAPTER_CONFIG;
use crate::checkpoint::{DistributedShards, Dtype};
use crate::error::{Cause, Error};
use crate::platform::{Directory, Entry};

/// Adds the parameters of the newest checkpoint to the view, each put together from the processes' pieces.
pub(super) async fn gather(dir: &Rc<dyn Directory>, entries: &[Entry], view: &mut View, findings: &mut Vec<Finding>) {
    let shards = match DistributedShards::open(dir, entries).await {
        Ok(shards) => shards,
        Err(error) => return findings.push(unreadable(&**dir, entries, &error)),
    };
    let is_described = entries.iter().any(|entry| entry.name == ADAPTER_CONFIG);
    if shards.parameters.iter().all(|parameter| parameter.name.contains(".lora_")) && !is_described {
        // Nothing here says by what their product is scaled.
        let message = said!(
            "these are sharded FSDP state of a LoRA adapter, and there is no {ADAPTER_CONFIG}, which says its rank and its scale: copy that of the \
             run (of an adapter that it went on from) into this directory, then `rootstock adopt {} --out OUT --base BASE`",
            dir.label()
        );
        return findings.push(Finding::new(Code::FsdpShards, message).file(shards.folder));
    }
    let list = view.tensors.edit();
    for parameter in shards.parameters {
        let first = parameter.pieces.first().and_then(|piece| shards.files[piece.file].get(&piece.tensor));
        let dtype = first.map_or(Dtype::F32, |entry| entry.dtype);
        list.push(Tensor { name: parameter.name, dtype, shape: parameter.shape, source: Source::Pieces(parameter.pieces) });
    }
    view.files = shards.files;
    let folder = if shards.folder.is_empty() { "this directory".to_string() } else { shards.folder.clone() };
    let message = said!(
        "the weights are sharded FSDP state ({}) that nobody gathered; `rootstock adopt DIR --out OUT` puts them together, as `accelerate \
         merge-weights` does",
        if shards.processes == 1 { "one process".to_string() } else { format!("{} processes", shards.processes) }
    );
    let repair = Repair::GatherShards { folder, processes: shards.processes };
    findings.push(Finding::new(Code::FsdpShards, message).file(shards.folder).repair(repair));
}

fn unreadable(dir: &dyn Directory, entries: &[Entry], error: &Error) -> Finding {
    let shard = entries.iter().map(|entry| entry.name.as_str()).find(|name| name.ends_with(".distcp")).unwrap_or_default();
    let folder = shard.rsplit_once('/').map_or(".", |(folder, _)| folder);
    let reason = match error {
        Error::File { path, reason, .. } => format!("{path}: {reason}"),
        Error::Tensor { file, tensor, reason, .. } => format!("{file}: {tensor} {reason}"),
        other => other.to_string(),
    };
    let message = said!(
        "the weights are sharded FSDP state, and they cannot be put together here: {reason}. Where torch is installed, `accelerate \
         merge-weights {}/{folder} OUT` may do it; copy config.json and the tokenizer into OUT, and validate that",
        dir.label()
    );
    let code = if error.cause() == Cause::OutsideDirectory { Code::OutsideDirectory } else { Code::FsdpShards };
    Finding::new(code, message).file(shard)
}
