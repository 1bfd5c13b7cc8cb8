//! What stages dpo, kto and rm tell about answers: rewards, their margin, how often the preferred answer leads; under TRL's names.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::Stage;
use crate::kernels::Stats;

/// Sums over answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RewardSums {
    /// Preferred answers.
    chosen: f64,
    /// Rejected ones.
    rejected: f64,
    chosen_reward: f64,
    rejected_reward: f64,
    chosen_logp: f64,
    rejected_logp: f64,
    /// Pairs whose preferred answer has the higher reward.
    correct: f64,
    kl: f64,
}

/// Numbers by their names; `None` where one is not finite.
pub type Figures = BTreeMap<String, Option<f64>>;

impl RewardSums {
    /// Whether there are none, as in a state of stages sft and pt.
    pub(super) fn is_empty(&self) -> bool {
        *self == RewardSums::default()
    }

    /// Adds those of a step or an evaluated batch.
    pub(super) fn add(&mut self, stats: &Stats) {
        let all = [
            (&mut self.chosen, stats.chosen),
            (&mut self.rejected, stats.rejected),
            (&mut self.chosen_reward, stats.chosen_reward),
            (&mut self.rejected_reward, stats.rejected_reward),
            (&mut self.chosen_logp, stats.chosen_logp),
            (&mut self.rejected_logp, stats.rejected_logp),
            (&mut self.correct, stats.correct),
            (&mut self.kl, stats.kl),
        ];
        for (sum, number) in all {
            *sum += f64::from(number);
        }
    }

    /// Adds others.
    pub(super) fn merge(&mut self, other: &RewardSums) {
        self.chosen += other.chosen;
        self.rejected += other.rejected;
        self.chosen_reward += other.chosen_reward;
        self.rejected_reward += other.rejected_reward;
        self.chosen_logp += other.chosen_logp;
        self.rejected_logp += other.rejected_logp;
        self.correct += other.correct;
        self.kl += other.kl;
    }

    /// The share of pairs whose preferred answer a reward model gives the higher value (LLaMA-Factory's `accuracy`).
    pub(super) fn accuracy(&self, stage: Stage) -> Option<f64> {
        (stage == Stage::Rm && self.chosen > 0.0).then(|| self.correct / self.chosen)
    }

    /// Their means, each name behind `prefix`.
    pub(super) fn figures(&self, stage: Stage, prefix: &str) -> Figures {
        if !stage.compares_answers() {
            return Figures::new();
        }
        let mean = |sum: f64, count: f64| (count > 0.0).then(|| sum / count);
        let (chosen, rejected) = (mean(self.chosen_reward, self.chosen), mean(self.rejected_reward, self.rejected));
        let of_stage = |stages: &[Stage]| stages.contains(&stage);
        let figures = [
            ("rewards/chosen", chosen),
            ("rewards/rejected", rejected),
            ("rewards/margins", chosen.zip(rejected).map(|(chosen, rejected)| chosen - rejected)),
            ("rewards/accuracies", mean(self.correct, self.chosen).filter(|_| of_stage(&[Stage::Dpo]))),
            ("accuracy", self.accuracy(stage)),
            ("logps/chosen", mean(self.chosen_logp, self.chosen).filter(|_| of_stage(&[Stage::Dpo, Stage::Kto]))),
            ("logps/rejected", mean(self.rejected_logp, self.rejected).filter(|_| of_stage(&[Stage::Dpo, Stage::Kto]))),
            ("kl", mean(self.kl, self.chosen + self.rejected).filter(|_| of_stage(&[Stage::Kto]))),
        ];
        let present = figures.into_iter().filter_map(|(name, figure)| Some((format!("{prefix}{name}"), figure?)));
        present.map(|(name, figure)| (name, Some(figure).filter(|figure| figure.is_finite()))).collect()
    }
}
