//! The demo, shortened: every part of the journey, on the model that the program carries.

use rootstock::validate::Verdict;
use serde_json::Value;

use super::{Said, Workspace};

/// The cells of a row of the closing table; columns are two spaces apart or more.
#[track_caller]
fn row(said: &Said, name: &str) -> Vec<String> {
    let line = said.stdout.lines().find(|line| line.trim_start().starts_with(name));
    let line = line.unwrap_or_else(|| panic!("a row '{name}' in: {}", said.stdout));
    line.trim().split("  ").map(str::trim).filter(|cell| !cell.is_empty()).skip(1).map(str::to_string).collect()
}

const SHORT: [&str; 3] = ["max_steps=3", "max_samples=8", "lora_rank=2"];

#[test]
fn the_demo_goes_from_the_base_over_full_fine_tuning_and_lora_to_one_model() {
    let ws = Workspace::new();
    let said = ws.run(&[&["demo", "--out", "result"], &SHORT[..]].concat()).good();

    // All three models are ready, by the same words as `rootstock validate`, and are so afterwards.
    let verdicts = said.stdout.lines().filter(|line| line.starts_with("ready")).count();
    assert_eq!(verdicts, 3, "{}", said.stdout);
    for name in ["base", "village", "merged"] {
        let report = ws.run(&["validate", &format!("result/{name}"), "--quick", "--json"]).good().json();
        assert_eq!(report["verdict"], serde_json::to_value(Verdict::Ready).expect("a word"), "{name}");
    }
    assert_eq!(said.stderr.matches("as in the run to the last bit").count(), 2, "{}", said.stderr);

    // The merged model computes what base and adapter compute.
    let agreement = said.stdout.lines().find(|line| line.contains("its logits are within")).expect("the comparison");
    let words: Vec<&str> = agreement.split_whitespace().collect();
    let after = |word: &str| words[words.iter().position(|w| *w == word).unwrap_or_else(|| panic!("{word}: {agreement}")) + 1];
    assert!(after("within").parse::<f64>().expect("a number") < 1e-4, "{agreement}");
    assert_eq!(after("at"), words[words.iter().position(|w| *w == "positions").expect("positions") - 1], "{agreement}");

    // The table: what it costs, and what it gives.
    let start: Value = ws.json("result/pirate/adapter_config.json");
    assert_eq!(start["r"], 2);
    let (full, lora) = (row(&said, "parameters trained"), row(&said, "steps"));
    assert!(full[0] == "1,049,984 (all)" && full[1].starts_with("24,320 ("), "{full:?}");
    assert_eq!(lora, ["3", "3"]);
    for (name, cells) in [("time", 2), ("GPU memory", 2), ("gradients", 2), ("file of weights", 3), ("checkpoint to", 2), ("right (", 3)] {
        assert_eq!(row(&said, name).len(), cells, "{name}: {}", said.stdout);
    }
    assert!(row(&said, "right, as a pirate").iter().all(|cell| cell.ends_with("of 8)")));
    // Three steps help already, each on its own task, and what is in the table is what `eval` measures.
    let loss = |name: &str| -> Vec<f64> { row(&said, name).iter().map(|cell| cell.parse().expect("a number")).collect() };
    let (plain, pirate) = (loss("loss on plain"), loss("loss on a pirate"));
    assert!(plain[1] < plain[0] && pirate[2] < pirate[1], "{plain:?} {pirate:?}");
    let lines = |name: &str| String::from_utf8(ws.read(&format!("result/data/{name}"))).expect("UTF-8");
    let first: String = lines("pirate_held_out.jsonl").lines().take(8).map(|line| format!("{line}\n")).collect();
    ws.write("pirates.jsonl", &first);
    let eval = |args: &[&str]| {
        let score = ws.run(&[&["eval", "--dataset", "pirates.jsonl", "--json"], args].concat()).good().json();
        score["loss"].as_f64().expect("a number")
    };
    assert!((eval(&["--model", "result/village", "--adapter", "result/pirate"]) - pirate[2]).abs() < 1e-3);
    assert!((eval(&["--model", "result/merged"]) - pirate[2]).abs() < 1e-3);

    // A second journey into the same place: the same bits, and what the user changed stays.
    let recipe = lines("newcomers.yaml").replace("num_train_epochs: 4.0", "max_steps: 1");
    ws.write("result/data/newcomers.yaml", &recipe);
    let merged = ws.read("result/merged/model.safetensors");
    ws.run(&[&["demo", "--out", "result", "-q"], &SHORT[..]].concat()).good();
    assert!(merged == ws.read("result/merged/model.safetensors"), "another model came out");
    assert_eq!(lines("newcomers.yaml"), recipe);
    // The command that the demo ends with.
    ws.run(&["train", "result/data/newcomers.yaml", "max_samples=8"]).good();
    assert_eq!(ws.json("result/newcomers/adapter_config.json")["base_model_name_or_path"], "result/village");
}

#[test]
fn what_the_journey_decides_cannot_be_set_and_nothing_of_others_is_removed() {
    let ws = Workspace::new();
    let fault = ws.run(&["demo", "--out", "result", "finetuning_type=lora"]).fault();
    assert!(fault.contains("finetuning_type") && fault.contains("rootstock train"), "{fault}");
    let fault = ws.run(&["demo", "--out", "result", "lora.lora_rnak=3"]).fault();
    assert!(fault.contains("lora_rank"), "{fault}");
    assert!(!ws.path("result").exists());
    std::fs::create_dir_all(ws.path("result/merged")).expect("it is new");
    ws.write("result/merged/thesis.tex", "years of work");
    let fault = ws.run(&["demo", "--out", "result"]).fault();
    assert!(fault.contains("thesis.tex"), "{fault}");
    assert_eq!(ws.read("result/merged/thesis.tex"), b"years of work");
    let left: Vec<_> = std::fs::read_dir(ws.path("result")).expect("it is there").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["merged"]);
}
