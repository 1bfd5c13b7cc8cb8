//! What training minimises and an evaluation measures.

/// Cross-entropy, changed in these ways; or a loss over whole answers.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Objective {
    /// The share of a target that is spread evenly over the vocabulary.
    pub label_smoothing: f32,
    /// Whether a token's loss is weighed by its probability, which counts as a constant ("dynamic fine-tuning", Wu et al., 2025).
    pub weigh_by_probability: bool,
    /// Strength of the noise on the embeddings in training (NEFTune's alpha); 0 without.
    pub embedding_noise: f32,
    /// Whether an evaluation counts the targets that are the likeliest token.
    pub accuracy: bool,
    /// Compares answers by their log-probabilities; then the others have no effect.
    pub preference: Option<Preference>,
}

/// A loss over the log-probabilities of answers. One of a batch's samples is two sequences: the preferred and the rejected answer, or (for
/// [`PreferenceLoss::Kto`]) an answer and one that belongs to another prompt.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Preference {
    /// The loss.
    pub loss: PreferenceLoss,
    /// How much a log-probability counts, in the loss and as a reward.
    pub beta: f32,
    /// What the mean cross-entropy of the preferred answer counts beside the loss.
    pub ftx: f32,
}

/// The losses. With c and r the log-probabilities of the preferred and the
/// rejected answer, and c₀ and r₀ those of the reference:
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PreferenceLoss {
    /// −(1−s)·ln σ(β·u) − s·ln σ(−β·u) with u = (c − c₀) − (r − r₀) (Rafailov et al., "DPO", 2023).
    Sigmoid {
        /// The share s of pairs that are thought to be the wrong way round.
        label_smoothing: f32,
    },
    /// max(0, 1 − β·u) (Zhao et al., "SLiC", 2023).
    Hinge,
    /// (u − 1/(2β))², of means over an answer's tokens (Azar et al., "IPO", 2023).
    Ipo,
    /// −c − β·ln σ(odds(c) − odds(r)) with odds(x) = x − ln(1 − eˣ), of means; without a reference (Hong et al., "ORPO", 2024).
    Orpo,
    /// −ln σ(β·(c − r) − γ), of means; without a reference (Meng et al., "SimPO", 2024).
    Simpo {
        /// The margin γ.
        gamma: f32,
    },
    /// −ln σ(c − r) of the values that a reward model's head gives the last tokens of the two answers (Ouyang et al., "InstructGPT", 2022).
    Reward,
    /// Answers that are good or bad on their own: w·(1 − σ(β·(c − c₀ − k))) and v·(1 − σ(β·(k − r + r₀))), with k ≥ 0 the mean of what
    /// answers to other prompts gained, which counts as a constant (Ethayarajh et al., "KTO", 2024).
    Kto {
        /// The weight w of good answers.
        chosen_weight: f32,
        /// The weight v of bad ones.
        rejected_weight: f32,
    },
}

impl Objective {
    /// Whether the model gives an answer a number (a reward model's value head) instead of giving tokens probabilities.
    pub fn gives_values(&self) -> bool {
        matches!(self.preference, Some(Preference { loss: PreferenceLoss::Reward, .. }))
    }
}

impl Preference {
    /// Whether answers are compared with what a reference model gives them.
    pub fn needs_reference(&self) -> bool {
        !matches!(self.loss, PreferenceLoss::Orpo | PreferenceLoss::Simpo { .. } | PreferenceLoss::Reward)
    }
}
