/// What changes from one micro-step to the next. A program's own parameters are constant; this one uniform is rewritten before each replay.
struct Step {
    /// 0 for the first micro-batch of an accumulation group: gradients are written; 1 after that: they are added to.
    accumulate: u32,
    /// Number of target tokens of this micro-batch (labels that are not masked).
    targets: u32,
    /// Number of different token ids of this micro-batch (buckets of the embedding gradient).
    buckets: u32,
    /// Index of the first query token among the keys: 0 in training, the number of cached tokens in generation.
    position: u32,
    /// 1 / target tokens of the whole accumulation group; for preferences 1 / (samples of this micro-batch * micro-batches of the group).
    loss_scale: f32,
    /// Learning rate of this optimiser step.
    learning_rate: f32,
    /// 1 / (1 - beta1^t).
    bias_correction1: f32,
    /// 1 / (1 - beta2^t).
    bias_correction2: f32,
    /// Seed of this micro-step for dropout.
    seed: u32,
    /// Largest allowed gradient norm; 0 means no clipping.
    max_grad_norm: f32,
    /// Real (not filling) tokens of this micro-batch.
    tokens: u32,
    /// Number of different positions of this micro-batch (buckets of the position embedding's gradient).
    position_buckets: u32,
    /// Adafactor: what the running means take of this step's squares, t^-0.8.
    factor_rate: f32,
    /// Row of the RoPE tables with the angles of position 0: LongRoPE has other angles for long sequences than for short ones.
    rope_row: u32,
    /// Number of answers that are compared: two for each sample of preferences, 0 without preferences.
    answers: u32,
}
