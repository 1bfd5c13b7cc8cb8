//! Normalises tensor names: removes prefixes that training wrappers added, so that the other rules see the model's own names.

use super::code::Code;
use super::repair::Repair;
use super::report::Finding;
use super::said::said;
use super::view::View;
use crate::checkpoint::{is_buffer, is_other_head};

/// Prefixes that wrappers add to every name, with the wrapper.
const PREFIXES: [(&str, &str); 5] = [
    ("module.", "DataParallel, DDP or DeepSpeed"),
    ("_forward_module.", "Lightning Fabric"),
    ("pretrained_model.", "TRL's value head"),
    ("base_model.model.", "PEFT"),
    ("language_model.", "a model with a vision part"),
];
/// Name components that wrappers add before the name of any module, also a nested one.
const INSIDE: [(&str, &str); 4] = [
    ("_orig_mod.", "torch.compile"),
    ("_fsdp_wrapped_module.", "FSDP"),
    ("_checkpoint_wrapped_module.", "activation checkpointing"),
    ("model.language_model.", "a model with a vision part"),
];

/// Whether `holds` is true for more than half of the names: a wrapper changes all names of a model.
fn most(view: &View, holds: impl Fn(&str) -> bool) -> bool {
    // The vision part of a multimodal model has names of its own.
    let counted = || view.tensors.iter().filter(|tensor| !tensor.name.contains("vision_tower."));
    2 * counted().filter(|tensor| holds(&tensor.name)).count() > counted().count()
}

/// Removes the prefixes of wrappers.
pub(super) fn unwrap(view: &mut View, findings: &mut Vec<Finding>) {
    view.tensors.edit().retain(|tensor| !is_buffer(&tensor.name));
    // Each round removes one level of wrapping.
    for _ in 0..8 {
        let Some(finding) = wrapped(view) else { break };
        if let Some(repair) = &finding.repair {
            view.apply(repair);
        }
        findings.push(finding);
    }
    unmerged(view, findings);
    other_heads(view, findings);
    if let Some(finding) = base_prefix(view) {
        findings.extend(finding);
    }
}

/// The outermost wrapper, if there is one.
fn wrapped(view: &View) -> Option<Finding> {
    let first = |holds: &dyn Fn(&str) -> bool| view.tensors.iter().find(|tensor| holds(&tensor.name));
    let say = |code, part: &str, who: &str, tensor: &super::view::Tensor, repair| {
        let carrying = view.tensors.iter().filter(|tensor| tensor.name.contains(part)).count();
        let all = view.tensors.len();
        let names = if carrying == all { format!("all {all} names carry") } else { format!("{carrying} of {all} names carry") };
        let message = said!(
            "{names} \"{part}\", left behind by {who}. transformers would take none of these tensors, start from random weights and \
             say so only in a warning; save the unwrapped model, or let the prefix be stripped"
        );
        Some(Finding::new(code, message).file(view.file_of(tensor)).tensor(&tensor.name).repair(repair))
    };
    for (prefix, who) in PREFIXES {
        let carries = |name: &str| name.starts_with(prefix);
        // DDP around a model with a value head: the head's name has no "pretrained_model.".
        if most(view, carries)
            && let Some(tensor) = first(&carries)
        {
            return say(Code::WrapperPrefix, prefix, who, tensor, Repair::StripPrefix(prefix.into()));
        }
    }
    for (part, who) in INSIDE {
        let carries = |name: &str| match name.find(part) {
            Some(at) => at == 0 || name.as_bytes()[at - 1] == b'.',
            None => false,
        };
        if let Some(tensor) = first(&carries) {
            let taken = part.strip_prefix("model.").unwrap_or(part);
            return say(Code::WrapperPrefix, taken, who, tensor, Repair::StripInside(taken.into()));
        }
    }
    let doubled = |name: &str| name.starts_with("model.model.");
    if most(view, doubled)
        && let Some(tensor) = first(&doubled)
    {
        let message = "the names begin with \"model.\" twice. transformers 5 loads this, version 4 takes random weights and only warns; \
                       one \"model.\" must go";
        let finding = Finding::new(Code::DoubledPrefix, message).file(view.file_of(tensor)).tensor(&tensor.name);
        return Some(finding.repair(Repair::StripPrefix("model.".into())));
    }
    None
}

/// Adds the prefix of the base model where it is missing. `Some(None)`: added without a finding, since every reader accepts its absence.
fn base_prefix(view: &mut View) -> Option<Option<Finding>> {
    let begins =
        |beginnings: &[&str]| view.tensors.iter().find(|tensor| beginnings.iter().any(|beginning| tensor.name.starts_with(beginning)));
    // GPT-2 as published by its authors lacks the prefix, and every version of transformers accepts that.
    if begins(&["transformer."]).is_none() && begins(&["wte.weight", "h.0.attn.", "h.0.ln_1."]).is_some() {
        view.apply(&Repair::AddPrefix("transformer.".into()));
        return Some(None);
    }
    if begins(&["model."]).is_some() {
        return None;
    }
    let tensor = begins(&["layers.", "embed_tokens."])?;
    let message = "the names lack \"model.\": the base model was saved instead of the causal language model. transformers 5 loads this, \
                   version 4 says \"The state dictionary of the model you are trying to load is corrupted\"; \"model.\" must be put in front";
    let repair = Repair::AddPrefix("model.".into());
    let finding = Finding::new(Code::MissingPrefix, message).file(view.file_of(tensor)).tensor(&tensor.name).repair(repair.clone());
    view.apply(&repair);
    Some(Some(finding))
}

/// Handles the state of a PEFT model that was saved without merging.
fn unmerged(view: &mut View, findings: &mut Vec<Finding>) {
    let is_factor = |name: &str| name.contains(".lora_");
    let Some(tensor) = view.tensors.iter().find(|tensor| is_factor(&tensor.name) || tensor.name.contains(".base_layer.")) else { return };
    let (file, name) = (view.file_of(tensor).to_string(), tensor.name.clone());
    let factors = view.tensors.iter().filter(|tensor| is_factor(&tensor.name)).count();
    let message = match factors {
        0 => "this is the state of a PEFT model without its adapter (base_layer in the names). transformers would start from random \
              weights with only a warning; the names must lose base_layer"
            .into(),
        n => said!(
            "this is the state of a PEFT model that was not merged: {n} LoRA factors stand beside their base layers. transformers would \
             start from random weights with only a warning; call merge_and_unload() before saving"
        ),
    };
    let finding = Finding::new(Code::UnmergedPeft, message).file(file).tensor(name);
    let repair = if factors == 0 { Repair::StripInside("base_layer.".into()) } else { Repair::MergeLora { scale: view.lora_scale } };
    // DoRA magnitudes and embedding factors: leaving them out would silently change the model.
    let other = view.tensors.iter().find(|t| is_factor(&t.name) && !t.name.contains(".lora_A.") && !t.name.contains(".lora_B."));
    findings.push(if let Some(other) = other {
        let message = said!(
            "{}. {} is none of the plain factors A and B (is it DoRA, or an adapter on an embedding?), and only these are merged here",
            finding.message, other.name
        );
        Finding { message, ..finding }
    } else if factors == 0 || view.lora_scale.is_some() {
        finding.repair(repair.clone())
    } else {
        let message = said!(
            "{}. No scale (lora_alpha / r) is known that holds for all: put the run's adapter_config.json beside them and they can be merged here",
            finding.message
        );
        Finding { message, ..finding }
    });
    view.apply(&repair);
}

fn other_heads(view: &mut View, findings: &mut Vec<Finding>) {
    let names: Vec<String> = view.tensors.iter().filter(|tensor| is_other_head(&tensor.name)).map(|tensor| tensor.name.clone()).collect();
    let Some(tensor) = names.first().and_then(|name| view.get(name)) else { return };
    let message = "this is a reward or value head, which a language model does not have; it is ignored (transformers says \"Some weights \
                   of the model checkpoint were not used\")";
    let repair = Repair::Drop(names);
    findings.push(Finding::new(Code::ValueHead, message).file(view.file_of(tensor)).tensor(&tensor.name).repair(repair.clone()));
    view.apply(&repair);
}
