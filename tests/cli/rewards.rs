//! A reward model: trained, asked what answers are worth, merged, trained on.

use super::Workspace;

#[test]
fn a_reward_model_is_trained_and_judges() {
    let ws = Workspace::new();
    let pair = |i: usize| {
        format!("{{\"instruction\": \"What is {i}?\", \"input\": \"\", \"chosen\": \"It is {i}, my dear.\", \"rejected\": \"No.\"}}\n")
    };
    ws.write("pairs.jsonl", &(0..16).map(pair).collect::<String>());
    ws.write(
        "rm.yaml",
        "model_name_or_path: model\nstage: rm\nfinetuning_type: lora\ndataset: pairs.jsonl\noutput_dir: judge\nmax_steps: 12\n\
         learning_rate: 2e-3\nval_size: 0.25\neval_strategy: steps\neval_steps: 6\nlogging_steps: 3\nsave_steps: 6\ncutoff_len: 64\n\
         plot_loss: true\n",
    );
    ws.run(&["train", "rm.yaml"]).good();
    for file in ["judge/value_head.safetensors", "judge/checkpoint-6/value_head.safetensors", "judge/training_accuracy.png"] {
        assert!(ws.path(file).is_file(), "{file}");
    }
    let results = ws.json("judge/eval_results.json");
    assert_eq!(results["eval_accuracy"], 1.0, "an answer and a refusal are easy to tell apart: {results}");
    assert!(results["eval_loss"].as_f64().is_some_and(|loss| loss < 0.5) && results["perplexity"].is_null(), "{results}");

    // What it makes of the pairs that it has not seen.
    let overrides = ["adapter_name_or_path=judge", "do_predict=true", "output_dir=told", "--json"];
    let document = ws.run(&[&["eval", "rm.yaml"][..], &overrides].concat()).good().json();
    assert_eq!((&document["samples"], &document["predict"]["samples"]), (&4.into(), &4.into()));
    assert_eq!((&document["eval_accuracy"], &document["predict"]["accuracy"]), (&1.0.into(), &1.0.into()));
    let (a, b) = (document["eval_loss"].as_f64().expect("a number"), document["predict"]["loss"].as_f64().expect("a number"));
    assert!((a - b).abs() < 1e-5 && (a - results["eval_loss"].as_f64().expect("a number")).abs() < 1e-5, "{a} {b} {results}");
    let lines = String::from_utf8(ws.read("told/generated_predictions.jsonl")).expect("text");
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 4);
    for line in &lines {
        assert!(line["chosen"].as_f64().expect("a number") > line["rejected"].as_f64().expect("a number"), "{line}");
    }
    assert!(ws.json("told/predict_results.json")["predict_accuracy"] == 1.0);
    let fault = ws.run(&["eval", "rm.yaml", "output_dir=none"]).fault();
    assert!(fault.contains("there is no value_head.safetensors here"), "{fault}");

    // Merged it is a whole reward model, and the validator says so.
    ws.run(&["merge", "--model", "model", "--adapter", "judge", "--out", "whole"]).good();
    assert_eq!(ws.read("whole/value_head.safetensors"), ws.read("judge/value_head.safetensors"));
    let report = ws.run(&["validate", "whole", "--json"]).good().json();
    let said = report["findings"].as_array().expect("findings").iter().find(|finding| finding["code"] == "value_head");
    assert!(report["verdict"] == "ready" && said.is_some_and(|finding| finding["severity"] == "info"), "{report}");
    let overrides = ["model_name_or_path=whole", "finetuning_type=full", "output_dir=again", "--json"];
    let merged = ws.run(&[&["eval", "rm.yaml"][..], &overrides].concat()).good().json();
    let c = merged["eval_loss"].as_f64().expect("a number");
    assert!((a - c).abs() < 0.02 * a, "merged into bfloat16: {a} {c}");

    // It is trained on: adapter and value head; and full tuning goes on from the merged one.
    ws.run(&["train", "rm.yaml", "adapter_name_or_path=judge", "output_dir=more", "max_steps=1", "learning_rate=1e-12"]).good();
    let more = ws.run(&["eval", "rm.yaml", "adapter_name_or_path=more", "output_dir=scored", "--json"]).good().json();
    assert!((more["eval_loss"].as_f64().expect("a number") - a).abs() < 1e-4, "{more} for {a}");
    let full =
        ["train", "rm.yaml", "model_name_or_path=whole", "finetuning_type=full", "output_dir=full", "max_steps=2", "plot_loss=false"];
    ws.run(&full).good();
    assert!(ws.path("full/value_head.safetensors").is_file() && ws.path("full/model.safetensors").is_file());

    // A head of another model.
    ws.write("whole/value_head.safetensors", "what is this");
    let fault = ws.run(&[&["eval", "rm.yaml"][..], &overrides].concat()).fault();
    assert!(fault.contains("value_head.safetensors"), "{fault}");
    let report = ws.run(&["validate", "whole", "--quick"]).good();
    assert!(report.stdout.contains("value head of a reward model cannot be used"), "{}", report.stdout);
}
