//! The program that uses the library trains the model which the repository carries.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

#[test]
fn a_program_without_the_command_line_trains_the_embedded_model() {
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets");
    let (model, data) = (assets.join("embedded-model"), assets.join("demo/pirate.jsonl"));
    let work = tempfile::tempdir().expect("a temporary directory");
    let (recipe, out) = (work.path().join("recipe.yaml"), work.path().join("out"));
    let text = format!(
        "model_name_or_path: {}\ndataset: {}\noutput_dir: {}\nstage: sft\nfinetuning_type: lora\nlora_rank: 4\ncutoff_len: 64\n\
         learning_rate: 1.0e-2\nmax_steps: 6\nlogging_steps: 1\nper_device_train_batch_size: 4\nplot_loss: true\n",
        model.display(),
        data.display(),
        out.display()
    );
    fs::write(&recipe, text).expect("the directory is writable");

    let run = Command::new(env!("CARGO_BIN_EXE_library-user")).arg(&recipe).output().expect("the program starts");
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    assert!(said.starts_with("6 steps, mean loss "), "{said}");

    let log = fs::read_to_string(out.join("trainer_log.jsonl")).expect("a run leaves its log");
    let losses: Vec<f64> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("each line is JSON"))
        .filter_map(|line| line["loss"].as_f64())
        .collect();
    assert_eq!(losses.len(), 6, "{log}");
    assert!(losses[5] < losses[0], "it learns: {losses:?}");
    assert!(out.join("adapter_model.safetensors").is_file());
    assert!(!out.join("training_loss.png").exists(), "without the feature `plot` nothing is drawn");
}
