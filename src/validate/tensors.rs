//! Compares the tensors with the architecture's declaration: all present, in the right shape, nothing else; and whether the output
//! head is tied to the embedding.

use std::collections::BTreeMap;

use serde_json::json;

use super::base::Base;
use super::code::Code;
use super::infer::embedding_name;
use super::repair::{Candidate, Repair};
use super::report::Finding;
use super::said::said;
use super::view::{Source, View};
use crate::checkpoint::{HEAD, TensorFile};
use crate::error::Result;
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::model::{ModelConfig, ParamDecl, params};

/// Maximum number of tensors named in a message; the rest is counted.
const NAMED: usize = 6;
/// Elements compared per chunk.
const PIECE: u64 = 2 << 20;

/// Checks whether the head is tied to the embedding, and settles `tie_word_embeddings` before the inventory. Compares the numbers of the
/// two only if `read_numbers` is set.
///
/// # Errors
/// When a file that was just opened can no longer be read.
pub(super) async fn check_head(
    view: &mut View,
    config: &mut ModelConfig,
    base: Option<&Base>,
    read_numbers: bool,
    findings: &mut Vec<Finding>,
) -> Result<()> {
    let embedding = embedding_name(config.architecture);
    let (has_head, has_embedding) = (view.get(HEAD).is_some(), view.get(embedding).is_some());
    let ties = |tie: bool| Repair::SetConfig(vec![("tie_word_embeddings".to_string(), json!(tie))]);
    match (has_embedding, has_head) {
        (false, true) if config.tie_word_embeddings => {
            let message = "the embedding is stored only under the head's name. transformers 4 would take a random embedding and only warn; \
                           it must be called like the embedding";
            let repair = Repair::Rename { from: HEAD.into(), to: embedding.into() };
            let file = view.get(HEAD).map(|tensor| view.file_of(tensor).to_string()).unwrap_or_default();
            findings.push(Finding::new(Code::OnlyHead, message).file(file).tensor(HEAD).repair(repair.clone()));
            view.apply(&repair);
        }
        (true, false) if !config.tie_word_embeddings => {
            let declared = if view.config.contains_key("tie_word_embeddings") {
                "says that it is not the embedding"
            } else {
                "does not say that it is the embedding"
            };
            let chance = (config.vocab_size as f64).ln();
            let message = said!(
                "there is no lm_head.weight, and config.json {declared} (tie_word_embeddings); transformers would make a random head, with a \
                 loss near ln({}) = {chance:.2}, and only warn",
                config.vocab_size
            );
            let finding = Finding::new(Code::MissingHead, message).file(CONFIG).tensor(HEAD);
            // Without other evidence that the two are tied, only the loss can tell: it must be far from chance then.
            let base_ties = base.filter(|base| base.architecture() == Some(config.architecture)).and_then(|base| base.config.as_ref());
            let repair = match base_ties.map(|base| base.tie_word_embeddings) {
                Some(true) => Some(ties(true)),
                Some(false) => None,
                None if config.architecture.declaration().ties_by_default => Some(ties(true)),
                None => {
                    let config = vec![("tie_word_embeddings".to_string(), json!(true))];
                    Some(Repair::Score(vec![Candidate { label: "the head is the embedding".into(), config }]))
                }
            };
            if let Some(repair) = repair {
                view.apply(&repair);
                config.tie_word_embeddings = true;
                findings.push(finding.repair(repair));
            } else {
                let message = said!("{}. The base has a head of its own: get the complete weights", finding.message);
                findings.push(Finding { message, ..finding });
            }
        }
        (true, true) if config.tie_word_embeddings => {
            if read_numbers && !is_same(view, HEAD, embedding).await? {
                let message = "differs from the embedding, though config.json says that the two are one (tie_word_embeddings); transformers 4 \
                               would throw this head away without a word";
                let repair = ties(false);
                let file = view.get(HEAD).map(|tensor| view.file_of(tensor).to_string()).unwrap_or_default();
                findings.push(Finding::new(Code::TiedHeadDiffers, message).file(file).tensor(HEAD).repair(repair.clone()));
                view.apply(&repair);
                config.tie_word_embeddings = false;
            } else {
                // The tied head is stored a second time, as some tools do; every reader accepts it.
                view.tensors.edit().retain(|tensor| tensor.name != HEAD);
            }
        }
        _ => {}
    }
    config.raw = view.config.clone();
    Ok(())
}

/// Whether two tensors hold the same bytes.
async fn is_same(view: &View, one: &str, other: &str) -> Result<bool> {
    let (Some(a), Some(b)) = (view.get(one), view.get(other)) else { return Ok(false) };
    if a.shape != b.shape || a.dtype != b.dtype {
        return Ok(false);
    }
    if a.source == b.source {
        return Ok(true);
    }
    let (Source::Stored { file: file_a, tensor: name_a }, Source::Stored { file: file_b, tensor: name_b }) = (&a.source, &b.source) else {
        return Ok(false);
    };
    let (file_a, file_b): (&TensorFile, &TensorFile) = (&view.files[*file_a], &view.files[*file_b]);
    let mut at = 0;
    while at < a.elements() {
        let range = at..(at + PIECE).min(a.elements());
        if file_a.read_bytes(name_a, range.clone()).await? != file_b.read_bytes(name_b, range.clone()).await? {
            return Ok(false);
        }
        at = range.end;
    }
    Ok(true)
}

/// Checks that every declared tensor is present in the right shape, and that there are no others.
pub(super) fn check(config: &ModelConfig, view: &View, findings: &mut Vec<Finding>) {
    let declared = params(config);
    let model_type = config.architecture.model_type();
    let mut found: BTreeMap<&str, &super::view::Tensor> = view.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut missing: Vec<&ParamDecl> = Vec::new();
    let mut wrong = Vec::new();
    for param in &declared {
        let Some(tensor) = found.remove(param.name.as_str()) else {
            missing.push(param);
            continue;
        };
        let wanted: Vec<u64> = param.stored_shape().iter().map(|&n| n as u64).collect();
        if tensor.shape != wanted {
            wrong.push((tensor, wanted));
        }
    }
    let random = "transformers would fill it with random numbers and only warn";
    // The head is already handled.
    missing.retain(|param| !(param.name == HEAD && findings.iter().any(|finding| finding.code == Code::MissingHead)));
    if !missing.is_empty() && missing.len() == declared.len() {
        let example = found.keys().next().map_or(String::new(), |name| format!(" (the first name there is {name})"));
        let message = said!(
            "none of the {} tensors of a {model_type} model is here{example}: these are the weights of something else. transformers would \
             start from random weights and only warn",
            declared.len()
        );
        let file = view.files.first().map_or("", TensorFile::name);
        findings.push(Finding::new(Code::MissingTensor, message).file(file));
        return;
    }
    for param in missing.iter().take(NAMED) {
        let place = param.layer.map_or(String::new(), |layer| format!(" of layer {layer}"));
        let what = format!("{}{place}", short_name(param));
        let message = said!("{what} is missing; {random}. Get complete weights: it cannot be made up");
        findings.push(Finding::new(Code::MissingTensor, message).tensor(&param.name));
    }
    if missing.len() > NAMED {
        let layers: std::collections::BTreeSet<usize> = missing.iter().filter_map(|param| param.layer).collect();
        let layers = match (layers.first(), layers.last()) {
            (Some(first), Some(last)) if first == last => format!(", in layer {first}"),
            (Some(first), Some(last)) => format!(", in layers {first} to {last}"),
            _ => String::new(),
        };
        let message = said!("{} more tensors are missing{layers} ({} of {} in all)", missing.len() - NAMED, missing.len(), declared.len());
        findings.push(Finding::new(Code::MissingTensor, message));
    }
    for (tensor, wanted) in wrong.iter().take(NAMED) {
        let message = said!("has the shape {:?}, config.json asks for {wanted:?}; transformers stops with a size mismatch", tensor.shape);
        findings.push(Finding::new(Code::WrongShape, message).file(view.file_of(tensor)).tensor(&tensor.name));
    }
    if wrong.len() > NAMED {
        let message = said!("{} more tensors have other shapes than config.json asks for", wrong.len() - NAMED);
        findings.push(Finding::new(Code::WrongShape, message));
    }
    if let Some((name, tensor)) = found.first_key_value() {
        let more = match found.len() {
            1 => String::new(),
            n => format!(", nor are {} others", n - 1),
        };
        let message = said!(
            "is not a tensor of the {model_type} model of {} layers that config.json declares{more}; transformers would leave it out and only warn",
            config.num_hidden_layers
        );
        findings.push(Finding::new(Code::UnexpectedTensor, message).file(view.file_of(tensor)).tensor(*name));
    }
}

/// The short name of a parameter: `mlp.up_proj` for `model.layers.1.mlp.up_proj.weight`.
fn short_name(param: &ParamDecl) -> &str {
    let name = param.name.strip_suffix(".weight").unwrap_or(&param.name);
    match param.layer {
        Some(layer) => name.split_once(&format!(".{layer}.")).map_or(name, |(_, rest)| rest),
        None => name,
    }
}

/// The names that LoRA can adapt, in the order of a layer.
pub(super) fn lora_targets(params: &[ParamDecl]) -> Vec<String> {
    let mut targets: Vec<String> = Vec::new();
    for param in params.iter().filter(|param| param.kind == crate::model::ParamKind::Linear) {
        let module = param.name.strip_suffix(".weight").unwrap_or(&param.name);
        let last = module.rsplit('.').next().unwrap_or(module);
        if !targets.iter().any(|known| known == last) {
            targets.push(last.to_string());
        }
    }
    targets
}
