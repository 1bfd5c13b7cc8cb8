//! A recipe: the settings of one training run, with defaults filled in and contradictions refused.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::keys::{self, Key, OnResume};
use super::settings::Settings;
use super::types::{
    ExportDtype, FinetuningType, Freeze, Interval, Lora, MixStrategy, OnBadRecord, OptimizerName, Resume, SchedulerKwargs, SchedulerType,
    Stage, Strategy,
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

    pub dataset: Vec<String>,
    pub eval_dataset: Vec<String>,
    pub dataset_dir: String,
    pub template: Option<String>,
    pub tool_format: Option<String>,
    pub default_system: Option<String>,
    pub enable_thinking: Option<bool>,
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

    pub eval_strategy: Strategy,
    /// Resolved: logging_steps when it was not given.
    pub eval_steps: Interval,
    pub eval_on_each_dataset: bool,
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
            "eval_steps" => self.eval_strategy == Strategy::Steps,
            "per_device_eval_batch_size" | "load_best_model_at_end" | "early_stopping_steps" => evaluates,
            "loraplus_lr_ratio" | "create_new_adapter" => lora,
            "pissa_iter" => lora && self.lora.pissa_init,
            name if name.starts_with("freeze_") || name == "use_llama_pro" => self.finetuning_type == FinetuningType::Freeze,
            // An adapter that is trained on has its own.
            _ if key.group == "LoRA" => lora && (self.adapter_name_or_path.is_empty() || self.lora.create_new_adapter),
            _ => true,
        }
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
            freeze: Freeze {
                trainable_layers: s.integer("freeze_trainable_layers"),
                trainable_modules: s.list("freeze_trainable_modules"),
                extra_modules: s.list("freeze_extra_modules"),
                use_llama_pro: s.bool("use_llama_pro"),
            },
            dataset: s.list("dataset"),
            eval_dataset: s.list("eval_dataset"),
            dataset_dir: s.text("dataset_dir"),
            template: s.text_if_given("template"),
            tool_format: s.text_if_given("tool_format"),
            default_system: s.text_if_given("default_system"),
            enable_thinking: s.bool_if_given("enable_thinking"),
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
            adam_beta1: s.number("adam_beta1"),
            adam_beta2: s.number("adam_beta2"),
            adam_epsilon: s.number("adam_epsilon"),
            max_grad_norm: Some(s.number("max_grad_norm")).filter(|n| *n > 0.0),
            label_smoothing_factor: s.number("label_smoothing_factor"),
            use_dft_loss: s.bool("use_dft_loss"),
            neftune_noise_alpha: s.number_if_given("neftune_noise_alpha").filter(|alpha| *alpha > 0.0),
            gradient_checkpointing: s.bool_if_given("gradient_checkpointing").or(s.bool("disable_gradient_checkpointing").then_some(false)),
            eval_strategy,
            eval_steps: s.number_if_given("eval_steps").map_or(logging_steps, Interval::of),
            eval_on_each_dataset: s.bool("eval_on_each_dataset"),
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

    /// Accepted keys whose effect differs from what a LLaMA-Factory user may expect.
    fn give_notices(&self, s: &mut Settings) {
        let optim = s.word("optim");
        if keys::STORED_OTHERWISE.contains(&optim.as_str()) {
            s.notices.push(format!("optim: {optim}: AdamW's moments are kept in f32 here; adamw_8bit keeps them in 8 bits"));
        }
        let halves: Vec<&str> = ["bf16", "fp16", "pure_bf16"].into_iter().filter(|name| s.bool(name)).collect();
        if !halves.is_empty() {
            s.notices.push(format!("{}: the arithmetic is f32 here; export_dtype chooses what is written", halves.join(", ")));
        }
        if s.has("warmup_ratio") && s.number("warmup_steps") > 0.0 {
            s.notices.push("warmup_steps and warmup_ratio are both given: warmup_steps is used".into());
        }
        let known = ["none", "[]", "tensorboard"];
        let trackers: Vec<String> = s.list("report_to").into_iter().filter(|tracker| !known.contains(&tracker.as_str())).collect();
        if !trackers.is_empty() {
            s.notices.push(format!(
                "report_to: nothing is sent to a tracker ({}); trainer_log.jsonl holds the same, report_to: tensorboard writes event files",
                trackers.join(", ")
            ));
        }
        if self.do_predict && self.do_train {
            s.notices.push(
                "do_predict: after training, `rootstock eval RECIPE` with the result as its model or adapter answers the prompts".into(),
            );
        }
        let sampling: Vec<&str> = Generating::KEYS.iter().copied().filter(|name| s.has(name)).collect();
        if !sampling.is_empty() && !self.do_predict {
            s.notices.push(format!("{}: for `rootstock chat` and prediction; training draws no answers", sampling.join(", ")));
        }
        let told = s.bool("pissa_convert");
        let goes_on = !self.lora.create_new_adapter && !self.adapter_name_or_path.is_empty();
        if self.lora.pissa_init && self.do_train && !goes_on && !told {
            s.notices.push(
                "pissa_init: what is written is converted (pissa_convert: true), an adapter of twice the rank for the model as it is; \
                 without that it would belong to a model that only this run has had"
                    .into(),
            );
        }
        if self.lora.pissa_init && self.do_train && goes_on {
            s.notices.push("pissa_init has nothing to do: the adapter that is trained exists (create_new_adapter makes a new one)".into());
        }
        if self.stage == Stage::Pt && (self.train_on_prompt || self.mask_history || self.neat_packing) {
            s.notices.push("train_on_prompt, mask_history and neat_packing have no effect in stage pt: every token is learned".into());
        }
    }

    /// What is missing, and keys that do not go together.
    fn refuse_contradictions(&self, path: &str, s: &Settings) {
        self.refuse_what_is_missing(path, s);
        if s.bool("disable_gradient_checkpointing") && self.gradient_checkpointing == Some(true) {
            s.refuse("disable_gradient_checkpointing", &[], "gradient_checkpointing says the opposite; keep one of the two");
        }
        if self.learning_rate == 0.0 && self.do_train {
            s.refuse("learning_rate", &[], "a learning rate of 0 changes nothing; write for example 5e-5");
        }
        if s.integer("max_steps") == 0 {
            s.refuse("max_steps", &[], "0 steps train nothing; leave it out to train num_train_epochs");
        }
        if self.val_size >= 1.0 && self.val_size.fract() != 0.0 {
            s.refuse("val_size", &[], "write a whole count, or a share below 1");
        }
        if self.val_size > 0.0 && !self.eval_dataset.is_empty() {
            s.refuse("val_size", &["eval_dataset"], "eval_dataset is given as well; keep one of the two");
        }
        if self.train_on_prompt && self.mask_history {
            s.refuse("mask_history", &[], "train_on_prompt learns everything, mask_history only the last answer; keep one");
        }
        let evaluates_on_something = self.val_size > 0.0 || !self.eval_dataset.is_empty();
        if (self.do_eval || self.do_predict) && !evaluates_on_something {
            let name = ["do_eval", "do_predict"].into_iter().find(|name| s.has(name)).unwrap_or("eval_strategy");
            let sources = ["val_size", "eval_dataset"];
            s.refuse(name, &sources, "there is nothing to evaluate on; give eval_dataset, or val_size (a share such as 0.1)");
        }
        if self.do_predict && !self.predict_with_generate {
            s.refuse("do_predict", &["predict_with_generate"], "give predict_with_generate: true as well, as for LLaMA-Factory");
        }
        if self.load_best_model_at_end {
            if self.eval_strategy == Strategy::No {
                let reason = "the best checkpoint is known only from evaluations; give eval_strategy: steps and eval_steps, or epoch";
                s.refuse("load_best_model_at_end", &["eval_strategy"], reason);
            } else {
                self.refuse_unaligned_saves(s);
            }
        }
        if self.early_stopping_steps.is_some() && self.eval_strategy == Strategy::No {
            let reason = "stopping early needs evaluations; give eval_strategy: steps and eval_steps";
            s.refuse("early_stopping_steps", &["eval_strategy"], reason);
        }
        if self.label_smoothing_factor > 0.0 && self.use_dft_loss {
            s.refuse("label_smoothing_factor", &["use_dft_loss"], "use_dft_loss is another loss; keep one of the two");
        }
        if self.lr_scheduler_type == SchedulerType::ReduceLrOnPlateau && self.eval_strategy == Strategy::No {
            let reason = "reduce_lr_on_plateau goes by the evaluations' loss; give eval_strategy: steps and eval_steps, or epoch";
            s.refuse("lr_scheduler_type", &["eval_strategy"], reason);
        }
        let (metric, greater) = (s.word("metric_for_best_model"), s.bool("greater_is_better"));
        if greater && metric.ends_with("loss") {
            s.refuse("greater_is_better", &[], "the best checkpoint is the one of the lowest loss; leave it out");
        }
        self.refuse_adapter_keys(s);
    }

    fn refuse_what_is_missing(&self, path: &str, s: &Settings) {
        if self.model_name_or_path.is_empty() {
            s.refuse("model_name_or_path", &[], "this key is missing; write the directory of the model to train");
        }
        if s.has("export_dir") && self.dataset.is_empty() {
            let reason = format!("this recipe merges an adapter into its model: run `rootstock merge {path}`");
            return s.refuse("export_dir", &["dataset"], reason);
        }
        let to_talk = self.output_dir.is_empty() && self.dataset.is_empty() && self.do_train && !self.do_eval;
        if to_talk && !self.model_name_or_path.is_empty() {
            let reason =
                format!("this key is missing, and output_dir too: to train write both; to talk with the model run `rootstock chat {path}`");
            return s.refuse("dataset", &["output_dir", "eval_strategy", "do_eval"], reason);
        }
        if (self.do_train || self.do_predict) && self.output_dir.is_empty() {
            s.refuse("output_dir", &["do_train"], "this key is missing; write the directory that the result goes to");
        }
        if self.do_train && self.dataset.is_empty() {
            let reason = "this key is missing; write a name from dataset_info.json or the path of a .jsonl file";
            s.refuse("dataset", &["do_train"], reason);
        }
        if !self.do_train && !self.do_eval && !self.do_predict {
            let reason = "do_train is false and do_eval is not set: there is nothing to do";
            s.refuse("do_train", &["do_eval", "do_predict", "eval_strategy"], reason);
        }
    }

    /// As transformers: the best checkpoint must be one that was saved.
    fn refuse_unaligned_saves(&self, s: &Settings) {
        if self.save_strategy != self.eval_strategy {
            let reason = "save_strategy and eval_strategy must be the same, so that each evaluated model is also saved";
            return s.refuse("load_best_model_at_end", &["save_strategy", "eval_strategy"], reason);
        }
        let aligned = match (self.save_steps, self.eval_steps) {
            (Interval::Steps(save), Interval::Steps(eval)) => save % eval == 0,
            (Interval::Share(save), Interval::Share(eval)) => ((save / eval) - (save / eval).round()).abs() < 1e-9,
            _ => false,
        };
        if self.eval_strategy == Strategy::Steps && !aligned {
            s.refuse("save_steps", &["eval_steps"], "with load_best_model_at_end it must be a multiple of eval_steps");
        }
    }

    fn refuse_adapter_keys(&self, s: &Settings) {
        if self.finetuning_type == FinetuningType::Lora {
            if self.freeze.use_llama_pro {
                s.refuse("use_llama_pro", &["finetuning_type"], "this needs finetuning_type: freeze");
            }
            if s.integer("pissa_iter") < -1 {
                s.refuse("pissa_iter", &[], "write a number of iterations, or -1 for exact singular vectors");
            }
            return;
        }
        if self.freeze.use_llama_pro && self.finetuning_type != FinetuningType::Freeze {
            s.refuse("use_llama_pro", &["finetuning_type"], "this needs finetuning_type: freeze");
        }
        for name in ["loraplus_lr_ratio", "use_rslora", "use_dora", "rank_pattern", "alpha_pattern", "pissa_init"] {
            if s.has(name) && s.get(name).is_some_and(|value| !value.is_off()) {
                s.refuse(name, &["finetuning_type"], "this needs finetuning_type: lora");
            }
        }
        if !self.adapter_name_or_path.is_empty() && self.do_train {
            s.refuse(
                "adapter_name_or_path",
                &["finetuning_type"],
                "full and freeze train the model itself; merge the adapter first (`rootstock merge`), or use finetuning_type: lora",
            );
        }
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

fn scheduler_kwargs(s: &Settings) -> SchedulerKwargs {
    let mut kwargs = SchedulerKwargs::default();
    let refuse = |reason: String| s.refuse("lr_scheduler_kwargs", &["lr_scheduler_type"], reason);
    let schedule: SchedulerType = s.one_of("lr_scheduler_type");
    for (name, value) in s.map("lr_scheduler_kwargs") {
        if let Err(reason) = read_kwarg(&mut kwargs, schedule, &name, &value) {
            refuse(reason.unwrap_or_else(|| format!("the schedule {} takes no {name}", s.word("lr_scheduler_type"))));
        }
    }
    if schedule == SchedulerType::Polynomial && kwargs.lr_end.unwrap_or(1e-7) >= s.number("learning_rate") {
        refuse(format!("lr_end ({:e}) must be below learning_rate", kwargs.lr_end.unwrap_or(1e-7)));
    }
    if schedule == SchedulerType::CosineWithMinLr && kwargs.min_lr.is_some() == kwargs.min_lr_rate.is_some() {
        refuse("cosine_with_min_lr needs one of min_lr and min_lr_rate, for example {min_lr_rate: 0.1}".into());
    }
    kwargs
}

/// Reads one entry of `lr_scheduler_kwargs`; fails without a reason when the schedule does not take it.
fn read_kwarg(kwargs: &mut SchedulerKwargs, schedule: SchedulerType, name: &str, value: &Value) -> Result<(), Option<String>> {
    use SchedulerType::{Cosine, CosineWithMinLr, CosineWithRestarts, Polynomial, ReduceLrOnPlateau, WarmupStableDecay};
    let number = || match value.as_number() {
        Ok(n) if n >= 0.0 => Ok(Some(n)),
        Ok(n) => Err(Some(format!("{name}: {n} is below 0"))),
        Err(reason) => Err(Some(format!("{name}: {reason}"))),
    };
    let count = || match value.as_integer() {
        Ok(n) if n >= 0 => Ok(Some(n as u64)),
        _ => Err(Some(format!("{name}: {value} is not a number of steps"))),
    };
    let shape = || match value {
        Value::Text(word) if matches!(word.as_str(), "linear" | "cosine" | "1-sqrt") => Ok(Some(word.clone())),
        _ => Err(Some(format!("{name}: {value} is not one of linear, cosine, 1-sqrt"))),
    };
    match (schedule, name) {
        (Polynomial, "power") => kwargs.power = number()?,
        (Polynomial, "lr_end") => kwargs.lr_end = number()?,
        (ReduceLrOnPlateau, "factor") => match number()? {
            Some(n) if n < 1.0 => kwargs.factor = Some(n),
            _ => return Err(Some(format!("{name}: {value} is not below 1"))),
        },
        (ReduceLrOnPlateau, "patience") => kwargs.patience = count()?,
        (ReduceLrOnPlateau, "cooldown") => kwargs.cooldown = count()?,
        (ReduceLrOnPlateau, "threshold") => kwargs.threshold = number()?,
        (ReduceLrOnPlateau, "eps") => kwargs.eps = number()?,
        (ReduceLrOnPlateau, "mode") if value.as_text().ok().as_deref() == Some("min") => {}
        (ReduceLrOnPlateau, "mode") => return Err(Some("mode: only min, as the loss should fall".into())),
        (ReduceLrOnPlateau, "threshold_mode") => match value.as_text().as_deref() {
            Ok(word @ ("rel" | "abs")) => kwargs.threshold_mode = Some(word.to_string()),
            _ => return Err(Some(format!("{name}: {value} is neither rel nor abs"))),
        },
        (CosineWithRestarts, "num_cycles") => kwargs.num_cycles = count()?.map(|n| n as f64),
        (CosineWithMinLr | ReduceLrOnPlateau, "min_lr") => kwargs.min_lr = number()?,
        (CosineWithMinLr, "min_lr_rate") => kwargs.min_lr_rate = number()?,
        (Cosine | CosineWithMinLr | WarmupStableDecay, "num_cycles") => kwargs.num_cycles = number()?,
        (WarmupStableDecay, "num_stable_steps") => kwargs.num_stable_steps = count()?,
        (WarmupStableDecay, "num_decay_steps") => kwargs.num_decay_steps = count()?,
        (WarmupStableDecay, "warmup_type") => kwargs.warmup_type = shape()?,
        (WarmupStableDecay, "decay_type") => kwargs.decay_type = shape()?,
        (WarmupStableDecay, "min_lr_ratio") => kwargs.min_lr_ratio = number()?,
        _ => return Err(None),
    }
    Ok(())
}
