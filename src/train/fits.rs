//! Whether a planned run fits the device, and what is said when it does not.

use std::fmt;

use crate::error::{Error, Result};
use crate::gpu::{Profile, human_bytes};
use crate::plan::Memory;

impl Memory {
    /// Refuses a plan that the device cannot hold, with what would make it fit.
    ///
    /// # Errors
    /// [`Error::TooLittleMemory`].
    pub fn check(&self, profile: &Profile, checkpointing: bool) -> Result<()> {
        let needed = self.peak_bytes();
        let Some(available) = profile.usable_memory().filter(|m| needed > *m) else {
            if self.largest_binding_bytes <= profile.max_binding {
                return Ok(());
            }
            return Err(Error::TooLittleMemory {
                needed: format!("one piece of {}", human_bytes(self.largest_binding_bytes)),
                device: profile.name.clone(),
                available: format!("pieces of at most {}", human_bytes(profile.max_binding)),
                suggestion: self.suggestions(checkpointing).join("; or "),
            });
        };
        Err(Error::TooLittleMemory {
            needed: human_bytes(needed),
            device: profile.name.clone(),
            available: human_bytes(available),
            suggestion: self.suggestions(checkpointing).join("; or "),
        })
    }

    /// What would make a plan smaller, the most effective first, in words.
    pub fn suggestions(&self, checkpointing: bool) -> Vec<String> {
        self.remedies(checkpointing).iter().map(Remedy::to_string).collect()
    }

    /// What would make a plan smaller, the most effective first.
    pub fn remedies(&self, checkpointing: bool) -> Vec<Remedy> {
        let mut list = Vec::new();
        let fixed = self.weights_bytes + self.gradients_bytes + self.optimizer_bytes;
        if self.activations_bytes * 4 > fixed {
            if !checkpointing {
                list.push(Remedy::GradientCheckpointing);
            }
            list.extend([Remedy::SmallerBatch, Remedy::ShorterCutoff]);
        }
        if self.gradients_bytes > 0 && fixed > self.activations_bytes {
            let trained = self.gradients_bytes + self.optimizer_bytes;
            if trained > self.weights_bytes {
                list.push(Remedy::Adapter { trained });
            }
            list.push(Remedy::SmallerModel { fixed });
        }
        list
    }
}

/// What would make a plan smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Keep only the layers' inputs.
    GradientCheckpointing,
    /// Fewer samples at once.
    SmallerBatch,
    /// Shorter samples.
    ShorterCutoff,
    /// LoRA, where most of the memory is for training all parameters.
    Adapter {
        /// Bytes of gradients and moments.
        trained: u64,
    },
    /// A smaller model.
    SmallerModel {
        /// Bytes of weights, gradients and moments.
        fixed: u64,
    },
}

impl fmt::Display for Remedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remedy::GradientCheckpointing => f.write_str("set gradient_checkpointing: true"),
            Remedy::SmallerBatch => f.write_str("lower per_device_train_batch_size (and raise gradient_accumulation_steps by as much)"),
            Remedy::ShorterCutoff => f.write_str("lower cutoff_len"),
            Remedy::Adapter { trained } => {
                write!(f, "train an adapter (finetuning_type: lora): gradients and moments alone are {}", human_bytes(*trained))
            }
            Remedy::SmallerModel { fixed } => {
                write!(f, "take a smaller model: weights, gradients and moments alone are {}", human_bytes(*fixed))
            }
        }
    }
}
