//! Checks how the matrices are stored: quantised, empty, transposed, fused or split.

use std::collections::BTreeMap;

use serde_json::Value;

use super::code::Code;
use super::infer::{embedding_name, leaf};
use super::quantised;
use super::repair::Repair;
use super::report::Finding;
use super::said::said;
use super::view::{Tensor, View};
use crate::checkpoint::{Dtype, dtype_name};
use crate::model::Architecture;
use crate::model::declaration::Projection;

/// Reports quantised and empty tensors. Returns false if the weights cannot be checked any further.
pub(super) fn usable(view: &mut View, findings: &mut Vec<Finding>) -> bool {
    if let Some(finding) = quantised::find(view) {
        let ends = finding.repair.is_none();
        findings.push(finding);
        if ends {
            return false;
        }
    }
    let empty: Vec<&Tensor> = view.tensors.iter().filter(|tensor| tensor.elements() == 0).collect();
    if let Some(tensor) = empty.first() {
        let others = match empty.len() {
            1 => "is".to_string(),
            n => format!("and {} more tensors are", n - 1),
        };
        let message = said!(
            "{others} empty: the model was saved under DeepSpeed ZeRO-3 without gathering its parameters. The numbers are not in this file; \
             run zero_to_fp32.py in the run's checkpoint, or save again with stage3_gather_16bit_weights_on_model_save"
        );
        findings.push(Finding::new(Code::EmptyTensors, message).file(view.file_of(tensor)).tensor(&tensor.name));
        return false;
    }
    let readable = |dtype: Dtype| dtype_name(dtype).is_some() || dtype == Dtype::F64;
    let odd: Vec<&Tensor> = view.tensors.iter().filter(|tensor| !readable(tensor.dtype)).collect();
    if let Some(tensor) = odd.first() {
        let others = if odd.len() > 1 { format!(" (as do {} more)", odd.len() - 1) } else { String::new() };
        let types = format!("{}{others}", tensor.dtype);
        let message = said!(
            "holds {types}, and nothing in config.json says how it was quantised; transformers would take these numbers for weights. \
             Get the weights in F32, F16 or BF16"
        );
        findings.push(Finding::new(Code::OddDtype, message).file(view.file_of(tensor)).tensor(&tensor.name));
        return false;
    }
    true
}

/// Undoes transposition, fusion and splitting that differ from the architecture's layout.
pub(super) fn normalise(view: &mut View, architecture: Architecture, findings: &mut Vec<Finding>) {
    // Join or split before undoing transposition: fused projections are split by rows.
    let declaration = architecture.declaration();
    if declaration.has_projection("qkv_proj") {
        join(view, architecture, findings);
    } else if declaration.has_projection("q_proj") {
        split(view, findings);
    }
    transposed(view, architecture, findings);
}

/// The projection whose weight has this name.
fn projection_of(architecture: Architecture, name: &str) -> Option<&'static Projection> {
    let module = name.strip_suffix(".weight")?;
    architecture.declaration().tensors.projections.iter().find(|projection| module.ends_with(projection.module))
}

fn transposed(view: &mut View, architecture: Architecture, findings: &mut Vec<Finding>) {
    let Some(hidden) =
        view.get(embedding_name(architecture)).or_else(|| view.get("lm_head.weight")).and_then(|tensor| tensor.shape.get(1)).copied()
    else {
        return;
    };
    // Stored as (out, in), except that gpt2 stores (in, out).
    let conv = architecture.declaration().tensors.transposed;
    let in_layer = |name: &str| leaf(name).1.is_some();
    // `Some(true)`: the dimensions are swapped; `None`: a square matrix, or neither dimension fits.
    let swapped = |tensor: &Tensor| {
        let projection = projection_of(architecture, &tensor.name)?;
        let &[rows, cols] = tensor.shape.as_slice() else { return None };
        let (right, wrong) = if projection.reads_hidden != conv { (cols, rows) } else { (rows, cols) };
        (rows != cols && (right == hidden || wrong == hidden)).then_some(right != hidden)
    };
    let judged: Vec<(&Tensor, Option<bool>)> =
        view.tensors.iter().filter(|tensor| in_layer(&tensor.name)).map(|tensor| (tensor, swapped(tensor))).collect();
    let (wrong, right) =
        (judged.iter().filter(|(_, s)| *s == Some(true)).count(), judged.iter().filter(|(_, s)| *s == Some(false)).count());
    if wrong == 0 {
        return;
    }
    // Square matrices are ambiguous: they count as swapped if all others are.
    let names: Vec<String> = judged
        .iter()
        .filter(|(tensor, swapped)| {
            projection_of(architecture, &tensor.name).is_some()
                && tensor.shape.len() == 2
                && (*swapped == Some(true) || (right == 0 && swapped.is_none()))
        })
        .map(|(tensor, _)| tensor.name.clone())
        .collect();
    let Some(first) = names.first().and_then(|name| view.get(name)) else { return };
    let layout = if conv { "(in, out), as GPT-2's Conv1D has it" } else { "(out, in)" };
    let others = if names.len() > 1 { format!(" (and {} more)", names.len() - 1) } else { String::new() };
    let message = said!(
        "has the shape {:?}, which is transposed{others}: {} stores {layout}; transformers stops with a size mismatch",
        first.shape,
        architecture.model_type()
    );
    let repair = Repair::Transpose(names.clone());
    findings.push(Finding::new(Code::Transposed, message).file(view.file_of(first)).tensor(&first.name).repair(repair.clone()));
    view.apply(&repair);
}

/// Splits fused projections of an architecture that has separate ones.
fn split(view: &mut View, findings: &mut Vec<Finding>) {
    let mut fused = Vec::new();
    let mut unclear = None;
    for tensor in view.tensors.iter() {
        let Some((stem, kind)) = tensor.name.rsplit_once('.') else { continue };
        let rows = tensor.shape.first().copied().unwrap_or(0);
        if let Some(front) = stem.strip_suffix("qkv_proj") {
            // The number of columns of the output projection equals the queries' width.
            let output = view.get(&format!("{front}o_proj.weight")).and_then(|tensor| tensor.shape.get(1)).copied();
            match output.filter(|query| rows > *query && (rows - query).is_multiple_of(2)) {
                Some(query) => {
                    let rest = (rows - query) / 2;
                    let part = |name: &str, rows| (format!("{front}{name}.{kind}"), rows);
                    fused.push((tensor.name.clone(), vec![part("q_proj", query), part("k_proj", rest), part("v_proj", rest)]));
                }
                None => unclear = Some(tensor.name.clone()),
            }
        } else if let Some(front) = stem.strip_suffix("gate_up_proj")
            && rows.is_multiple_of(2)
        {
            let part = |name: &str| (format!("{front}{name}.{kind}"), rows / 2);
            fused.push((tensor.name.clone(), vec![part("gate_proj"), part("up_proj")]));
        }
    }
    let Some(name) = fused.first().map(|(name, _)| name.clone()).or(unclear) else { return };
    let file = view.get(&name).map(|tensor| view.file_of(tensor).to_string()).unwrap_or_default();
    let message = said!(
        "is a fused projection ({} of them), which this architecture has in parts; transformers would make random parts and only warn. It is \
         assumed that queries, keys and values (and gate before up) lie one below the other, as in phi3",
        fused.len()
    );
    let finding = Finding::new(Code::FusedProjection, message).file(file).tensor(name);
    if fused.is_empty() {
        findings.push(finding);
        return;
    }
    let repair = Repair::Split(fused);
    view.apply(&repair);
    findings.push(finding.repair(repair));
}

/// Joins separate projections for an architecture that has fused ones.
fn join(view: &mut View, architecture: Architecture, findings: &mut Vec<Finding>) {
    let mut groups: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (parts, whole) in [(&["q_proj", "k_proj", "v_proj"][..], "qkv_proj"), (&["gate_proj", "up_proj"], "gate_up_proj")] {
        for tensor in view.tensors.iter() {
            let Some((stem, kind)) = tensor.name.rsplit_once('.') else { continue };
            let Some(front) = stem.strip_suffix(parts[0]).filter(|front| front.ends_with('.')) else { continue };
            let names: Vec<String> = parts.iter().map(|part| format!("{front}{part}.{kind}")).collect();
            let found: Vec<&Tensor> = names.iter().filter_map(|name| view.get(name)).collect();
            if found.len() == names.len()
                && found.iter().all(|tensor| tensor.shape.get(1) == found[0].shape.get(1) && tensor.dtype == found[0].dtype)
            {
                groups.insert(format!("{front}{whole}.{kind}"), names);
            }
        }
    }
    let Some(first) = groups.values().next().map(|names| names[0].clone()) else { return };
    let file = view.get(&first).map(|tensor| view.file_of(tensor).to_string()).unwrap_or_default();
    let message = said!(
        "is a part of what {} has fused ({} such groups); transformers would make random fused projections and only warn",
        architecture.model_type(),
        groups.len()
    );
    let repair = Repair::Join(groups.into_iter().map(|(whole, parts)| (parts, whole)).collect());
    view.apply(&repair);
    findings.push(Finding::new(Code::SplitProjection, message).file(file).tensor(first).repair(repair));
}

/// lora_alpha / r of an adapter's configuration, if it is the same for all modules.
pub(super) fn lora_scale(config: &serde_json::Map<String, Value>) -> Option<f64> {
    let varies = |key: &str| config.get(key).and_then(Value::as_object).is_some_and(|pattern| !pattern.is_empty());
    if varies("rank_pattern") || varies("alpha_pattern") {
        return None;
    }
    let (alpha, r) = (config.get("lora_alpha")?.as_f64()?, config.get("r")?.as_f64()?);
    let rank_stabilised = config.get("use_rslora").and_then(Value::as_bool).unwrap_or(false);
    (r > 0.0).then(|| if rank_stabilised { alpha / r.sqrt() } else { alpha / r })
}

/// Whether all second factors of LoRA (`lora_B`) are zero, as before training.
pub(super) async fn factors_are_zero(view: &View) -> bool {
    for tensor in view.tensors.iter().filter(|tensor| tensor.name.contains(".lora_B.") || tensor.name.contains(".lora_embedding_B")) {
        let rows = if tensor.shape.len() == 2 { tensor.shape[0] } else { 1 };
        match view.rows(tensor, 0..rows).await {
            Ok(numbers) if numbers.iter().all(|number| *number == 0.0) => {}
            _ => return false,
        }
    }
    true
}
