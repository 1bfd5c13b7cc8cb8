//! Recipes as users write them, rightly and wrongly.

use rootstock::Error;
use rootstock::config::keys::{OnResume, Support, keys};
use rootstock::config::{ExportDtype, FinetuningType, Half, Interval, Recipe, Resume, SchedulerType, Stage, Strategy, Using, markdown};

pub(super) const MINIMAL: &str = "model_name_or_path: base\noutput_dir: out\ndataset: facts\nfinetuning_type: full\n";

pub(super) fn parse(extra: &str) -> Result<Recipe, Error> {
    Recipe::parse("r.yaml", &format!("{MINIMAL}{extra}"), &[])
}

/// The message of the error that `extra` must lead to.
#[track_caller]
pub(super) fn fault(extra: &str) -> String {
    match parse(extra) {
        Ok(_) => panic!("{extra:?} was accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn defaults_are_those_of_llamafactory_and_transformers() {
    let r = parse("").expect("the minimal recipe is complete");
    assert_eq!((r.stage, r.finetuning_type, r.do_train, r.do_eval), (Stage::Sft, FinetuningType::Full, true, false));
    assert_eq!((r.cutoff_len, r.dataset_dir.as_str(), r.packing, r.val_size), (2048, "data", false, 0.0));
    assert_eq!((r.per_device_train_batch_size, r.gradient_accumulation_steps), (8, 1));
    assert_eq!((r.learning_rate, r.num_train_epochs, r.max_steps), (5e-5, 3.0, None));
    assert_eq!((r.lr_scheduler_type, r.warmup, r.weight_decay), (SchedulerType::Linear, None, 0.0));
    assert_eq!((r.adam_beta1, r.adam_beta2, r.adam_epsilon, r.max_grad_norm), (0.9, 0.999, 1e-8, Some(1.0)));
    assert_eq!((r.logging_steps, r.save_steps, r.eval_steps), (Interval::Steps(500), Interval::Steps(500), Interval::Steps(500)));
    assert_eq!((r.save_strategy, r.eval_strategy, r.save_total_limit), (Strategy::Steps, Strategy::No, None));
    assert_eq!((r.seed, r.data_seed, r.export_dtype, r.max_shard_size), (42, 42, ExportDtype::Auto, 5_000_000_000));
    assert_eq!((r.lora.rank, r.lora.alpha, r.lora.target.as_slice()), (8, 16.0, ["all".to_string()].as_slice()));
    assert_eq!(r.resume_from_checkpoint, Resume::No);
    assert!(r.notices.is_empty(), "{:?}", r.notices);
    let lora = Recipe::parse("r.yaml", "model_name_or_path: b\noutput_dir: o\ndataset: d\n", &[]).expect("complete");
    assert_eq!(lora.finetuning_type, FinetuningType::Lora);
}

#[test]
fn a_recipe_of_llamafactory_runs_unchanged() {
    let text = "### model
model_name_or_path: saves/base
trust_remote_code: false

### method
stage: sft
do_train: true
finetuning_type: full
deepspeed: null

### dataset
dataset: identity, alpaca_en_demo
template: llama3
cutoff_len: 2048
max_samples: 1000
overwrite_cache: true
preprocessing_num_workers: 16
dataloader_num_workers: 4

### output
output_dir: saves/full
logging_steps: 10
save_steps: 500
plot_loss: true
overwrite_output_dir: true
save_only_model: false
report_to: none  # choices: [none, wandb, tensorboard, swanlab, mlflow]

### train
per_device_train_batch_size: 1
gradient_accumulation_steps: 2
learning_rate: 1e-5
num_train_epochs: 3.0
lr_scheduler_type: cosine
warmup_ratio: 0.1
bf16: true
ddp_timeout: 180000000
resume_from_checkpoint: null

### eval
val_size: 0.1
per_device_eval_batch_size: 1
eval_strategy: steps
eval_steps: 500
";
    let r = Recipe::parse("r.yaml", text, &[]).expect("LLaMA-Factory takes it, so must we");
    assert_eq!(r.dataset, ["identity", "alpaca_en_demo"]);
    assert_eq!((r.learning_rate, r.warmup), (1e-5, Some(Interval::Share(0.1))));
    assert_eq!((r.do_eval, r.val_size, r.plot_loss, r.activations), (true, 0.1, true, Some(Half::Bf16)));
    let notices = r.notices.join("\n");
    for name in ["preprocessing_num_workers", "dataloader_num_workers", "ddp_timeout", "bf16"] {
        assert!(notices.contains(name), "{name} is not mentioned in {notices}");
    }
    assert_eq!(r.template.as_deref(), Some("llama3"));
    assert!(!notices.contains("trust_remote_code"), "switched off needs no mention");
}

#[test]
fn values_are_read_the_way_people_write_them() {
    let r = parse("learning_rate: \"1e-4\"\nnum_train_epochs: 1\neval_strategy: no\nplot_loss: yes\nmax_grad_norm: 0\n").expect("fine");
    assert_eq!((r.learning_rate, r.num_train_epochs, r.eval_strategy, r.plot_loss), (1e-4, 1.0, Strategy::No, true));
    assert_eq!(r.max_grad_norm, None);
    let r = parse("lora_target: [q_proj, v_proj]\nmax_shard_size: 500MB\nresume_from_checkpoint: true\n").expect("fine");
    assert_eq!(r.lora.target, ["q_proj", "v_proj"]);
    assert_eq!((r.max_shard_size, r.resume_from_checkpoint), (500_000_000, Resume::Newest));
    let r = parse("export_size: 2\nresume_from_checkpoint: out/checkpoint-5\nwarmup_steps: 7\nwarmup_ratio: 0.3\n").expect("fine");
    assert_eq!((r.max_shard_size, r.resume_from_checkpoint), (2_000_000_000, Resume::From("out/checkpoint-5".into())));
    assert_eq!(r.warmup, Some(Interval::Steps(7)));
    let r = parse("lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs:\n  min_lr: 1e-6\n").expect("fine");
    assert_eq!(r.lr_scheduler_kwargs.min_lr, Some(1e-6));
    let r = parse("lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: '{\"min_lr_rate\": 0.1}'\n").expect("fine");
    assert_eq!(r.lr_scheduler_kwargs.min_lr_rate, Some(0.1));
    let r = parse("stage: pt\n").expect("fine");
    assert!(r.packing, "pt packs unless told otherwise");
    assert!(!parse("stage: pt\npacking: false\n").expect("fine").packing);
    assert_eq!(parse("save_steps: 0.25\n").expect("fine").save_steps.steps(10), 3);
}

#[test]
fn the_command_line_wins() {
    let overrides = ["learning_rate=3e-4", "dataset=a,b", "--max_steps=7", "val_size=null", "lr_scheduler_kwargs={\"num_cycles\": 1}"];
    let overrides: Vec<String> = overrides.iter().map(|s| s.to_string()).collect();
    let text = format!("{MINIMAL}learning_rate: 1\nval_size: 0.5\nlr_scheduler_type: cosine\n");
    let r = Recipe::parse("r.yaml", &text, &overrides).expect("fine");
    assert_eq!((r.learning_rate, r.max_steps, r.val_size), (3e-4, Some(7), 0.0));
    assert_eq!(r.dataset, ["a", "b"]);
    assert_eq!(r.lr_scheduler_kwargs.num_cycles, Some(1.0));
    let empty = Recipe::parse(
        "r.yaml",
        "# all on the command line\n",
        &["model_name_or_path=m".into(), "dataset=d".into(), "output_dir=12".into()],
    );
    assert_eq!(empty.expect("fine").output_dir, "12");
    let error = Recipe::parse("r.yaml", MINIMAL, &["learning_rat=1".into()]).expect_err("unknown");
    assert_eq!(error.to_string(), "learning_rat: unknown key; did you mean learning_rate?");
    let error = Recipe::parse("r.yaml", MINIMAL, &["fast".into()]).expect_err("no value");
    assert_eq!(error.to_string(), "fast: write overrides as key=value, for example learning_rate=1e-5");
}

#[test]
fn a_wrong_key_or_value_is_named_with_its_line() {
    assert_eq!(fault("learning_rate: fast\n"), "r.yaml, line 5: learning_rate: 'fast' is not a number; write for example 5e-5 or 0.1");
    assert_eq!(fault("\n# a comment\nnum_epochs: 3\n"), "r.yaml, line 7: num_epochs: unknown key; did you mean num_train_epochs?");
    assert_eq!(fault("Learning-Rate: 1\n"), "r.yaml, line 5: Learning-Rate: unknown key; did you mean learning_rate?");
    assert_eq!(fault("zzz: 3\n"), "r.yaml, line 5: zzz: unknown key; docs/recipes.md lists all keys");
    assert_eq!(fault("learning_rate: -1\n"), "r.yaml, line 5: learning_rate: -1 is below 0");
    assert!(fault("learning_rate: .nan\n").starts_with("r.yaml, line 5: ") && fault("learning_rate: .nan\n").contains("non-finite"));
    assert_eq!(fault("learning_rate: inf\n"), "r.yaml, line 5: learning_rate: 'inf' is not a number; write for example 5e-5 or 0.1");
    assert_eq!(fault("plot_loss: maybe\n"), "r.yaml, line 5: plot_loss: 'maybe' is neither true nor false");
    assert_eq!(fault("cutoff_len: 1\n"), "r.yaml, line 5: cutoff_len: 1 is too small; at least 2");
    assert_eq!(fault("cutoff_len: 12.5\n"), "r.yaml, line 5: cutoff_len: 12.5 is not a whole number");
    assert_eq!(
        fault("lr_scheduler_type: cosin\n"),
        "r.yaml, line 5: lr_scheduler_type: 'cosin' is not one of constant, constant_with_warmup, linear, cosine, \
         cosine_with_min_lr, cosine_with_restarts, polynomial, inverse_sqrt, reduce_lr_on_plateau, warmup_stable_decay; did you mean cosine?"
    );
    assert_eq!(fault("stage: sfd\n"), "r.yaml, line 5: stage: 'sfd' is not one of sft, pt, dpo, kto, rm");
    assert_eq!(fault("logging_steps: 1.5\n"), "r.yaml, line 5: logging_steps: 1.5 is neither a whole number of steps nor a share below 1");
    assert_eq!(fault("max_shard_size: big\n"), "r.yaml, line 5: max_shard_size: 'big' is not a size such as 5GB or 500MB");
    assert!(fault("dataset: other\n").starts_with("r.yaml, line 5: "), "a key that stands twice");
    assert!(fault("seed: [1\n").contains("the recipe must be YAML"), "broken YAML");
    assert!(Recipe::parse("r.yaml", "just words", &[]).is_err());
    assert!(Recipe::parse("r.yaml", "- a\n- b\n", &[]).is_err());
}

#[test]
fn what_is_not_supported_is_refused_with_the_reason() {
    assert!(fault("quantization_bit: 4\n").contains("quantised weights cannot be trained themselves"), "full tuning");
    let beside = |overrides: &[&str]| {
        let overrides: Vec<String> = ["finetuning_type=lora"].iter().chain(overrides).map(ToString::to_string).collect();
        Recipe::parse("r.yaml", MINIMAL, &overrides).map_err(|e| e.to_string())
    };
    assert!(beside(&["quantization_bit=4"]).is_ok_and(|r| r.quantization.bits == Some(4) && r.quantization.double));
    assert_eq!(beside(&["quantization_bit=5"]), Err("quantization_bit: write 8 or 4".into()));
    for (overrides, words) in [
        (["quantization_bit=4", "quantization_type=int4"], "is not one of nf4, fp4"),
        (["quantization_bit=4", "quantization_method=hqq"], "as bitsandbytes does"),
        (["quantization_bit=4", "pissa_init=true"], "leave one of the two out"),
    ] {
        assert!(beside(&overrides).is_err_and(|error| error.contains(words)), "{overrides:?}");
    }
    // Each fault of a key is said, not only the first.
    let both = fault("quantization_bit: 4\nadd_tokens: [a]\nlerning: 1\n");
    for words in
        ["3 faults", "line 5: quantization_bit: quantised weights cannot be trained", "line 6: add_tokens: a quantised model's embedding"]
    {
        assert!(both.contains(words), "{words}: {both}");
    }
    let grown = beside(&["quantization_bit=4", "resize_vocab=true", "pissa_init=true"]).expect_err("two faults");
    assert!(grown.contains("resize_vocab: a quantised") && grown.contains("quantization_bit: pissa_init"), "{grown}");
    assert!(fault("optim: muon\n").contains("adamw_8bit"));
    assert!(fault("optim: adamw8bit\n").ends_with("did you mean adamw_8bit?"));
    assert!(parse("optim: adamw_torch\nreport_to: [none]\nuse_galore: false\nlabel_smoothing_factor: 0.0\n").is_ok());
    let message = fault("stage: ppo\nreward_model_type: lora\n");
    assert!(message.starts_with("r.yaml, line 5: stage: ppo: not supported: PPO draws answers while it trains"), "{message}");
    assert!(message.ends_with("(reward_model_type belongs to it)"), "{message}");
    let error = Recipe::parse("r.yaml", MINIMAL, &["finetuning_type=oft".into()]).expect_err("refused").to_string();
    assert!(error.starts_with("finetuning_type: oft: not supported"), "{error}");
    assert_eq!(
        fault("use_galore: true\ngalore_rank: 128\ngalore_scale: 2.0\n"),
        "r.yaml, line 5: use_galore: not supported: gradients are not projected; use_galore=false trains by AdamW on whole gradients (optim=adamw_8bit or adafactor take less memory) (galore_rank, galore_scale belong to it)"
    );
}

/// The remarks of a recipe that is accepted.
#[track_caller]
pub(super) fn notices(extra: &str) -> String {
    parse(extra).unwrap_or_else(|e| panic!("{extra:?}: {e}")).notices.join("\n")
}

#[test]
fn what_asks_for_other_means_to_the_same_result_is_a_remark() {
    for (extra, remark) in [
        ("trust_remote_code: true\n", "trust_remote_code: code from a checkpoint is never run here"),
        ("deepspeed: examples/deepspeed/ds_z3_config.json\nfsdp: full_shard\n", "deepspeed, fsdp: one device holds the whole run here"),
        ("report_to: wandb\n", "report_to: wandb: an offline run is written"),
        ("report_to: comet_ml\n", "report_to: nothing is sent to a tracker (comet_ml)"),
        ("optim: adamw_torch_4bit\n", "optim: adamw_torch_4bit: AdamW's moments are kept in f32 here"),
        ("use_kt: true\nkt_config:\n  kt_backend: AMXBF16\n", "use_kt: the kernels are this program's own"),
        ("fp8: true\nfp8_backend: torchao\n", "fp8: the arithmetic is f32"),
        ("tensor_model_parallel_size: 4\n", "ignored: tensor_model_parallel_size"),
        ("pref_beta: 0.1\n", "without effect, as they belong to stages dpo and kto: pref_beta"),
        ("use_muon: true\noptim: adafactor\n", "optim: adafactor: without effect, as in LLaMA-Factory: use_muon takes Muon"),
        ("apollo_rank: 128\n", "without effect, as they belong to use_apollo: apollo_rank"),
        ("temperature: 0.5\n", "temperature: for `rootstock chat` and prediction"),
    ] {
        let notices = notices(extra);
        assert!(notices.contains(remark), "{extra:?} remarks {notices:?}");
    }
    for silent in [
        "trust_remote_code: false\n",
        "deepspeed: null\n",
        "report_to: none\n",
        "optim: adamw_torch\n",
        "optim: paged_adamw_8bit\n",
        "num_beams: 1\n",
    ] {
        assert_eq!(notices(silent), "", "{silent:?}");
    }
}

#[test]
fn all_faults_are_in_one_report_with_their_lines() {
    let text = "model_name_or_path: base
dataset: facts
learning_rate: fast
lerning: 3
use_galore: true
galore_rank: 8
eval_strategy: sometimes
load_best_model_at_end: true
use_adam_mini: true
";
    let error = Recipe::parse("r.yaml", text, &["cutoff_len=none_at_all".into()]).expect_err("it has six faults").to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(
        lines,
        [
            "r.yaml: 7 faults, nothing was done:",
            "  - line 3: learning_rate: 'fast' is not a number; write for example 5e-5 or 0.1",
            "  - line 4: lerning: unknown key; did you mean learning_rate?",
            "  - line 5: use_galore: not supported: gradients are not projected; use_galore=false trains by AdamW on whole gradients (optim=adamw_8bit or adafactor take less memory) (galore_rank belongs to it)",
            "  - line 7: eval_strategy: 'sometimes' is not one of no, steps, epoch",
            "  - line 9: use_adam_mini: not supported: a second moment for whole blocks is not built in; use_adam_mini=false trains by AdamW (optim=adamw_8bit or adafactor take less memory)",
            "  - cutoff_len: 'none_at_all' is not a whole number",
            "  - output_dir: this key is missing; write the directory that the result goes to",
        ],
        "what follows from eval_strategy is not said again"
    );
}

#[test]
fn the_command_line_wins_before_anything_is_judged() {
    let text =
        format!("{MINIMAL}stage: ppo\nquantization_bit: 4\nlearning_rate: fast\nlearning_rate: 1\ntrust_remote_code: true\ndeepspeed: d\n");
    let overrides = ["stage=sft", "quantization_bit=null", "--learning_rate=2e-4", "trust_remote_code=false", "deepspeed=null"];
    let r = Recipe::parse("r.yaml", &text, &overrides.map(String::from)).expect("every fault is overridden");
    assert_eq!((r.learning_rate, r.notices), (2e-4, Vec::new()));
    // A name with dots sets one entry of a mapping.
    let text = format!("{MINIMAL}lr_scheduler_type: warmup_stable_decay\nlr_scheduler_kwargs: {{num_decay_steps: 3, min_lr_ratio: 0.1}}\n");
    let r =
        Recipe::parse("r.yaml", &text, &["lr_scheduler_kwargs.num_decay_steps=5".into(), "lr_scheduler_kwargs.decay_type=linear".into()]);
    let kwargs = r.expect("fine").lr_scheduler_kwargs;
    assert_eq!((kwargs.num_decay_steps, kwargs.min_lr_ratio, kwargs.decay_type.as_deref()), (Some(5), Some(0.1), Some("linear")));
}

#[test]
fn files_of_other_kinds_and_recipes_of_other_commands_are_named() {
    let error = |text: &str| Recipe::parse("r.yaml", text, &[]).expect_err("refused").to_string();
    assert!(error("compute_environment: LOCAL_MACHINE\ndistributed_type: FSDP\n").contains("a configuration of accelerate"));
    assert!(error("{\"zero_optimization\": {\"stage\": 3}}").contains("a configuration of DeepSpeed"));
    assert!(error("identity:\n  path: data/identity.json\n").contains("describes datasets"));
    assert!(error("\"<think>\": where a thought begins\n").contains("new_special_tokens_config"));
    let chat = error("model_name_or_path: m\ntemplate: qwen3\ninfer_backend: huggingface\ntrust_remote_code: true\n");
    assert!(chat.contains("`rootstock chat r.yaml`"), "{chat}");
    let merge = error("model_name_or_path: m\nadapter_name_or_path: a\nexport_dir: o\n");
    assert!(merge.contains("`rootstock merge r.yaml`"), "{merge}");
    let predict = "model_name_or_path: m\ndo_predict: true\npredict_with_generate: true\neval_dataset: e\noutput_dir: o\n";
    let r = Recipe::parse("r.yaml", predict, &[]).expect("a recipe of prediction");
    assert_eq!((r.do_train, r.do_predict, r.generating.max_new_tokens), (false, true, 1024));
    let error = Recipe::parse("r.yaml", predict, &["predict_with_generate=false".into()]).expect_err("LLaMA-Factory refuses it as well");
    assert!(error.to_string().contains("predict_with_generate: true"), "{error}");

    let using =
        Using::parse("r.yaml", "model_name_or_path: m\nadapter_name_or_path: a, b\nexport_dir: o\nexport_size: 2\n", &["top_k=0".into()]);
    let using = using.expect("a recipe for merging");
    assert_eq!((using.adapter_name_or_path, using.export_dir.as_deref()), (vec!["a".into(), "b".into()], Some("o")));
    assert_eq!((using.max_shard_size, using.generating.top_k, using.generating.temperature), (2_000_000_000, 0, 0.95));
}

#[test]
fn contradictions_are_said() {
    for (extra, expected) in [
        ("val_size: 0.1\neval_dataset: e\n", "r.yaml, line 5: val_size: eval_dataset is given as well; keep one of the two"),
        ("load_best_model_at_end: true\n", "the best checkpoint is known only from evaluations"),
        ("load_best_model_at_end: true\neval_strategy: epoch\nval_size: 5\n", "save_strategy and eval_strategy must be the same"),
        (
            "load_best_model_at_end: true\neval_strategy: steps\neval_steps: 4\nsave_steps: 6\nval_size: 5\n",
            "r.yaml, line 8: save_steps: with load_best",
        ),
        ("early_stopping_steps: 3\n", "stopping early needs evaluations"),
        ("eval_strategy: steps\n", "r.yaml, line 5: eval_strategy: there is nothing to evaluate on"),
        ("do_eval: true\n", "there is nothing to evaluate on"),
        ("greater_is_better: true\n", "lowest loss"),
        ("train_on_prompt: true\nmask_history: true\n", "keep one"),
        ("gradient_checkpointing: true\ndisable_gradient_checkpointing: true\n", "says the opposite"),
        ("bf16: true\nfp16: true\n", "keep one of the two"),
        ("use_dora: true\n", "this needs finetuning_type: lora"),
        ("adapter_name_or_path: a\n", "merge the adapter first"),
        ("val_size: 2.5\n", "whole count"),
        ("max_steps: 0\n", "0 steps train nothing"),
        ("learning_rate: 0\n", "changes nothing"),
        ("do_train: false\n", "nothing to do"),
        ("lr_scheduler_type: cosine_with_min_lr\n", "needs one of min_lr and min_lr_rate"),
        ("lr_scheduler_kwargs: {min_lr: 1}\n", "the schedule linear takes no min_lr"),
        ("lr_scheduler_type: warmup_stable_decay\nlr_scheduler_kwargs: {decay_type: steep}\n", "not one of linear, cosine, 1-sqrt"),
    ] {
        let message = fault(extra);
        assert!(message.contains(expected), "{extra:?} says {message:?}");
    }
    for (text, name) in [
        ("output_dir: o\ndataset: d\n", "model_name_or_path"),
        ("model_name_or_path: m\ndataset: d\n", "output_dir"),
        ("model_name_or_path: m\noutput_dir: o\n", "dataset"),
    ] {
        let error = Recipe::parse("r.yaml", text, &[]).expect_err("a required key is missing").to_string();
        assert!(error.starts_with(&format!("{name}: this key is missing")), "{error}");
    }
}

#[test]
fn only_what_a_recipe_uses_is_fixed_when_it_is_resumed() {
    let fixed = |extra: &str| parse(extra).expect("fine").fixed_on_resume().expect("JSON");
    let plain = fixed("max_steps: 5\n");
    for name in ["seed", "data_seed", "warmup", "adam_beta2", "train_on_prompt", "packing", "lr_scheduler_kwargs", "max_steps"] {
        assert!(plain.contains_key(name), "{name}");
    }
    for name in ["output_dir", "logging_steps", "save_steps", "eval_steps", "num_train_epochs", "lora_rank", "freeze_trainable_layers"] {
        assert!(!plain.contains_key(name), "{name}");
    }
    assert_eq!(plain, fixed("max_steps: 5\nlogging_steps: 7\nlora_rank: 3\ngradient_checkpointing: true\n"));
    assert_eq!(fixed("pure_bf16: true\n"), fixed("bf16: true\n"));
    assert_eq!((&fixed("bf16: true\n")["activations"], &fixed("fp16: true\n")["activations"]), (&"bf16".into(), &"fp16".into()));
    assert_eq!(fixed("warmup_ratio: 0.5\n")["warmup"], 0.5);
    let lora =
        Recipe::parse("r.yaml", "model_name_or_path: b\noutput_dir: o\ndataset: d\nrank_pattern: {q_proj: 2}\n", &[]).expect("complete");
    let lora = lora.fixed_on_resume().expect("JSON");
    assert_eq!((lora["lora_rank"].as_u64(), lora["rank_pattern"]["q_proj"].as_u64()), (Some(8), Some(2)));
}

#[test]
fn the_table_and_the_recipe_agree() {
    let used = keys().filter(|key| key.support == Support::Used).map(|key| key.name).collect();
    assert_eq!(Recipe::keys_read(), used, "a key that the table calls used is not read, or the other way round");
    let mut names: Vec<&str> = keys().map(|key| key.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a key stands twice in the table");
    for key in keys().filter(|key| !key.default.is_empty()) {
        let value = rootstock::config::value::Value::parse(key.default);
        assert_eq!(key.kind.check(&value), Ok(()), "the default of {}", key.name);
    }
    // What a resumed run must keep is among the resolved values, under the key's name.
    let resolved = serde_json::to_value(parse("").expect("the minimal recipe is complete")).expect("JSON");
    for key in keys().filter(|key| key.support == Support::Used) {
        let name = match key.on_resume {
            OnResume::Fixed => key.name,
            OnResume::FixedAs(name) => name,
            OnResume::Free => continue,
        };
        assert!(resolved.get(name).is_some(), "{name} is no value of a recipe");
    }
    for key in keys() {
        let rootstock::config::value::Kind::OneOf(words) = key.kind else { continue };
        for word in words {
            // Some words contradict the minimal recipe; each must have its variant.
            let _ = Recipe::parse("r.yaml", MINIMAL, &[format!("{}={word}", key.name)]);
        }
    }
}

/// The committed page is the generated one. `UPDATE_DOCS=1 cargo test` writes it.
#[test]
fn the_page_of_keys_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/recipes.md");
    let page = markdown();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, &page).expect("docs/ can be written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == page, "docs/recipes.md is out of date; run UPDATE_DOCS=1 cargo test the_page_of_keys");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,80}", key in "[a-z_]{1,20}", value in ".{0,20}") {
        let _ = Recipe::parse("r.yaml", &text, &[]);
        let _ = Recipe::parse("r.yaml", &format!("{key}: {value}"), &[format!("{key}={value}")]);
        for known in keys() {
            let _ = Recipe::parse("r.yaml", MINIMAL, &[format!("{}={value}", known.name)]);
        }
    }
}

/// What is offered to begin with is accepted without a remark.
#[test]
fn the_recipes_of_the_repository_are_whole() {
    let mut count = 0;
    for folder in ["examples", "assets/demo"] {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(&folder).expect("it is there").flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).expect("it is text");
            let recipe = Recipe::parse(&path.display().to_string(), &text, &[]).unwrap_or_else(|e| panic!("{e}"));
            assert!(recipe.notices.is_empty(), "{}: {:?}", path.display(), recipe.notices);
            assert!(!recipe.eval_dataset.is_empty() && !recipe.output_dir.is_empty(), "{}", path.display());
            count += 1;
        }
    }
    assert_eq!(count, 8);
}
