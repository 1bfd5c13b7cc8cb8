//! The keys of stages dpo, kto and rm.

use rootstock::config::{PrefLoss, Recipe, Stage};

use super::recipe::{MINIMAL, fault, notices, parse};

#[test]
fn preferences_have_keys_of_their_own() {
    let r = parse("stage: dpo\npref_loss: simpo\npref_beta: 2.0\nsimpo_gamma: 1.0\npref_ftx: 0.1\n").expect("fine");
    assert_eq!((r.stage, r.pref.loss, r.pref.beta, r.pref.simpo_gamma, r.pref.ftx), (Stage::Dpo, PrefLoss::Simpo, 2.0, 1.0, 0.1));
    assert!(!r.needs_reference() && r.notices.is_empty(), "{:?}", r.notices);
    let r = parse("stage: kto\nref_model: other\nkto_rejected_weight: 0.5\n").expect("fine");
    assert!(r.needs_reference() && r.pref.ref_model.as_deref() == Some("other") && r.pref.kto_rejected_weight == 0.5);
    for (extra, words) in [
        ("stage: dpo\npref_loss: kto_pair\n", "stage: kto for answers that are marked one by one"),
        ("stage: dpo\npref_loss: sigmod\n", "did you mean sigmoid?"),
        ("stage: dpo\npref_loss: ipo\ndpo_label_smoothing: 0.1\n", "this is for pref_loss: sigmoid alone"),
        ("stage: dpo\ndpo_label_smoothing: 0.6\n", "the rejected answers would be preferred"),
        ("stage: dpo\npref_beta: 0\n", "pref_beta: 0 is not above 0"),
        ("stage: dpo\nfinetuning_type: lora\npissa_init: true\n", "pissa_init takes its weights apart"),
        ("stage: kto\nneftune_noise_alpha: 5\n", "noise would make the comparison"),
        ("stage: dpo\npref_bco_weight: 1.0\n", "pref_bco_weight: not supported"),
        ("stage: dpo\nref_model: m\nref_model_adapters: a\n", "merge them into the reference first"),
    ] {
        let message = Recipe::parse("r.yaml", &format!("{MINIMAL}{extra}"), &["finetuning_type=lora".into()]).expect_err(extra).to_string();
        assert!(message.contains(words), "{extra:?}: {message}");
    }
    for (extra, remark) in [
        ("stage: dpo\npacking: true\nlabel_smoothing_factor: 0.1\n", "without effect in stage dpo: label_smoothing_factor, packing"),
        ("stage: dpo\nkto_chosen_weight: 2\n", "without effect, as they belong to stage kto: kto_chosen_weight"),
        ("stage: kto\npref_loss: ipo\n", "without effect, as they belong to stage dpo: pref_loss"),
        ("stage: kto\nper_device_train_batch_size: 1\n", "take 2 or more"),
        ("stage: dpo\npref_loss: orpo\nref_model: m\n", "ref_model: without effect"),
        ("ref_model: m\n", "without effect, as they belong to stages dpo and kto: ref_model"),
    ] {
        let notices = notices(extra);
        assert!(notices.contains(remark), "{extra:?} remarks {notices:?}");
    }
}

#[test]
fn a_reward_model_has_its_own_rules() {
    let r = parse("stage: rm\nneftune_noise_alpha: 5\n").expect("fine");
    assert!(r.stage == Stage::Rm && r.stage.compares_answers() && !r.needs_reference() && r.notices.is_empty(), "{:?}", r.notices);
    let lora =
        Recipe::parse("r.yaml", &format!("{MINIMAL}stage: rm\nlora_dropout: 0.1\n"), &["finetuning_type=lora".into()]).expect("fine");
    assert!(lora.lora.dropout == 0.1 && lora.notices.is_empty(), "it is trained with dropout: {:?}", lora.notices);
    let predicts = parse("stage: rm\ndo_train: false\ndo_predict: true\neval_dataset: e\n").expect("no answers are drawn");
    assert!(predicts.do_predict && !predicts.do_train);
    let message = fault("stage: rm\ndo_predict: true\npredict_with_generate: true\neval_dataset: e\n");
    assert!(message.contains("judges given answers and draws none"), "{message}");
    let remark = notices("stage: rm\npref_beta: 0.2\nref_model: m\npacking: true\n");
    assert!(remark.contains("as they belong to stages dpo and kto: pref_beta, ref_model"), "{remark}");
    assert!(remark.contains("without effect in stage rm: packing"), "{remark}");
    let fixed = parse("stage: rm\n").expect("fine").fixed_on_resume().expect("JSON");
    assert!(fixed["stage"] == "rm" && !fixed.contains_key("pref_loss"), "{fixed:?}");
}
