//! Recipes of LLaMA-Factory's version 1.

use rootstock::config::{Batching, FinetuningType, Interval, Momentum, Recipe, SchedulerType, Strategy};

#[test]
fn recipes_of_version_1_are_read() {
    let text = "model: Qwen/Qwen3-4B
model_class: llm
peft_config:
  name: lora
  r: 16
  lora_alpha: 32
  target_modules: [q_proj, v_proj]
kernel_config:
  name: auto
dist_config:
  name: fsdp2
  dcp_path: null
train_dataset: data/v1_sft_demo.yaml
output_dir: ./outputs/test_lora
micro_batch_size: 2
global_batch_size: 8
cutoff_len: 2048
max_steps: 10
sample_backend: hf
max_new_tokens: 128
";
    let r = Recipe::parse("r.yaml", text, &["peft_config.r=4".into()]).expect("version 1");
    assert_eq!((r.model_name_or_path.as_str(), r.dataset.as_slice()), ("Qwen/Qwen3-4B", ["data/v1_sft_demo.yaml".to_string()].as_slice()));
    assert_eq!((r.finetuning_type, r.lora.rank, r.lora.alpha, r.lora.dropout), (FinetuningType::Lora, 4, 32.0, 0.05));
    assert_eq!(
        (r.lora.target, r.per_device_train_batch_size, r.gradient_accumulation_steps),
        (vec!["q_proj".into(), "v_proj".into()], 2, 4)
    );
    assert_eq!((r.learning_rate, r.lr_scheduler_type, r.weight_decay), (1e-4, SchedulerType::Constant, 0.01));
    assert_eq!((r.logging_steps, r.save_strategy, r.gradient_checkpointing), (Interval::Steps(1), Strategy::No, Some(true)));
    let notices = r.notices.join("\n");
    assert!(notices.contains("version 1") && notices.contains("kernel_config, dist_config, sample_backend: one device"), "{notices}");

    let full = "model: m\ntrain_dataset: d\noutput_dir: o\nsave_steps: 5\nlearning_rate: 1.0e-5\nquant_config: null\n";
    let r = Recipe::parse("r.yaml", full, &[]).expect("version 1");
    assert_eq!((r.finetuning_type, r.learning_rate, r.save_strategy), (FinetuningType::Full, 1e-5, Strategy::Steps));
    let lora = "model: m\ntrain_dataset: d\noutput_dir: o\npeft_config: {name: lora}\nquant_config: ";
    for (written, bits, double) in [
        ("{name: bnb}", Some(4), true),
        ("{name: bnb, double_quantization: false}", Some(4), false),
        ("{name: auto, quantization_bit: 8}", Some(8), true),
        ("{name: auto}", None, true),
    ] {
        let r = Recipe::parse("r.yaml", &format!("{lora}{written}\n"), &[]).expect("version 1");
        assert_eq!((r.quantization.bits, r.quantization.double), (bits, double), "{written}");
    }
    let error = |extra: &str| Recipe::parse("r.yaml", &format!("{full}{extra}"), &[]).expect_err("refused").to_string();
    let said = Recipe::parse("r.yaml", &format!("{lora}{{name: gptq}}\n"), &[]).expect_err("refused").to_string();
    assert!(said.contains("r.yaml, line 5: quant_config: its name must be bnb or auto"), "{said}");
    for (extra, expected) in [
        ("optim_config: {name: sgd}\n", "r.yaml, line 7: optim_config: its name must be muon; AdamW is what optim_config=null asks for"),
        ("optim_config: {name: muon, beta: 1}\n", "r.yaml, line 7: optim_config: beta is not known in it; there are name, lr, wd"),
        ("optim_config: {name: muon, momentum: 2}\n", "r.yaml, line 7: optim_config.momentum: "),
        ("optim_config: {name: muon, adamw_betas: 0.9}\n", "r.yaml, line 7: optim_config: adamw_betas must be two numbers"),
        ("peft_config: {name: lora, rank: 3}\n", "r.yaml, line 7: peft_config.rank: unknown key; did you mean r?"),
        ("peft_config: {name: lora, r: many}\n", "r.yaml, line 7: peft_config.r: 'many' is not a whole number"),
        (
            "batching_strategy: dynamic_batching\n",
            "r.yaml, line 7: batching_strategy: micro-batches of so many tokens make a number of steps",
        ),
        ("batching_strategy: dynamic\n", "r.yaml, line 7: batching_strategy: "),
        ("micro_batch_size: 3\nglobal_batch_size: 4\n", "line 8: global_batch_size: it must be a multiple of micro_batch_size"),
    ] {
        assert!(error(extra).contains(expected), "{extra:?} says {:?}", error(extra));
    }
}

#[test]
fn muon_of_version_1_has_its_defaults() {
    let recipe = |config: &str| {
        let text = format!("model: m\ntrain_dataset: d\noutput_dir: o\noptim_config: {config}\n");
        Recipe::parse("r.yaml", &text, &[]).unwrap_or_else(|e| panic!("{e}"))
    };
    let r = recipe("{name: muon}");
    assert!(r.use_muon && r.muon == Momentum::default());
    assert_eq!((r.weight_decay, r.adam_beta1, r.adam_beta2, r.adam_epsilon), (0.1, 0.9, 0.95, 1e-8));
    let r = recipe("{name: muon, lr: 1.0, wd: 0, momentum: 0.8, nesterov: false, ns_steps: 3, adamw_betas: [0.8, 0.9], adamw_eps: 1.0e-6}");
    assert_eq!(r.muon, Momentum { decay: 0.8, nesterov: false, iterations: 3 });
    assert_eq!((r.weight_decay, r.adam_beta1, r.adam_beta2, r.adam_epsilon), (0.0, 0.8, 0.9, 1e-6));
    assert!(r.notices.iter().any(|notice| notice.starts_with("optim_config: lr is not used")), "{:?}", r.notices);
    assert!(!recipe("null").use_muon);
    let adapter = "model: m\ntrain_dataset: d\noutput_dir: o\noptim_config: {name: muon}\npeft_config: {name: lora}\n";
    let r = Recipe::parse("r.yaml", adapter, &[]).expect("version 1");
    assert!(!r.use_muon && r.weight_decay == 0.1 && r.adam_beta2 == 0.95, "AdamW for an adapter's factors");
    assert!(r.notices.iter().any(|notice| notice.starts_with("optim_config: an adapter is trained by the AdamW")), "{:?}", r.notices);
}

#[test]
fn batches_of_version_1_may_be_of_so_many_tokens() {
    let recipe = |strategy: &str| {
        let text = format!("model: m\ntrain_dataset: d\noutput_dir: o\nmax_steps: 9\nbatching_strategy: {strategy}\n");
        Recipe::parse("r.yaml", &text, &[]).unwrap_or_else(|e| panic!("{e}")).batching_strategy
    };
    assert_eq!((recipe("normal"), recipe("padding_free")), (Batching::Normal, Batching::Normal));
    assert_eq!((recipe("dynamic_batching"), recipe("dynamic_padding_free")), (Batching::Padded, Batching::Tokens));
}
