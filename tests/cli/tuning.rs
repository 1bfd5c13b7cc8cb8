//! Runs that train an adapter, or some of the layers.

use std::rc::Rc;

use rootstock::adapter::{Adapter, AdapterRole};
use rootstock::checkpoint::{Checkpoint, ParamSource};
use rootstock::platform::{NativeDirectory, block_on};

use super::Workspace;

fn open_model(ws: &Workspace, name: &str) -> Checkpoint {
    block_on(Checkpoint::open(Rc::new(NativeDirectory::new(ws.path(name))))).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn open_adapter(ws: &Workspace, name: &str) -> Adapter {
    let model = open_model(ws, "model");
    block_on(Adapter::open(Rc::new(NativeDirectory::new(ws.path(name))), &model)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn within_five_percent(ws: &Workspace) {
    let planned = ws.run(&["estimate", "recipe.yaml", "--json"]).good().json()["peak_bytes"].as_f64().expect("a number");
    let reached = ws.json("out/train_results.json")["peak_bytes"].as_f64().expect("a number");
    assert!((planned / reached - 1.0).abs() < 0.05, "planned {planned}, reached {reached}");
}

#[test]
fn a_lora_run_leaves_an_adapter_and_its_checkpoints_go_on_to_the_same_bits() {
    let ws = Workspace::new();
    ws.recipe(
        "finetuning_type: lora\nlora_rank: 4\nlora_dropout: 0.1\nlora_target: q_proj,down_proj\nadditional_target: embed_tokens\n\
         rank_pattern: {down_proj: 2}\nuse_rslora: true\nloraplus_lr_ratio: 4\nmax_steps: 6\nsave_steps: 3\nsave_total_limit: 9\n\
         eval_dataset: test.jsonl\neval_strategy: steps\neval_steps: 3\nload_best_model_at_end: true\nplot_loss: true",
    );
    let said = ws.run(&["train", "recipe.yaml", "output_dir=whole"]).good();
    assert!(said.stderr.contains("training 17,532 of 98,392 parameters"), "{}", said.stderr);
    for file in ["tokenizer.json", "chat_template.jinja", "trainer_state.json", "training_loss.png", "all_results.json"] {
        assert!(ws.path("whole").join(file).exists(), "{file}");
    }
    assert!(!ws.path("whole/model.safetensors").exists() && !ws.path("whole/config.json").exists());
    let config = ws.json("whole/adapter_config.json");
    assert_eq!(config["target_modules"], serde_json::json!(["q_proj", "down_proj"]));
    assert_eq!((config["r"].as_u64(), config["lora_alpha"].as_u64()), (Some(4), Some(8)));
    assert_eq!(config["rank_pattern"], serde_json::json!({"down_proj": 2}));
    let adapter = open_adapter(&ws, "whole");
    for (index, param) in adapter.params.iter().enumerate() {
        if matches!(param.role, AdapterRole::B(_)) {
            let values = block_on(adapter.read(index)).expect("it was just written");
            assert!(values.iter().any(|x| *x != 0.0), "{} learned nothing", param.decl.name);
        }
    }
    // The best of a run that still improves is its last state.
    assert_eq!(ws.read("whole/adapter_model.safetensors"), ws.read("whole/checkpoint-6/adapter_model.safetensors"));

    std::fs::create_dir_all(ws.path("out/checkpoint-3")).expect("it is new");
    for entry in std::fs::read_dir(ws.path("whole/checkpoint-3")).expect("it is there").flatten() {
        std::fs::copy(entry.path(), ws.path("out/checkpoint-3").join(entry.file_name())).expect("it can be copied");
    }
    let said = ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true"]).good();
    assert!(said.stderr.contains("going on after step 3"), "{}", said.stderr);
    for file in ["adapter_model.safetensors", "adapter_config.json", "checkpoint-6/optimizer.safetensors"] {
        assert!(ws.read(&format!("out/{file}")) == ws.read(&format!("whole/{file}")), "{file}");
    }
    within_five_percent(&ws);
    let fault = ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true", "lora_rank=8"]).fault();
    let words = "was trained otherwise: lora_rank was 4 and is 8 here; lora_alpha was 8 and is 16 here; use the same recipe";
    assert!(fault.contains("resume_from_checkpoint") && fault.contains(words), "{fault}");
}

/// With next to no learning rate the adapted model stays what it begins as: the base.
#[test]
fn new_adapters_begin_as_the_base_and_others_where_they_were_left() {
    let ws = Workspace::new();
    let base = ws.run(&["eval", "--model", "model", "--dataset", "test.jsonl", "--json"]).good().json()["loss"].as_f64();
    for (name, keys) in [
        ("lora", "lora_target: all"),
        ("dora", "use_dora: true\nlora_target: q_proj,up_proj\nadditional_target: norm"),
        ("embedding", "lora_target: embed_tokens,lm_head,o_proj"),
    ] {
        ws.recipe(&format!(
            "finetuning_type: lora\n{keys}\nlearning_rate: 1.0e-30\nmax_steps: 1\nsave_strategy: no\neval_dataset: test.jsonl\ndo_eval: true\noutput_dir: {name}"
        ));
        ws.run(&["train", "recipe.yaml"]).good();
        let loss = ws.json(&format!("{name}/eval_results.json"))["eval_loss"].as_f64();
        let (loss, base) = (loss.expect("a loss"), base.expect("a loss"));
        assert!((loss - base).abs() < 1e-5, "{name}: {loss}, the base {base}");
    }
    // Another seed draws other numbers; A lies in ±1/√in.
    ws.run(&["train", "recipe.yaml", "output_dir=seed", "seed=1"]).good();
    let (adapter, other) = (open_adapter(&ws, "embedding"), open_adapter(&ws, "seed"));
    for (index, param) in adapter.params.iter().enumerate() {
        let read = |adapter: &Adapter| block_on(adapter.read(index)).expect("it was just written");
        let (values, others) = (read(&adapter), read(&other));
        if param.decl.name.ends_with("lora_A.weight") {
            let bound = 1.0 / (param.decl.cols as f32).sqrt();
            let largest = values.iter().fold(0f32, |m, x| m.max(x.abs()));
            assert!(largest <= bound && largest > 0.9 * bound, "{}: {largest} of {bound}", param.decl.name);
            assert_ne!(values, others);
        }
    }
    ws.run(&["train", "recipe.yaml", "adapter_name_or_path=seed", "output_dir=on", "lora_rank=2"]).good();
    let on = open_adapter(&ws, "on");
    for index in 0..other.params.len() {
        let read = |adapter: &Adapter| block_on(adapter.read(index)).expect("it was just written");
        let (left, found) = (read(&other), read(&on));
        assert!(left.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-20) && left.len() == found.len(), "{}", on.params[index].decl.name);
    }
}

/// Puts a checkpoint of the run in `whole` into `out`, goes on from there, and compares.
fn goes_on_to_the_same_bits(ws: &Workspace, checkpoint: &str, files: &[&str]) {
    let (from, to) = (ws.path("whole").join(checkpoint), ws.path("out").join(checkpoint));
    std::fs::create_dir_all(&to).expect("it is new");
    for entry in std::fs::read_dir(from).expect("it is there").flatten() {
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("it can be copied");
    }
    let said = ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true"]).good();
    assert!(said.stderr.contains("going on after step"), "{}", said.stderr);
    for file in files {
        assert!(ws.read(&format!("out/{file}")) == ws.read(&format!("whole/{file}")), "{file}");
    }
}

fn loss(ws: &Workspace, args: &[&str]) -> (f64, String) {
    let said = ws.run(&[&["eval", "--dataset", "test.jsonl", "--json"], args].concat()).good();
    (said.json()["loss"].as_f64().expect("a loss"), said.stderr)
}

#[test]
fn pissa_ships_an_adapter_of_the_base_and_goes_on_to_the_same_bits() {
    let ws = Workspace::new();
    ws.recipe(
        "finetuning_type: lora\npissa_init: true\nlora_rank: 4\nlora_alpha: 6\nlora_dropout: 0.1\nlora_target: q_proj,down_proj\nuse_rslora: true\n\
         rank_pattern: {down_proj: 2}\nadditional_target: norm\nmax_steps: 4\nsave_steps: 2\neval_dataset: test.jsonl\ndo_eval: true",
    );
    let said = ws.run(&["train", "recipe.yaml", "output_dir=whole"]).good();
    assert!(said.stderr.contains("principal directions of 4 matrices") && said.stderr.contains("twice the rank"), "{}", said.stderr);
    let config = ws.json("whole/adapter_config.json");
    assert_eq!((config["r"].as_u64(), &config["rank_pattern"]), (Some(8), &serde_json::json!({"down_proj": 4})));
    assert!((config["lora_alpha"].as_f64().expect("a number") - 6.0 * 2f64.sqrt()).abs() < 1e-9, "{config}");
    // On the base as it is, the adapter is what the run ended with.
    let ended = ws.json("whole/eval_results.json")["eval_loss"].as_f64().expect("a loss");
    let (shipped, words) = loss(&ws, &["--model", "model", "--adapter", "whole"]);
    assert!((ended - shipped).abs() < 1e-5 && !words.contains("warning"), "{ended}, {shipped}: {words}");
    assert!((loss(&ws, &["--model", "model"]).0 - shipped).abs() > 1e-2, "nothing was learned");
    goes_on_to_the_same_bits(
        &ws,
        "checkpoint-2",
        &["adapter_model.safetensors", "adapter_config.json", "checkpoint-4/optimizer.safetensors"],
    );
    within_five_percent(&ws);
    let fault = ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true", "pissa_init=false"]).fault();
    assert!(fault.contains("pissa_init was true and is off here") && fault.contains("use the same recipe"), "{fault}");
}

/// A new adapter on another, and going on with the last of two: each belongs to the sum below it, and says so.
#[test]
fn adapters_are_trained_on_top_of_others() {
    let ws = Workspace::new();
    ws.recipe(
        "finetuning_type: lora\nuse_dora: true\nlora_target: v_proj,up_proj\nlearning_rate: 1.0e-2\nsave_strategy: no\noutput_dir: first",
    );
    ws.run(&["train", "recipe.yaml"]).good();
    let (first, _) = loss(&ws, &["--model", "model", "--adapter", "first"]);

    // It begins as the sum.
    let new = "finetuning_type: lora\nlora_rank: 4\nlora_target: all\nadditional_target: lm_head\nadapter_name_or_path: first\ncreate_new_adapter: true";
    ws.recipe(&format!(
        "{new}\nlearning_rate: 1.0e-30\nmax_steps: 1\nsave_strategy: no\neval_dataset: test.jsonl\ndo_eval: true\noutput_dir: still"
    ));
    ws.run(&["train", "recipe.yaml"]).good();
    let began = ws.json("still/eval_results.json")["eval_loss"].as_f64().expect("a loss");
    assert!((began - first).abs() < 1e-5, "{began}, base and adapter {first}");

    ws.recipe(&format!("{new}\nmax_steps: 4\nsave_steps: 2\nlora_dropout: 0.1"));
    let said = ws.run(&["train", "recipe.yaml", "output_dir=whole"]).good();
    assert!(said.stderr.contains("model + first"), "{}", said.stderr);
    assert_eq!(ws.json("whole/adapter_config.json")["base_model_name_or_path"], "model + first");
    goes_on_to_the_same_bits(&ws, "checkpoint-2", &["adapter_model.safetensors", "adapter_config.json"]);
    within_five_percent(&ws);

    let (alone, words) = loss(&ws, &["--model", "model", "--adapter", "whole"]);
    assert!(words.contains("warning: whole was made on other weights than those of model (it names model + first)"), "{words}");
    let (both, words) = loss(&ws, &["--model", "model", "--adapter", "first", "--adapter", "whole"]);
    assert!(!words.contains("warning"), "{words}");
    assert!((both - alone).abs() > 1e-3, "the first adapter does something");
    ws.run(&["merge", "--model", "model", "--adapter", "first", "--out", "merged"]).good();
    let (on_merged, words) = loss(&ws, &["--model", "merged", "--adapter", "whole"]);
    assert!((both - on_merged).abs() < 1e-5 && !words.contains("warning"), "{both}, {on_merged}: {words}");

    let fault = ws.run(&["train", "recipe.yaml", "output_dir=first", "overwrite_output_dir=true"]).fault();
    assert!(fault.contains("output_dir") && fault.contains("the adapter first lies there"), "{fault}");

    // Both named: the last is trained on, on top of the first.
    ws.recipe(
        "finetuning_type: lora\nadapter_name_or_path: first,whole\nlearning_rate: 1.0e-30\nmax_steps: 1\neval_dataset: test.jsonl\ndo_eval: true\noutput_dir: further",
    );
    let said = ws.run(&["train", "recipe.yaml"]).good();
    assert!(!said.stderr.contains("warning"), "{}", said.stderr);
    let on = ws.json("further/eval_results.json")["eval_loss"].as_f64().expect("a loss");
    assert!((on - both).abs() < 1e-5, "{on}, {both}");
    ws.recipe("finetuning_type: lora\nadapter_name_or_path: first,whole\ndo_train: false\ndo_eval: true\neval_dataset: test.jsonl\noutput_dir: scored");
    ws.run(&["train", "recipe.yaml"]).good();
    let scored = ws.json("scored/eval_results.json")["eval_loss"].as_f64().expect("a loss");
    assert!((scored - both).abs() < 1e-6, "{scored}, {both}");
}

#[test]
fn a_frozen_run_changes_only_what_it_trains() {
    let ws = Workspace::new();
    ws.recipe(
        "finetuning_type: freeze\nfreeze_trainable_layers: 1\nfreeze_trainable_modules: mlp\nmax_steps: 4\nsave_steps: 2\nexport_dtype: float32",
    );
    ws.run(&["train", "recipe.yaml", "output_dir=whole"]).good();
    let (before, after) = (open_model(&ws, "model"), open_model(&ws, "whole"));
    let last = format!("layers.{}.mlp.", before.config().num_hidden_layers - 1);
    for (index, param) in before.params().iter().enumerate() {
        let read = |model: &Checkpoint| block_on(ParamSource::read_rows(model, index, 0..param.rows)).expect("it reads");
        assert_eq!(read(&before) == read(&after), !param.name.contains(&last), "{}", param.name);
    }
    std::fs::create_dir_all(ws.path("out/checkpoint-2")).expect("it is new");
    for entry in std::fs::read_dir(ws.path("whole/checkpoint-2")).expect("it is there").flatten() {
        std::fs::copy(entry.path(), ws.path("out/checkpoint-2").join(entry.file_name())).expect("it can be copied");
    }
    // The base may be the checkpoint itself, as in a page that was loaded anew: what is frozen is the same.
    ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true", "model_name_or_path=whole/checkpoint-2"]).good();
    assert!(ws.read("out/model.safetensors") == ws.read("whole/model.safetensors"), "a resumed run ends with other weights");
    within_five_percent(&ws);
}

#[test]
fn what_cannot_be_trained_is_said() {
    let ws = Workspace::new();
    let refused = |keys: &str, words: &[&str]| {
        ws.recipe(keys);
        let fault = ws.run(&["train", "recipe.yaml"]).fault();
        assert!(words.iter().all(|w| fault.contains(w)), "{fault}");
    };
    refused("finetuning_type: lora\nlora_target: q_porj", &["lora_target", "q_porj", "q_proj"]);
    refused("finetuning_type: lora\nlora_dropout: 1", &["lora_dropout", "below 1"]);
    refused("finetuning_type: lora\nadapter_name_or_path: nowhere", &["nowhere"]);
    refused("finetuning_type: lora\nadapter_name_or_path: model", &["model", "not an adapter"]);
    refused("finetuning_type: lora\nadapter_name_or_path: a,b", &["a: "]);
    refused("finetuning_type: lora\npissa_init: true\nlora_target: embed_tokens,q_proj", &["pissa_init", "embed_tokens"]);
    refused("finetuning_type: lora\npissa_init: true\nlora_target: q_proj\nlora_rank: 45", &["lora_rank", "twice the rank", "90"]);
    refused("finetuning_type: lora\nrank_pattern: {q_proj: -1}", &["rank_pattern", "q_proj"]);
    refused("finetuning_type: freeze\nfreeze_trainable_modules: attention", &["freeze_trainable_modules", "self_attn"]);
    refused("finetuning_type: freeze\nadapter_name_or_path: a", &["adapter_name_or_path", "merge"]);
    assert!(!ws.path("out").exists());
}
