//! Everything that users get wrong: one clear sentence each, exit code 1, nothing lost.

use std::fs;

use super::{Workspace, questions};

/// Runs `train recipe.yaml` and expects a sentence with all these words.
#[track_caller]
fn refused(ws: &Workspace, overrides: &[&str], words: &[&str]) {
    let mut args = vec!["train", "recipe.yaml"];
    args.extend(overrides);
    let fault = ws.run(&args).fault();
    for word in words {
        assert!(fault.contains(word), "'{word}' in: {fault}");
    }
}

#[test]
fn wrong_paths() {
    let ws = Workspace::new();
    ws.recipe("");
    let fault = ws.run(&["train", "recipes.yaml"]).fault();
    assert!(fault.contains("recipes.yaml") && fault.contains("no such file"), "{fault}");
    let fault = ws.run(&["train", "model"]).fault();
    assert!(fault.contains("this is a directory"), "{fault}");
    refused(&ws, &["model_name_or_path=./modle"], &["modle", "no such file or directory"]);
    refused(
        &ws,
        &["model_name_or_path=someone/some-model"],
        &["someone/some-model", "neither a directory nor in the cache", "HF_HUB_OFFLINE"],
    );
    for (adapter, words) in [("someone/some-adapter", "HF_HUB_OFFLINE forbids"), ("", "an empty name is not a directory")] {
        let fault = ws.run(&["eval", "--model", "model", "--dataset", "test.jsonl", "--adapter", adapter]).fault();
        assert!(fault.contains(words), "{fault}");
    }
    refused(&ws, &["model_name_or_path=model/config.json"], &["this is a file", "model"]);
    refused(&ws, &["model_name_or_path=."], &["model"]);
    refused(&ws, &["dataset=tarin.jsonl"], &["tarin.jsonl", "no such file"]);
    refused(&ws, &["dataset=garden"], &["garden", "dataset_info.json"]);
    refused(&ws, &["output_dir=recipe.yaml"], &["output_dir", "this is a file"]);
    refused(&ws, &["resume_from_checkpoint=nowhere"], &["nowhere", "no such file or directory"]);
    assert!(!ws.path("out").exists(), "nothing was left behind");
}

#[test]
fn an_adapter_given_as_a_model() {
    let ws = Workspace::new();
    ws.recipe("");
    fs::create_dir(ws.path("adapter")).expect("it is new");
    ws.write("adapter/adapter_config.json", r#"{"peft_type": "LORA", "base_model_name_or_path": "garden/tree"}"#);
    ws.write("adapter/adapter_model.safetensors", "");
    refused(&ws, &["model_name_or_path=adapter"], &["LoRA adapter for garden/tree", "not a model"]);
}

#[test]
fn recipes_that_say_nonsense() {
    let ws = Workspace::new();
    ws.recipe("lerning_rate: 1e-4");
    refused(&ws, &[], &["recipe.yaml, line ", "lerning_rate", "did you mean learning_rate?"]);
    ws.recipe("");
    refused(&ws, &["cutof_len=5"], &["cutof_len", "did you mean cutoff_len?"]);
    refused(&ws, &["learning_rate=fast"], &["learning_rate", "fast", "not a number"]);
    refused(&ws, &["finetuning_type=oft"], &["finetuning_type: oft", "orthogonal", "lora"]);
    refused(&ws, &["finetuning_type=lora", "pissa_iter=-2"], &["pissa_iter", "-1"]);
    refused(&ws, &["pissa_init=true"], &["pissa_init", "finetuning_type: lora"]);
    ws.recipe("learning_rate: fast");
    refused(&ws, &[], &["recipe.yaml, line ", "learning_rate", "fast"]);
    ws.write("recipe.yaml", "model_name_or_path: [model\n");
    refused(&ws, &[], &["recipe.yaml, line ", "YAML"]);
}

#[test]
fn datasets_with_faults() {
    let ws = Workspace::new();
    ws.recipe("");
    ws.write("train.jsonl", &format!("{}{{\"instruction\": \"What\n{}", questions(3), questions(2)));
    refused(&ws, &[], &["train.jsonl, line 4", "not valid JSON"]);
    ws.write("train.jsonl", &format!("{}{{\"instruction\": 5, \"output\": \"x\"}}\n", questions(2)));
    refused(&ws, &[], &["train.jsonl, line 3"]);
    ws.write("train.jsonl", "\n\n");
    refused(&ws, &[], &["train.jsonl", "no record"]);
    ws.write("train.jsonl", &questions(2));
    refused(&ws, &["val_size=2"], &["val_size", "leave nothing to train on"]);
}

#[test]
fn samples_longer_than_cutoff_len_are_cut_and_told() {
    let ws = Workspace::new();
    ws.write("train.jsonl", &format!("{}{{\"instruction\": \"Count.\", \"output\": \"{}\"}}\n", questions(3), "one two three ".repeat(30)));
    ws.recipe("max_steps: 1\nsave_strategy: no");
    let said = ws.run(&["train", "recipe.yaml"]).good();
    assert!(said.stderr.contains("1 of 4 records are longer than cutoff_len (64) and were cut"), "{}", said.stderr);
    // Where nothing is left to learn, the run does not begin.
    ws.write("train.jsonl", &questions(3));
    refused(&ws, &["cutoff_len=2", "output_dir=out2"], &["train.jsonl", "none of the 3 records", "cutoff_len"]);
    assert!(!ws.path("out2").exists());
}

#[test]
fn a_tokenizer_with_more_tokens_than_the_model() {
    let ws = Workspace::new();
    let mut tokenizer = ws.json("model/tokenizer.json");
    let mut extra = tokenizer["added_tokens"][0].clone();
    extra["id"] = 307.into();
    extra["content"] = "<|tree|>".into();
    tokenizer["added_tokens"].as_array_mut().expect("a list").push(extra);
    ws.write("model/tokenizer.json", &tokenizer.to_string());
    ws.recipe("");
    ws.write("train.jsonl", &format!("{}{{\"instruction\": \"What?\", \"output\": \"A <|tree|>.\"}}\n", questions(3)));
    refused(&ws, &[], &["tokenizer.json", "ids up to 307 (\"<|tree|>\")", "has 307 rows"]);
    let fault = ws.run(&["eval", "--model", "model", "--dataset", "train.jsonl"]).fault();
    assert!(fault.contains("ids up to 307"), "{fault}");
}

#[test]
fn too_little_memory_is_said_before_the_run() {
    let ws = Workspace::new();
    ws.recipe("");
    let said = ws.run(&["train", "recipe.yaml", "--memory-limit", "1MiB"]);
    let fault = said.fault();
    assert!(fault.contains("needs") && fault.contains("offers 1.0 MiB") && fault.contains("finetuning_type: lora"), "{fault}");
    assert!(fault.contains("smaller model"), "{fault}");
    assert!(!ws.path("out").exists(), "nothing was left behind");
    let estimate = ws.run(&["estimate", "recipe.yaml", "--memory-limit", "1MiB", "--json"]).good().json();
    assert_eq!(estimate["fits"], false);
    assert!(estimate["suggestions"].as_array().is_some_and(|s| !s.is_empty()));
    let fault = ws.run(&["eval", "--model", "model", "--dataset", "test.jsonl", "--memory-limit", "100KiB"]).fault();
    assert!(fault.contains("offers 100.0 KiB"), "{fault}");
}

#[cfg(unix)]
#[test]
fn a_place_that_takes_no_more_bytes() {
    let ws = Workspace::new();
    ws.recipe("do_train: false\ndo_eval: true\neval_dataset: test.jsonl");
    fs::create_dir(ws.path("out")).expect("it is new");
    ws.write("out/eval_results.json", "old");
    let fault = ws.limited(0, &["train", "recipe.yaml"]).fault();
    assert!(fault.contains("eval_results.json") && fault.contains("a file may not become so large"), "{fault}");
    assert_eq!(ws.read("out/eval_results.json"), b"old");
    assert!(!ws.path("out/.eval_results.json.partial").exists());
}

#[test]
fn learning_rates_that_blow_up() {
    let ws = Workspace::new();
    ws.recipe("learning_rate: 1.0e+30\nlr_scheduler_type: constant\nmax_grad_norm: 0");
    let fault = ws.run(&["train", "recipe.yaml"]).fault();
    assert!(fault.starts_with("step 2: ") && fault.contains("not a finite number") && fault.contains("learning rate"), "{fault}");
    assert!(fault.contains("out/checkpoint-1") && ws.path("out/checkpoint-1/model.safetensors").exists(), "{fault}");
}

#[test]
fn weights_that_are_not_numbers() {
    let ws = Workspace::new();
    ws.recipe("");
    let mut bytes = ws.read("model/model.safetensors");
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(ws.path("model/model.safetensors"), bytes).expect("it can be written");
    let fault = ws.run(&["train", "recipe.yaml"]).fault();
    assert!(fault.contains("step 1: ") && fault.contains("nothing was trained yet"), "{fault}");
    assert!(!ws.path("out/model.safetensors").exists());
}

#[test]
fn wrong_usage_is_another_exit_code() {
    let ws = Workspace::new();
    for args in [&["tarin"][..], &["train"], &["eval", "--model", "model"], &["devices", "--memory-limit", "much"]] {
        let said = ws.run(args);
        assert_eq!(said.code, Some(2), "{args:?}: {}", said.stderr);
    }
    for args in
        [&["--help"][..], &["demo", "--help"], &["train", "--help"], &["eval", "--help"], &["estimate", "--help"], &["devices", "--help"]]
    {
        assert!(ws.run(args).good().stdout.contains("Examples:"), "{args:?}");
    }
    let fault = ws.run(&["eval", "--model", "model", "--dataset", "test.jsonl", "--device", "moon"]).fault();
    assert!(fault.contains("no device is called 'moon'; there are: "), "{fault}");
}
