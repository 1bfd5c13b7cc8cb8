//! Determines the architecture from config.json and from the tensors.

use serde_json::{Value, json};

use super::base::Base;
use super::code::Code;
use super::infer::{self, leaf};
use super::layout;
use super::repair::Repair;
use super::report::Finding;
use super::said::{Said, said};
use super::view::View;
use crate::model::config::CONFIG_FILE as CONFIG;
use crate::model::{Architecture, ModelConfig};

/// `model_type`s that are not causal language models: encoders, encoder-decoders, and models for other data than text.
const NOT_CAUSAL: [&str; 40] = [
    "albert",
    "bart",
    "beit",
    "bert",
    "blip",
    "camembert",
    "clip",
    "convnext",
    "deberta",
    "deberta-v2",
    "distilbert",
    "electra",
    "funnel",
    "hubert",
    "layoutlm",
    "led",
    "longformer",
    "longt5",
    "m2m_100",
    "marian",
    "mbart",
    "modernbert",
    "mpnet",
    "mt5",
    "nllb-moe",
    "pegasus",
    "roberta",
    "siglip",
    "swin",
    "t5",
    "t5gemma",
    "umt5",
    "vit",
    "vits",
    "wav2vec2",
    "whisper",
    "xlm-roberta",
    "xlnet",
    "bge",
    "dinov2",
];

/// Other causal language models in transformers than the supported ones. Many have llama's tensor names but compute something else, so an
/// unregistered one must never be taken for llama.
const OTHER_CAUSAL: [&str; 58] = [
    "apertus",
    "arcee",
    "baichuan",
    "bamba",
    "bitnet",
    "bloom",
    "chatglm",
    "codegen",
    "cohere",
    "cohere2",
    "dbrx",
    "deepseek",
    "deepseek_v2",
    "deepseek_v3",
    "ernie4_5",
    "exaone",
    "exaone4",
    "falcon",
    "falcon_h1",
    "falcon_mamba",
    "gemma",
    "gemma2",
    "gemma3n",
    "glm",
    "glm4",
    "gpt_bigcode",
    "gpt_neo",
    "gpt_neox",
    "gpt_oss",
    "gptj",
    "granite",
    "granitemoe",
    "helium",
    "internlm2",
    "internlm3",
    "jamba",
    "lfm2",
    "mamba",
    "mamba2",
    "minicpm",
    "minicpm3",
    "ministral",
    "mixtral",
    "mpt",
    "nemotron",
    "olmo",
    "olmo2",
    "olmo3",
    "opt",
    "persimmon",
    "phi",
    "phimoe",
    "qwen",
    "qwen2_moe",
    "qwen3_moe",
    "smollm3",
    "stablelm",
    "starcoder2",
];

fn supported() -> String {
    Architecture::all().map(Architecture::model_type).collect::<Vec<_>>().join(", ")
}

/// The tensor that identifies an architecture, for the message.
fn evidence(view: &View, architecture: Architecture) -> Option<(String, &'static str)> {
    let what = architecture.declaration().signature?;
    view.tensors.iter().find(|tensor| tensor.name.contains(what)).map(|tensor| (tensor.name.clone(), what))
}

/// Reports why no architecture was determined.
fn stop(findings: &mut Vec<Finding>, code: Code, message: Said) -> Option<Architecture> {
    findings.push(Finding::new(code, message).file(CONFIG));
    None
}

/// Sets `model_type` in the view and reports the reason.
fn write(
    view: &mut View,
    findings: &mut Vec<Finding>,
    code: Code,
    message: Said,
    architecture: Architecture,
    more: Vec<(String, Value)>,
) -> Option<Architecture> {
    let mut fields = vec![("model_type".to_string(), json!(architecture.model_type()))];
    fields.extend(more);
    let repair = Repair::SetConfig(fields);
    view.apply(&repair);
    findings.push(Finding::new(code, message).file(CONFIG).repair(repair));
    Some(architecture)
}

/// Determines the architecture and repairs `model_type` in the view; `None` when it is unknown or cannot be trained.
pub(super) fn decide(view: &mut View, base: Option<&Base>, findings: &mut Vec<Finding>) -> Option<Architecture> {
    let families = infer::families(view);
    let class = view.config.get("architectures").and_then(|list| list.get(0)).and_then(Value::as_str).map(str::to_string);
    let by_class = class.as_deref().and_then(|class| Architecture::all().find(|a| a.class_name() == class));
    // Several families share their tensor names (llama and mistral), so other information decides.
    let preferred = [base.and_then(Base::architecture), by_class].into_iter().flatten().find(|a| families.contains(a));
    let by_tensors = preferred.or_else(|| families.first().copied());

    let Some(model_type) = view.config.get("model_type").filter(|value| !value.is_null()) else {
        let elsewhere = "transformers says \"Unrecognized model … Should have a `model_type` key in its config.json\"";
        return match (by_class, by_tensors) {
            (Some(a), _) if families.is_empty() || families.contains(&a) => {
                let message =
                    said!("model_type is missing ({elsewhere}); architectures says {}, so it is {}", a.class_name(), a.model_type());
                write(view, findings, Code::MissingModelType, message, a, vec![])
            }
            (_, Some(a)) => {
                let message = said!("model_type is missing ({elsewhere}); the names of the tensors are those of {}", a.model_type());
                write(view, findings, Code::MissingModelType, message, a, vec![])
            }
            _ => {
                let message = said!(
                    "model_type is missing ({elsewhere}), and neither architectures nor the tensors tell it; supported: {}",
                    supported()
                );
                findings.push(Finding::new(Code::MissingModelType, message).file(CONFIG));
                None
            }
        };
    };
    let Some(model_type) = model_type.as_str().map(str::to_string) else {
        let message = said!("model_type must be a text in quotes, one of {}", supported());
        let finding = Finding::new(Code::WrongFieldType, message).file(CONFIG);
        let Some(a) = by_tensors else {
            findings.push(finding);
            return None;
        };
        return write(
            view,
            findings,
            Code::WrongFieldType,
            said!("{}; the tensors are those of {}", finding.message, a.model_type()),
            a,
            vec![],
        );
    };
    if let Some(architecture) = Architecture::from_model_type(&model_type) {
        return match by_tensors {
            Some(other) if !families.contains(&architecture) && !infer::differ_in_fusion_only(architecture, other) => {
                let (seen, tensor) = match evidence(view, other) {
                    Some((tensor, what)) => (format!("{what} is present"), Some(tensor)),
                    None => match evidence_against(view, architecture) {
                        Some(what) => (format!("{what} is missing"), None),
                        None => ("their names say so".to_string(), None),
                    },
                };
                let message = said!(
                    "model_type is {model_type}, but the tensors are those of {}: {seen}. transformers would leave tensors out or make \
                     random ones and say so only in a warning",
                    other.model_type()
                );
                let architecture = write(view, findings, Code::WrongModelType, message, other, vec![]);
                if let (Some(finding), Some(tensor)) = (findings.last_mut(), tensor) {
                    finding.tensor = Some(tensor);
                }
                architecture
            }
            _ => Some(architecture),
        };
    }
    if NOT_CAUSAL.contains(&model_type.as_str()) {
        return stop(
            findings,
            Code::NotCausal,
            said!("{model_type} is not a causal language model, and only those can be trained here ({})", supported()),
        );
    }
    if let Some(architecture) = Architecture::all().find(|a| a.declaration().text_part_of == Some(model_type.as_str())) {
        return text_part(view, architecture, &model_type, findings);
    }
    let nearest = Architecture::all()
        .map(|a| (strsim::jaro_winkler(&model_type, a.model_type()), a.model_type()))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(similarity, _)| *similarity > 0.75);
    let known_elsewhere = OTHER_CAUSAL.contains(&model_type.as_str());
    let needs_code = view.config.contains_key("auto_map");
    match by_tensors {
        Some(a) if !known_elsewhere && needs_code => {
            let message = said!(
                "auto_map asks to run Python code that comes with the model (\"{model_type}\"), which is never done; the tensors are exactly \
                 those of {}, so it is read as that. Whether the code computes the same cannot be seen: check the loss afterwards",
                a.model_type()
            );
            write(view, findings, Code::RemoteCode, message, a, vec![("auto_map".into(), Value::Null)])
        }
        Some(a) if !known_elsewhere => {
            let message = said!("model_type \"{model_type}\" is not known anywhere; the tensors are exactly those of {}", a.model_type());
            write(view, findings, Code::UnknownModelType, message, a, vec![])
        }
        _ if needs_code => stop(
            findings,
            Code::RemoteCode,
            said!(
                "auto_map asks to run Python code that comes with the model (\"{model_type}\"), which is never done; supported: {}",
                supported()
            ),
        ),
        _ if known_elsewhere => stop(
            findings,
            Code::UnknownModelType,
            said!("transformers knows {model_type}, but it cannot be trained here; supported: {}", supported()),
        ),
        _ => {
            let hint = nearest.map_or(String::new(), |(_, name)| format!(" The nearest is {name}."));
            stop(
                findings,
                Code::UnknownModelType,
                said!("model_type \"{model_type}\" is not known, and the tensors show none that is; supported: {}.{hint}", supported()),
            )
        }
    }
}

/// A tensor that the declared architecture requires and the view lacks.
fn evidence_against(view: &View, declared: Architecture) -> Option<&'static str> {
    let what = declared.declaration().signature?;
    view.tensors.iter().all(|tensor| !leaf(&tensor.name).0.contains(what)).then_some(what)
}

/// Handles a multimodal model, such as Gemma 3 with its vision part, whose language model has this architecture.
fn text_part(view: &mut View, architecture: Architecture, model_type: &str, findings: &mut Vec<Finding>) -> Option<Architecture> {
    let vision = |name: &str| {
        ["vision_tower.", "multi_modal_projector.", "model.vision_tower.", "model.multi_modal_projector."]
            .iter()
            .any(|beginning| name.starts_with(beginning))
    };
    let message = said!(
        "this is {model_type}, the model with a vision part; only its language model, a {}, can be trained here",
        architecture.model_type()
    );
    let Some(Value::Object(text)) = view.config.get("text_config").cloned() else {
        findings.push(Finding::new(Code::VisionPart, said!("{message}, and config.json lacks its text_config")).file(CONFIG));
        return None;
    };
    let mut fields: Vec<(String, Value)> = view
        .config
        .keys()
        .filter(|key| key.contains("vision") || key.contains("image") || key.as_str() == "text_config" || key.starts_with("mm_"))
        .map(|key| (key.clone(), Value::Null))
        .collect();
    fields.extend(text);
    fields.retain(|(key, _)| key != "model_type" && key != "architectures");
    fields.push(("model_type".into(), json!(architecture.model_type())));
    fields.push(("architectures".into(), json!([architecture.class_name()])));
    let repair = Repair::SetConfig(fields);
    view.apply(&repair);
    findings.push(Finding::new(Code::VisionPart, message).file(CONFIG).repair(repair));
    let names: Vec<String> = view.tensors.iter().map(|tensor| tensor.name.clone()).filter(|name| vision(name)).collect();
    if !names.is_empty() {
        let message = said!("{} tensors of the vision part are left out", names.len());
        let repair = Repair::Drop(names);
        view.apply(&repair);
        findings.push(Finding::new(Code::VisionPart, message).repair(repair));
    }
    Some(architecture)
}

/// Whether the base's configuration declares exactly these tensors, once they are stored as its architecture requires.
pub(super) fn fits_base(view: &View, base: &Base) -> bool {
    let Some(architecture) = base.architecture() else { return false };
    let mut stored = view.clone();
    layout::normalise(&mut stored, architecture, &mut Vec::new());
    base.has_the_same_tensors(&stored)
}

/// Replaces an unreadable configuration by the base's, and makes that the repair of the finding.
pub(super) fn config_of_base(view: &mut View, base: Option<&Base>, findings: &mut [Finding]) -> Option<Architecture> {
    let base = base?;
    view.config = base.view.config.clone();
    if let Some(finding) = findings.iter_mut().find(|finding| finding.code == Code::InvalidJson) {
        finding.message = said!("{}; names and shapes of the tensors are those of the base, so its config.json fits", finding.message);
        finding.repair = Some(Repair::ConfigFromBase);
    }
    base.architecture()
}

/// Handles weights without config.json: takes the base's configuration, or derives one from the tensors.
pub(super) fn without_config(view: &mut View, base: Option<&Base>, findings: &mut Vec<Finding>) -> Option<Architecture> {
    let elsewhere = "transformers says \"Unrecognized model … Should have a `model_type` key in its config.json\"";
    if let Some(base) = base
        && let Some(architecture) = base.architecture()
        && fits_base(view, base)
    {
        view.config = base.view.config.clone();
        let message = said!(
            "there are weights but no config.json ({elsewhere}); names and shapes are those of the base {}, so its config.json fits",
            base.dir.label()
        );
        findings.push(Finding::new(Code::MissingConfig, message).file(CONFIG).repair(Repair::ConfigFromBase));
        return Some(architecture);
    }
    let families = infer::families(view);
    let from_base = base.and_then(Base::architecture).filter(|a| families.contains(a));
    let Some(architecture) = from_base.or_else(|| families.first().copied()) else {
        let message = said!(
            "there are weights but no config.json ({elsewhere}), and their names are those of no supported architecture; copy it from the base model"
        );
        findings.push(Finding::new(Code::MissingConfig, message).file(CONFIG));
        return None;
    };
    let shapes = infer::shapes(view, architecture);
    let mut fields = vec![
        ("architectures".to_string(), json!([architecture.class_name()])),
        ("model_type".to_string(), json!(architecture.model_type())),
        ("tie_word_embeddings".to_string(), json!(!shapes.has_head)),
    ];
    fields.extend(shapes.biases.iter().map(|(bias, present)| (bias.key.to_string(), json!(present))));
    let keys = architecture.declaration().keys;
    fields.extend(keys.from_tensors.iter().filter_map(|key| Some(((*key).to_string(), shapes.field(keys, key)?))));
    let message = said!(
        "there are weights but no config.json ({elsewhere}); the tensors are those of {}. Copy it from the base model (--base DIR): what \
         they do not show (norm epsilon, activation, windows) is assumed to be the architecture's default otherwise",
        architecture.model_type()
    );
    let repair = Repair::SetConfig(fields);
    view.apply(&repair);
    findings.push(Finding::new(Code::MissingConfig, message).file(CONFIG).repair(repair));
    Some(architecture)
}

/// Checks `architectures` against `model_type`.
pub(super) fn check_class(config: &ModelConfig, view: &mut View, findings: &mut Vec<Finding>) {
    let wanted = config.architecture.class_name();
    let message = match view.config.get("architectures") {
        Some(Value::Array(list)) if list.iter().any(|class| class.as_str() == Some(wanted)) => return,
        Some(other) if !other.is_null() => {
            said!(
                "architectures is {other}, but model_type {} belongs to {wanted}; transformers goes by model_type, vLLM and others do not",
                config.architecture.model_type()
            )
        }
        _ => said!("architectures is missing; transformers does without, vLLM and others want {wanted}"),
    };
    let repair = Repair::SetConfig(vec![("architectures".into(), json!([wanted]))]);
    view.apply(&repair);
    findings.push(Finding::new(Code::WrongArchitectures, message).file(CONFIG).repair(repair));
}
