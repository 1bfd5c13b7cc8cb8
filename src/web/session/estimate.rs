//! Estimates a run before it starts: memory, steps, time.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::super::messages::{Estimate, EstimateMemory, Samples, SettingValue, Settings, Suggestion};
use super::given::PagePlaces;
use super::{Boxed, Call, Session, data};
use crate::bench;
use crate::config::{FinetuningType, Recipe};
use crate::error::{Error, Result};
use crate::plan::{Memory, Remedy};
use crate::platform::write_json;
use crate::workflow::Run;

impl Session {
    /// Estimates a run of the prepared data with these settings, which answers `samples` on the way.
    pub(super) fn estimate<'a>(&'a self, settings: &'a Settings, samples: Option<&'a Samples>, call: &'a Call) -> Boxed<'a, Estimate> {
        Box::pin(async move {
            let base = self.base()?;
            let prepared = self.prepared_again(settings, call).await?;
            let files = self.data_files(&prepared.given).await?;
            let recipe = data::recipe_for(settings, &base.reference(), &files)?;
            let gpu = self.gpu().await?;
            let profile = gpu.profile();
            let run =
                Run::with(prepared.model.clone(), prepared.prepared.clone(), recipe, &PagePlaces { session: self, files: &files }).await?;
            let planned = run.plan(profile).await?;
            let (recipe, loader, memory) = (&run.input.recipe, &planned.loader, &planned.memory);
            let obstacle = match memory.check(profile, Some(planned.plan_options())) {
                Err(error @ Error::TooLittleMemory { .. }) => Some(error.to_string()),
                other => other.map(|()| None)?,
            };
            let parameters = run.model.parameters();
            let (_, trainable) = planned.finetuning.count();
            let suggestions = memory.remedies(Some(planned.plan_options()));
            let snapshots = recipe.save_total_limit.unwrap_or(1).max(1) as u64 + 1;
            let tokens = prepared.prepared.train.samples.iter().map(|s| s.ids.len() as u64).sum::<u64>();
            let epochs = loader.epoch_after(loader.total_steps());
            let flops = flops_per_token(recipe, planned.checkpointing(), parameters, trainable) * tokens as f64 * epochs;
            let answers = samples.map_or(0, |samples| samples.answers(loader.total_steps()));
            let answer_flops = samples.map_or(0.0, |samples| answers as f64 * samples.max_new_tokens as f64 * 2.0 * parameters as f64);
            let answer_speed = self.kept_speed(&self.answer_speed, &format!("{}{ANSWERING}", profile.name)).await;
            Ok(Estimate {
                trainable,
                parameters,
                memory: EstimateMemory::from(memory),
                available: profile.usable_memory(),
                fits: obstacle.is_none(),
                suggestions: if obstacle.is_some() {
                    suggestions.iter().map(|r| suggestion(r, recipe, settings)).collect()
                } else {
                    Vec::new()
                },
                obstacle,
                steps: loader.total_steps(),
                // A snapshot holds the weights and both Adam moments; the result holds the weights.
                storage_bytes: 4 * trainable * (3 * snapshots + 1),
                answers,
                answer_seconds: answer_speed.map(|speed| answer_flops / speed),
                seconds: self.speed_of(&profile.name).await.map(|speed| flops / speed),
                notices: [&recipe.notices[..], &planned.notices].concat(),
            })
        })
    }
}

impl From<&Memory> for EstimateMemory {
    fn from(memory: &Memory) -> EstimateMemory {
        let named = memory.weights_bytes + memory.gradients_bytes + memory.optimizer_bytes + memory.activations_bytes;
        EstimateMemory {
            weights: memory.weights_bytes,
            gradients: memory.gradients_bytes,
            optimizer: memory.optimizer_bytes,
            activations: memory.activations_bytes,
            other: memory.peak_bytes() - named,
            peak: memory.peak_bytes(),
        }
    }
}

/// Floating-point operations per token in a training step: per parameter two in the forward pass, two for the gradient of its input and
/// two for its own gradient. Frozen parameters have no gradient of their own; below the lowest trained layer there is no backward pass.
/// Gradient checkpointing repeats the forward pass.
pub(super) fn flops_per_token(recipe: &Recipe, checkpointing: bool, parameters: u64, trainable: u64) -> f64 {
    let (all, trained) = (parameters as f64, trainable as f64);
    let forwards = if checkpointing { 4.0 } else { 2.0 };
    match recipe.finetuning_type {
        FinetuningType::Full => (forwards + 4.0) * all,
        FinetuningType::Lora => (forwards + 2.0) * all + (forwards + 4.0) * trained,
        FinetuningType::Freeze => forwards * all + 4.0 * trained,
    }
}

/// File of measured speeds: floating-point operations per second by device name.
const SPEEDS: &str = "speeds.json";
/// Follows a device's name in that file where the speed is that of answers.
const ANSWERING: &str = ", answering";

impl Samples {
    /// Prompts that are asked; empty ones are not.
    pub(super) fn asked(&self) -> impl Iterator<Item = &String> {
        self.prompts.iter().filter(|prompt| !prompt.trim().is_empty())
    }

    /// The number of answers in a run of so many steps, those before the first step and after the last among them.
    pub(super) fn answers(&self, steps: u64) -> u64 {
        if self.every == 0 { 0 } else { (1 + steps.div_ceil(self.every)) * self.asked().count() as u64 }
    }
}

impl Session {
    /// The speed of this device: from runs in this visit or an earlier one, or else the measured one.
    async fn speed_of(&self, device: &str) -> Option<f64> {
        self.kept_speed(&self.speed, device).await
    }

    /// A speed of this session, or else the one kept under this name.
    async fn kept_speed(&self, known: &Cell<Option<f64>>, name: &str) -> Option<f64> {
        if known.get().is_none() {
            known.set(self.kept_speeds().await.get(name).copied().filter(|speed| *speed > 0.0));
        }
        known.get()
    }

    /// Measures the training speed of the device, so that estimates include the time before the first run. A run started meanwhile
    /// gives a better value.
    pub(super) async fn measure_speed(&self) -> Result<()> {
        let gpu = self.gpu().await?;
        if self.running.borrow().is_empty() && self.speed_of(&gpu.profile().name).await.is_none() {
            let speed = bench::speed(&gpu).await?;
            self.speed.set(self.speed.get().or(Some(speed)));
        }
        Ok(())
    }

    async fn kept_speeds(&self) -> BTreeMap<String, f64> {
        match self.store.size(SPEEDS).await {
            // A damaged file is treated as missing: the next run rewrites it.
            Ok(Some(_)) => serde_json::from_slice(&self.store.read(SPEEDS).await.unwrap_or_default()).unwrap_or_default(),
            _ => BTreeMap::new(),
        }
    }

    /// Stores the speed of the last run for estimates in later visits.
    pub(super) async fn keep_speed(&self) {
        let device = self.gpu.borrow().as_ref().map(|gpu| gpu.profile().name.clone());
        let Some(device) = device else { return };
        let reached = [(device.clone(), &self.speed), (format!("{device}{ANSWERING}"), &self.answer_speed)];
        let reached: Vec<(String, f64)> = reached.into_iter().filter_map(|(name, speed)| Some((name, speed.get()?))).collect();
        if !reached.is_empty() {
            let mut speeds = self.kept_speeds().await;
            speeds.extend(reached);
            // A full disk only costs the next visit this value; it must not fail the run.
            let _ = write_json(&*self.store, SPEEDS, &speeds).await;
        }
    }
}

/// Converts a remedy into recipe keys to set.
fn suggestion(remedy: &Remedy, recipe: &Recipe, settings: &Settings) -> Suggestion {
    let number = |n: usize| SettingValue::Number(n as f64);
    let changes = match remedy {
        Remedy::GradientCheckpointing => vec![("gradient_checkpointing", SettingValue::Flag(true))],
        Remedy::HalfActivations => vec![("bf16", SettingValue::Flag(true))],
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

    /// What is frozen costs no gradient of its own.
    #[test]
    fn an_adapter_costs_less_than_all_parameters_and_checkpointing_more() {
        let places = [("model_name_or_path", "m".to_string()), ("dataset", "d.jsonl".into()), ("output_dir", "o".into())];
        let flops = |keys: &[(&str, SettingValue)], trainable| {
            let settings = keys.iter().map(|(name, value)| (name.to_string(), value.clone())).collect();
            let recipe = resolve(&settings, &places).unwrap_or_else(|e| panic!("{e}"));
            flops_per_token(&recipe, recipe.gradient_checkpointing == Some(true), 1000, trainable)
        };
        let method = |name: &str| ("finetuning_type", SettingValue::Text(name.into()));
        let checkpointing = ("gradient_checkpointing", SettingValue::Flag(true));
        assert_eq!(flops(&[method("full")], 1000), 6000.0);
        assert_eq!(flops(&[method("full"), checkpointing.clone()], 1000), 8000.0);
        assert_eq!(flops(&[method("lora")], 10), 4060.0);
        assert_eq!(flops(&[method("freeze")], 200), 2800.0);
    }

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
