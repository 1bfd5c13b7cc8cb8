//! A recipe: the settings of one training run, with defaults filled in and contradictions refused.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::keys::{self, Key, OnResume};
use super::scheduler_kwargs::scheduler_kwargs;
use super::settings::Settings;
use super::types::{
    Batching, ExportDtype, FinetuningType, Freeze, Half, Interval, Lora, MixStrategy, Momentum, OnBadRecord, OptimizerName, Pref, PrefLoss,
    Quantization, Resume, SchedulerKwargs, SchedulerType, Stage, Strategy, Vocabulary,
};
use super::using::{Generating, Using};
use super::value::Value;
use crate::error::{Error, Result};
use crate::platform::{Directory, read_small};

/// One training run. Field names are the keys; the table of keys explains them. Serialised it is flat, each value under its key's name.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "LLaMA-Factory's names, explained in the table of keys")]
pub struct Recipe {
    pub model_name_or_path: String,
    pub adapter_name_or_path: Vec<String>,
    pub stage: Stage,
    pub finetuning_type: FinetuningType,
    pub do_train: bool,
    /// Whether there is an evaluation at all: during training or once after it.
    pub do_eval: bool,
    pub resume_from_checkpoint: Resume,
    #[serde(flatten)]
    pub lora: Lora,
    #[serde(flatten)]
    pub freeze: Freeze,
    #[serde(flatten)]
    pub quantization: Quantization,
    /// Whether the weights begin at random.
    pub train_from_scratch: bool,
    #[serde(flatten)]
    pub vocabulary: Vocabulary,
    #[serde(flatten)]
    pub pref: Pref,

    pub dataset: Vec<String>,
    pub eval_dataset: Vec<String>,
    pub dataset_dir: String,
    pub template: Option<String>,
    pub tool_format: Option<String>,
    pub default_system: Option<String>,
    pub enable_thinking: Option<bool>,
    pub preserve_thinking: bool,
    pub cutoff_len: usize,
    pub max_samples: Option<usize>,
    pub on_bad_record: OnBadRecord,
    pub tokenized_path: Option<String>,
    pub overwrite_cache: bool,
    pub train_on_prompt: bool,
    pub mask_history: bool,
    /// Resolved: on for pt unless switched off, and by neat_packing.
    pub packing: bool,
    pub neat_packing: bool,
    /// A count from 1, a share below.
    pub val_size: f64,
    pub disable_shuffling: bool,
    pub seed: u64,
    /// Resolved: `seed` when it was not given.
    pub data_seed: u64,
    pub mix_strategy: MixStrategy,
    /// One for each dataset; empty: they take turns.
    pub interleave_probs: Vec<f64>,
    pub group_by_length: bool,
    pub batching_strategy: Batching,

    pub per_device_train_batch_size: usize,
    pub gradient_accumulation_steps: usize,
    pub learning_rate: f64,
    pub num_train_epochs: f64,
    /// Overrides the epochs when given.
    pub max_steps: Option<u64>,
    pub lr_scheduler_type: SchedulerType,
    pub lr_scheduler_kwargs: SchedulerKwargs,
    /// `warmup_steps`, or `warmup_ratio` where only that was given; none without warm-up.
    pub warmup: Option<Interval>,
    pub weight_decay: f64,
    pub optim: OptimizerName,
    /// Muon in place of `optim`.
    pub use_muon: bool,
    #[serde(flatten)]
    pub muon: Momentum,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    /// None: no clipping.
    pub max_grad_norm: Option<f64>,
    /// 0: the whole target is one token.
    pub label_smoothing_factor: f64,
    pub use_dft_loss: bool,
    /// None: no noise.
    pub neftune_noise_alpha: Option<f64>,
    /// Absent where memory decides.
    pub gradient_checkpointing: Option<bool>,
    /// The number type in which activations are kept for the backward pass, of bf16, fp16 and pure_bf16; f32 without.
    pub activations: Option<Half>,

    pub eval_strategy: Strategy,
    /// Resolved: logging_steps when it was not given.
    pub eval_steps: Interval,
    pub eval_on_each_dataset: bool,
    /// Whether an evaluation tells how many targets are the likeliest token.
    pub compute_accuracy: bool,
    pub per_device_eval_batch_size: usize,
    pub load_best_model_at_end: bool,
    pub early_stopping_steps: Option<usize>,

    pub output_dir: String,
    pub overwrite_output_dir: bool,
    pub logging_steps: Interval,
    pub save_strategy: Strategy,
    pub save_steps: Interval,
    pub save_total_limit: Option<usize>,
    pub save_only_model: bool,
    pub plot_loss: bool,
    /// Whether event files for TensorBoard are written.
    pub report_to_tensorboard: bool,
    /// Whether an offline run of Weights & Biases is written.
    pub report_to_wandb: bool,
    pub export_dtype: ExportDtype,
    /// Bytes.
    pub max_shard_size: u64,

    pub do_predict: bool,
    pub predict_with_generate: bool,
    #[serde(flatten)]
    pub generating: Generating,

    /// Remarks to show before the run: keys that have no effect here, defaults that may surprise.
    #[serde(skip)]
    pub notices: Vec<String>,
}

impl Recipe {
    /// Reads a recipe file and `key=value` overrides.
    ///
    /// # Errors
    /// See [`Recipe::parse`]; also when the file cannot be read.
    pub async fn load(dir: &dyn Directory, name: &str, overrides: &[String]) -> Result<Self> {
        let bytes = read_small(dir, name).await?;
        let path = format!("{}/{name}", dir.label());
        let text = std::str::from_utf8(&bytes).map_err(|_| Error::file(&path, "a recipe must be UTF-8 text"))?;
        Self::parse(&path, text, overrides)
    }

    /// Parses YAML text; `path` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Line`] or [`Error::Recipe`], for several faults [`Error::Faults`]: broken YAML, unknown keys with the nearest known
    /// one, values of the wrong type, unsupported features, contradictions.
    pub fn parse(path: &str, text: &str, overrides: &[String]) -> Result<Self> {
        let mut settings = Settings::read(path, text, overrides)?;
        let recipe = Self::resolve(path, &mut settings);
        settings.finish()?;
        Ok(recipe)
    }

    /// The keys of the table that recipes read: those that it says are used.
    pub fn keys_read() -> BTreeSet<&'static str> {
        let mut settings = Settings::default();
        let _ = Self::resolve("", &mut settings);
        let _ = Using::resolve(&mut settings);
        settings.keys_read()
    }

    /// The values that a resumed run must have in common with the interrupted one, by their keys' names: those of the table that are
    /// [`OnResume::Fixed`] and that this recipe uses.
    ///
    /// # Errors
    /// [`Error::Recipe`] for a number that JSON cannot hold, which no parsed recipe has.
    pub fn fixed_on_resume(&self) -> Result<Map<String, Json>> {
        let resolved = serde_json::to_value(self).map_err(|e| Error::recipe("recipe", format!("it cannot be written as JSON: {e}")))?;
        let name = |key: &Key| match key.on_resume {
            OnResume::Fixed => Some(key.name),
            OnResume::FixedAs(name) => Some(name),
            OnResume::Free => None,
        };
        let used = keys::keys().filter(|key| self.uses(key)).filter_map(name);
        Ok(used.map(|name| (name.to_string(), resolved.get(name).cloned().unwrap_or(Json::Null))).collect())
    }

    /// Whether a key's value has a meaning in this recipe.
    fn uses(&self, key: &Key) -> bool {
        let (lora, evaluates) = (self.finetuning_type == FinetuningType::Lora, self.eval_strategy != Strategy::No);
        match key.name {
            "num_train_epochs" => self.max_steps.is_none(),
            // Runs before these keys existed had their defaults.
            name if name.starts_with("muon_") => self.use_muon && self.muon != Momentum::default(),
            "batching_strategy" => self.batching_strategy != Batching::Normal,
            "eval_steps" => self.eval_strategy == Strategy::Steps,
            "per_device_eval_batch_size" | "load_best_model_at_end" | "early_stopping_steps" => evaluates,
            "loraplus_lr_ratio" | "create_new_adapter" => lora,
            "pissa_iter" => lora && self.lora.pissa_init,
            "quantization_type" | "double_quantization" => self.quantization.bits == Some(4),
            "dequantize" => self.finetuning_type != FinetuningType::Full,
            _ if key.group == keys::PREFERENCES_GROUP => matches!(self.stage, Stage::Dpo | Stage::Kto),
            name if name.starts_with("freeze_") || name == "use_llama_pro" => self.finetuning_type == FinetuningType::Freeze,
            // An adapter that is trained on has its own.
            _ if key.group == "LoRA" => lora && (self.adapter_name_or_path.is_empty() || self.lora.create_new_adapter),
            _ => true,
        }
    }

    /// Whether answers are compared with what a reference model gives them.
    pub fn needs_reference(&self) -> bool {
        self.stage == Stage::Kto || self.stage == Stage::Dpo && !matches!(self.pref.loss, PrefLoss::Orpo | PrefLoss::Simpo)
    }

    fn resolve(path: &str, s: &mut Settings) -> Self {
        let stage = s.one_of("stage");
        let neat_packing = s.bool("neat_packing");
        let logging_steps = Interval::of(s.number("logging_steps"));
        let seed = s.integer("seed") as u64;
        let lora_rank = s.count("lora_rank");
        let eval_strategy = match s.one_of("eval_strategy") {
            Strategy::No if s.has("eval_steps") && !s.has("eval_strategy") => {
                s.notices.push("eval_steps without eval_strategy: evaluating every eval_steps steps (eval_strategy: steps)".into());
                Strategy::Steps
            }
            other => other,
        };
        // Both are read: 0 means without.
        let warmup_steps = Some(s.number("warmup_steps")).filter(|n| *n > 0.0).map(Interval::of);
        let warmup_ratio = Some(s.number("warmup_ratio")).filter(|n| *n > 0.0).map(Interval::Share);
        let do_predict = s.bool("do_predict");
        let recipe = Recipe {
            model_name_or_path: s.model(),
            adapter_name_or_path: s.list("adapter_name_or_path"),
            stage,
            finetuning_type: s.one_of("finetuning_type"),
            // LLaMA-Factory trains only where it is written.
            do_train: s.bool("do_train") && (s.has("do_train") || !do_predict),
            do_eval: s.bool("do_eval") || eval_strategy != Strategy::No,
            resume_from_checkpoint: match s.get("resume_from_checkpoint") {
                None => Resume::No,
                Some(value) => match (value.as_bool(), value.as_text()) {
                    (Ok(true), _) => Resume::Newest,
                    (Err(_), Ok(path)) => Resume::From(path),
                    _ => Resume::No,
                },
            },
            lora: Lora {
                rank: lora_rank,
                alpha: s.number_if_given("lora_alpha").unwrap_or(2.0 * lora_rank as f64),
                dropout: s.number("lora_dropout"),
                target: s.list("lora_target"),
                rank_pattern: pattern(s, "rank_pattern", |v| match v.as_integer() {
                    Ok(n) if n > 0 => Ok(n as usize),
                    _ => Err("is not a rank, a whole number above 0"),
                }),
                alpha_pattern: pattern(s, "alpha_pattern", |v| v.as_number().ok().filter(|n| *n > 0.0).ok_or("is not a number above 0")),
                additional_target: s.list("additional_target"),
                use_rslora: s.bool("use_rslora"),
                use_dora: s.bool("use_dora"),
                loraplus_lr_ratio: s.number_if_given("loraplus_lr_ratio"),
                create_new_adapter: s.bool("create_new_adapter"),
                pissa_init: s.bool("pissa_init"),
                pissa_iter: usize::try_from(s.integer("pissa_iter")).ok(),
            },
            quantization: quantization(s),
            train_from_scratch: s.bool("train_from_scratch"),
            vocabulary: Vocabulary {
                resize: s.bool("resize_vocab"),
                tokens: s.list("add_tokens"),
                special_tokens: s.list("add_special_tokens"),
                described: s.described_tokens(),
                rows: s.one_of("init_special_tokens"),
            },
            freeze: Freeze {
                trainable_layers: s.integer("freeze_trainable_layers"),
                trainable_modules: s.list("freeze_trainable_modules"),
                extra_modules: s.list("freeze_extra_modules"),
                use_llama_pro: s.bool("use_llama_pro"),
            },
            pref: Pref {
                loss: s.one_of("pref_loss"),
                beta: s.number("pref_beta"),
                ftx: s.number("pref_ftx"),
                simpo_gamma: s.number("simpo_gamma"),
                dpo_label_smoothing: s.number("dpo_label_smoothing"),
                kto_chosen_weight: s.number("kto_chosen_weight"),
                kto_rejected_weight: s.number("kto_rejected_weight"),
                ref_model: s.text_if_given("ref_model"),
            },
            dataset: s.list("dataset"),
            eval_dataset: s.list("eval_dataset"),
            dataset_dir: s.text("dataset_dir"),
            template: s.text_if_given("template"),
            tool_format: s.text_if_given("tool_format"),
            default_system: s.text_if_given("default_system"),
            enable_thinking: s.bool_if_given("enable_thinking"),
            preserve_thinking: s.bool("preserve_thinking"),
            cutoff_len: s.count("cutoff_len"),
            max_samples: s.count_if_given("max_samples"),
            on_bad_record: s.one_of("on_bad_record"),
            tokenized_path: s.text_if_given("tokenized_path"),
            overwrite_cache: s.bool("overwrite_cache"),
            train_on_prompt: s.bool("train_on_prompt"),
            mask_history: s.bool("mask_history"),
            packing: neat_packing || s.bool_if_given("packing").unwrap_or(stage == Stage::Pt),
            neat_packing,
            val_size: s.number("val_size"),
            disable_shuffling: s.bool("disable_shuffling"),
            seed,
            mix_strategy: s.one_of("mix_strategy"),
            interleave_probs: probabilities(s),
            group_by_length: s.bool("group_by_length"),
            batching_strategy: s.one_of("batching_strategy"),
            data_seed: s.integer_if_given("data_seed").map_or(seed, |n| n as u64),
            per_device_train_batch_size: s.count("per_device_train_batch_size"),
            gradient_accumulation_steps: s.count("gradient_accumulation_steps"),
            learning_rate: s.number("learning_rate"),
            num_train_epochs: s.number("num_train_epochs"),
            max_steps: u64::try_from(s.integer("max_steps")).ok().filter(|n| *n > 0),
            lr_scheduler_type: s.one_of("lr_scheduler_type"),
            lr_scheduler_kwargs: scheduler_kwargs(s),
            warmup: warmup_steps.or(warmup_ratio),
            weight_decay: s.number("weight_decay"),
            optim: s.one_of("optim"),
            use_muon: s.bool("use_muon"),
            muon: Momentum { decay: s.number("muon_momentum"), nesterov: s.bool("muon_nesterov"), iterations: s.count("muon_ns_steps") },
            adam_beta1: s.number("adam_beta1"),
            adam_beta2: s.number("adam_beta2"),
            adam_epsilon: s.number("adam_epsilon"),
            max_grad_norm: Some(s.number("max_grad_norm")).filter(|n| *n > 0.0),
            label_smoothing_factor: s.number("label_smoothing_factor"),
            use_dft_loss: s.bool("use_dft_loss"),
            neftune_noise_alpha: s.number_if_given("neftune_noise_alpha").filter(|alpha| *alpha > 0.0),
            gradient_checkpointing: s.bool_if_given("gradient_checkpointing").or(s.bool("disable_gradient_checkpointing").then_some(false)),
            activations: match (s.bool("bf16") || s.bool("pure_bf16"), s.bool("fp16")) {
                (true, _) => Some(Half::Bf16),
                (false, true) => Some(Half::Fp16),
                (false, false) => None,
            },
            eval_strategy,
            eval_steps: s.number_if_given("eval_steps").map_or(logging_steps, Interval::of),
            eval_on_each_dataset: s.bool("eval_on_each_dataset"),
            compute_accuracy: s.bool("compute_accuracy"),
            per_device_eval_batch_size: s.count("per_device_eval_batch_size"),
            load_best_model_at_end: s.bool("load_best_model_at_end"),
            early_stopping_steps: s.count_if_given("early_stopping_steps"),
            output_dir: s.text_if_given("output_dir").unwrap_or_default(),
            overwrite_output_dir: s.bool("overwrite_output_dir"),
            logging_steps,
            save_strategy: s.one_of("save_strategy"),
            save_steps: Interval::of(s.number("save_steps")),
            save_total_limit: s.integer_if_given("save_total_limit").and_then(|n| usize::try_from(n).ok()).filter(|n| *n > 0),
            save_only_model: s.bool("save_only_model"),
            plot_loss: s.bool("plot_loss"),
            report_to_wandb: s.list("report_to").iter().any(|tracker| tracker == "wandb"),
            report_to_tensorboard: s.list("report_to").iter().any(|tracker| tracker == "tensorboard" || tracker == "all"),
            export_dtype: s.one_of("export_dtype"),
            max_shard_size: s.bytes("max_shard_size"),
            do_predict,
            predict_with_generate: s.bool("predict_with_generate"),
            generating: Generating::resolve(s),
            notices: Vec::new(),
        };
        recipe.give_notices(s);
        recipe.refuse_contradictions(path, s);
        Recipe { notices: std::mem::take(&mut s.notices), ..recipe }
    }
}

/// How the base is quantised.
pub(super) fn quantization(s: &Settings) -> Quantization {
    let bits = s.integer_if_given("quantization_bit");
    if bits.is_some_and(|bits| bits != 4 && bits != 8) {
        s.refuse("quantization_bit", &[], "write 8 or 4");
    }
    Quantization {
        bits: bits.and_then(|bits| u32::try_from(bits).ok()).filter(|bits| [4, 8].contains(bits)),
        kind: s.one_of("quantization_type"),
        double: s.bool("double_quantization"),
        dequantize: s.bool("dequantize"),
    }
}

/// `interleave_probs`, one for each dataset.
fn probabilities(s: &Settings) -> Vec<f64> {
    let refuse = |reason: String| s.refuse("interleave_probs", &["dataset", "mix_strategy"], reason);
    let texts = s.list("interleave_probs");
    if texts.is_empty() {
        return Vec::new();
    }
    let numbers: Vec<f64> = texts.iter().filter_map(|text| text.parse().ok()).filter(|share| (0.0..=1.0).contains(share)).collect();
    let sets = s.list("dataset").len();
    if numbers.len() != texts.len() {
        refuse("write numbers between 0 and 1, comma-separated".into());
    } else if s.word("mix_strategy") == "concat" {
        refuse("this needs mix_strategy: interleave_under, interleave_over or interleave_once".into());
    } else if numbers.len() != sets {
        refuse(format!("{} are given for {sets} datasets; write one for each", numbers.len()));
    } else if (numbers.iter().sum::<f64>() - 1.0).abs() > 1e-6 || numbers.contains(&0.0) {
        refuse("they must be above 0 and add up to 1".into());
    }
    numbers
}

/// A mapping from module names to numbers.
fn pattern<T>(s: &Settings, key: &'static str, read: impl Fn(&Value) -> Result<T, &'static str>) -> Vec<(String, T)> {
    let entry = |(name, value): (String, Value)| match read(&value) {
        Ok(number) => Some((name, number)),
        Err(reason) => {
            s.refuse(key, &[], format!("{name}: {value} {reason}"));
            None
        }
    };
    s.map(key).into_iter().filter_map(entry).collect()
}
