//! What is said of the keys of stages dpo, kto and rm, and of keys that mean nothing or something else in them.

use super::recipe::Recipe;
use super::settings::Settings;
use super::types::{PrefLoss, Stage};

/// The keys of both stages.
const BOTH: [&str; 3] = ["pref_beta", "pref_ftx", "ref_model"];
/// Those of stage dpo alone.
const DPO: [&str; 3] = ["pref_loss", "simpo_gamma", "dpo_label_smoothing"];
/// Those of stage kto alone.
const KTO: [&str; 2] = ["kto_chosen_weight", "kto_rejected_weight"];
/// What changes the loss or the samples of other stages, and nothing here, as in LLaMA-Factory.
const OTHERS: [&str; 6] = ["label_smoothing_factor", "use_dft_loss", "packing", "neat_packing", "train_on_prompt", "mask_history"];

impl Recipe {
    /// Keys that have no effect, and what may surprise.
    pub(super) fn give_preference_notices(&self, s: &mut Settings) {
        let given = |names: &[&str]| -> Vec<String> {
            let on = |name: &&&str| s.has(name) && s.get(name).is_some_and(|value| !value.is_off());
            names.iter().filter(on).map(ToString::to_string).collect()
        };
        let (without, why) = match self.stage {
            Stage::Sft | Stage::Pt | Stage::Rm => (given(&[&BOTH[..], &DPO, &KTO].concat()), "stages dpo and kto"),
            Stage::Dpo => (given(&KTO), "stage kto"),
            Stage::Kto => (given(&DPO), "stage dpo"),
        };
        let mut notices = Vec::new();
        if !without.is_empty() {
            notices.push(format!("without effect, as they belong to {why}: {}", without.join(", ")));
        }
        if self.stage.compares_answers() {
            let stage = s.word("stage");
            let others = given(&OTHERS);
            if !others.is_empty() {
                notices.push(format!("without effect in stage {stage}: {}", others.join(", ")));
            }
            if self.lora.dropout > 0.0 && self.stage != Stage::Rm {
                notices.push(format!("lora_dropout: stage {stage} trains without dropout, as in LLaMA-Factory"));
            }
            if s.has("ref_model") && !self.needs_reference() && self.stage == Stage::Dpo {
                notices.push(format!("ref_model: without effect, as pref_loss: {} needs no reference", s.word("pref_loss")));
            }
            if self.stage == Stage::Kto && self.per_device_train_batch_size == 1 && self.do_train {
                notices.push(
                    "per_device_train_batch_size: 1: kto estimates from the other samples of a micro-batch how far the model has moved; take 2 \
                     or more (and less gradient_accumulation_steps)"
                        .into(),
                );
            }
        }
        s.notices.extend(notices);
    }

    /// Keys that do not go together with comparing answers.
    pub(super) fn refuse_preference_contradictions(&self, s: &Settings) {
        if !self.stage.compares_answers() {
            return;
        }
        let stage = s.word("stage");
        if self.stage == Stage::Dpo && self.pref.dpo_label_smoothing > 0.0 && self.pref.loss != PrefLoss::Sigmoid {
            s.refuse("dpo_label_smoothing", &["pref_loss"], "this is for pref_loss: sigmoid alone");
        }
        if self.pref.dpo_label_smoothing >= 0.5 {
            s.refuse("dpo_label_smoothing", &[], "from 0.5 on the rejected answers would be preferred; write a share below");
        }
        if self.lora.pissa_init && self.needs_reference() {
            let reason =
                format!("stage {stage} compares with the model as it is, and pissa_init takes its weights apart; leave pissa_init out");
            s.refuse("pissa_init", &["finetuning_type"], reason);
        }
        if self.neftune_noise_alpha.is_some() && self.stage != Stage::Rm {
            s.refuse(
                "neftune_noise_alpha",
                &[],
                format!("noise would make the comparison of answers in stage {stage} random; leave it out"),
            );
        }
        if self.stage == Stage::Rm && self.predict_with_generate {
            let reason = "stage rm judges given answers and draws none; leave it out: do_predict: true alone writes what they are worth";
            s.refuse("predict_with_generate", &["stage"], reason);
        }
        if self.do_predict && self.stage != Stage::Rm {
            s.refuse(
                "do_predict",
                &["stage"],
                format!("prediction answers the prompts of stage: sft; stage {stage} compares given answers"),
            );
        }
    }
}
