//! `rootstock validate`: exit codes, one JSON document, no colours where nobody sees them.

use std::fs;

use super::Workspace;

#[test]
fn the_exit_code_is_the_verdict() {
    let ws = Workspace::new();
    let said = ws.run(&["validate", "model", "--quick"]).good();
    assert!(said.stdout.contains("model: a model (llama, 80,860 parameters)"), "{}", said.stdout);
    assert!(said.stdout.contains("ready: it can be trained on, also as the base for LoRA (lora_target: q_proj, k_proj"), "{}", said.stdout);
    assert!(!said.stdout.contains('\x1b') && said.stderr.is_empty(), "{said:?}");

    let mut config = ws.json("model/config.json");
    config["vocab_size"] = 300.into();
    config["architectures"] = serde_json::Value::Null;
    ws.write("model/config.json", &config.to_string());
    let said = ws.run(&["validate", "model", "--quick"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stderr.is_empty(), "the report says it all: {}", said.stderr);
    for words in
        ["error [vocab_size] config.json", "warning [wrong_architectures]", "repair: in config.json set vocab_size to 307", "repairable"]
    {
        assert!(said.stdout.contains(words), "'{words}' in: {}", said.stdout);
    }
    let json = ws.run(&["validate", "model", "--quick", "--json"]).json();
    assert_eq!(json["verdict"], "repairable");
    assert_eq!((&json["model_type"], &json["parameters"]), (&"llama".into(), &80_860.into()));
    assert_eq!(json["findings"][0]["code"], "vocab_size");
}

/// The same sentences refuse a run.
#[test]
fn a_run_is_refused_by_the_same_rules() {
    let ws = Workspace::new();
    fs::remove_file(ws.path("model/tokenizer.json")).expect("it was there");
    let mut config = ws.json("model/config.json");
    config["num_key_value_heads"] = 1.into();
    ws.write("model/config.json", &config.to_string());
    let fault = ws.run(&["eval", "--model", "model", "--dataset", "test.jsonl"]);
    assert_eq!(fault.code, Some(1));
    for words in ["model is not a model that can be used", "4 heads of 20 (2 for keys and values)", "there is no tokenizer"] {
        assert!(fault.stderr.contains(words), "'{words}' in: {}", fault.stderr);
    }
}

/// NaN is found by the scan, with the run left out.
#[test]
fn numbers_are_read_unless_quick() {
    let ws = Workspace::new();
    let mut bytes = ws.read("model/model.safetensors");
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(ws.path("model/model.safetensors"), bytes).expect("it can be written");
    ws.run(&["validate", "model", "--quick"]).good();
    let said = ws.run(&["validate", "model"]);
    assert_eq!(said.code, Some(1), "{said:?}");
    assert!(said.stdout.contains("error [not_finite] model.safetensors") && said.stdout.contains("1 NaN among"), "{}", said.stdout);
    assert!(said.stdout.contains("unusable"), "{}", said.stdout);
}

#[test]
fn what_is_no_directory() {
    let ws = Workspace::new();
    let fault = ws.run(&["validate", "modle"]).fault();
    assert!(fault.contains("modle") && fault.contains("no such file or directory"), "{fault}");
    let fault = ws.run(&["validate", "model/config.json"]).fault();
    assert!(fault.contains("this is a file"), "{fault}");
    let fault = ws.run(&["validate", "model", "--base", "nowhere"]).fault();
    assert!(fault.contains("nowhere"), "{fault}");
}

/// Full runs, their checkpoints and merged adapters: also of a model that knows one village and no other English.
#[test]
fn what_the_program_writes_raises_no_alarm() {
    let ws = Workspace::new();
    let embedded = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/embedded-model");
    let quiet = |name: &str| {
        let report = ws.run(&["validate", name, "--json"]).good().json();
        let loud: Vec<&serde_json::Value> =
            report["findings"].as_array().expect("a list").iter().filter(|finding| finding["severity"] != "info").collect();
        assert!(loud.is_empty(), "{name}: {loud:?}");
        assert_eq!(report["verdict"], "ready", "{name}");
        assert!(report["loss"].is_f64(), "{name}: the model was not run");
    };
    quiet(embedded);
    ws.recipe(&format!("model_name_or_path: {embedded}\noutput_dir: full\nmax_steps: 4\nsave_steps: 2"));
    ws.run(&["train", "recipe.yaml"]).good();
    quiet("full");
    quiet("full/checkpoint-2");
    ws.run(&["train", "recipe.yaml", "model_name_or_path=full", "finetuning_type=lora", "output_dir=lora"]).good();
    ws.run(&["merge", "--model", "full", "--adapter", "lora", "--out", "merged"]).good();
    quiet("merged");
}

#[test]
fn odd_inputs_are_told_in_plain_words() {
    let ws = Workspace::new();
    ws.write("model.zip", "PK");
    assert!(ws.run(&["validate", "model.zip"]).fault().contains("unpack it"));
    let says = |words: &str| {
        let said = ws.run(&["validate", "model", "--quick"]);
        assert!(said.code == Some(1) && said.stdout.contains(words), "'{words}' in: {}", said.stdout);
    };
    let config = ws.read("model/config.json");
    let wide: Vec<u8> = std::iter::once(0xfeff).chain(String::from_utf8_lossy(&config).encode_utf16()).flat_map(u16::to_le_bytes).collect();
    fs::write(ws.path("model/config.json"), wide).expect("it can be written");
    says("is UTF-16");
    fs::write(ws.path("model/config.json"), config).expect("it can be written");
    #[cfg(unix)]
    {
        // A snapshot of the Hugging Face cache without its blobs.
        fs::remove_file(ws.path("model/model.safetensors")).expect("it was there");
        std::os::unix::fs::symlink("../../blobs/0123", ws.path("model/model.safetensors")).expect("it can be made");
        says("error [unreadable_file] model.safetensors");
        says("this link leads nowhere (to ../../blobs/0123)");
    }
}

/// What a directory's files say is shown as text: it moves no cursor, paints nothing, turns nothing round and begins no line.
#[test]
fn words_of_a_stranger_are_shown_escaped() {
    let evil = "\u{1b}[2J\u{1b}[32mready\u{1b}[0m\nready: it can be trained on\r\u{202e}\u{9b}1A";
    let ws = Workspace::new();
    ws.write("model/chat_template.jinja", &format!("{{{{ raise_exception({}) }}}}", serde_json::Value::from(evil)));
    let harmless = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control() && c != '\u{202e}');
    let no_forged_line = |text: &str| !text.lines().any(|line| line.trim_start().starts_with("ready: it can be trained on\\r"));
    for args in [
        &["generate", "--model", "model", "--prompt", "Hi", "--max-new-tokens", "1"][..],
        &["train", "recipe.yaml"],
        &["validate", "model"],
    ] {
        ws.recipe("max_steps: 1");
        let said = ws.run(args);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(harmless(&all) && no_forged_line(&all), "{args:?}: {all:?}");
        assert!(args[0] == "validate" || said.code == Some(1) && all.contains("\\u{1b}[2J"), "{args:?}: {said:?}");
    }

    let mut config = ws.json("model/config.json");
    config["model_type"] = evil.into();
    config["architectures"] = serde_json::json!([evil]);
    ws.write("model/config.json", &config.to_string());
    for args in [
        &["validate", "model", "--quick"][..],
        &["validate", "model", "--quick", "--json"],
        &["eval", "--model", "model", "--dataset", "test.jsonl"],
        &["merge", "--model", "model", "--adapter", "model", "--out", "merged"],
        &["train", "recipe.yaml"],
    ] {
        let said = ws.run(args);
        let all = format!("{}{}", said.stdout, said.stderr);
        assert_eq!(said.code, Some(1), "{args:?}: {said:?}");
        assert!(harmless(&all) && no_forged_line(&all), "{args:?}: {all:?}");
        if args.contains(&"--json") {
            assert_ne!(said.json()["verdict"], "ready");
        }
    }
}

/// A good adapter beside its base; and what a cluster's directory becomes.
#[test]
fn adapters_and_leavings_are_adopted() {
    let ws = Workspace::new();
    ws.recipe("finetuning_type: lora\nlora_rank: 4\noutput_dir: style\nmax_steps: 2\nsave_steps: 1");
    ws.run(&["train", "recipe.yaml"]).good();
    let said = ws.run(&["validate", "style", "--base", "model"]).good();
    assert!(said.stdout.contains("ready: an adapter to use with its model"), "{}", said.stdout);
    assert_eq!(ws.run(&["validate", "style"]).code, Some(1));
    let said = ws.run(&["adopt", "style", "--base", "model", "--out", "mine"]).good();
    assert!(
        said.stdout.contains("leave behind what is no part of an adapter") && said.stdout.contains("checkpoint-1/, checkpoint-2/"),
        "{}",
        said.stdout
    );
    ws.run(&["eval", "--model", "model", "--adapter", "mine", "--dataset", "test.jsonl"]).good();
    let fault = ws.run(&["adopt", "style", "--out", "other"]).fault();
    assert!(fault.contains("give the model that it was trained on (model, it says) with --base"), "{fault}");
    let fault = ws.run(&["adopt", "style", "--base", "model", "--out", "mine"]).fault();
    assert!(fault.contains("mine") && fault.contains("not empty"), "{fault}");
    let zero = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/zero/stage3");
    let said = ws.run(&["adopt", zero, "--out", "gathered", "--json"]).good().json();
    assert_eq!((&said["kind"], &said["adopted"]["verdict"]), (&"zero".into(), &"ready".into()), "{said}");
    assert!(said["adopted"]["steps"][0].as_str().is_some_and(|step| step.contains("pieces of 3 processes")), "{said}");
    ws.run(&["validate", "gathered", "--quick"]).good();
    assert_eq!(ws.run(&["adopt", "model/config.json", "--out", "none"]).code, Some(1));
    assert!(!ws.path("none").exists() && !ws.path("other").exists());
}
