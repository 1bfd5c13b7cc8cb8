//! Validates a directory that holds only an adapter. Alone it is no model; with the base that it fits, or judged as an adapter, it is ready
//! when nothing is wrong with it.

use std::rc::Rc;

use super::base::Base;
use super::code::{Code, Severity};
use super::repair::Repair;
use super::report::Finding;
use super::said::said;
use crate::adapter::ADAPTER_CONFIG;
use crate::adapter::Adapter;
use crate::adapter::format::read_config;
use crate::checkpoint::{Checkpoint, TensorFile};
use crate::error::Error;
use crate::platform::{Directory, Entry};

/// The finding that a whole model was given where an adapter is expected.
pub(super) fn whole_model(label: &str) -> Finding {
    let message = said!(
        "this is a whole model, not an adapter (PEFT says \"Can't find '{ADAPTER_CONFIG}' at …\"); give it as the base: \
         model_name_or_path: {label} in a recipe, or --model {label}"
    );
    Finding::new(Code::FullModelAsAdapter, message)
}

/// Checks the adapter in `dir`, after the finding that it is one; with a valid base it can also be merged. `expected`: the caller wants an
/// adapter, so that it is one is no fault.
pub(super) async fn check(dir: &Rc<dyn Directory>, entries: &[Entry], base: Option<&Base>, expected: bool, findings: &mut Vec<Finding>) {
    let before = findings.len();
    if expected && let Some(finding) = findings.iter_mut().find(|finding| finding.code == Code::AdapterOnly) {
        finding.severity = Severity::Info;
    }
    if let Err(error) = read_config(&**dir).await {
        findings.push(fault(Code::AdapterConfig, &**dir, error));
        return;
    }
    let weights = entries.iter().find(|entry| entry.name.starts_with("adapter_model."));
    match weights.map(|entry| entry.name.as_str()) {
        Some(name) if name.ends_with(".safetensors") => {
            if let Ok(file) = TensorFile::open(dir.clone(), name).await
                && let Some(tensor) = file.tensors().iter().find(|tensor| tensor.name.contains("attn."))
                && file.tensors().iter().all(|tensor| !tensor.name.contains("lora_"))
            {
                let message = said!(
                    "holds a whole model's {} tensors and no factor of an adapter (lora_A, lora_B): PEFT would load none of them and only warn. \
                     Called model.safetensors beside its config.json it is a model, and can be the base",
                    file.tensors().len()
                );
                findings.push(Finding::new(Code::FullModelAsAdapter, message).file(name).tensor(&tensor.name));
            }
        }
        Some(name) => {
            let message =
                "is a Python pickle, which can run code when it is loaded; save the adapter as safetensors (save_pretrained does)";
            findings.push(Finding::new(Code::AdapterWeights, message).file(name));
        }
        None => {
            let message = "there is adapter_config.json but no adapter_model.safetensors; copy it here";
            findings.push(Finding::new(Code::AdapterWeights, message));
        }
    }
    if findings.len() > before {
        return;
    }
    let Some(base) = base else {
        if expected && let Some(finding) = findings.iter_mut().find(|finding| finding.code == Code::AdapterOnly) {
            finding.message = said!("{}. Whether it fits that model shows with --base DIR", finding.message);
        }
        return;
    };
    let opened = match Checkpoint::open(base.dir.clone()).await {
        Ok(checkpoint) => Adapter::open(dir.clone(), &checkpoint).await.map_err(|error| fault(Code::AdapterWeights, &**dir, error)),
        Err(error) => Err(Finding::new(Code::OtherBase, said!("the base cannot be used: {error}"))),
    };
    match opened {
        Ok(adapter) => {
            for note in adapter.notes {
                findings.push(Finding::new(Code::OtherBase, note));
            }
            if let Some(finding) = findings.iter_mut().find(|finding| finding.code == Code::AdapterOnly) {
                finding.severity = Severity::Info;
                finding.message = said!(
                    "this is a LoRA adapter, and all of its {} tensors fit {}: give both (--adapter, or adapter_name_or_path in a recipe), \
                     or merge them into one model: rootstock merge --model {} --adapter {} --out OUT",
                    adapter.params.len(),
                    base.dir.label(),
                    base.dir.label(),
                    dir.label()
                );
                finding.repair = Some(Repair::MergeAdapter);
            }
        }
        Err(finding) => findings.push(finding),
    }
}

fn fault(code: Code, dir: &dyn Directory, error: Error) -> Finding {
    let label = format!("{}/", dir.label());
    let short = |path: String| path.strip_prefix(&label).map(str::to_string).unwrap_or(path);
    match error {
        Error::File { path, reason, .. } => Finding::new(code, reason).file(short(path)),
        Error::Line { path, line, reason, .. } => Finding::new(code, said!("{reason} (line {line})")).file(short(path)),
        Error::Config { file, reason, .. } => Finding::new(code, reason).file(short(file)),
        Error::Tensor { file, tensor, reason, .. } => Finding::new(code, reason).file(short(file)).tensor(tensor),
        other => Finding::new(code, other.to_string()),
    }
}
