//! The recipe that is handed over.

use std::collections::BTreeSet;
use std::fmt::Write;

use rootstock::config::value::Value;
use rootstock::config::{FinetuningType, Recipe, Stage, Strategy, keys, to_yaml};

use super::dataset::Datasets;

/// The keys that LLaMA-Factory's parser takes; another one ends it.
const KEYS: &str = include_str!("keys.txt");

/// Keys whose values are places or say where this program runs: they are written anew, or have no meaning there.
const REPLACED: &[&str] = &[
    "model_name_or_path",
    "adapter_name_or_path",
    "dataset",
    "eval_dataset",
    "dataset_dir",
    "output_dir",
    "do_train",
    "model_revision",
    "deepspeed",
    "fsdp",
    "fsdp_config",
    "ray_num_workers",
    "local_rank",
    "use_cpu",
];

/// Keys that are left out, with the reason.
const LEFT_OUT: &[(&str, &str)] = &[
    ("tokenized_path", "LLaMA-Factory keeps tokens there in another form, and ends after writing them"),
    ("overwrite_cache", "it belongs to tokenized_path"),
    (
        "resume_from_checkpoint",
        "the optimiser's state has another form there; to go on from checkpoint-N, name it as the model or the adapter",
    ),
    ("cache_dir", "the directory names no model of a hub"),
    ("hf_hub_token", "a secret has no place in a directory that is handed over"),
    ("ms_hub_token", "a secret has no place in a directory that is handed over"),
    ("om_hub_token", "a secret has no place in a directory that is handed over"),
    ("swanlab_api_key", "a secret has no place in a directory that is handed over"),
    ("on_bad_record", "the data was read here already"),
    ("export_dtype", "`llamafactory-cli export` asks for it (infer_dtype)"),
    ("max_shard_size", "`llamafactory-cli export` asks for it (export_size)"),
];

/// Keys that only this program reads and that change the result, and what becomes of it there.
const CHANGES: &[(&str, &str)] = &[
    ("rank_pattern", ONE_RANK),
    ("alpha_pattern", ONE_RANK),
    ("batching_strategy", "a micro-batch has per_device_train_batch_size samples, however long they are"),
    ("muon_momentum", LIKE_THERE),
    ("muon_nesterov", LIKE_THERE),
    ("muon_ns_steps", LIKE_THERE),
];
const ONE_RANK: &str = "the adapter gets one rank and one alpha for all modules";
const LIKE_THERE: &str = "Muon runs with its defaults (momentum 0.95, Nesterov, five steps of the iteration)";

/// The recipe, and what to know about it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct HandedOver {
    pub(super) yaml: String,
    /// Keys that were left out, with the reason.
    pub(super) left_out: Vec<(String, String)>,
    /// What makes the result another one there.
    pub(super) changes: Vec<String>,
    /// What to know beside.
    pub(super) remarks: Vec<String>,
}

/// What was copied into the directory, by its place there.
pub(super) struct Copied<'a> {
    pub(super) datasets: &'a Datasets,
    pub(super) adapters: &'a [String],
    /// The file of `new_special_tokens_config`, if that is given.
    pub(super) tokens: Option<&'a str>,
}

impl HandedOver {
    pub(super) fn of(recipe: &Recipe, written: &[(String, Value)], copied: &Copied<'_>) -> HandedOver {
        let Copied { datasets, adapters, tokens } = copied;
        let mut handed = HandedOver::default();
        let known: BTreeSet<&str> = KEYS.lines().filter(|line| !line.starts_with('#')).collect();
        let mut yaml = String::from("# Made by `rootstock handover`. Run it by launch.sh, from this directory.\n");
        let mut put = |key: &str, value: &str| {
            let _ = writeln!(yaml, "{key}: {value}"); // writing to a String cannot fail
        };
        put("model_name_or_path", "model");
        if !adapters.is_empty() {
            put("adapter_name_or_path", &to_yaml("adapter_name_or_path", &Value::Text(adapters.join(","))));
        }
        put("do_train", "true");
        put("dataset_dir", "data");
        put("dataset", &to_yaml("dataset", &Value::Text(datasets.train().join(","))));
        if !datasets.eval().is_empty() {
            put("eval_dataset", &to_yaml("eval_dataset", &Value::Text(datasets.eval().join(","))));
        }
        put("output_dir", "output");
        for (key, value) in written {
            let key = key.as_str();
            if REPLACED.contains(&key) {
                if matches!(key, "deepspeed" | "fsdp" | "fsdp_config" | "ray_num_workers") && !value.is_off() {
                    handed.left_out.push((key.into(), "launch.sh has a way of its own for it".into()));
                }
            } else if let Some(file) = tokens.filter(|_| key == "new_special_tokens_config") {
                put(key, &to_yaml(key, &Value::Text(file.into())));
            } else if key == "group_by_length" {
                if value.as_bool().unwrap_or(false) {
                    put("train_sampling_strategy", "group_by_length"); // its name since transformers 5
                }
            } else if let Some((_, why)) = LEFT_OUT.iter().find(|(name, _)| *name == key) {
                handed.left_out.push((key.into(), (*why).into()));
            } else if let Some((_, becomes)) = CHANGES.iter().find(|(name, _)| *name == key) {
                if !is_default(key, value) {
                    handed.changes.push(format!("{key} is not known there: {becomes}"));
                }
                handed.left_out.push((key.into(), "LLaMA-Factory does not know it".into()));
            } else if known.contains(key) {
                put(key, &to_yaml(key, value));
            } else {
                handed.left_out.push((key.into(), "LLaMA-Factory does not know it".into()));
            }
        }
        let given = |key: &str| written.iter().any(|(name, _)| name == key);
        if !given("report_to") {
            put("report_to", "none");
        }
        if recipe.eval_strategy == Strategy::Steps && !given("eval_strategy") {
            put("eval_strategy", "steps");
        }
        handed.yaml = yaml;
        handed.remark(recipe, &given);
        handed
    }

    /// What differs there though no key says so.
    fn remark(&mut self, recipe: &Recipe, given: &dyn Fn(&str) -> bool) {
        let mut remark = |text: &str| self.remarks.push(text.to_string());
        if recipe.stage == Stage::Sft && recipe.template.is_none() {
            remark(
                "the recipe names no template: LLaMA-Factory derives one from the checkpoint's own, and its tokens may differ (it learns the newline \
                 after an answer); template: NAME, such as chatml or qwen, has the same tokens in both programs",
            );
        }
        if !given("bf16") && !given("fp16") && !given("pure_bf16") {
            remark(match recipe.finetuning_type {
                FinetuningType::Full => "the arithmetic is f32 there too; bf16=true behind launch.sh is faster on GPUs, and less exact",
                _ => {
                    "LLaMA-Factory keeps frozen weights in the type that config.json names, mostly bf16, and computes in it: losses differ from \
                     the third digit on; bf16=true behind launch.sh is faster on GPUs"
                }
            });
        }
        if !recipe.disable_shuffling {
            remark(
                "the samples come in another order there (torch's random numbers); disable_shuffling: true keeps the files' order in both",
            );
        }
        if recipe.val_size > 0.0 && recipe.eval_dataset.is_empty() {
            remark("val_size holds out other samples there");
        }
        if recipe.lora.dropout > 0.0 {
            remark("dropout draws other numbers there");
        }
    }
}

/// Whether a key has the value that it has where nothing is written.
fn is_default(key: &str, value: &Value) -> bool {
    let default = keys::find(key).map_or("", |key| key.default);
    value.to_string() == default || value.as_number().ok().is_some_and(|number| default.parse() == Ok(number))
}

#[cfg(test)]
mod tests {
    use rootstock::config::as_written;

    use super::super::dataset::Written;
    use super::*;

    fn handed(text: &str, adapters: &[String]) -> HandedOver {
        let recipe = Recipe::parse("r.yaml", text, &[]).unwrap_or_else(|e| panic!("{e}"));
        let written = as_written("r.yaml", text, &[]).expect("it is YAML");
        let one = |name: &str| Written { name: name.into(), records: 1 };
        let datasets = Datasets { written: vec![one("train"), one("test")], for_training: 1, notices: Vec::new() };
        HandedOver::of(&recipe, &written, &Copied { datasets: &datasets, adapters, tokens: Some("new-tokens.yaml") })
    }

    #[test]
    fn new_tokens_are_those_of_the_copied_file() {
        let yaml = handed("model_name_or_path: m\ndataset: d\noutput_dir: o\nnew_special_tokens_config: /far/tokens.yml\n", &[]).yaml;
        assert!(yaml.contains("\nnew_special_tokens_config: new-tokens.yaml\n"), "{yaml}");
    }

    #[test]
    fn places_are_relative_and_what_is_unknown_there_is_named() {
        let text = "model_name_or_path: /far/away\nadapter_name_or_path: /far/lora\ndataset: /data/train.csv\neval_dataset: /data/test.csv\n\
                    output_dir: /out\nlearning_rate: 1e-5\non_bad_record: skip\nrank_pattern: {q_proj: 4}\nflash_attn: fa2\ndeepspeed: z3.json\n\
                    hf_hub_token: hf_secret\ngroup_by_length: true\ntemplate: qwen\neval_steps: 5\nmuon_momentum: 0.95\nbatching_strategy: dynamic_batching\nmax_steps: 3\n";
        let handed = handed(text, &["adapter-1".to_string()]);
        for line in [
            "model_name_or_path: model",
            "adapter_name_or_path: adapter-1",
            "dataset: train",
            "eval_dataset: test",
            "output_dir: output",
            "do_train: true",
            "learning_rate: 1.0e-5",
            "flash_attn: fa2",
            "train_sampling_strategy: group_by_length",
            "eval_strategy: steps",
            "report_to: none",
        ] {
            assert!(handed.yaml.lines().any(|found| found == line), "'{line}' in\n{}", handed.yaml);
        }
        assert!(!handed.yaml.contains("/far") && !handed.yaml.contains("secret") && !handed.yaml.contains("z3.json"), "{}", handed.yaml);
        let left: Vec<&str> = handed.left_out.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(left, ["on_bad_record", "rank_pattern", "deepspeed", "hf_hub_token", "muon_momentum", "batching_strategy"]);
        let starts = |i: usize, name: &str| handed.changes[i].starts_with(name);
        assert!(handed.changes.len() == 2 && starts(0, "rank_pattern") && starts(1, "batching_strategy"), "{:?}", handed.changes);
    }
}
