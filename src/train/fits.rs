//! Whether a planned run fits the adapter, and what is said when it does not.

use crate::error::{Error, Result};
use crate::gpu::{Profile, human_bytes};
use crate::plan::Memory;

impl Memory {
    /// Refuses a plan that the adapter cannot hold, with what would make it fit.
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
                adapter: profile.name.clone(),
                available: format!("pieces of at most {}", human_bytes(profile.max_binding)),
                suggestion: self.suggestions(checkpointing).join("; or "),
            });
        };
        Err(Error::TooLittleMemory {
            needed: human_bytes(needed),
            adapter: profile.name.clone(),
            available: human_bytes(available),
            suggestion: self.suggestions(checkpointing).join("; or "),
        })
    }

    /// What would make a plan smaller, the most effective first.
    pub fn suggestions(&self, checkpointing: bool) -> Vec<String> {
        let mut list = Vec::new();
        let fixed = self.weights_bytes + self.gradients_bytes + self.optimizer_bytes;
        if self.activations_bytes * 4 > fixed {
            if !checkpointing {
                list.push("set gradient_checkpointing: true".to_string());
            }
            list.push("lower per_device_train_batch_size (and raise gradient_accumulation_steps by as much)".to_string());
            list.push("lower cutoff_len".to_string());
        }
        if self.gradients_bytes > 0 && fixed > self.activations_bytes {
            list.push(format!("take a smaller model: weights, gradients and moments alone are {}", human_bytes(fixed)));
        }
        list
    }
}
