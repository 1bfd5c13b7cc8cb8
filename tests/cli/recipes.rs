//! Recipes as LLaMA-Factory's users have them: from the standard input, with keys as options, for chat, merging and evaluation.

use super::{Workspace, questions};

#[test]
fn a_recipe_comes_from_the_standard_input_and_keys_with_dashes_win_over_it() {
    let ws = Workspace::new();
    let recipe = "model_name_or_path: model\nfinetuning_type: full\ndataset: train.jsonl\noutput_dir: out\nstage: ppo\nmax_steps: 9\n\
                  cutoff_len: 64\ntrust_remote_code: true\ndeepspeed: ds_z3.json\nreport_to: wandb\n";
    let said = ws.input(&["train", "-"], recipe);
    assert!(said.fault().contains("the standard input, line 5: stage: ppo: not supported"));
    let said = ws.input(&["train", "-", "stage=sft", "--max_steps", "2", "--logging-steps", "1", "--json"], recipe).good();
    for remark in ["trust_remote_code: code from a checkpoint", "deepspeed: one device", "report_to: wandb: an offline run is written"] {
        assert!(said.stderr.contains(remark), "{remark}: {}", said.stderr);
    }
    let events = said.events();
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    let (start, log) = (named("start"), named("log"));
    assert!(start.len() == 1 && start[0]["total_steps"] == 2 && start[0]["samples"] == 12, "{events:?}");
    assert!(log.len() == 2 && log[1]["current_steps"] == 2 && log[1]["loss"].is_number() && log[1]["lr"].is_number(), "{log:?}");
    let outcome = events.last().expect("an end");
    assert_eq!((&outcome["event"], &outcome["steps"]), (&"end".into(), &2.into()));
    assert!(outcome["train_loss"].as_f64().is_some_and(f64::is_finite) && outcome["eval_loss"].is_null(), "{outcome}");
    let fault = ws.input(&["train", "-"], "stage: ppo\nlerning_rate: 1\n");
    assert_eq!(fault.code, Some(1));
    let lines: Vec<&str> = fault.stderr.lines().collect();
    assert_eq!(lines[0], "error: the standard input: 5 faults, nothing was done:");
    assert!(lines[1].starts_with("  - line 1: stage: ppo") && lines[2].starts_with("  - line 2: lerning_rate"), "{lines:?}");
}

#[test]
fn recipes_of_llamafactory_s_other_commands_work_with_ours() {
    let ws = Workspace::new();
    ws.recipe("finetuning_type: lora\noutput_dir: style\nmax_steps: 2\nval_size: 0.25\nsave_strategy: no");
    ws.run(&["train", "recipe.yaml"]).good();

    let export = ws.run(&["export", "recipe.yaml"]);
    assert!(export.code == Some(2) && export.stderr.contains("`rootstock merge recipe.yaml`"), "{export:?}");

    // Evaluation: the model and the adapter of a recipe, on its own held-out samples or on others.
    let score = ws.run(&["eval", "recipe.yaml", "adapter_name_or_path=style", "--json"]).good().json();
    assert_eq!(score["samples"], 3);
    ws.write("test.jsonl", &questions(4));
    let overrides = ["val_size=null", "eval_dataset=test.jsonl", "output_dir=scored", "--json"];
    let score = ws.run(&[&["eval", "recipe.yaml"][..], &overrides].concat()).good().json();
    let direct = ws.run(&["eval", "--model", "model", "--dataset", "test.jsonl", "--json"]).good().json();
    assert_eq!(score["samples"], 4);
    let (a, b) = (score["loss"].as_f64().expect("a number"), direct["loss"].as_f64().expect("a number"));
    assert!((a - b).abs() < 1e-5 * b, "{a} {b}");
    assert!((ws.json("scored/eval_results.json")["eval_loss"].as_f64().expect("a number") - a).abs() < 1e-9);

    // Prediction: answers and what they score, beside the expected ones.
    let overrides =
        ["do_predict=true", "predict_with_generate=true", "do_train=false", "do_sample=false", "max_new_tokens=3", "output_dir=told"];
    let said = ws.run(&[&["train", "recipe.yaml", "adapter_name_or_path=style"][..], &overrides].concat()).good();
    assert!(said.stdout.contains("ROUGE-L") && said.stdout.contains("3 answers in told/generated_predictions.jsonl"), "{}", said.stdout);
    let lines = String::from_utf8(ws.read("told/generated_predictions.jsonl")).expect("text");
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    for line in &lines {
        let (prompt, label) = (line["prompt"].as_str().expect("text"), line["label"].as_str().expect("text"));
        assert!(prompt.contains("What is ") && !prompt.contains("It is") && label.starts_with("It is "), "{line}");
        assert!(line["predict"].is_string());
    }
    assert!(ws.json("told/predict_results.json")["predict_bleu-4"].as_f64().is_some_and(|score| (0.0..=100.0).contains(&score)));
    let document = ws.run(&[&["eval", "recipe.yaml", "--json"][..], &overrides].concat()).good().json();
    assert!(document["predict"]["rouge-1"].is_number() && document["loss"].is_null(), "{document}");
    let fault = ws.run(&["eval", "recipe.yaml", "do_predict=true"]).fault();
    assert!(fault.contains("predict_with_generate: true"), "{fault}");

    // Merging.
    let export = "### model\nmodel_name_or_path: model\nadapter_name_or_path: style\ntemplate: qwen3_nothink\ntrust_remote_code: true\n\n\
                  ### export\nexport_dir: merged\nexport_size: 5\nexport_device: cpu\nexport_legacy_format: false\n";
    ws.write("export.yaml", export);
    let said = ws.run(&["merge", "export.yaml"]).good();
    assert!(said.stdout.contains("merged 1 adapter into merged"), "{}", said.stdout);
    assert_eq!(ws.run(&["validate", "merged", "--json"]).good().json()["verdict"], "ready");
    let said = ws
        .run(&["merge", "export.yaml", "adapter_name_or_path=null", "export_dir=again", "export_size=50KB", "infer_dtype=bfloat16"])
        .good();
    assert!(said.stderr.contains("names no adapter"), "{}", said.stderr);
    assert!(ws.path("again/model.safetensors.index.json").is_file(), "several files of 50 KB");
    let fault = ws.run(&["merge", "export.yaml", "export_dir=never", "quantization_bit=4"]).fault();
    assert!(fault.contains("quantization_bit: an adapter cannot be merged") && fault.contains("quantization_bit=null behind"), "{fault}");
    ws.write("export4.yaml", &format!("{export}quantization_bit: 4\n"));
    let said = ws.run(&["merge", "export4.yaml", "export_dir=from4", "quantization_bit=null"]).good();
    assert!(said.stdout.contains("merged 1 adapter into from4"), "{}", said.stdout);
    assert_eq!(ws.read("from4/model.safetensors"), ws.read("merged/model.safetensors"), "the weights as they are stored");
    let fault = ws.run(&["merge", "export.yaml", "export_dir=null"]).fault();
    assert!(fault.contains("export_dir: this key is missing"), "{fault}");
    assert!(ws.run(&["train", "export.yaml"]).fault().contains("`rootstock merge export.yaml`"));

    // From the recipe of the run: its adapter, and the losses on what it held out.
    let said = ws.run(&["merge", "recipe.yaml", "quantization_bit=8", "--out", "from-run"]).good();
    assert!(said.stderr.contains("lora     style (") && said.stderr.contains("eval     3 samples of the run"), "{}", said.stderr);
    assert!(ws.path("from-run/model.safetensors").is_file());
    let shown = said.stdout.lines().find_map(|line| line.trim_start().strip_prefix("merged  ")).expect("a row");
    let shown: f64 = shown.split_whitespace().next().expect("a loss").parse().expect("a number");
    let score = ws.run(&["eval", "recipe.yaml", "model_name_or_path=from-run", "--json"]).good().json();
    assert!((score["loss"].as_f64().expect("a number") - shown).abs() < 1e-5, "{score} {}", said.stdout);
    assert!(said.stdout.contains("base + adapter (base in LLM.int8)"), "{}", said.stdout);
    let said = ws.run(&["merge", "recipe.yaml", "val_size=0", "--out", "unscored"]).good();
    assert!(said.stderr.contains("the run held nothing out") && !said.stdout.contains("perplexity"), "{said:?}");
    let fault = ws.run(&["merge", "recipe.yaml", "finetuning_type=full", "--out", "none"]).fault();
    assert!(fault.contains("finetuning_type") && fault.contains("a whole model already"), "{fault}");
    assert!(ws.run(&["merge", "recipe.yaml"]).fault().contains("export_dir: this key is missing"));

    // Talking.
    ws.write(
        "chat.yaml",
        "model_name_or_path: model\nadapter_name_or_path: style\ninfer_backend: huggingface\ndo_sample: false\nmax_new_tokens: 3\n",
    );
    let said = ws.input(&["chat", "chat.yaml"], "What is 3?\n").good();
    assert!(said.stderr.contains("lora     style") && said.stderr.contains("3 tokens of answer"), "{}", said.stderr);
    let options = ["chat", "--model", "model", "--adapter", "style", "--greedy", "--max-new-tokens", "3"];
    assert_eq!(said.stdout, ws.input(&options, "What is 3?\n").good().stdout);
    assert!(ws.run(&["train", "chat.yaml"]).fault().contains("`rootstock chat chat.yaml`"));
    assert_eq!(ws.run(&["chat"]).code, Some(2));
    assert_eq!(ws.run(&["merge", "--model", "model"]).code, Some(2));
}

#[test]
fn shells_complete_and_man_explains() {
    let ws = Workspace::new();
    for (shell, words) in [("bash", "complete -F _rootstock"), ("zsh", "#compdef rootstock"), ("fish", "complete -c rootstock")] {
        let script = ws.run(&["completions", shell]).good().stdout;
        assert!(script.contains(words) && script.contains("estimate"), "{shell}");
    }
    assert_eq!(ws.run(&["completions", "dosh"]).code, Some(2));
    assert!(ws.run(&["man"]).good().stdout.contains(".TH rootstock 1"));
    ws.run(&["man", "--out", "pages"]).good();
    let page = String::from_utf8(ws.read("pages/rootstock-train.1")).expect("text");
    assert!(page.contains("KEY=VALUE"), "{page}");
    assert!(ws.run(&["man", "--out", "train.jsonl"]).fault().contains("train.jsonl: the manual pages cannot be written there"));
}

#[test]
fn a_finished_run_is_continued_with_more_steps() {
    let ws = Workspace::new();
    ws.recipe("lr_scheduler_type: constant\nmax_steps: 3\nreport_to: tensorboard\nval_size: 0.25\neval_strategy: steps\neval_steps: 2");
    ws.run(&["train", "recipe.yaml"]).good();
    let events = "out/runs/events.out.tfevents.rootstock";
    assert!(ws.read(events).windows(10).any(|part| part == b"train/loss"[..].as_ref()));
    let said = ws.run(&["train", "recipe.yaml", "max_steps=5", "resume_from_checkpoint=true", "--json"]).good();
    assert!(said.stderr.contains("the run of 3 steps is continued to 5: from step 4 on"), "{}", said.stderr);
    assert_eq!(said.events().last().expect("an end")["steps"], 5);
    // A constant learning rate knows no length: the bits are those of a run of five steps from the beginning.
    ws.run(&["train", "recipe.yaml", "max_steps=5", "output_dir=whole"]).good();
    assert!(ws.read("out/model.safetensors") == ws.read("whole/model.safetensors"));
    assert!(ws.read(events).len() > 5 * 100 && ws.read(events).windows(9).filter(|part| *part == b"eval/loss").count() >= 2);
    // A shorter run, or another one, is none to go on with.
    let fault = ws.run(&["train", "recipe.yaml", "max_steps=4", "resume_from_checkpoint=true"]).fault();
    assert!(fault.contains("max_steps was 5 and is 4 here"), "{fault}");
    let fault = ws.run(&["train", "recipe.yaml", "max_steps=9", "neftune_noise_alpha=5", "resume_from_checkpoint=true"]).fault();
    assert!(fault.contains("neftune_noise_alpha was off and is 5 here") && !fault.contains("max_steps"), "{fault}");
}

#[test]
fn noise_smoothing_and_order_change_a_run_and_are_the_same_each_time() {
    let ws = Workspace::new();
    ws.recipe("max_steps: 2\nsave_strategy: no\ncutoff_len: 48\nper_device_train_batch_size: 4");
    let mut seen = vec![];
    for (name, extra) in
        [("plain", "seed=42"), ("noise", "neftune_noise_alpha=5"), ("smooth", "label_smoothing_factor=0.1"), ("dft", "use_dft_loss=true")]
    {
        for again in ["a", "b"] {
            ws.run(&["train", "recipe.yaml", extra, &format!("output_dir={name}-{again}")]).good();
        }
        let weights = ws.read(&format!("{name}-a/model.safetensors"));
        assert!(weights == ws.read(&format!("{name}-b/model.safetensors")), "{name}: the same seed gives the same bits");
        assert!(!seen.contains(&weights), "{name} changes the result");
        seen.push(weights);
    }
}

#[test]
fn each_evaluation_set_has_its_own_loss() {
    let ws = Workspace::new();
    ws.write("other.jsonl", &questions(7));
    let extra = "eval_dataset: test.jsonl, other.jsonl\ndo_eval: true\neval_on_each_dataset: true\nper_device_eval_batch_size: 3\n";
    ws.recipe(&format!("max_steps: 1\nsave_strategy: no\nlr_scheduler_type: constant\n{extra}"));
    ws.run(&["train", "recipe.yaml"]).good();
    let log = String::from_utf8(ws.read("out/trainer_log.jsonl")).expect("text");
    let line: serde_json::Value = serde_json::from_str(log.lines().last().expect("a line")).expect("JSON");
    for (key, dataset) in [("eval_test.jsonl_loss", "test.jsonl"), ("eval_other.jsonl_loss", "other.jsonl")] {
        let score = ws.run(&["eval", "--model", "out", "--dataset", dataset, "--json"]).good().json();
        let (a, b) = (line[key].as_f64().expect("a number"), score["loss"].as_f64().expect("a number"));
        assert!((a - b).abs() < 1e-4 * b, "{key} is {a}, and {b} by eval");
    }
    assert!(line["eval_loss"].is_number());
    let history = ws.json("out/trainer_state.json")["log_history"].clone();
    assert!(history.as_array().expect("a list").iter().any(|entry| entry["eval_other.jsonl_loss"].is_number()), "{history}");
}

#[test]
fn a_description_of_datasets_by_version_1_is_read() {
    let ws = Workspace::new();
    ws.write(
        "sets.yaml",
        "first:\n  path: train.jsonl\n  source: local\n  converter: alpaca\n  size: 4\nsecond:\n  path: test.jsonl\n  source: local\n",
    );
    let recipe = "model: model\ntrain_dataset: sets.yaml\noutput_dir: out\nmicro_batch_size: 2\ncutoff_len: 64\nmax_steps: 1\n";
    let said = ws.input(&["train", "-"], recipe).good();
    assert!(said.stderr.contains("9 samples") && said.stderr.contains("first: 4 records are drawn from"), "{}", said.stderr);
    let fault = ws.input(&["train", "-", "train_dataset=none.yaml", "output_dir=o"], recipe).fault();
    assert!(fault.contains("none.yaml: there is no such file"), "{fault}");
}

/// New tokens are learned, and the result knows them; of an adapter the base that it belongs to is written beside it.
#[test]
fn runs_may_begin_with_more_tokens_or_at_random() {
    let ws = Workspace::new();
    ws.write("leaves.jsonl", &"{\"instruction\": \"What falls?\", \"output\": \"<leaf> and <|twig|>\"}\n".repeat(6));
    ws.recipe("dataset: leaves.jsonl\nadd_tokens: <leaf>\nadd_special_tokens: <|twig|>\nmax_steps: 2\nsave_strategy: no\nval_size: 2\neval_strategy: steps\neval_steps: 1\ncompute_accuracy: true");
    let said = ws.run(&["train", "recipe.yaml"]).good();
    assert!(said.stderr.contains("(2 of them new), the embedding 320 rows (307 before)"), "{}", said.stderr);
    ws.run(&["validate", "out", "--quick"]).good();
    assert_eq!(ws.json("out/config.json")["vocab_size"], 320);
    let accuracy = ws.json("out/eval_results.json")["eval_accuracy"].as_f64().expect("it was asked for");
    assert!((0.0..=1.0).contains(&accuracy));
    assert!(ws.path("out/training_accuracy.png").exists(), "it is drawn");
    let said = ws.run(&["eval", "recipe.yaml", "--json", "model_name_or_path=out", "add_tokens=null", "add_special_tokens=null"]).good();
    assert!((said.json()["accuracy"].as_f64().expect("an accuracy") - accuracy).abs() < 1e-6, "{}", said.stdout);

    ws.run(&["train", "recipe.yaml", "finetuning_type=lora", "lora_target=q_proj", "output_dir=lora"]).good();
    assert_eq!(ws.json("lora/adapter_config.json")["base_model_name_or_path"], "lora/base");
    assert_eq!(ws.json("lora/adapter_config.json")["modules_to_save"], serde_json::json!(["embed_tokens", "lm_head"]));
    ws.run(&["validate", "lora", "--base", "lora/base"]).good();
    ws.run(&["generate", "--model", "lora/base", "--adapter", "lora", "--prompt", "What falls?", "--greedy", "--max-new-tokens", "2"])
        .good();

    std::fs::remove_file(ws.path("model/model.safetensors")).expect("it was there");
    let scratch = ["train", "recipe.yaml", "train_from_scratch=true", "add_tokens=null", "add_special_tokens=null", "output_dir=scratch"];
    let said = ws.run(&scratch).good();
    assert!(said.stderr.contains("weights begin at random (standard deviation 0.02, seed 42)"), "{}", said.stderr);
    ws.run(&["validate", "scratch", "--quick"]).good();
}
