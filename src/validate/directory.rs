//! Determines the kind of a directory from the names of its files.

use serde_json::Value;

use super::code::Code;
use super::json;
use super::repair::Repair;
use super::report::{Finding, Kind};
use super::said::said;
use crate::adapter::ADAPTER_CONFIG;
use crate::checkpoint::VALUE_HEAD;
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::platform::{Directory, Entry};

/// Whether a name is that of a weight file or of an index of weights.
pub(super) fn is_weight_file(name: &str) -> bool {
    !name.contains('/')
        && !is_adapter_file(name)
        && !is_value_head(name)
        && !is_training_state(name)
        && [".safetensors", ".bin", ".pt", ".pth", ".safetensors.index.json", ".bin.index.json"].iter().any(|ending| name.ends_with(ending))
}

pub(super) fn is_adapter_file(name: &str) -> bool {
    name.starts_with("adapter_model")
}

/// Whether a name is that of a reward model's value head.
pub(super) fn is_value_head(name: &str) -> bool {
    name == VALUE_HEAD || name == "value_head.bin"
}

/// Whether a name is that of a file that trainers write beside the weights.
fn is_training_state(name: &str) -> bool {
    const BEGINNINGS: [&str; 7] = ["optimizer", "scheduler", "rng_state", "training_args", "scaler", "random_states", "trainer_state"];
    BEGINNINGS.iter().any(|beginning| name.starts_with(beginning))
}

/// Whether any component of a path starts with `beginning`.
fn has_part(entries: &[Entry], beginning: &str) -> bool {
    entries.iter().any(|entry| entry.name.split('/').any(|part| part.starts_with(beginning)))
}

/// Whether files of DeepSpeed's ZeRO optimisers are here.
pub(super) fn has_zero_shards(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| entry.name.ends_with("_optim_states.pt"))
}

/// Whether shards of `torch.distributed.checkpoint` are here, as FSDP leaves them.
pub(super) fn has_fsdp_shards(entries: &[Entry]) -> bool {
    entries.iter().any(|entry| entry.name.ends_with(".distcp"))
}

/// Determines the kind of the directory.
pub(super) fn kind(entries: &[Entry]) -> Kind {
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    let (config, adapter) = (has(CONFIG), has(ADAPTER_CONFIG));
    let weights = entries.iter().any(|entry| is_weight_file(&entry.name));
    if adapter {
        // Some trainers write the base's config.json beside an adapter; without weights that is not a model.
        return if weights { Kind::ModelAndAdapter } else { Kind::Adapter };
    }
    if has("params.json") || entries.iter().any(|entry| entry.name.starts_with("consolidated.") && entry.name.ends_with(".pth")) {
        return if config && entries.iter().any(|entry| entry.name.ends_with(".safetensors")) { Kind::Model } else { Kind::Meta };
    }
    let hugging_face = entries.iter().any(|entry| is_weight_file(&entry.name) && !entry.name.contains("zero_pp_rank"));
    if hugging_face {
        return Kind::Model;
    }
    // A run whose checkpoints are shards: what belongs to them is beside them.
    if !config && newest_checkpoint(entries).is_some() {
        return Kind::Run;
    }
    if has_part(entries, "global_step") || has_part(entries, "zero_pp_rank") || has("zero_to_fp32.py") {
        return Kind::Zero;
    }
    if has_fsdp_shards(entries) {
        return Kind::Fsdp;
    }
    if entries.iter().any(|entry| entry.name.ends_with(".gguf")) {
        return Kind::Gguf;
    }
    if config { Kind::Model } else { Kind::Unknown }
}

/// The sub-directory that holds the latest model of a run.
pub(super) fn newest_checkpoint(entries: &[Entry]) -> Option<String> {
    let children = entries.iter().filter_map(|entry| {
        let child = entry.name.strip_suffix("/config.json").or_else(|| entry.name.strip_suffix("/adapter_config.json"))?;
        (!child.contains('/')).then_some(child)
    });
    let number = |child: &&str| child.rsplit('-').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or(0);
    children.max_by_key(|child| (number(child), *child)).map(str::to_string)
}

/// The finding for the output folder of a run.
pub(super) fn parent(label: &str, child: &str) -> Finding {
    let message = said!(
        "there is no {CONFIG} here: this is the folder of a training run, and the model is in {child}/; give {label}/{child} \
         (transformers would say \"Unrecognized model\")"
    );
    Finding::new(Code::ParentDirectory, message).repair(Repair::UseSubdirectory(child.into()))
}

/// The finding for a directory that is not a model in the Hugging Face layout. `None` means that the other rules apply.
pub(super) async fn refuse(dir: &dyn Directory, entries: &[Entry], kind: Kind) -> Option<Finding> {
    let find = |wanted: &dyn Fn(&str) -> bool| entries.iter().map(|entry| entry.name.as_str()).find(|name| wanted(name));
    Some(match kind {
        Kind::Adapter => {
            let base = match json::read(dir, entries, ADAPTER_CONFIG).await {
                Ok(Some(config)) => config.map.get("base_model_name_or_path").and_then(Value::as_str).map(str::to_string),
                _ => None,
            };
            let base = base.filter(|name| !name.is_empty()).unwrap_or_else(|| "a model that it does not name".into());
            let (code, message) = (
                Code::AdapterOnly,
                said!(
                    "this is a LoRA adapter for {base}, not a model (transformers would say \"Unrecognized model\", or load {base} \
                     with it); give that model's directory, or merge the adapter into it first: rootstock merge --model BASE --adapter {} --out OUT",
                    dir.label()
                ),
            );
            Finding::new(code, message).file(ADAPTER_CONFIG)
        }
        Kind::Meta => {
            let file = find(&|name| name == "params.json" || name.starts_with("consolidated.")).unwrap_or_default();
            Finding::new(
                Code::MetaFormat,
                "this is a model in Meta's own format; convert it to the Hugging Face layout with transformers' \
                 convert_llama_weights_to_hf.py, or download the -hf version",
            )
            .file(file)
        }
        Kind::Gguf => {
            let file = find(&|name| name.ends_with(".gguf")).unwrap_or_default();
            Finding::new(Code::Gguf, "is for llama.cpp; the Hugging Face directory that it was made from is needed").file(file)
        }
        Kind::Unknown => Finding::new(
            Code::NotAModel,
            said!("this is not a model directory: it has no config.json and no weights (it has {} files)", entries.len()),
        ),
        Kind::Model | Kind::ModelAndAdapter | Kind::Run | Kind::Zero | Kind::Fsdp => return None,
    })
}
