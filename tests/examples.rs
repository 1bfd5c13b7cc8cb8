//! The programs in `examples/` do what they say, on the embedded model.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Runs an example to its end; Cargo builds it where that was not done yet.
fn example(name: &str, args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline", "--example", name, "--"])
        .args(args)
        .output()
        .expect("cargo starts");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{name}: {said}{complained}");
    said.into_owned()
}

fn place(directory: &TempDir, name: &str) -> String {
    directory.path().join(name).display().to_string()
}

#[test]
fn the_examples_tune_watch_merge_and_validate() {
    let work = tempfile::tempdir().expect("a temporary directory");
    let [full, lora, merged] = ["full", "lora", "merged"].map(|name| place(&work, name));
    let said = example("finetune", &["assets/embedded-model", "assets/demo/village.jsonl", &full, "max_steps=2", "cutoff_len=64"]);
    assert!(said.contains("2 steps, ") && said.contains("mean loss"), "{said}");

    let recipe = PathBuf::from(place(&work, "lora.yaml"));
    let text = format!(
        "model_name_or_path: {full}\nstage: sft\nfinetuning_type: lora\ndataset: assets/demo/pirate.jsonl\noutput_dir: {lora}\n\
         cutoff_len: 64\nlogging_steps: 1\nmax_steps: 3\nlearning_rate: 1.0e-3\n"
    );
    std::fs::write(&recipe, text).expect("the directory is writable");
    let said = example("observed_lora", &[&recipe.display().to_string(), "seed=7"]);
    assert!(said.contains("step    3 of 3: loss ") && said.contains("done: "), "{said}");

    let said = example("merge", &[&full, &lora, &merged]);
    assert!(said.contains("1049984 parameters"), "{said}");
    let said = example("validate", &[&merged]);
    assert!(said.contains("is ready"), "{said}");
    assert!(Path::new(&merged).join("config.json").is_file());
}
