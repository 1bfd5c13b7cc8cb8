//! What is said of a recipe as a whole: remarks on what may surprise, and keys that are missing or do not go together.

use super::keys;
use super::recipe::Recipe;
use super::settings::Settings;
use super::types::{Batching, FinetuningType, Half, Interval, NewRows, OptimizerName, SchedulerType, Stage, Strategy};
use super::using::Generating;

impl Recipe {
    /// Accepted keys whose effect differs from what a LLaMA-Factory user may expect.
    pub(super) fn give_notices(&self, s: &mut Settings) {
        let optim = s.word("optim");
        if keys::STORED_OTHERWISE.contains(&optim.as_str()) {
            s.notices.push(format!("optim: {optim}: AdamW's moments are kept in f32 here; adamw_8bit keeps them in 8 bits"));
        }
        if self.use_muon && self.optim != OptimizerName::Adamw {
            s.notices.push(format!(
                "optim: {optim}: without effect, as in LLaMA-Factory: use_muon takes Muon for matrices and AdamW for all else"
            ));
        }
        let halves: Vec<&str> = ["bf16", "fp16", "pure_bf16"].into_iter().filter(|name| s.bool(name)).collect();
        if let Some(half) = self.activations {
            let names = halves.join(", ");
            s.notices.push(match half {
                Half::Bf16 => format!(
                    "{names}: activations that the backward pass reads are kept in bfloat16 until then; weights, gradients, optimiser and all arithmetic \
                     are f32, so that no loss is scaled; export_dtype chooses what is written"
                ),
                Half::Fp16 => format!(
                    "{names}: activations that the backward pass reads are kept in IEEE half precision until then; weights, gradients, optimiser and \
                     all sums are f32; export_dtype chooses what is written"
                ),
            });
        }
        if s.has("warmup_ratio") && s.number("warmup_steps") > 0.0 {
            s.notices.push("warmup_steps and warmup_ratio are both given: warmup_steps is used".into());
        }
        let known = ["none", "[]", "tensorboard", "wandb"];
        let trackers: Vec<String> = s.list("report_to").into_iter().filter(|tracker| !known.contains(&tracker.as_str())).collect();
        if !trackers.is_empty() {
            s.notices.push(format!(
                "report_to: nothing is sent to a tracker ({}); trainer_log.jsonl holds the same, tensorboard and wandb (offline) write files of their own",
                trackers.join(", ")
            ));
        }
        if self.report_to_wandb {
            s.notices.push(
                "report_to: wandb: an offline run is written into output_dir/wandb and nothing is sent; `wandb sync` on its folder uploads it".into(),
            );
        }
        if self.do_predict && self.do_train {
            s.notices.push("do_predict: after training, `rootstock eval RECIPE` with the result as its model or adapter predicts".into());
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
        if self.vocabulary.rows != NewRows::Noise && self.vocabulary.described.is_none() {
            s.notices
                .push("init_special_tokens: no token is described (new_special_tokens_config), so new rows begin as by noise_init".into());
        }
        if self.vocabulary.described.is_some() && !self.vocabulary.special_tokens.is_empty() {
            s.notices.push("add_special_tokens is not used: new_special_tokens_config names the special tokens".into());
        }
        self.give_preference_notices(s);
        if self.compute_accuracy && self.stage != Stage::Sft {
            s.notices.push(
                "compute_accuracy: in stage sft alone; stage dpo tells rewards/accuracies and stage rm accuracy by themselves".into(),
            );
        }
        if self.stage == Stage::Pt && (self.train_on_prompt || self.mask_history || self.neat_packing) {
            s.notices.push("train_on_prompt, mask_history and neat_packing have no effect in stage pt: every token is learned".into());
        }
    }

    /// What is missing, and keys that do not go together.
    pub(super) fn refuse_contradictions(&self, path: &str, s: &Settings) {
        self.refuse_what_is_missing(path, s);
        self.refuse_beginnings(s);
        if s.bool("bf16") && s.bool("fp16") {
            s.refuse("fp16", &[], "bf16 is on as well; keep one of the two");
        }
        if s.bool("disable_gradient_checkpointing") && self.gradient_checkpointing == Some(true) {
            s.refuse("disable_gradient_checkpointing", &[], "gradient_checkpointing says the opposite; keep one of the two");
        }
        if self.compute_accuracy && self.predict_with_generate {
            s.refuse("compute_accuracy", &[], "predict_with_generate compares whole answers instead; keep one of the two");
        }
        if self.learning_rate == 0.0 && self.do_train {
            s.refuse("learning_rate", &[], "a learning rate of 0 changes nothing; write for example 5e-5");
        }
        if self.batching_strategy != Batching::Normal && self.max_steps.is_none() && self.do_train {
            let reason = "micro-batches of so many tokens make a number of steps that is not known before; write how many: max_steps";
            s.refuse("batching_strategy", &["max_steps"], reason);
        }
        if self.muon.iterations > 100 {
            s.refuse("muon_ns_steps", &[], "more than 100 steps of the iteration change nothing more; the usual number is 5");
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
        if self.do_predict && !self.predict_with_generate && self.stage != Stage::Rm {
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
        self.refuse_preference_contradictions(s);
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

    /// Weights at random and new tokens.
    fn refuse_beginnings(&self, s: &Settings) {
        if self.train_from_scratch && self.finetuning_type != FinetuningType::Full {
            let reason = "weights at random are of no use unless all of them are trained: this needs finetuning_type: full";
            s.refuse("train_from_scratch", &["finetuning_type"], reason);
        }
        if self.vocabulary.grows() && self.quantization.bits.is_some() {
            let reason =
                "a quantised model's embedding does not grow; leave quantization_bit out, or grow the model first in a run without it";
            let key = ["add_tokens", "add_special_tokens"].into_iter().find(|name| s.has(name)).unwrap_or("resize_vocab");
            s.refuse(key, &[], reason);
        }
        if self.vocabulary.grows() && !self.adapter_name_or_path.is_empty() {
            let reason = "the adapters belong to a model of another vocabulary; take the base that their run wrote (output_dir/base) as the model, \
                          without new tokens";
            s.refuse("adapter_name_or_path", &[], reason);
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
            if self.lora.pissa_init && self.quantization.bits.is_some() {
                let reason = "pissa_init trains on what it leaves of the weights, which is not quantised here; leave one of the two out";
                s.refuse("quantization_bit", &["pissa_init"], reason);
            }
            return;
        }
        if self.quantization.bits.is_some() {
            let reason =
                "quantised weights cannot be trained themselves: this needs finetuning_type: lora, which trains an adapter beside them";
            s.refuse("quantization_bit", &["finetuning_type"], reason);
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
