//! Every recipe key in one table, which the parser, `docs/recipes.md`, the search for the nearest name and resumed runs read.
//!
//! Names, meanings and defaults are LLaMA-Factory's, and transformers' `TrainingArguments` where LLaMA-Factory passes them on.

use super::value::Kind;

/// One key of a recipe.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As LLaMA-Factory spells it.
    pub name: &'static str,
    /// The heading it stands under in the docs.
    pub group: &'static str,
    /// What values it takes.
    pub kind: Kind,
    /// The value when it is absent, written as in a recipe; empty when there is none.
    pub default: &'static str,
    /// What happens with it here.
    pub support: Support,
    /// Whether a resumed run may have another value than the interrupted one.
    pub on_resume: OnResume,
    /// One line for the docs; for keys that are not used, why not.
    pub help: &'static str,
}

/// What happens with a key that LLaMA-Factory knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Support {
    /// It does here what it does there.
    Used,
    /// It has no meaning here; a value that is not "off" is mentioned, and the run goes on.
    Ignored,
    /// It would change the result and is not supported: an error, unless the value is "off" or one of these.
    Only(&'static [&'static str]),
}

/// Whether a resumed run may have another value of a key than the interrupted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnResume {
    /// No: the result's bits depend on it.
    Fixed,
    /// No; several keys resolve into one value, which has this name.
    FixedAs(&'static str),
    /// Yes: it names a place, or decides what is logged, saved and written and not what is computed.
    Free,
}

/// The table.
pub fn keys() -> impl Iterator<Item = &'static Key> {
    TABLE.iter().flat_map(|group| group.iter())
}

/// The key of that name.
pub fn find(name: &str) -> Option<&'static Key> {
    keys().find(|key| key.name == name)
}

/// Another spelling that is accepted for a key: what transformers or older LLaMA-Factory versions call it.
pub fn canonical(name: &str) -> &str {
    match name {
        "evaluation_strategy" => "eval_strategy",
        "export_size" => "max_shard_size",
        "infer_dtype" => "export_dtype",
        "max_seq_length" | "cutoff_length" => "cutoff_len",
        _ => name,
    }
}

/// The known key that `name` was probably meant to be, if one is near.
pub fn nearest(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase().replace('-', "_");
    let scored = keys().map(|key| (key.name, strsim::jaro_winkler(&name, key.name), strsim::damerau_levenshtein(&name, key.name)));
    let (best, score, edits) = scored.max_by(|a, b| a.1.total_cmp(&b.1))?;
    (score > 0.86 || edits <= 2).then_some(best)
}

/// A key that is used and must be the same in a resumed run.
const fn fixed(group: &'static str, name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { name, group, kind, default, support: Support::Used, on_resume: OnResume::Fixed, help }
}

/// A key that is used and may change in a resumed run.
const fn free(group: &'static str, name: &'static str, kind: Kind, default: &'static str, help: &'static str) -> Key {
    Key { on_resume: OnResume::Free, ..fixed(group, name, kind, default, help) }
}

/// A key that resolves, with others, into one value that must be the same in a resumed run.
const fn fixed_as(resolved: &'static str, key: Key) -> Key {
    Key { on_resume: OnResume::FixedAs(resolved), ..key }
}

const fn ignored(name: &'static str, help: &'static str) -> Key {
    Key { support: Support::Ignored, ..free("Accepted and ignored", name, Kind::Any, "", help) }
}

const fn refused(name: &'static str, help: &'static str) -> Key {
    only(name, &[], help)
}

const fn only(name: &'static str, allowed: &'static [&'static str], help: &'static str) -> Key {
    Key { support: Support::Only(allowed), ..free("Refused", name, Kind::Any, "", help) }
}

const TABLE: &[&[Key]] = &[MODEL, DATA, TRAINING, EVALUATION, OUTPUT, LORA, IGNORED, REFUSED];

const DTYPES: &[&str] = &["auto", "float32", "float16", "bfloat16"];
const STRATEGIES: &[&str] = &["no", "steps", "epoch"];
/// The learning-rate schedules, by transformers' names.
pub(super) const SCHEDULES: &[&str] =
    &["constant", "constant_with_warmup", "linear", "cosine", "cosine_with_min_lr", "warmup_stable_decay"];

#[rustfmt::skip]
const MODEL: &[Key] = &[
    free("Model and method", "model_name_or_path", Kind::Text, "", "The directory of the model to train (a Hugging Face checkpoint on this machine). Required."),
    free("Model and method", "adapter_name_or_path", Kind::List, "", "An adapter's directory to go on from; its rank, targets and the like are kept. Of several, comma-separated, those before the last are added to the model first."),
    fixed("Model and method", "stage", Kind::OneOf(&["sft", "pt"]), "sft", "sft: conversations, loss on the answers. pt: plain text, loss on every token."),
    fixed("Model and method", "finetuning_type", Kind::OneOf(&["lora", "full", "freeze"]), "lora", "Which parameters are trained: an adapter, all, or some layers."),
    free("Model and method", "do_train", Kind::Bool, "true", "Train. (LLaMA-Factory wants it written; here `train` trains unless it is false.)"),
    free("Model and method", "do_eval", Kind::Bool, "false", "Evaluate after training; set by eval_strategy as well."),
    free("Model and method", "resume_from_checkpoint", Kind::BoolOrText, "", "A checkpoint-N directory to go on from, or true for the newest in output_dir."),
    fixed("Model and method", "freeze_trainable_layers", Kind::Integer, "2", "freeze: train the last n layers, or the first n when negative."),
    fixed("Model and method", "freeze_trainable_modules", Kind::List, "all", "freeze: train these modules of those layers, comma-separated."),
    fixed("Model and method", "freeze_extra_modules", Kind::List, "", "freeze: train these modules outside the layers as well, for example lm_head."),
];

#[rustfmt::skip]
const DATA: &[Key] = &[
    free("Data", "dataset", Kind::List, "", "Names from dataset_info.json, or paths of .jsonl, .json or .txt files, comma-separated."),
    free("Data", "eval_dataset", Kind::List, "", "The same, for evaluation."),
    free("Data", "dataset_dir", Kind::Text, "data", "The directory of dataset_info.json and its files."),
    free("Data", "template", Kind::Text, "", "Accepted for LLaMA-Factory's sake: the checkpoint's own chat template is used."),
    fixed("Data", "cutoff_len", Kind::Count(2), "2048", "Tokens per sample at most; shared between prompt and answer of each turn. pt: the length of a block."),
    fixed("Data", "max_samples", Kind::Count(1), "", "Use only the first so many samples of each dataset."),
    fixed("Data", "train_on_prompt", Kind::Bool, "false", "Learn the prompts as well as the answers."),
    fixed("Data", "mask_history", Kind::Bool, "false", "Learn the last answer of a conversation only."),
    fixed("Data", "packing", Kind::Bool, "", "Put several samples into one sequence of cutoff_len tokens; they see each other. Always on for pt unless false."),
    fixed("Data", "neat_packing", Kind::Bool, "false", "Packing in which samples do not see each other (sft)."),
    fixed("Data", "val_size", Kind::NonNegative, "0", "Held out for evaluation: a count, or a share of the samples below 1."),
    fixed("Data", "disable_shuffling", Kind::Bool, "false", "Keep the samples in the order of the files."),
    fixed("Data", "seed", Kind::Count(0), "42", "Seed of everything random."),
    fixed("Data", "data_seed", Kind::Count(0), "", "Seed of the samples' order; seed when absent."),
];

#[rustfmt::skip]
const TRAINING: &[Key] = &[
    fixed("Training", "per_device_train_batch_size", Kind::Count(1), "8", "Samples per micro-batch."),
    fixed("Training", "gradient_accumulation_steps", Kind::Count(1), "1", "Micro-batches per optimiser step; the loss is normalised by the tokens of all of them."),
    fixed("Training", "learning_rate", Kind::NonNegative, "5e-5", "The peak learning rate of AdamW."),
    fixed("Training", "num_train_epochs", Kind::Positive, "3.0", "Passes over the data; fractions allowed."),
    fixed("Training", "max_steps", Kind::Integer, "-1", "Optimiser steps; overrides num_train_epochs when positive."),
    fixed("Training", "lr_scheduler_type", Kind::OneOf(SCHEDULES), "linear", "The learning rate's schedule."),
    fixed("Training", "lr_scheduler_kwargs", Kind::Map, "", "min_lr or min_lr_rate (cosine_with_min_lr); num_stable_steps, num_decay_steps, warmup_type, decay_type, min_lr_ratio (warmup_stable_decay); num_cycles."),
    fixed_as("warmup", fixed("Training", "warmup_steps", Kind::NonNegative, "0", "Steps of linear warm-up; below 1 a share of all steps.")),
    fixed_as("warmup", fixed("Training", "warmup_ratio", Kind::Share, "0", "Warm-up as a share of all steps, rounded up; warmup_steps wins.")),
    fixed("Training", "weight_decay", Kind::NonNegative, "0", "AdamW's; not on norms and biases."),
    fixed("Training", "adam_beta1", Kind::Share, "0.9", "AdamW's first moment."),
    fixed("Training", "adam_beta2", Kind::Share, "0.999", "AdamW's second moment."),
    fixed("Training", "adam_epsilon", Kind::Positive, "1e-8", "AdamW's epsilon."),
    fixed("Training", "max_grad_norm", Kind::NonNegative, "1.0", "Clip the gradient's norm to this; 0 turns clipping off."),
    free("Training", "gradient_checkpointing", Kind::Bool, "false", "Recompute activations in the backward pass: less memory, about a third more time. (LLaMA-Factory turns it on by itself.)"),
    free("Training", "disable_gradient_checkpointing", Kind::Bool, "false", "The same switch, the way LLaMA-Factory writes it."),
    free("Training", "bf16", Kind::Bool, "false", "Accepted: the arithmetic is f32 here."),
    free("Training", "fp16", Kind::Bool, "false", "Accepted: the arithmetic is f32 here."),
    free("Training", "pure_bf16", Kind::Bool, "false", "Accepted: the arithmetic is f32 here."),
];

#[rustfmt::skip]
const EVALUATION: &[Key] = &[
    fixed("Evaluation", "eval_strategy", Kind::OneOf(STRATEGIES), "no", "When to evaluate during training. Also written evaluation_strategy."),
    fixed("Evaluation", "eval_steps", Kind::Steps, "", "Every so many steps; below 1 a share of all steps; logging_steps when absent."),
    fixed("Evaluation", "per_device_eval_batch_size", Kind::Count(1), "8", "Samples per batch in evaluation."),
    fixed("Evaluation", "load_best_model_at_end", Kind::Bool, "false", "End with the checkpoint of the lowest eval_loss, and never delete it."),
    free("Evaluation", "metric_for_best_model", Kind::OneOf(&["eval_loss", "loss"]), "eval_loss", "What \"best\" means."),
    free("Evaluation", "greater_is_better", Kind::Bool, "false", "False for a loss."),
    fixed("Evaluation", "early_stopping_steps", Kind::Count(1), "", "Stop after so many evaluations without a better eval_loss."),
];

#[rustfmt::skip]
const OUTPUT: &[Key] = &[
    free("Output", "output_dir", Kind::Text, "", "Where everything is written. Required for training."),
    free("Output", "overwrite_output_dir", Kind::Bool, "false", "Replace an earlier run in output_dir. Its files are kept in output_dir/.earlier-1 until the new result is whole; files of other names stay."),
    free("Output", "logging_steps", Kind::Steps, "500", "A line of the log every so many steps; below 1 a share of all steps."),
    free("Output", "save_strategy", Kind::OneOf(STRATEGIES), "steps", "When to write checkpoint-N."),
    free("Output", "save_steps", Kind::Steps, "500", "Every so many steps; below 1 a share of all steps."),
    free("Output", "save_total_limit", Kind::Integer, "", "Keep only so many checkpoints, the newest and the best."),
    free("Output", "save_only_model", Kind::Bool, "false", "Leave optimiser state out of checkpoint-N: smaller, but the run cannot be resumed from it."),
    free("Output", "plot_loss", Kind::Bool, "true", "Draw training_loss.png. LLaMA-Factory does so only when asked."),
    free("Output", "export_dtype", Kind::OneOf(DTYPES), "auto", "The number type of the written weights; auto keeps the model's. Also written infer_dtype."),
    free("Output", "max_shard_size", Kind::Size, "5GB", "The largest weights file, as 5GB or 500MB; a bare number counts GB. Also written export_size."),
];

#[rustfmt::skip]
const LORA: &[Key] = &[
    fixed("LoRA", "lora_rank", Kind::Count(1), "8", "The rank r of the adapter."),
    fixed("LoRA", "lora_alpha", Kind::Positive, "", "The adapter is scaled by lora_alpha / lora_rank; twice the rank when absent."),
    fixed("LoRA", "lora_dropout", Kind::Share, "0", "Dropout on the adapter's input."),
    fixed("LoRA", "lora_target", Kind::List, "all", "Which linear modules get an adapter, comma-separated; all means every one but the output head."),
    fixed("LoRA", "rank_pattern", Kind::Map, "", "Other ranks for some modules (PEFT's): the ends of their names and the rank, as {down_proj: 16, layers.0.self_attn.q_proj: 4}."),
    fixed("LoRA", "alpha_pattern", Kind::Map, "", "Other values of lora_alpha for some modules, in the same way."),
    fixed("LoRA", "additional_target", Kind::List, "", "Modules that are trained and saved whole beside the adapter (PEFT's modules_to_save)."),
    fixed("LoRA", "use_rslora", Kind::Bool, "false", "Scale by lora_alpha / sqrt(lora_rank)."),
    fixed("LoRA", "use_dora", Kind::Bool, "false", "Train magnitudes beside the low-rank part (DoRA)."),
    fixed("LoRA", "loraplus_lr_ratio", Kind::Positive, "", "The learning rate of B over that of A (LoRA+)."),
    fixed("LoRA", "create_new_adapter", Kind::Bool, "false", "Add all adapters of adapter_name_or_path to the model and train a new one on the sum."),
    fixed("LoRA", "pissa_init", Kind::Bool, "false", "Begin with the weights' principal singular vectors, and freeze what is left of the weights (PiSSA)."),
    fixed("LoRA", "pissa_iter", Kind::Integer, "16", "Iterations in which these are found; -1 finds them exactly, which takes long for large matrices."),
    free("LoRA", "pissa_convert", Kind::Bool, "false", "What pissa_init trains is always converted, into an adapter of twice the rank for the model as it is; this only silences the remark."),
];

#[rustfmt::skip]
const IGNORED: &[Key] = &[
    ignored("overwrite_cache", "Datasets are not cached."),
    ignored("preprocessing_num_workers", "Datasets are prepared in one thread."),
    ignored("preprocessing_batch_size", "Datasets are prepared as one."),
    ignored("dataloader_num_workers", "Batches are made in the training thread."),
    ignored("dataloader_pin_memory", "No such memory here."),
    ignored("dataloader_persistent_workers", "Batches are made in the training thread."),
    ignored("dataloader_prefetch_factor", "Batches are made in the training thread."),
    ignored("ddp_timeout", "One device."),
    ignored("ddp_backend", "One device."),
    ignored("ddp_find_unused_parameters", "One device."),
    ignored("ddp_bucket_cap_mb", "One device."),
    ignored("ddp_broadcast_buffers", "One device."),
    ignored("local_rank", "One device."),
    ignored("ray_run_name", "One device."),
    ignored("ray_storage_path", "One device."),
    ignored("ray_num_workers", "One device."),
    ignored("resources_per_worker", "One device."),
    ignored("placement_strategy", "One device."),
    ignored("flash_attn", "Attention is always fused here."),
    ignored("enable_liger_kernel", "The kernels are fused here."),
    ignored("use_liger_kernel", "The kernels are fused here."),
    ignored("use_unsloth", "The kernels are this program's own."),
    ignored("use_unsloth_gc", "See gradient_checkpointing."),
    ignored("use_reentrant_gc", "See gradient_checkpointing."),
    ignored("gradient_checkpointing_kwargs", "See gradient_checkpointing."),
    ignored("use_v1_kernels", "The kernels are this program's own."),
    ignored("torch_compile", "No torch here."),
    ignored("torch_compile_backend", "No torch here."),
    ignored("torch_compile_mode", "No torch here."),
    ignored("torch_empty_cache_steps", "No torch here."),
    ignored("tf32", "The arithmetic is f32."),
    ignored("bf16_full_eval", "The arithmetic is f32."),
    ignored("fp16_full_eval", "The arithmetic is f32."),
    ignored("fp16_opt_level", "The arithmetic is f32."),
    ignored("half_precision_backend", "The arithmetic is f32."),
    ignored("upcast_layernorm", "Norms are always f32 here."),
    ignored("upcast_lmhead_output", "The loss is always f32 here."),
    ignored("use_cpu", "The device is chosen by --device."),
    ignored("no_cuda", "The device is chosen by --device."),
    ignored("use_mps_device", "The device is chosen by --device."),
    ignored("low_cpu_mem_usage", "Weights are always streamed."),
    ignored("use_fast_tokenizer", "The tokenizer is always the fast one."),
    ignored("model_revision", "Models are local directories."),
    ignored("cache_dir", "Models are local directories."),
    ignored("hf_hub_token", "Nothing is downloaded."),
    ignored("ms_hub_token", "Nothing is downloaded."),
    ignored("om_hub_token", "Nothing is downloaded."),
    ignored("run_name", "Nothing is reported elsewhere."),
    ignored("logging_dir", "The log is in output_dir."),
    ignored("logging_strategy", "The log goes by logging_steps."),
    ignored("logging_first_step", "The log goes by logging_steps."),
    ignored("logging_nan_inf_filter", "A loss that is not finite stops the run."),
    ignored("log_level", "See RUST_LOG."),
    ignored("disable_tqdm", "Progress goes to stderr."),
    ignored("include_num_input_tokens_seen", "Tokens per second are always logged."),
    ignored("include_tokens_per_second", "Tokens per second are always logged."),
    ignored("include_effective_tokens_per_second", "Tokens per second are always logged."),
    ignored("compute_accuracy", "Only the loss is computed in evaluation."),
    ignored("prediction_loss_only", "Only the loss is computed in evaluation."),
    ignored("eval_accumulation_steps", "Only the loss is computed in evaluation."),
    ignored("eval_do_concat_batches", "Only the loss is computed in evaluation."),
    ignored("batch_eval_metrics", "Only the loss is computed in evaluation."),
    ignored("average_tokens_across_devices", "One device."),
    ignored("skip_memory_metrics", "The peak memory is always logged."),
    ignored("remove_unused_columns", "Columns are chosen by the format."),
    ignored("ignore_pad_token_for_loss", "There is no padding."),
    ignored("ignore_data_skip", "Resuming goes on at the same sample at once."),
    ignored("full_determinism", "Every run is deterministic."),
    ignored("save_safetensors", "Always."),
    ignored("save_on_each_node", "One device."),
    ignored("print_param_status", "See `rootstock validate`."),
    ignored("media_dir", "Text only."),
    ignored("image_max_pixels", "Text only."),
    ignored("video_max_pixels", "Text only."),
    ignored("freeze_vision_tower", "Text only."),
    ignored("freeze_multi_modal_projector", "Text only."),
    ignored("freeze_language_model", "Text only."),
    ignored("export_dir", "A run writes into output_dir."),
    ignored("export_device", "A run writes into output_dir."),
    ignored("infer_backend", "Generation is this program's own."),
    ignored("use_kv_cache", "Generation always keeps its cache."),
    ignored("vllm_maxlen", "Generation is this program's own."),
    ignored("do_sample", "Sampling is chosen by `generate` and `chat`."),
    ignored("temperature", "Sampling is chosen by `generate` and `chat`."),
    ignored("top_k", "Sampling is chosen by `generate` and `chat`."),
    ignored("top_p", "Sampling is chosen by `generate` and `chat`."),
    ignored("max_new_tokens", "Sampling is chosen by `generate` and `chat`."),
    ignored("repetition_penalty", "Sampling is chosen by `generate` and `chat`."),
    ignored("predict_with_generate", "Evaluation computes the loss."),
    ignored("loraplus_lr_embedding", "Embedding adapters train at the learning rate."),
    ignored("enable_thinking", "The checkpoint's chat template decides."),
];

#[rustfmt::skip]
const REFUSED: &[Key] = &[
    only("report_to", &["none", "[]"], "nothing is sent to a tracker; read trainer_log.jsonl, and write report_to: none"),
    only("optim", &["adamw_torch", "adamw_torch_fused", "adamw_hf", "adamw_apex_fused", "adamw"], "the optimiser is AdamW (adamw_torch)"),
    only("mix_strategy", &["concat"], "several datasets are put one after the other (concat)"),
    only("quantization_method", &["bnb"], "weights are not quantised"),
    only("hub_strategy", &["every_save"], "nothing is uploaded"),
    only("double_quantization", &["true"], "weights are not quantised"),
    only("quantization_type", &["nf4"], "weights are not quantised"),
    refused("trust_remote_code", "code from a checkpoint is never run; if the weights have a known layout they are loaded without it"),
    refused("deepspeed", "one device only; take this recipe to LLaMA-Factory for DeepSpeed"),
    refused("fsdp", "one device only; take this recipe to LLaMA-Factory for FSDP"),
    refused("fsdp_config", "one device only; take this recipe to LLaMA-Factory for FSDP"),
    refused("quantization_bit", "training on quantised weights is not supported; leave it out to train on the weights as they are"),
    refused("quantization_device_map", "weights are not quantised"),
    refused("fp8", "the arithmetic is f32"),
    refused("streaming", "datasets are read whole; leave it out"),
    refused("buffer_size", "datasets are read whole; leave it out"),
    refused("interleave_probs", "several datasets are put one after the other"),
    refused("tokenized_path", "datasets are tokenised in each run; give dataset"),
    refused("tool_format", "tool calls are not trained"),
    refused("eval_on_each_dataset", "several evaluation sets are evaluated as one"),
    refused("eval_num_beams", "evaluation computes the loss"),
    refused("do_predict", "use `rootstock generate` on the result"),
    refused("eval_delay", "evaluation starts at once"),
    refused("eval_on_start", "use `rootstock eval` on the base"),
    refused("dataloader_drop_last", "a partial last batch is trained on, with its own token count"),
    refused("group_by_length", "there is no padding to save; leave it out"),
    refused("sortish_sampler", "there is no padding to save; leave it out"),
    refused("auto_find_batch_size", "`rootstock estimate` shows what fits"),
    refused("label_smoothing_factor", "the loss is plain cross-entropy"),
    refused("neftune_noise_alpha", "no noise is added to embeddings"),
    refused("use_dft_loss", "the loss is plain cross-entropy"),
    refused("rope_scaling", "the model's config.json decides about RoPE; change it there"),
    refused("shift_attn", "attention is the model's own"),
    refused("mixture_of_depths", "the architecture is the model's own"),
    refused("moe_aux_loss_coef", "mixtures of experts are not supported"),
    refused("train_from_scratch", "training starts from the weights in model_name_or_path"),
    refused("resize_vocab", "the vocabulary stays as it is"),
    refused("add_tokens", "the vocabulary stays as it is"),
    refused("add_special_tokens", "the vocabulary stays as it is"),
    refused("new_special_tokens_config", "the vocabulary stays as it is"),
    refused("split_special_tokens", "special tokens are never split"),
    refused("adapter_folder", "give the adapter's directory in adapter_name_or_path"),
    refused("use_llama_pro", "the number of layers stays as it is; use freeze"),
    refused("use_galore", "the optimiser is AdamW"),
    refused("use_apollo", "the optimiser is AdamW"),
    refused("use_badam", "the optimiser is AdamW"),
    refused("use_adam_mini", "the optimiser is AdamW"),
    refused("use_muon", "the optimiser is AdamW"),
    refused("optim_args", "the optimiser is AdamW"),
    refused("optim_target_modules", "the optimiser is AdamW"),
    refused("use_mca", "one device only"),
    refused("use_kt", "the kernels are this program's own"),
    refused("use_swanlab", "nothing is sent to a tracker; read trainer_log.jsonl"),
    refused("push_to_hub", "nothing is uploaded; upload output_dir yourself"),
    refused("hub_model_id", "nothing is uploaded; upload output_dir yourself"),
    refused("export_hub_model_id", "nothing is uploaded; upload output_dir yourself"),
    refused("export_quantization_bit", "weights are not quantised"),
    refused("export_legacy_format", "weights are written as safetensors"),
    refused("oft_rank", "OFT is not supported; use finetuning_type: lora"),
    refused("oft_block_size", "OFT is not supported; use finetuning_type: lora"),
    refused("oft_target", "OFT is not supported; use finetuning_type: lora"),
    refused("pref_beta", "preference training (dpo, kto, orpo, simpo) is not supported"),
    refused("pref_loss", "preference training (dpo, kto, orpo, simpo) is not supported"),
    refused("pref_ftx", "preference training (dpo, kto, orpo, simpo) is not supported"),
    refused("ref_model", "preference training (dpo, kto, orpo, simpo) is not supported"),
    refused("reward_model", "reward models and PPO are not supported"),
];
