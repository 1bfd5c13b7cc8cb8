//! The types of a recipe's values.

use serde::{Deserialize, Serialize};

/// What the samples are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Plain text, every token learned.
    Pt,
    /// Conversations, the answers learned.
    Sft,
    /// Pairs of answers, the better one preferred.
    Dpo,
    /// Answers that are marked as good or bad.
    Kto,
    /// Pairs of answers, from which a reward model learns to judge.
    Rm,
}

impl Stage {
    /// Whether answers are compared with each other, rather than their tokens learned.
    pub fn compares_answers(self) -> bool {
        matches!(self, Stage::Dpo | Stage::Kto | Stage::Rm)
    }
}

/// `pref_loss`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are LLaMA-Factory's own, explained where they are computed")]
pub enum PrefLoss {
    Sigmoid,
    Hinge,
    Ipo,
    Orpo,
    Simpo,
}

/// The keys of stages dpo and kto.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "LLaMA-Factory's names, explained in the table of keys")]
pub struct Pref {
    #[serde(rename = "pref_loss")]
    pub loss: PrefLoss,
    #[serde(rename = "pref_beta")]
    pub beta: f64,
    #[serde(rename = "pref_ftx")]
    pub ftx: f64,
    pub simpo_gamma: f64,
    pub dpo_label_smoothing: f64,
    pub kto_chosen_weight: f64,
    pub kto_rejected_weight: f64,
    pub ref_model: Option<String>,
}

/// Which parameters are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinetuningType {
    /// All of them.
    Full,
    /// A low-rank adapter beside frozen weights.
    Lora,
    /// Some layers.
    Freeze,
}

/// What a record means that cannot be learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnBadRecord {
    /// The run does not begin.
    Stop,
    /// The record is left out, and the user is told.
    Skip,
}

/// How several datasets are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixStrategy {
    /// One after the other.
    Concat,
    /// Record by record, until one of them has come to its end.
    InterleaveUnder,
    /// Record by record, until all have; those that end before begin again.
    InterleaveOver,
    /// Record by record, each record once.
    InterleaveOnce,
}

/// How samples are put into micro-batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Batching {
    /// So many samples.
    #[serde(rename = "normal", alias = "padding_free")]
    Normal,
    /// As many as have `cutoff_len` tokens for each of `per_device_train_batch_size`, were all padded to the longest of them.
    #[serde(rename = "dynamic_batching")]
    Padded,
    /// As many as have that many tokens.
    #[serde(rename = "dynamic_padding_free")]
    Tokens,
}

/// When something happens during training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// Never.
    No,
    /// Every so many steps.
    Steps,
    /// At the end of each epoch.
    Epoch,
}

/// `optim`. Where transformers has several implementations of one rule, they are one here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum OptimizerName {
    /// AdamW.
    #[serde(
        rename = "adamw_torch",
        alias = "adamw_torch_fused",
        alias = "adamw_hf",
        alias = "adamw_apex_fused",
        alias = "adamw",
        alias = "paged_adamw",
        alias = "paged_adamw_32bit",
        alias = "adamw_torch_4bit",
        alias = "adamw_torch_xla",
        alias = "adamw_torch_npu_fused",
        alias = "adamw_anyprecision"
    )]
    Adamw,
    /// AdamW with moments of 8 bits.
    #[serde(rename = "adamw_8bit", alias = "adamw_bnb_8bit", alias = "paged_adamw_8bit")]
    Adamw8bit,
    /// The same, of embeddings as well.
    #[serde(rename = "adamw_torch_8bit")]
    AdamwTorch8bit,
    /// Stochastic gradient descent.
    #[serde(rename = "sgd")]
    Sgd,
    /// Lion.
    #[serde(rename = "lion_32bit", alias = "paged_lion_32bit")]
    Lion,
    /// Adafactor.
    #[serde(rename = "adafactor")]
    Adafactor,
}

/// What Muon does with gradients.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Momentum {
    /// The decay of the momentum.
    #[serde(rename = "muon_momentum")]
    pub decay: f64,
    /// Whether the direction is a step ahead of the momentum.
    #[serde(rename = "muon_nesterov")]
    pub nesterov: bool,
    /// Steps of the iteration that orthogonalises it.
    #[serde(rename = "muon_ns_steps")]
    pub iterations: usize,
}

impl Default for Momentum {
    fn default() -> Momentum {
        Momentum { decay: 0.95, nesterov: true, iterations: 5 }
    }
}

/// A number of steps, given as such or as a share of all steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Interval {
    /// Steps.
    Steps(u64),
    /// A share of all steps, above 0 and below 1.
    Share(f64),
}

impl Interval {
    /// What a number of steps means in a recipe: below 1 a share.
    pub(super) fn of(number: f64) -> Interval {
        if number < 1.0 { Interval::Share(number) } else { Interval::Steps(number as u64) }
    }

    /// The interval in steps, at least 1; a share is rounded up as transformers does.
    pub fn steps(self, total_steps: u64) -> u64 {
        match self {
            Interval::Steps(steps) => steps.max(1),
            Interval::Share(share) => ((total_steps as f64 * share).ceil() as u64).max(1),
        }
    }
}

/// The learning rate's schedule, by transformers' names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are transformers' own, explained where they are computed")]
pub enum SchedulerType {
    Constant,
    ConstantWithWarmup,
    Linear,
    Cosine,
    CosineWithMinLr,
    CosineWithRestarts,
    Polynomial,
    InverseSqrt,
    ReduceLrOnPlateau,
    WarmupStableDecay,
}

/// `lr_scheduler_kwargs`, as far as the supported schedules take them.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct SchedulerKwargs {
    /// cosine_with_min_lr: the lowest learning rate.
    pub min_lr: Option<f64>,
    /// cosine_with_min_lr: the lowest learning rate as a share of `learning_rate`.
    pub min_lr_rate: Option<f64>,
    /// cosine, cosine_with_min_lr, warmup_stable_decay: waves; 0.5 falls once. cosine_with_restarts: falls.
    pub num_cycles: Option<f64>,
    /// warmup_stable_decay: steps at the peak.
    pub num_stable_steps: Option<u64>,
    /// warmup_stable_decay: steps of falling.
    pub num_decay_steps: Option<u64>,
    /// warmup_stable_decay: linear, cosine or 1-sqrt.
    pub warmup_type: Option<String>,
    /// warmup_stable_decay: linear, cosine or 1-sqrt.
    pub decay_type: Option<String>,
    /// warmup_stable_decay: the lowest learning rate as a share of `learning_rate`.
    pub min_lr_ratio: Option<f64>,
    /// polynomial: the exponent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub power: Option<f64>,
    /// polynomial: the learning rate at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr_end: Option<f64>,
    /// reduce_lr_on_plateau: what the learning rate is multiplied with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub factor: Option<f64>,
    /// reduce_lr_on_plateau: evaluations without a better loss that are borne.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patience: Option<u64>,
    /// reduce_lr_on_plateau: evaluations after a reduction that do not count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<u64>,
    /// reduce_lr_on_plateau: how much better a loss must be to be better.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f64>,
    /// reduce_lr_on_plateau: rel (a share of the best loss) or abs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold_mode: Option<String>,
    /// reduce_lr_on_plateau: smaller reductions are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eps: Option<f64>,
}

/// A number type of 16 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// bfloat16: the range of f32.
    Bf16,
    /// IEEE half: eight times as exact, up to 65504.
    Fp16,
}

/// The number type of written weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExportDtype {
    /// The type that the model was stored in.
    Auto,
    /// 32 bits.
    Float32,
    /// IEEE half.
    Float16,
    /// bfloat16.
    Bfloat16,
}

/// Whether a run goes on from an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resume {
    /// It starts anew.
    No,
    /// From the newest whole checkpoint-N in `output_dir`.
    Newest,
    /// From this directory.
    From(String),
}

/// The LoRA keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[expect(missing_docs, reason = "LLaMA-Factory's names, explained in the table of keys")]
pub struct Lora {
    #[serde(rename = "lora_rank")]
    pub rank: usize,
    #[serde(rename = "lora_alpha")]
    pub alpha: f64,
    #[serde(rename = "lora_dropout")]
    pub dropout: f64,
    #[serde(rename = "lora_target")]
    pub target: Vec<String>,
    /// Ranks by the ends of module names.
    #[serde(serialize_with = "as_mapping")]
    pub rank_pattern: Vec<(String, usize)>,
    /// α by the ends of module names.
    #[serde(serialize_with = "as_mapping")]
    pub alpha_pattern: Vec<(String, f64)>,
    pub additional_target: Vec<String>,
    pub use_rslora: bool,
    pub use_dora: bool,
    pub loraplus_lr_ratio: Option<f64>,
    pub create_new_adapter: bool,
    pub pissa_init: bool,
    /// Iterations of the randomised decomposition; exact without.
    pub pissa_iter: Option<usize>,
}

/// Pairs as the mapping that a recipe writes.
fn as_mapping<T: Serialize, S: serde::Serializer>(pairs: &[(String, T)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
}

/// How a frozen base is quantised while it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Quantization {
    /// 8 or 4; none: the base stays as it is stored.
    #[serde(rename = "quantization_bit")]
    pub bits: Option<u32>,
    /// Of 4 bits, which.
    #[serde(rename = "quantization_type")]
    pub kind: QuantizationType,
    /// Of 4 bits, whether the scales are quantised too.
    #[serde(rename = "double_quantization")]
    pub double: bool,
    /// Whether matrices that are stored in blocks are decoded while they are loaded, rather than kept as they are.
    pub dequantize: bool,
}

impl Default for Quantization {
    /// As a recipe that says nothing.
    fn default() -> Self {
        Quantization { bits: None, kind: QuantizationType::Nf4, double: true, dequantize: false }
    }
}

/// `quantization_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum QuantizationType {
    /// Quantiles of a normal distribution.
    Nf4,
    /// Floating-point numbers of 4 bits.
    Fp4,
}

/// The freeze keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[expect(missing_docs, reason = "LLaMA-Factory's names, explained in the table of keys")]
pub struct Freeze {
    #[serde(rename = "freeze_trainable_layers")]
    pub trainable_layers: i64,
    #[serde(rename = "freeze_trainable_modules")]
    pub trainable_modules: Vec<String>,
    #[serde(rename = "freeze_extra_modules")]
    pub extra_modules: Vec<String>,
    /// Trains the last layer of each of `trainable_layers` blocks: those that LLaMA-Factory's expansion adds.
    pub use_llama_pro: bool,
}

/// What a recipe adds to the model's vocabulary.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Vocabulary {
    /// Whether tokens of the tokenizer that have no row in the embedding get one.
    #[serde(rename = "resize_vocab")]
    pub resize: bool,
    /// Ordinary tokens to add to the tokenizer.
    #[serde(rename = "add_tokens")]
    pub tokens: Vec<String>,
    /// Special tokens to add.
    #[serde(rename = "add_special_tokens")]
    pub special_tokens: Vec<String>,
    /// Special tokens to add in place of those, with descriptions.
    #[serde(rename = "new_special_tokens_config")]
    pub described: Option<DescribedTokens>,
    /// How the rows of new tokens begin.
    #[serde(rename = "init_special_tokens", serialize_with = "NewRows::unless_noise")]
    pub rows: NewRows,
}

/// Special tokens, each with a description.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum DescribedTokens {
    /// A YAML or JSON file that maps tokens to descriptions.
    File(String),
    /// The same in the recipe itself.
    Inline(Vec<(String, String)>),
}

/// How the rows of new tokens begin (LLaMA-Factory's `init_special_tokens`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewRows {
    /// The mean of the other rows, with noise.
    #[default]
    #[serde(rename = "noise_init")]
    Noise,
    /// Those of described tokens: the mean of the rows of their descriptions' tokens.
    #[serde(rename = "desc_init")]
    Description,
    /// The same with noise.
    #[serde(rename = "desc_init_w_noise")]
    DescriptionWithNoise,
}

impl NewRows {
    /// The default is nothing, so that a run from before there was a choice can be resumed.
    fn unless_noise<S: serde::Serializer>(rows: &NewRows, serializer: S) -> Result<S::Ok, S::Error> {
        match rows {
            NewRows::Noise => serializer.serialize_none(),
            other => other.serialize(serializer),
        }
    }
}

impl Vocabulary {
    /// Whether the tokenizer or the embedding may grow.
    pub fn grows(&self) -> bool {
        self.resize || !self.tokens.is_empty() || !self.special_tokens.is_empty() || self.described.is_some()
    }
}
