//! What a run would need and do, before it is started.

use super::super::messages::{Plan, PlanMemory, SettingValue, Settings, Suggestion};
use super::{Session, data};
use crate::error::{Error, Result};
use crate::train::{Planned, Remedy, plan_run};

impl Session {
    /// Plans a run of the prepared data with these settings.
    pub(super) async fn plan(&self, settings: &Settings) -> Result<Plan> {
        let base = self.base()?;
        let model = base.model.clone()?;
        let prepared = self.prepared_again(settings).await?;
        let files = self.data_files(&prepared.data, prepared.evaluation.as_ref()).await?;
        let recipe = data::recipe_for(settings, &base.name, &files)?;
        let gpu = self.gpu().await?;
        let profile = gpu.profile();
        let samples = (&prepared.prepared.train.samples, &prepared.prepared.eval.samples);
        let planned = plan_run(&recipe, &model.checkpoint, profile, samples.0, samples.1).await?;
        let Planned { loader, memory, .. } = &planned;
        let obstacle = match memory.check(profile, recipe.gradient_checkpointing) {
            Err(error @ Error::TooLittleMemory { .. }) => Some(error.to_string()),
            other => other.map(|()| None)?,
        };
        let parameters: u64 = model.checkpoint.params().iter().map(|p| p.elements()).sum();
        let trainable = planned.trainable(&model.checkpoint)?;
        let named = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes + memory.activations_bytes;
        let suggestions = memory.remedies(recipe.gradient_checkpointing);
        let snapshots = recipe.save_total_limit.unwrap_or(1).max(1) as u64 + 1;
        let tokens = samples.0.iter().map(|s| s.ids.len() as u64).sum::<u64>();
        let epochs = loader.epoch_after(loader.total_steps());
        let flops = 6.0 * parameters as f64 * tokens as f64 * epochs;
        Ok(Plan {
            trainable,
            parameters,
            memory: PlanMemory {
                weights: memory.weights_bytes,
                gradients: memory.gradients_bytes,
                optimizer: memory.optimizer_bytes,
                activations: memory.activations_bytes,
                other: memory.peak_bytes() - named,
                peak: memory.peak_bytes(),
            },
            available: profile.usable_memory(),
            fits: obstacle.is_none(),
            suggestions: if obstacle.is_some() {
                suggestions.iter().map(|r| suggestion(r, &recipe, settings)).collect()
            } else {
                Vec::new()
            },
            obstacle,
            steps: loader.total_steps(),
            // A snapshot holds weights and both moments, the result weights.
            storage_bytes: 4 * trainable * (3 * snapshots + 1),
            seconds: self.speed.get().map(|speed| flops / speed),
            notices: recipe.notices.clone(),
        })
    }
}

/// A remedy as keys to set.
fn suggestion(remedy: &Remedy, recipe: &crate::config::Recipe, settings: &Settings) -> Suggestion {
    let number = |n: usize| SettingValue::Number(n as f64);
    let changes = match remedy {
        Remedy::GradientCheckpointing => vec![("gradient_checkpointing", SettingValue::Flag(true))],
        Remedy::SmallerBatch if recipe.per_device_train_batch_size > 1 => {
            let batch = recipe.per_device_train_batch_size;
            let half = batch / 2;
            let accumulation = recipe.gradient_accumulation_steps * batch.div_ceil(half);
            vec![("per_device_train_batch_size", number(half)), ("gradient_accumulation_steps", number(accumulation))]
        }
        Remedy::ShorterCutoff if recipe.cutoff_len > 32 => vec![("cutoff_len", number(recipe.cutoff_len / 2))],
        Remedy::Adapter { .. } => vec![("finetuning_type", SettingValue::Text("lora".to_string()))],
        Remedy::SmallerBatch | Remedy::ShorterCutoff | Remedy::SmallerModel { .. } => Vec::new(),
    };
    let set = changes
        .into_iter()
        .map(|(name, value)| (name.to_string(), value))
        .filter(|(name, value)| settings.get(name) != Some(value))
        .collect();
    Suggestion { words: remedy.to_string(), set }
}

#[cfg(test)]
mod tests {
    use super::super::settings::resolve;
    use super::*;

    #[test]
    fn a_halved_batch_keeps_the_number_of_samples_a_step() {
        let places = [("model_name_or_path", "m".to_string()), ("dataset", "d.jsonl".into()), ("output_dir", "o".into())];
        let settings = Settings::from([("per_device_train_batch_size".to_string(), SettingValue::Number(8.0))]);
        let recipe = resolve(&settings, &places).unwrap_or_else(|e| panic!("{e}"));
        let set = suggestion(&Remedy::SmallerBatch, &recipe, &settings).set;
        assert_eq!(set["per_device_train_batch_size"], SettingValue::Number(4.0));
        assert_eq!(set["gradient_accumulation_steps"], SettingValue::Number(2.0));
    }
}
