//! Every recipe key in one table, which the parser, `docs/recipes.md`, the search for the nearest name and resumed runs read.
//!
//! Names, meanings and defaults are LLaMA-Factory's, and transformers' `TrainingArguments` where LLaMA-Factory passes them on.

mod notes;
mod refused;

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
    /// It asks for other means to the same result; a value that is not "off" or one of these is mentioned with the reason.
    Noted(&'static [&'static str]),
    /// It would change the result and is not supported: an error, unless the value is "off" or one of these.
    Only {
        /// Values that are what happens here.
        accepted: &'static [&'static str],
        /// Values that ask for other means to the same result: mentioned with the reason.
        noted: &'static [&'static str],
    },
    /// It only says more about this other key, and has no fault of its own.
    With(&'static str),
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
        "hub_token" => "hf_hub_token",
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

const fn noted(name: &'static str, silent: &'static [&'static str], help: &'static str) -> Key {
    Key { support: Support::Noted(silent), ..free("Accepted with a remark", name, Kind::Any, "", help) }
}

const fn refused(name: &'static str, help: &'static str) -> Key {
    only(name, &[], &[], help)
}

const fn only(name: &'static str, accepted: &'static [&'static str], noted: &'static [&'static str], help: &'static str) -> Key {
    Key { support: Support::Only { accepted, noted }, ..free("Refused", name, Kind::Any, "", help) }
}

/// A key that only says more about another one.
const fn with(feature: &'static str, name: &'static str) -> Key {
    Key { support: Support::With(feature), ..free("Companions", name, Kind::Any, "", "") }
}

/// The heading of keys that training does not read.
pub const USING_GROUP: &str = "Chat, merging and prediction";

const TABLE: &[&[Key]] = &[
    MODEL,
    DATA,
    TRAINING,
    PREFERENCES,
    EVALUATION,
    OUTPUT,
    LORA,
    USING,
    notes::IGNORED,
    notes::NOTED,
    refused::REFUSED,
    refused::COMPANIONS,
];

const DTYPES: &[&str] = &["auto", "float32", "float16", "bfloat16"];
const STRATEGIES: &[&str] = &["no", "steps", "epoch"];
/// AdamW whose moments are stored in other ways elsewhere, and in f32 here.
pub(super) const STORED_OTHERWISE: &[&str] = &["adamw_torch_4bit", "adamw_torch_xla", "adamw_torch_npu_fused", "adamw_anyprecision"];
/// The optimisers, by transformers' names; some of them name the same.
const OPTIMIZERS: &[&str] = &[
    "adamw_torch",
    "adamw_torch_fused",
    "adamw_hf",
    "adamw_apex_fused",
    "adamw",
    "paged_adamw",
    "paged_adamw_32bit",
    STORED_OTHERWISE[0],
    STORED_OTHERWISE[1],
    STORED_OTHERWISE[2],
    STORED_OTHERWISE[3],
    "adamw_8bit",
    "adamw_bnb_8bit",
    "paged_adamw_8bit",
    "adamw_torch_8bit",
    "sgd",
    "lion_32bit",
    "paged_lion_32bit",
    "adafactor",
];
/// The learning-rate schedules, by transformers' names.
pub(super) const SCHEDULES: &[&str] = &[
    "constant",
    "constant_with_warmup",
    "linear",
    "cosine",
    "cosine_with_min_lr",
    "cosine_with_restarts",
    "polynomial",
    "inverse_sqrt",
    "reduce_lr_on_plateau",
    "warmup_stable_decay",
];

#[rustfmt::skip]
const MODEL: &[Key] = &[
    free("Model and method", "model_name_or_path", Kind::Text, "", "The model to train: a Hugging Face directory on this machine, a GGUF file (gguf.md), or its name on Hugging Face's hub (org/name, org/name@revision), which is looked for in the cache of its programs and else downloaded into it. Required."),
    free("Model and method", "model_revision", Kind::Text, "main", "The branch, tag or commit of a model that is named as on the hub."),
    free("Model and method", "adapter_name_or_path", Kind::List, "", "An adapter's directory to go on from; its rank, targets and the like are kept. Of several, comma-separated, those before the last are added to the model first."),
    fixed("Model and method", "stage", Kind::OneOf(&["sft", "pt", "dpo", "kto", "rm"]), "sft", "sft: conversations, loss on the answers. pt: plain text, loss on every token. dpo: pairs of answers, the better one preferred; kto: answers that are marked as good or bad; rm: a reward model that judges answers, from pairs (preference.md)."),
    fixed("Model and method", "finetuning_type", Kind::OneOf(&["lora", "full", "freeze"]), "lora", "Which parameters are trained: an adapter, all, or some layers."),
    free("Model and method", "do_train", Kind::Bool, "true", "Train. (LLaMA-Factory wants it written; here `train` trains unless it is false.)"),
    free("Model and method", "do_eval", Kind::Bool, "false", "Evaluate after training; set by eval_strategy as well."),
    free("Model and method", "resume_from_checkpoint", Kind::BoolOrText, "", "A checkpoint-N directory to go on from, or true for the newest in output_dir."),
    fixed("Model and method", "train_from_scratch", Kind::Bool, "false", "full: begin with weights at random, as transformers initialises them by config.json; the model's directory needs no weights then."),
    fixed("Model and method", "resize_vocab", Kind::Bool, "false", "Give tokens of the tokenizer that have no row in the embedding one, up to a multiple of 64 rows: the mean of the others with noise, as LLaMA-Factory does. lora: embedding and head are trained whole then, and the base with its new rows is written to output_dir/base."),
    fixed("Model and method", "add_tokens", Kind::List, "", "Tokens to add to the tokenizer, comma-separated; then resize_vocab is on."),
    fixed("Model and method", "add_special_tokens", Kind::List, "", "The same for special tokens, which answers do not show."),
    fixed("Model and method", "new_special_tokens_config", Kind::TextOrMap, "", "A YAML or JSON file that maps special tokens to descriptions, or that mapping itself, as {<think>: where a thought begins}. They are added in place of add_special_tokens."),
    fixed("Model and method", "init_special_tokens", Kind::OneOf(&["noise_init", "desc_init", "desc_init_w_noise"]), "noise_init", "How the rows of new tokens begin. noise_init: the mean of the others with noise. desc_init: those of described tokens as the mean of the embedding's rows of their descriptions' tokens, all other new rows as the mean; desc_init_w_noise: with noise on described ones."),
    fixed("Model and method", "quantization_bit", Kind::Integer, "", "lora: keep the linear maps of the frozen model in 8 or 4 bits (quantization.md). Embeddings and output head stay as they are stored. Also for chat."),
    fixed("Model and method", "quantization_type", Kind::OneOf(&["nf4", "fp4"]), "nf4", "4 bits: which values the codes stand for."),
    fixed("Model and method", "double_quantization", Kind::Bool, "true", "4 bits: keep the blocks' scales in 8 bits, as bitsandbytes does."),
    fixed("Model and method", "dequantize", Kind::Bool, "false", "lora, freeze: decode a base that is stored in blocks of few bits (a GGUF file, a directory that bitsandbytes quantised) to f32 while it is loaded. By default what is not trained is kept in its blocks (quantization.md). Also for chat."),
    fixed("Model and method", "freeze_trainable_layers", Kind::Integer, "2", "freeze: train the last n layers, or the first n when negative."),
    fixed("Model and method", "freeze_trainable_modules", Kind::List, "all", "freeze: train these modules of those layers, comma-separated."),
    fixed("Model and method", "use_llama_pro", Kind::Bool, "false", "freeze: train the last layer of each of freeze_trainable_layers blocks, which LLaMA-Factory's expansion of a model added."),
    fixed("Model and method", "freeze_extra_modules", Kind::List, "", "freeze: train these modules outside the layers as well, for example lm_head."),
];

#[rustfmt::skip]
const DATA: &[Key] = &[
    free("Data", "dataset", Kind::List, "", "Names from dataset_info.json, or paths of .jsonl, .json or .txt files, comma-separated."),
    free("Data", "eval_dataset", Kind::List, "", "The same, for evaluation."),
    free("Data", "dataset_dir", Kind::Text, "data", "The directory of dataset_info.json and its files."),
    fixed("Data", "template", Kind::Text, "", "A chat template by LLaMA-Factory's name, with its tokens and labels; without, the checkpoint's own is used."),
    fixed("Data", "tool_format", Kind::OneOf(&["default", "glm4", "llama3", "mistral", "qwen"]), "", "How the named template writes tools; without, in its own way."),
    fixed("Data", "default_system", Kind::Text, "", "The system message of conversations that have none; also that of `rootstock chat RECIPE`."),
    fixed("Data", "enable_thinking", Kind::Bool, "", "Whether the model thinks before it answers: named reasoning templates learn an empty thought (true, their default) or are given it (false); the checkpoint's own template is told."),
    fixed("Data", "preserve_thinking", Kind::Bool, "false", "Keep the thoughts of earlier answers where only the last one is learned (mask_history, stages dpo and kto); the checkpoint's own template is told."),
    fixed("Data", "cutoff_len", Kind::Count(2), "2048", "Tokens per sample at most; shared between prompt and answer of each turn. pt: the length of a block."),
    fixed("Data", "max_samples", Kind::Count(1), "", "Use only the first so many samples of each dataset."),
    free("Data", "tokenized_path", Kind::Text, "", "A directory that keeps the tokens of the datasets for the next run. They are found by the datasets' content and all that they depend on."),
    free("Data", "overwrite_cache", Kind::Bool, "false", "Tokenise anew, also where tokenized_path has the tokens."),
    free("Data", "on_bad_record", Kind::OneOf(&["stop", "skip"]), "stop", "What a record means that cannot be learned from: stop before the run begins, or leave it out and say so."),
    fixed("Data", "train_on_prompt", Kind::Bool, "false", "Learn the prompts as well as the answers."),
    fixed("Data", "mask_history", Kind::Bool, "false", "Learn the last answer of a conversation only."),
    fixed("Data", "packing", Kind::Bool, "", "Put several samples into one sequence of cutoff_len tokens; they see each other. Always on for pt unless false."),
    fixed("Data", "neat_packing", Kind::Bool, "false", "Packing in which samples do not see each other (sft)."),
    fixed("Data", "val_size", Kind::NonNegative, "0", "Held out for evaluation: a count, or a share of the samples below 1."),
    fixed("Data", "disable_shuffling", Kind::Bool, "false", "Keep the samples in the order of the files."),
    fixed("Data", "mix_strategy", Kind::OneOf(&["concat", "interleave_under", "interleave_over", "interleave_once"]), "concat", "Several datasets: one after the other; or record by record until one has ended (under), until all have, the shorter ones again (over), or each record once. Evaluation sets are always put one after the other."),
    fixed("Data", "interleave_probs", Kind::List, "", "The probabilities with which the next record comes from each dataset, comma-separated; without, they take turns."),
    fixed("Data", "batching_strategy", Kind::OneOf(&["normal", "padding_free", "dynamic_batching", "dynamic_padding_free"]), "normal", "normal: a micro-batch has per_device_train_batch_size samples; so it has with padding_free, as nothing is padded here. dynamic_batching, dynamic_padding_free: as many as have cutoff_len tokens for each of them, with all padded to the longest, or without. Then max_steps is needed, and the passes over the data follow each other without a cut."),
    fixed("Data", "group_by_length", Kind::Bool, "false", "Let samples of similar length come together; there is no padding here, so this only evens out the steps."),
    fixed("Data", "seed", Kind::Count(0), "42", "Seed of everything random."),
    fixed("Data", "data_seed", Kind::Count(0), "", "Seed of the samples' order; seed when absent."),
];

#[rustfmt::skip]
const TRAINING: &[Key] = &[
    fixed("Training", "per_device_train_batch_size", Kind::Count(1), "8", "Samples per micro-batch."),
    fixed("Training", "gradient_accumulation_steps", Kind::Count(1), "1", "Micro-batches per optimiser step; the loss is normalised by the tokens of all of them."),
    fixed("Training", "learning_rate", Kind::NonNegative, "5e-5", "The peak learning rate."),
    fixed("Training", "num_train_epochs", Kind::Positive, "3.0", "Passes over the data; fractions allowed."),
    fixed("Training", "max_steps", Kind::Integer, "-1", "Optimiser steps; overrides num_train_epochs when positive."),
    fixed("Training", "lr_scheduler_type", Kind::OneOf(SCHEDULES), "linear", "The learning rate's schedule."),
    fixed("Training", "lr_scheduler_kwargs", Kind::Map, "", "min_lr or min_lr_rate (cosine_with_min_lr); num_stable_steps, num_decay_steps, warmup_type, decay_type, min_lr_ratio (warmup_stable_decay); power, lr_end (polynomial); factor, patience, cooldown, threshold, threshold_mode, min_lr, eps (reduce_lr_on_plateau); num_cycles."),
    fixed_as("warmup", fixed("Training", "warmup_steps", Kind::NonNegative, "0", "Steps of linear warm-up; below 1 a share of all steps.")),
    fixed_as("warmup", fixed("Training", "warmup_ratio", Kind::Share, "0", "Warm-up as a share of all steps, rounded up; warmup_steps wins.")),
    fixed("Training", "optim", Kind::OneOf(OPTIMIZERS), "adamw_torch", "The optimiser. adamw_8bit keeps AdamW's moments in 8 bits, as bitsandbytes does: a quarter of their memory, but for embeddings; adamw_torch_8bit those of embeddings too, as torchao does. sgd has no momentum, as transformers sets it. lion_32bit is Lion, with adam_beta1 and adam_beta2. adafactor keeps a number for each row and column of a matrix, as transformers sets it."),
    fixed("Training", "use_muon", Kind::Bool, "false", "Muon for the matrices of the layers: their momentum, orthogonalised. AdamW for embeddings, output head, norms and biases. In place of optim."),
    fixed("Training", "muon_momentum", Kind::Share, "0.95", "use_muon: the decay of the momentum (version 1's optim_config)."),
    fixed("Training", "muon_nesterov", Kind::Bool, "true", "use_muon: go by what the momentum will be with this gradient once more, rather than by the momentum."),
    fixed("Training", "muon_ns_steps", Kind::Count(0), "5", "use_muon: steps of the iteration that orthogonalises the momentum, at most 100."),
    fixed("Training", "weight_decay", Kind::NonNegative, "0", "Decoupled from the gradient, but for sgd; not on norms and biases."),
    fixed("Training", "adam_beta1", Kind::Share, "0.9", "AdamW's first moment."),
    fixed("Training", "adam_beta2", Kind::Share, "0.999", "AdamW's second moment."),
    fixed("Training", "adam_epsilon", Kind::Positive, "1e-8", "AdamW's epsilon."),
    fixed("Training", "max_grad_norm", Kind::NonNegative, "1.0", "Clip the gradient's norm to this; 0 turns clipping off."),
    fixed("Training", "label_smoothing_factor", Kind::Share, "0", "Spread this share of each target evenly over the vocabulary; the evaluation's loss does so too."),
    fixed("Training", "use_dft_loss", Kind::Bool, "false", "Weigh each token's loss by its probability, taken as a constant (DFT); the evaluation's loss does so too."),
    fixed("Training", "neftune_noise_alpha", Kind::NonNegative, "", "Uniform noise of alpha / sqrt(tokens x width) on the embeddings in training (NEFTune); tokens are those of the sample, as there is no padding."),
    free("Training", "gradient_checkpointing", Kind::Bool, "", "Recompute activations in the backward pass: less memory, about a third more time. Absent: only where the device's memory is too small without. (LLaMA-Factory turns it on by itself.)"),
    free("Training", "disable_gradient_checkpointing", Kind::Bool, "false", "The same switch, the way LLaMA-Factory writes it."),
    fixed_as("activations", fixed("Training", "bf16", Kind::Bool, "false", "Keep activations for the backward pass in bfloat16: less memory. Weights, gradients and all arithmetic stay f32, so that no loss is scaled. docs/tuning.md.")),
    fixed_as("activations", fixed("Training", "fp16", Kind::Bool, "false", "The same in IEEE half precision: eight times as exact; magnitudes above 65504 become that. On some devices products take their factors in it, too; the run says so. docs/tuning.md.")),
    fixed_as("activations", fixed("Training", "pure_bf16", Kind::Bool, "false", "As bf16: trained weights and what the optimiser keeps stay f32.")),
];

/// The heading of the keys of stages dpo and kto.
pub const PREFERENCES_GROUP: &str = "Preferences";

#[rustfmt::skip]
const PREFERENCES: &[Key] = &[
    fixed(PREFERENCES_GROUP, "pref_loss", Kind::OneOf(&["sigmoid", "hinge", "ipo", "orpo", "simpo"]), "sigmoid", "dpo: the loss. orpo and simpo need no reference model."),
    fixed(PREFERENCES_GROUP, "pref_beta", Kind::Positive, "0.1", "How much the log-probability that an answer gains over the reference counts; smaller lets the model go further from it."),
    fixed(PREFERENCES_GROUP, "pref_ftx", Kind::NonNegative, "0", "Add so much of the preferred answer's cross-entropy to the loss."),
    fixed(PREFERENCES_GROUP, "simpo_gamma", Kind::NonNegative, "0.5", "pref_loss: simpo: the margin by which the preferred answer should lead."),
    fixed(PREFERENCES_GROUP, "dpo_label_smoothing", Kind::Share, "0", "pref_loss: sigmoid: the share of pairs that are thought to be the wrong way round; below 0.5."),
    fixed(PREFERENCES_GROUP, "kto_chosen_weight", Kind::NonNegative, "1.0", "kto: the weight of good answers."),
    fixed(PREFERENCES_GROUP, "kto_rejected_weight", Kind::NonNegative, "1.0", "kto: the weight of bad answers."),
    fixed(PREFERENCES_GROUP, "ref_model", Kind::Text, "", "The reference model. Absent: lora: the model without the adapter; full and freeze: the model as it is before the first step."),
];

#[rustfmt::skip]
const EVALUATION: &[Key] = &[
    fixed("Evaluation", "eval_strategy", Kind::OneOf(STRATEGIES), "no", "When to evaluate during training. Also written evaluation_strategy."),
    fixed("Evaluation", "eval_steps", Kind::Steps, "", "Every so many steps; below 1 a share of all steps; logging_steps when absent."),
    free("Evaluation", "eval_on_each_dataset", Kind::Bool, "false", "Log the loss of each of several evaluation sets as well (eval_NAME_loss)."),
    free("Evaluation", "compute_accuracy", Kind::Bool, "false", "sft: tell how often the likeliest token is the right one (eval_accuracy): the mean over the samples of their share of right tokens. Samples are evaluated one at a time then."),
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
    free("Output", "report_to", Kind::List, "none", "tensorboard writes event files into output_dir/runs, which TensorBoard reads; wandb an offline run into output_dir/wandb, which `wandb sync` uploads. Nothing is sent anywhere; trainer_log.jsonl holds the same."),
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
const USING: &[Key] = &[
    free(USING_GROUP, "do_predict", Kind::Bool, "false", "Answer the prompts of the evaluation samples (`rootstock eval RECIPE`); needs predict_with_generate."),
    free(USING_GROUP, "predict_with_generate", Kind::Bool, "false", "Prediction: write the answers and compare them with the expected ones by BLEU-4 and ROUGE."),
    free(USING_GROUP, "export_dir", Kind::Text, "", "`rootstock merge RECIPE`: the directory that the merged model goes to."),
    free(USING_GROUP, "do_sample", Kind::Bool, "true", "Draw tokens at random; false takes the likeliest."),
    free(USING_GROUP, "temperature", Kind::NonNegative, "0.95", "Divides the logits before drawing."),
    free(USING_GROUP, "top_p", Kind::NonNegative, "0.7", "Draw from the likeliest tokens that together reach this probability."),
    free(USING_GROUP, "top_k", Kind::Integer, "50", "Draw from so many of the likeliest tokens; 0: from all."),
    free(USING_GROUP, "max_new_tokens", Kind::Count(1), "1024", "Tokens of an answer at most."),
    free(USING_GROUP, "repetition_penalty", Kind::Positive, "1.0", "Above 1: make tokens that have come before less likely."),
];
