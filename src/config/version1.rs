//! Recipes of LLaMA-Factory's version 1 (`model`, `peft_config`, `train_dataset` …), translated into the keys of the table.

use super::entries::{Entry, Origin};
use super::value::Value;
use crate::platform;

/// Keys that only recipes of version 1 have.
const MARKS: &[&str] = &[
    "model",
    "model_class",
    "peft_config",
    "train_dataset",
    "micro_batch_size",
    "global_batch_size",
    "batching_strategy",
    "dist_config",
    "kernel_config",
    "quant_config",
    "optim_config",
    "lr_scheduler_config",
    "init_config",
    "enable_activation_checkpointing",
];

/// Keys that have another name in the table.
const RENAMED: &[(&str, &str)] = &[
    ("model", "model_name_or_path"),
    ("train_dataset", "dataset"),
    ("micro_batch_size", "per_device_train_batch_size"),
    ("enable_activation_checkpointing", "gradient_checkpointing"),
];

/// Fields of `peft_config`, by its name.
const LORA: &[(&str, &str)] = &[
    ("r", "lora_rank"),
    ("lora_alpha", "lora_alpha"),
    ("lora_dropout", "lora_dropout"),
    ("target_modules", "lora_target"),
    ("use_rslora", "use_rslora"),
    ("use_dora", "use_dora"),
    ("modules_to_save", "additional_target"),
    ("adapter_name_or_path", "adapter_name_or_path"),
    ("export_dir", "export_dir"),
    ("export_size", "max_shard_size"),
    ("export_hub_model_id", "export_hub_model_id"),
    ("export_legacy_format", "export_legacy_format"),
    ("infer_dtype", "export_dtype"),
];
const FREEZE: &[(&str, &str)] = &[
    ("freeze_trainable_layers", "freeze_trainable_layers"),
    ("freeze_trainable_modules", "freeze_trainable_modules"),
    ("freeze_extra_modules", "freeze_extra_modules"),
];

/// What version 1 takes for keys that are absent, where the table has another default.
const DEFAULTS: &[(&str, &str)] = &[
    ("per_device_train_batch_size", "1"),
    ("learning_rate", "1e-4"),
    ("lr_scheduler_type", "constant"),
    ("weight_decay", "0.01"),
    ("logging_steps", "1"),
    ("gradient_checkpointing", "true"),
    ("max_new_tokens", "128"),
];

/// Keys that say how to spread a run, or with which kernels.
const MEANS: &[&str] = &[
    "dist_config",
    "kernel_config",
    "init_config",
    "dp_size",
    "cp_size",
    "cp_mode",
    "mp_replicate_size",
    "mp_shard_size",
    "dist_timeout",
    "batching_workers",
    "save_ckpt_as_hf",
    "sample_backend",
];

/// A recipe in the table's keys.
#[derive(Debug, Default)]
pub(super) struct Translated {
    pub(super) entries: Vec<Entry>,
    pub(super) notices: Vec<String>,
    pub(super) faults: Vec<(Entry, String)>,
}

/// Whether a recipe is one of version 1.
pub(super) fn is_meant(list: &[Entry]) -> bool {
    let has = |name: &str| list.iter().any(|entry| entry.key == name);
    !has("model_name_or_path") && MARKS.iter().any(|mark| has(mark))
}

/// Translates a recipe of version 1.
pub(super) fn translate(list: Vec<Entry>) -> Translated {
    let mut to = Translated::default();
    let of = |name: &str| list.iter().find(|entry| entry.key == name).cloned();
    let saves = of("save_steps").is_some_and(|entry| !entry.value.is_off());
    let micro_batch = of("micro_batch_size").and_then(|entry| entry.value.as_integer().ok()).unwrap_or(1);
    let (mut means, mut adapted) = (Vec::new(), false);
    for mut entry in list {
        let off = entry.value.is_off();
        match entry.key.as_str() {
            "peft_config" if off => {}
            "peft_config" => {
                to.peft(&entry);
                adapted = true;
            }
            "global_batch_size" if off => {}
            "global_batch_size" => match entry.value.as_integer() {
                Ok(all) if all > 0 && all % micro_batch.max(1) == 0 => {
                    to.push(&entry, "gradient_accumulation_steps", Value::Integer(all / micro_batch.max(1)));
                }
                _ => to.fault(entry, "it must be a multiple of micro_batch_size"),
            },
            "model_class" => {
                if entry.value.as_text().ok().as_deref() != Some("llm") && !off {
                    to.fault(entry, "only language models (llm) are trained");
                }
            }
            "quant_config" if off => {}
            "quant_config" => to.quantised(&entry),
            "optim_config" if off => {}
            "optim_config" => to.optimiser(&entry),
            "lr_scheduler_config" if off => {}
            "lr_scheduler_config" => to.fault(entry, "not known: write the schedule as lr_scheduler_type"),
            "custom_chat_template" if off => {}
            "custom_chat_template" => to.fault(entry, "not supported: put the template into the model's directory as chat_template.jinja"),
            "save_epochs" if off => {}
            "save_epochs" if entry.value.as_number() == Ok(1.0) => to.push(&entry, "save_strategy", Value::Text("epoch".into())),
            "save_epochs" => to.fault(entry, "only 1, the end of each epoch, is supported; use save_steps"),
            "resume_from_checkpoint" if entry.value.as_text().ok().as_deref() == Some("auto") => {
                entry.value = Value::Bool(true);
                to.entries.push(entry);
            }
            "train_dataset" | "eval_dataset" if entry.value.as_text().is_ok_and(|name| is_hub_name(&name)) => {
                let name = entry.value.as_text().unwrap_or_default();
                to.notices.push(format!(
                    "{}: nothing on this machine is called {name}, so the data set of Hugging Face's hub is taken",
                    entry.shown
                ));
                entry.value = Value::Text(format!("hf://datasets/{name}"));
                to.renamed(entry);
            }
            "model" | "trust_remote_code" => to.renamed(entry),
            name if MEANS.contains(&name) => {
                if !off {
                    means.push(entry.shown);
                }
            }
            _ => to.renamed(entry),
        }
    }
    if !adapted {
        to.absent("finetuning_type", "full");
    }
    to.adapter_without_muon();
    if !saves {
        to.absent("save_strategy", "no");
    }
    for (key, value) in DEFAULTS {
        to.absent(key, value);
    }
    to.notices.push("a recipe of LLaMA-Factory's version 1: what it leaves out has that version's defaults (a constant learning rate of 1e-4, weight decay 0.01, one sample a batch)".into());
    if !means.is_empty() {
        to.notices.push(format!("{}: one device holds the whole run here and computes the same", means.join(", ")));
    }
    to
}

/// Whether a dataset's name is one of the hub (`org/name`): as in version 1, where nothing on this machine has it.
fn is_hub_name(name: &str) -> bool {
    let plain =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    let is_file = [".yaml", ".yml", ".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".gz", ".zst"];
    let two = name.split_once('/').is_some_and(|(org, name)| plain(org) && plain(name));
    two && !is_file.iter().any(|end| name.ends_with(end)) && !platform::exists(name)
}

impl Translated {
    fn push(&mut self, from: &Entry, key: &str, value: Value) {
        self.entries.push(Entry { key: key.to_string(), value, ..from.clone() });
    }

    fn fault(&mut self, entry: Entry, reason: &str) {
        self.faults.push((entry, reason.to_string()));
    }

    /// What version 1 takes where nothing is given.
    fn absent(&mut self, key: &str, value: &str) {
        if !self.entries.iter().any(|entry| entry.key == key) {
            let entry = Entry { key: key.into(), shown: key.into(), value: Value::parse(value), origin: Origin::Nowhere };
            self.entries.push(entry);
        }
    }

    fn renamed(&mut self, entry: Entry) {
        let key = RENAMED.iter().find(|(old, _)| *old == entry.key).map_or(entry.key.as_str(), |(_, new)| *new).to_string();
        self.entries.push(Entry { key, ..entry });
    }

    /// `quant_config`: a mapping whose `name` says by what. Both of them are bitsandbytes' (`plugins/model_plugins/quantization.py` there); its
    /// `compute_dtype` is what products are computed in, which is f32 here.
    fn quantised(&mut self, entry: &Entry) {
        let Ok(fields) = entry.value.as_map() else {
            return self.fault(entry.clone(), "this must be a mapping such as {name: bnb, quantization_bit: 4}");
        };
        let of = |name: &str| fields.iter().find(|(field, value)| field == name && !value.is_off()).map(|(_, value)| value.clone());
        let bits = match of("name").map_or(Ok("bnb".into()), |name| name.as_text()).as_deref() {
            Ok("bnb") => of("quantization_bit").or(Some(Value::Integer(4))),
            Ok("auto") => of("quantization_bit"),
            _ => return self.fault(entry.clone(), "its name must be bnb or auto"),
        };
        let known = ["name", "quantization_bit", "quantization_type", "double_quantization", "compute_dtype"];
        if let Some((field, _)) = fields.iter().find(|(field, _)| !known.contains(&field.as_str())) {
            return self.fault(entry.clone(), &format!("{field} is not known in it; there are {}", known.join(", ")));
        }
        let Some(bits) = bits else { return };
        let four = bits.as_integer() == Ok(4);
        self.push(entry, "quantization_bit", bits);
        if four {
            self.push(entry, "quantization_type", of("quantization_type").unwrap_or_else(|| Value::Text("nf4".into())));
            let double = fields.iter().find(|(field, _)| field == "double_quantization").map(|(_, value)| value.clone());
            self.push(entry, "double_quantization", double.unwrap_or(Value::Bool(true)));
        }
    }

    /// `optim_config`: a mapping whose `name` is muon (`plugins/trainer_plugins/optimizers` there), with that program's defaults.
    fn optimiser(&mut self, entry: &Entry) {
        let Ok(fields) = entry.value.as_map() else {
            return self.fault(entry.clone(), "this must be a mapping such as {name: muon, wd: 0.1}");
        };
        let of = |name: &str| fields.iter().find(|(field, value)| field == name && !value.is_off()).map(|(_, value)| value.clone());
        if of("name").map(|name| name.as_text()) != Some(Ok("muon".into())) {
            return self
                .fault(entry.clone(), "its name must be muon; AdamW is what optim_config=null asks for, others are written as optim");
        }
        let known = ["name", "lr", "wd", "momentum", "nesterov", "ns_steps", "adamw_betas", "adamw_eps"];
        if let Some((field, _)) = fields.iter().find(|(field, _)| !known.contains(&field.as_str())) {
            return self.fault(entry.clone(), &format!("{field} is not known in it; there are {}", known.join(", ")));
        }
        if of("lr").is_some() {
            self.notices.push("optim_config: lr is not used, as in LLaMA-Factory: learning_rate is".into());
        }
        let betas = match of("adamw_betas") {
            None => vec!["0.9".into(), "0.95".into()],
            Some(betas) => match betas.as_list() {
                Ok(betas) if betas.len() == 2 => betas,
                _ => return self.fault(entry.clone(), "adamw_betas must be two numbers, as [0.9, 0.95]"),
            },
        };
        self.push(entry, "use_muon", Value::Bool(true));
        let mut inner = |field: &str, key: &str, value: Value| {
            let shown = format!("optim_config.{field}");
            self.entries.push(Entry { key: key.into(), shown, value, origin: entry.origin });
        };
        inner("adamw_betas", "adam_beta1", Value::parse(&betas[0]));
        inner("adamw_betas", "adam_beta2", Value::parse(&betas[1]));
        let defaults = [
            ("wd", "weight_decay", "0.1"),
            ("adamw_eps", "adam_epsilon", "1e-8"),
            ("momentum", "muon_momentum", "0.95"),
            ("nesterov", "muon_nesterov", "true"),
            ("ns_steps", "muon_ns_steps", "5"),
        ];
        for (field, key, default) in defaults {
            // A value that switches something off is one here.
            let given = fields.iter().find(|(name, value)| name == field && *value != Value::Null).map(|(_, value)| value.clone());
            inner(field, key, given.unwrap_or_else(|| Value::parse(default)));
        }
    }

    /// Version 1 gives an adapter's factors to the AdamW beside Muon.
    fn adapter_without_muon(&mut self) {
        let has = |key: &str, word: &str| self.entries.iter().any(|entry| entry.key == key && entry.value.as_text().as_deref() == Ok(word));
        if has("finetuning_type", "lora") && has("use_muon", "true") {
            self.entries.retain(|entry| !entry.key.starts_with("muon_") && entry.key != "use_muon");
            self.notices
                .push("optim_config: an adapter is trained by the AdamW that stands beside Muon, as in LLaMA-Factory's version 1".into());
        }
    }

    /// `peft_config`: a mapping whose `name` says the method.
    fn peft(&mut self, entry: &Entry) {
        let Ok(fields) = entry.value.as_map() else {
            return self.fault(entry.clone(), "this must be a mapping such as {name: lora, r: 16}");
        };
        let name = fields.iter().find(|(name, _)| name == "name").map(|(_, value)| value.as_text().unwrap_or_default());
        let (method, known) = match name.as_deref() {
            Some("lora") => ("lora", LORA),
            Some("freeze") => ("freeze", FREEZE),
            _ => return self.fault(entry.clone(), "its name must be lora or freeze"),
        };
        self.push(entry, "finetuning_type", Value::Text(method.into()));
        if method == "lora" {
            for (key, value) in [("lora_rank", "8"), ("lora_alpha", "16"), ("lora_dropout", "0.05")] {
                let name = known.iter().find(|(_, new)| *new == key).map_or(key, |(old, _)| *old);
                if !fields.iter().any(|(found, _)| found == name) {
                    self.push(entry, key, Value::parse(value));
                }
            }
        }
        for (field, value) in &fields {
            match known.iter().find(|(old, _)| old == field) {
                Some((_, key)) => {
                    let shown = format!("peft_config.{field}");
                    self.entries.push(Entry { key: (*key).into(), shown, value: value.clone(), origin: entry.origin });
                }
                None if field == "name" || field == "cast_trainable_params_to_fp32" => {}
                None => {
                    let near = known
                        .iter()
                        .map(|(old, _)| *old)
                        .max_by(|a, b| strsim::jaro_winkler(a, field).total_cmp(&strsim::jaro_winkler(b, field)));
                    let shown = format!("peft_config.{field}");
                    let reason = format!("unknown key; did you mean {}?", near.unwrap_or_default());
                    self.faults.push((Entry { shown, ..entry.clone() }, reason));
                }
            }
        }
    }
}
