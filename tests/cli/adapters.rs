//! `merge`, `extract`, and the commands that run a model with adapters.

use std::fs;
use std::path::Path;

use safetensors::tensor::{SafeTensors, TensorView};

use super::Workspace;

const WEIGHTS: &str = "adapter_model.safetensors";

/// A workspace with an adapter `style` of its model.
fn workspace() -> Workspace {
    let ws = Workspace::new();
    ws.recipe(
        "finetuning_type: lora\nlora_rank: 4\nlora_target: q_proj,v_proj,down_proj\nlearning_rate: 1.0e-2\nsave_strategy: no\noutput_dir: style",
    );
    ws.run(&["train", "recipe.yaml"]).good();
    ws
}

fn copy(ws: &Workspace, from: &str, to: &str) {
    fs::create_dir(ws.path(to)).expect("it is new");
    for entry in fs::read_dir(ws.path(from)).expect("it is there").flatten() {
        fs::copy(entry.path(), ws.path(to).join(entry.file_name())).expect("it can be copied");
    }
}

type Tensors = Vec<(String, Vec<usize>, Vec<u8>)>;

/// A copy of the adapter with its tensors changed.
fn bent(ws: &Workspace, to: &str, change: impl FnOnce(&mut Tensors)) {
    copy(ws, "style", to);
    let file = ws.read(&format!("style/{WEIGHTS}"));
    let read = SafeTensors::deserialize(&file).expect("it was just written");
    let mut tensors: Tensors = read.iter().map(|(name, view)| (name.to_string(), view.shape().to_vec(), view.data().to_vec())).collect();
    tensors.sort();
    change(&mut tensors);
    let view = |shape: &[usize], data| TensorView::new(safetensors::Dtype::F32, shape.to_vec(), data).expect("it fits");
    let views = tensors.iter().map(|(name, shape, data)| (name, view(shape, data)));
    fs::write(ws.path(to).join(WEIGHTS), safetensors::serialize(views, None).expect("it can be written")).expect("it is ours");
}

fn loss(ws: &Workspace, args: &[&str]) -> f64 {
    ws.run(&[&["eval", "--dataset", "test.jsonl", "--json"], args].concat()).good().json()["loss"].as_f64().expect("a loss")
}

fn entries(ws: &Workspace) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(ws.path("")).expect("it is there").flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn merging_gives_a_model_that_computes_the_same() {
    let ws = workspace();
    let before = (ws.read("model/model.safetensors"), ws.read(&format!("style/{WEIGHTS}")));
    let said = ws.run(&["merge", "--model", "model", "--adapter", "style", "--out", "merged"]).good();
    assert!(said.stdout.contains("merged 1 adapter into merged") && said.stdout.contains("of base + adapter's"), "{}", said.stdout);
    assert_eq!(ws.run(&["validate", "merged", "--json"]).good().json()["verdict"], "ready");
    let (apart, merged) = (loss(&ws, &["--model", "model", "--adapter", "style"]), loss(&ws, &["--model", "merged"]));
    assert!((apart - merged).abs() < 1e-5, "{apart}, {merged}");
    assert!((loss(&ws, &["--model", "model"]) - apart).abs() > 1e-2, "the adapter does something");
    let ask = |model: &[&str]| {
        ws.run(&[&["generate", "--prompt", "What is 3?", "--greedy", "--max-new-tokens", "8", "-q"], model].concat()).good()
    };
    assert_eq!(ask(&["--model", "model", "--adapter", "style"]).stdout, ask(&["--model", "merged"]).stdout);
    let said = ws.input(&["chat", "--model", "model", "--adapter", "style", "--greedy", "--max-new-tokens", "4"], "What is 3?\n").good();
    assert!(said.stderr.contains("lora     style (") && !said.stderr.contains("warning"), "{}", said.stderr);

    // Twice the same adapter is its change twice; in a type of its own.
    let said =
        ws.run(&["merge", "--model", "model", "--adapter", "style", "--adapter", "style", "--out", "twice", "--dtype", "bf16"]).good();
    assert!(said.stdout.contains("merged 2 adapters into twice") && said.stdout.contains("from rounding to BF16"), "{}", said.stdout);
    assert!(said.stderr.contains("warning: style is given more than once"), "{}", said.stderr);

    // What is there stays.
    let left = entries(&ws);
    let fault = ws.run(&["merge", "--model", "model", "--adapter", "style", "--out", "merged"]).fault();
    assert!(fault.contains("merged") && fault.contains("not empty"), "{fault}");
    let fault = ws.run(&["merge", "--model", "model", "--adapter", "style", "--out", "train.jsonl"]).fault();
    assert!(fault.contains("train.jsonl") && fault.contains("this is a file"), "{fault}");
    assert_eq!(entries(&ws), left, "nothing is left behind");
    assert!((ws.read("model/model.safetensors"), ws.read(&format!("style/{WEIGHTS}"))) == before, "the inputs are untouched");
}

#[test]
fn merging_shows_the_losses_before_and_after_and_begins_with_good_data_only() {
    let ws = workspace();
    let merge = ["merge", "--model", "model", "--adapter", "style", "--out", "merged", "--dataset"];
    let fault = ws.run(&[&merge[..], &["nothing.jsonl"]].concat()).fault();
    assert!(fault.contains("nothing.jsonl") && !ws.path("merged").exists(), "{fault}");

    let said = ws.run(&[&merge[..], &["test.jsonl"]].concat()).good();
    let shown = |name: &str| -> f64 {
        let row = said.stdout.lines().find_map(|line| line.trim_start().strip_prefix(name)).expect("a row");
        row.split_whitespace().next().expect("a loss").parse().unwrap_or_else(|e| panic!("{e} in {row}"))
    };
    for (name, args) in [
        ("base  ", &["--model", "model"][..]),
        ("base + adapter", &["--model", "model", "--adapter", "style"]),
        ("merged  ", &["--model", "merged"]),
    ] {
        assert!((shown(name) - loss(&ws, args)).abs() < 1e-5, "{name}: {}", said.stdout);
    }
}

#[test]
fn an_adapter_of_another_base_is_told() {
    let ws = workspace();
    copy(&ws, "model", "other");
    let mut weights = ws.read("other/model.safetensors");
    let end = weights.len() - 2; // of the last number; its two low bytes are below the fingerprint's precision
    weights[end] ^= 0x40;
    fs::write(ws.path("other/model.safetensors"), weights).expect("it is ours");
    for args in [
        &["eval", "--dataset", "test.jsonl"][..],
        &["generate", "--prompt", "Hi", "--greedy", "--max-new-tokens", "2"],
        &["merge", "--out", "merged"],
    ] {
        let said = ws.run(&[args, &["--model", "other", "--adapter", "style"]].concat()).good();
        assert!(said.stderr.contains("warning: style was made on other weights than those of other (it names model)"), "{}", said.stderr);
    }
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden/llama-tied-bias");
    let shapes = shapes.to_str().expect("UTF-8");
    let fault = ws.run(&["merge", "--model", shapes, "--adapter", "style", "--out", "none"]).fault();
    assert!(fault.contains("q_proj.lora_A.weight") && fault.contains("made for a model of other sizes"), "{fault}");
    assert!(!ws.path("none").exists());
}

#[test]
fn faults_of_an_adapter_have_names() {
    let ws = workspace();
    let key = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight";
    let at = |tensors: &Tensors| tensors.iter().position(|t| t.0 == key).expect("it is there");
    bent(&ws, "missing", |t| drop(t.remove(at(t))));
    bent(&ws, "extra", |t| t.push((key.replace("q_proj", "k_proj"), vec![1], vec![0; 4])));
    bent(&ws, "doubled", |t| {
        let mut again = t[at(t)].clone();
        again.0 = key.replace("lora_A", "lora_A.default");
        t.push(again);
    });
    bent(&ws, "unprefixed", |t| t.iter_mut().for_each(|t| t.0 = t.0.replacen("base_model.model.", "", 1)));
    bent(&ws, "nan", |t| {
        let i = at(t);
        t[i].2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    for (name, words) in [
        ("missing", vec![key, "is missing"]),
        ("extra", vec!["k_proj.lora_A.weight", "has no place"]),
        ("doubled", vec!["q_proj.lora_A", "occurs twice"]),
        ("unprefixed", vec!["model.layers.0", "lacks the prefix"]),
        ("nan", vec![key, "not finite"]),
    ] {
        let fault = ws.run(&["generate", "--model", "model", "--adapter", name, "--prompt", "Hi"]).fault();
        let file = format!("{name}/{WEIGHTS}");
        assert!(fault.contains(&file) && words.iter().all(|word| fault.contains(word)), "{words:?} in {fault}");
    }
    for (name, words) in [("model", "not an adapter"), ("nowhere", "nowhere")] {
        let fault = ws.run(&["eval", "--model", "model", "--adapter", name, "--dataset", "test.jsonl"]).fault();
        assert!(fault.contains(words), "{fault}");
    }
}

#[test]
fn extracting_gives_the_change_back() {
    let ws = workspace();
    ws.run(&["merge", "--model", "model", "--adapter", "style", "--out", "tuned"]).good();
    let extract = ["extract", "--base", "model", "--tuned", "tuned"];
    let said = ws.run(&[&extract[..], &["--rank", "4", "--out", "back", "--dataset", "test.jsonl", "--json"]].concat()).good().json();
    assert_eq!((&said["rank"], said["modules"].as_array().map(Vec::len)), (&4.into(), Some(6)));
    assert!(said["energy"].as_f64().expect("a share") > 0.9999, "{said}");
    let loss_of = |which: &str| said["losses"][which]["loss"].as_f64().expect("a loss");
    assert!((loss_of("tuned") - loss_of("adapter")).abs() < 1e-4 && (loss_of("base") - loss_of("tuned")).abs() > 1e-2, "{said}");
    assert!((loss(&ws, &["--model", "model", "--adapter", "back"]) - loss_of("adapter")).abs() < 1e-9);

    // Each matrix keeps at least the share asked for, at the lowest rank that does.
    let said = ws.run(&[&extract[..], &["--rank", "auto", "--energy", "0.8", "--out", "auto", "--json"]].concat()).good().json();
    let modules = said["modules"].as_array().expect("a list");
    assert!(modules.iter().all(|m| m["energy"].as_f64().is_some_and(|e| e >= 0.8)), "{said}");
    assert!(modules.iter().any(|m| m["rank"].as_u64().is_some_and(|r| (1..4).contains(&r))), "{said}");
    let said = ws.run(&[&extract[..], &["--rank", "1", "--out", "one"]].concat()).good();
    assert!(said.stdout.contains("self_attn.q_proj") && said.stdout.contains("one keeps"), "{}", said.stdout);

    let fault = ws.run(&[&extract[..], &["--rank", "4", "--out", "back"]].concat()).fault();
    assert!(fault.contains("back") && fault.contains("not empty"), "{fault}");
    let fault = ws.run(&[&extract[..], &["--rank", "auto", "--energy", "2", "--out", "none"]].concat()).fault();
    assert!(fault.contains("--energy") && fault.contains("share"), "{fault}");
    let fault = ws.run(&["extract", "--base", "model", "--tuned", "model", "--rank", "4", "--out", "none"]).fault();
    assert!(fault.contains("nothing to extract"), "{fault}");
    let shapes = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden/llama-tied-bias");
    let fault = ws.run(&["extract", "--base", "model", "--tuned", shapes.to_str().expect("UTF-8"), "--rank", "4", "--out", "none"]).fault();
    assert!(fault.contains("give the model that it was trained from"), "{fault}");
    assert_eq!(ws.run(&[&extract[..], &["--rank", "0", "--out", "none"]].concat()).code, Some(2));
    assert!(!ws.path("none").exists());
}
