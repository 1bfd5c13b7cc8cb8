//! Recipes as LLaMA-Factory's users have them: from the standard input, with keys as options, for chat, merging and evaluation.

use super::{Workspace, questions};

#[test]
fn a_recipe_comes_from_the_standard_input_and_keys_with_dashes_win_over_it() {
    let ws = Workspace::new();
    let recipe = "model_name_or_path: model\nfinetuning_type: full\ndataset: train.jsonl\noutput_dir: out\nstage: dpo\nmax_steps: 9\n\
                  cutoff_len: 64\ntrust_remote_code: true\ndeepspeed: ds_z3.json\nreport_to: wandb\n";
    let said = ws.input(&["train", "-"], recipe);
    assert!(said.fault().contains("the standard input, line 5: stage: dpo: not supported"));
    let said = ws.input(&["train", "-", "stage=sft", "--max_steps", "2", "--logging-steps", "1", "--json"], recipe).good();
    for remark in ["trust_remote_code: code from a checkpoint", "deepspeed: one device", "report_to: nothing is sent"] {
        assert!(said.stderr.contains(remark), "{remark}: {}", said.stderr);
    }
    let outcome = said.json();
    assert_eq!(outcome["steps"], 2);
    assert!(outcome["train_loss"].as_f64().is_some_and(f64::is_finite) && outcome["eval_loss"].is_null(), "{outcome}");
    let fault = ws.input(&["train", "-"], "stage: dpo\nlerning_rate: 1\n");
    assert_eq!(fault.code, Some(1));
    let lines: Vec<&str> = fault.stderr.lines().collect();
    assert_eq!(lines[0], "error: the standard input: 5 faults, nothing was done:");
    assert!(lines[1].starts_with("  - line 1: stage: dpo") && lines[2].starts_with("  - line 2: lerning_rate"), "{lines:?}");
}

#[test]
fn recipes_of_llamafactory_s_other_commands_work_with_ours() {
    let ws = Workspace::new();
    ws.recipe("finetuning_type: lora\noutput_dir: style\nmax_steps: 2\nval_size: 0.25\nsave_strategy: no");
    ws.run(&["train", "recipe.yaml"]).good();

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
    let fault = ws.run(&["merge", "export.yaml", "export_dir=null"]).fault();
    assert!(fault.contains("export_dir: this key is missing"), "{fault}");
    assert!(ws.run(&["train", "export.yaml"]).fault().contains("`rootstock merge export.yaml`"));

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
