//! What a run leaves, and what `--json` prints.

use std::fs::{self, File};

use serde_json::Value;

use super::{Workspace, questions};

#[track_caller]
fn numbers(value: &Value, names: &[&str]) {
    for name in names {
        assert!(value[name].is_number(), "{name} in {value}");
    }
}

#[test]
fn a_run_leaves_what_it_promises_and_keeps_to_its_estimate() {
    let ws = Workspace::new();
    ws.recipe(
        "eval_dataset: test.jsonl\neval_strategy: steps\neval_steps: 2\nsave_steps: 2\nsave_total_limit: 2\nplot_loss: true\n\
         gradient_accumulation_steps: 2\nmax_shard_size: 200KB",
    );
    let estimate = ws.run(&["estimate", "recipe.yaml", "--json"]).good().json();
    numbers(
        &estimate,
        &["peak_bytes", "weights_bytes", "gradients_bytes", "optimizer_bytes", "activations_bytes", "largest_binding_bytes"],
    );
    assert_eq!(estimate["fits"], true);
    assert_eq!(estimate["suggestions"], serde_json::json!([]));

    let said = ws.run(&["train", "recipe.yaml"]).good();
    assert!(said.stdout.contains("model-00001-of-00002.safetensors"), "the files are listed: {}", said.stdout);
    assert!(said.stderr.contains("step 5/5  loss "), "without a terminal steps are lines: {}", said.stderr);

    let log = String::from_utf8(ws.read("out/trainer_log.jsonl")).expect("UTF-8");
    let lines: Vec<Value> = log.lines().map(|l| serde_json::from_str(l).expect("a line is JSON")).collect();
    let (evals, steps): (Vec<&Value>, Vec<&Value>) = lines.iter().partition(|l| l.get("eval_loss").is_some());
    assert_eq!(steps.iter().map(|l| l["current_steps"].as_u64()).collect::<Vec<_>>(), (1..=5).map(Some).collect::<Vec<_>>());
    for line in &steps {
        numbers(line, &["current_steps", "total_steps", "loss", "grad_norm", "lr", "epoch", "percentage", "tokens_per_second"]);
        assert!(line["elapsed_time"].is_string() && line["remaining_time"].is_string());
    }
    assert_eq!(steps[0]["lr"], 1e-3);
    assert_eq!(
        evals.iter().map(|l| l["current_steps"].as_u64()).collect::<Vec<_>>(),
        [Some(2), Some(4), Some(5)],
        "every second step and at the end"
    );

    let state = ws.json("out/trainer_state.json");
    assert_eq!((state["global_step"].as_u64(), state["max_steps"].as_u64()), (Some(5), Some(5)));
    assert!(state["log_history"].as_array().is_some_and(|h| h.len() == lines.len()));
    let results = ws.json("out/train_results.json");
    numbers(&results, &["epoch", "train_loss", "train_runtime", "train_samples_per_second", "train_steps_per_second", "peak_bytes"]);
    assert_eq!(ws.json("out/all_results.json")["train_loss"], results["train_loss"]);
    let png = ws.read("out/training_loss.png");
    assert!(png.starts_with(b"\x89PNG\r\n") && png.len() > 5000);
    for file in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"] {
        assert!(ws.path("out").join(file).exists(), "{file}");
    }
    let kept = |step: u32| ws.path(&format!("out/checkpoint-{step}")).exists();
    assert_eq!((kept(2), kept(4), kept(5)), (false, true, true), "save_total_limit");
    let hidden: Vec<_> = fs::read_dir(ws.path("out"))
        .expect("out is there")
        .flatten()
        .filter(|e| e.file_name().to_string_lossy().starts_with('.'))
        .collect();
    assert!(hidden.is_empty(), "{hidden:?}");

    let (planned, reached) = (estimate["peak_bytes"].as_f64().expect("a number"), results["peak_bytes"].as_f64().expect("a number"));
    assert!((planned / reached - 1.0).abs() < 0.05, "planned {planned}, reached {reached}");

    let score = ws.run(&["eval", "--model", "out", "--dataset", "test.jsonl", "--json"]).good().json();
    numbers(&score, &["loss", "perplexity", "tokens", "samples"]);
    assert_eq!(score["samples"], 5);
    let eval = ws.json("out/eval_results.json");
    assert_eq!(score["loss"], eval["eval_loss"], "the weights that were written are those that were evaluated last");
}

#[test]
fn the_best_weights_come_back_after_stopping_early() {
    let ws = Workspace::new();
    // A learning rate that ruins the model: the first evaluation is the best.
    ws.recipe(
        "eval_dataset: test.jsonl\neval_strategy: steps\neval_steps: 1\nsave_strategy: steps\nsave_steps: 1\nlearning_rate: 0.3\n\
         lr_scheduler_type: constant_with_warmup\nwarmup_steps: 2\nmax_steps: 30\nload_best_model_at_end: true\n\
         early_stopping_steps: 2\nsave_total_limit: 1",
    );
    let said = ws.run(&["train", "recipe.yaml"]).good();
    let state = ws.json("out/trainer_state.json");
    let (stopped, best) =
        (state["global_step"].as_u64().expect("a number"), state["best_model_checkpoint"].as_str().expect("a name").to_string());
    assert!(stopped < 30 && said.stdout.contains("stopped early"), "{stopped} {}", said.stdout);
    assert_ne!(best, format!("checkpoint-{stopped}"));
    assert_eq!(ws.read("out/model.safetensors"), ws.read(&format!("out/{best}/model.safetensors")));
    let lines = String::from_utf8(ws.read("out/trainer_log.jsonl")).expect("UTF-8");
    let lowest = lines.lines().filter_map(|l| serde_json::from_str::<Value>(l).ok()?["eval_loss"].as_f64()).fold(f64::MAX, f64::min);
    assert_eq!(ws.json("out/eval_results.json")["eval_loss"].as_f64(), Some(lowest));
}

/// The best state was reached before the checkpoint that a run in another directory goes on from.
#[test]
fn the_best_weights_are_found_from_another_output_directory() {
    let ws = Workspace::new();
    ws.recipe(
        "eval_dataset: test.jsonl\neval_strategy: steps\neval_steps: 1\nsave_steps: 1\nlearning_rate: 0.3\n\
         lr_scheduler_type: constant_with_warmup\nwarmup_steps: 2\nmax_steps: 3\nload_best_model_at_end: true",
    );
    ws.run(&["train", "recipe.yaml"]).good();
    let best = ws.json("out/trainer_state.json")["best_model_checkpoint"].as_str().expect("a name").to_string();
    assert_eq!(best, "checkpoint-2");
    ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=out/checkpoint-3", "output_dir=elsewhere"]).good();
    assert_eq!(ws.read("elsewhere/model.safetensors"), ws.read("out/model.safetensors"));
    assert_eq!(ws.read("elsewhere/model.safetensors"), ws.read("elsewhere/checkpoint-2/model.safetensors"));
    // Where it is gone, the run says so and ends with the best of the rest.
    fs::remove_dir_all(ws.path("out/checkpoint-2")).expect("it is there");
    let said = ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=out/checkpoint-3", "output_dir=third"]).good();
    assert!(said.stderr.contains("checkpoint-2, the best so far") && said.stderr.contains("the best of what follows"), "{}", said.stderr);
    assert_eq!(ws.read("third/model.safetensors"), ws.read("out/checkpoint-3/model.safetensors"));
}

/// Two runs' checkpoints in one directory could not be told apart.
#[test]
fn a_run_that_goes_on_elsewhere_needs_a_free_directory() {
    let ws = Workspace::new();
    ws.recipe("save_steps: 1\nmax_steps: 2");
    ws.run(&["train", "recipe.yaml"]).good();
    ws.run(&["train", "recipe.yaml", "seed=7", "output_dir=other"]).good();
    let other = ws.read("other/model.safetensors");
    let resume = ["train", "recipe.yaml", "resume_from_checkpoint=out/checkpoint-1", "output_dir=other"];
    let said = ws.run(&resume).fault();
    assert!(said.contains("other holds an earlier run with checkpoint-2") && said.contains("name another directory"), "{said}");
    assert_eq!(ws.read("other/model.safetensors"), other);
    ws.run(&[&resume[..], &["overwrite_output_dir=true"]].concat()).good();
    assert_eq!(ws.read("other/model.safetensors"), ws.read("out/model.safetensors"));
    assert!(!names(&ws, "other").contains(&"checkpoint-1".to_string()), "the other run's checkpoint is gone");
    // In its own directory nothing is in the way.
    ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=out/checkpoint-1"]).good();
}

/// The names in a directory, hidden ones included.
fn names(ws: &Workspace, dir: &str) -> Vec<String> {
    let entries = fs::read_dir(ws.path(dir)).expect("it is there").flatten();
    let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn a_new_result_takes_the_place_of_an_earlier_one_whole() {
    let ws = Workspace::new();
    ws.recipe("max_steps: 2\nsave_strategy: no\nplot_loss: false");
    ws.run(&["train", "recipe.yaml", "finetuning_type=lora"]).good();
    ws.write("out/thesis.tex", "years of work");
    ws.write("out/pytorch_model.bin", "another trainer's weights");
    let said = ws.run(&["train", "recipe.yaml", "overwrite_output_dir=true"]).good();
    assert!(said.stderr.contains("out/.earlier-1 until the new one is whole"), "{}", said.stderr);
    let left = names(&ws, "out");
    assert!(left.contains(&"model.safetensors".into()) && left.contains(&"thesis.tex".into()), "{left:?}");
    for gone in ["adapter_model.safetensors", "adapter_config.json", "pytorch_model.bin", ".earlier-1"] {
        assert!(!left.contains(&gone.to_string()), "{gone} in {left:?}");
    }
    let whole = ws.read("out/model.safetensors");
    // One file, then shards: readers prefer the single file.
    ws.run(&["train", "recipe.yaml", "overwrite_output_dir=true", "max_shard_size=200KB"]).good();
    let left = names(&ws, "out");
    assert!(!left.contains(&"model.safetensors".into()) && left.contains(&"model.safetensors.index.json".into()), "{left:?}");
    // And back, with the model alone left of the run before.
    ws.run(&["train", "recipe.yaml", "overwrite_output_dir=true"]).good();
    let left = names(&ws, "out");
    assert!(!left.iter().any(|name| name.contains("-of-") || name.contains("index")), "{left:?}");
    assert_eq!(ws.read("out/model.safetensors"), whole);
    assert_eq!(ws.read("out/thesis.tex"), b"years of work");
}

#[test]
fn a_run_that_is_killed_while_it_replaces_a_result_loses_neither() {
    let ws = Workspace::new();
    ws.recipe("max_steps: 2\nsave_strategy: no\nplot_loss: false");
    ws.run(&["train", "recipe.yaml"]).good();
    let whole = ws.read("out/model.safetensors");
    ws.recipe("max_steps: 100000\nsave_steps: 1\nsave_total_limit: 2\noverwrite_output_dir: true\nseed: 7");
    let mut child = ws.start(&["train", "recipe.yaml"]);
    let began = std::time::Instant::now();
    while !ws.path("out/checkpoint-2").exists() {
        assert!(began.elapsed() < std::time::Duration::from_secs(120), "no checkpoint: {:?}", names(&ws, "out"));
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().expect("it is our child");
    child.wait().expect("it is our child");
    assert!(!ws.path("out/config.json").exists() && !ws.path("out/model.safetensors").exists(), "{:?}", names(&ws, "out"));
    assert_eq!(ws.read("out/.earlier-1/model.safetensors"), whole);
    assert!(ws.path("out/.earlier-1/config.json").exists());
    let fault = ws.run(&["train", "recipe.yaml", "overwrite_output_dir=false", "max_steps=3"]).fault();
    assert!(fault.contains(".earlier-1") && fault.contains("overwrite_output_dir=true"), "{fault}");
    let said = ws.run(&["train", "recipe.yaml", "max_steps=3"]).good();
    assert!(said.stderr.contains(".earlier-"), "{}", said.stderr);
    let left = names(&ws, "out");
    assert!(left.contains(&"model.safetensors".into()) && !left.iter().any(|name| name.starts_with('.')), "{left:?}");
}

#[cfg(unix)]
#[test]
fn a_limit_on_the_size_of_files_is_a_sentence() {
    let ws = Workspace::new();
    ws.recipe("");
    let fault = ws.limited(64, &["train", "recipe.yaml"]).fault();
    assert!(fault.contains("ulimit -f") && fault.contains("max_shard_size"), "{fault}");
    assert!(!ws.path("out/model.safetensors").exists());
    assert!(!names(&ws, "out").iter().any(|name| name.ends_with(".partial")), "{:?}", names(&ws, "out"));
}

#[test]
fn a_loss_that_is_not_finite_is_no_score() {
    let ws = Workspace::new();
    let mut bytes = ws.read("model/model.safetensors");
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(ws.path("model/model.safetensors"), bytes).expect("it can be written");
    for args in
        [&["eval", "--model", "model", "--dataset", "test.jsonl"][..], &["eval", "--model", "model", "--dataset", "test.jsonl", "--json"]]
    {
        let fault = ws.run(args).fault();
        assert!(fault.starts_with("model: ") && fault.contains("NaN"), "{fault}");
    }
}

/// A model without a chat template is trained with a plain one, which belongs to the result from then on.
#[test]
fn the_template_of_the_training_is_saved() {
    let ws = Workspace::new();
    fs::remove_file(ws.path("model/chat_template.jinja")).expect("it was there");
    ws.recipe("max_steps: 1");
    let said = ws.run(&["train", "recipe.yaml"]).good();
    assert!(said.stderr.contains("no chat template"), "it is announced: {}", said.stderr);
    let written = String::from_utf8(ws.read("out/chat_template.jinja")).expect("UTF-8");
    assert!(written.contains("'User: '") && written.contains("'Assistant:'"), "{written}");
    let question = ["generate", "--prompt", "What is 1 and one?", "--greedy", "--max-new-tokens", "4", "--json", "--model"];
    let said = |model: &str| ws.run(&[&question[..], &[model]].concat()).good();
    assert!(!said("out").stderr.contains("no chat template"), "the result has one");
    // The prompt is asked as in the training: as a user's message, longer than the bare text.
    let tokens = |model: &str| said(model).json()["prompt_tokens"].as_u64().expect("a number");
    assert!(tokens("out") > tokens("model"), "{} {}", tokens("out"), tokens("model"));
    // A text needs none.
    ws.write("text.jsonl", "{\"text\": \"A tree.\"}\n");
    ws.recipe("max_steps: 1\nstage: pt\ndataset: text.jsonl\noutput_dir: text");
    ws.run(&["train", "recipe.yaml"]).good();
    assert!(!ws.path("text/chat_template.jinja").exists());
}

#[test]
fn evaluating_alone_is_a_recipe_too() {
    let ws = Workspace::new();
    ws.recipe("do_train: false\ndo_eval: true\neval_dataset: test.jsonl");
    ws.run(&["train", "recipe.yaml"]).good();
    let score = ws.run(&["eval", "--model", "model", "--dataset", "test.jsonl", "--json", "--batch-size", "2"]).good().json();
    let (a, b) = (ws.json("out/eval_results.json")["eval_loss"].as_f64(), score["loss"].as_f64());
    let (a, b) = (a.expect("a number"), b.expect("a number"));
    assert!((a - b).abs() < 1e-5 * b, "{a} {b}");
    // 5 answers of "It is N." and the end of the turn.
    assert!((score["perplexity"].as_f64().expect("a number") - b.exp()).abs() < 1e-9 * b.exp());
}

#[test]
fn texts_are_scored_from_their_second_token_to_the_end_of_sequence() {
    let ws = Workspace::new();
    ws.write("text.jsonl", "{\"text\": \"A tree.\"}\n{\"text\": \"Two trees stand there.\"}\n");
    let score = ws.run(&["eval", "--model", "model", "--dataset", "text.jsonl", "--json"]).good().json();
    let dir = rootstock::platform::NativeDirectory::new(ws.path("model"));
    let tokenizer = rootstock::platform::block_on(rootstock::data::Tokenizer::load(&dir)).expect("it loads");
    let tokens: usize =
        ["A tree.", "Two trees stand there."].iter().map(|t| tokenizer.encode(t, true).expect("it encodes").len() + 1 - 1).sum();
    assert_eq!((score["tokens"].as_u64(), score["samples"].as_u64()), (Some(tokens as u64), Some(2)));
    // Each is scored as if it were alone.
    let alone = |text: &str| {
        ws.write("one.jsonl", &format!("{{\"text\": \"{text}\"}}\n"));
        let score = ws.run(&["eval", "--model", "model", "--dataset", "one.jsonl", "--json"]).good().json();
        score["loss"].as_f64().expect("a number") * score["tokens"].as_f64().expect("a number")
    };
    let mean = (alone("A tree.") + alone("Two trees stand there.")) / tokens as f64;
    let loss = score["loss"].as_f64().expect("a number");
    assert!((loss - mean).abs() < 1e-5 * mean, "{loss} {mean}");
}

#[test]
fn adapters_are_listed() {
    let ws = Workspace::new();
    let list = ws.run(&["devices", "--json"]).good().json();
    let first = &list.as_array().expect("a list")[0];
    assert_eq!((first["index"].as_u64(), first["default"].as_bool()), (Some(0), Some(true)));
    let name = first["name"].as_str().expect("a name");
    assert!(ws.run(&["devices"]).good().stdout.contains(name));
}

#[test]
fn the_kernels_of_a_device_are_shown_and_can_be_changed() {
    let ws = Workspace::new();
    let shown = ws.run(&["devices", "--tuning"]).good().stdout;
    assert!(shown.contains("recognised by") && shown.contains("vector_rows"), "{shown}");
    let changed = ws.run(&["devices", "--json", "--tuning", "unknown-gpu,vector_rows=4"]).good().json();
    let first = &changed.as_array().expect("a list")[0];
    assert_eq!((first["family"].as_str(), first["class"].as_str()), (Some("unknown-gpu"), Some("gpu")));
    assert_eq!((first["tuning"]["products"].as_str(), first["tuning"]["vector_rows"].as_u64()), (Some("tiled"), Some(4)));
    assert_eq!(first["tuning_source"], "given");
    let fault = ws.run(&["devices", "--tuning", "vector_row=4"]).fault();
    assert!(fault.contains("did you mean vector_rows?"), "{fault}");
}

#[test]
fn results_of_earlier_runs_are_not_written_over_unasked() {
    let ws = Workspace::new();
    ws.write("train.jsonl", &questions(2));
    ws.recipe("");
    fs::create_dir_all(ws.path("out/checkpoint-7")).expect("it is new");
    ws.write("out/checkpoint-7/trainer_state.json", "{}");
    let fault = ws.run(&["train", "recipe.yaml"]).fault();
    assert!(
        fault.contains("checkpoint-7") && fault.contains("resume_from_checkpoint=true") && fault.contains("overwrite_output_dir=true"),
        "{fault}"
    );
    fs::remove_dir_all(ws.path("out/checkpoint-7")).expect("it is there");
    ws.write("out/thesis.tex", "years of work");
    let fault = ws.run(&["train", "recipe.yaml"]).fault();
    assert!(fault.contains("not empty") && fault.contains("overwrite_output_dir=true"), "{fault}");
    assert_eq!(ws.read("out/thesis.tex"), b"years of work");

    let fault = ws.run(&["train", "recipe.yaml", "output_dir=model", "overwrite_output_dir=true"]).fault();
    assert!(fault.contains("the model's own directory"), "{fault}");
    let fault = ws.run(&["train", "recipe.yaml", "output_dir=.", "overwrite_output_dir=true"]).fault();
    assert!(fault.contains("lies inside it"), "{fault}");

    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("thesis.tex", ws.path("out/.rootstock.lock")).expect("it can be made");
        let fault = ws.run(&["train", "recipe.yaml", "overwrite_output_dir=true"]).fault();
        assert!(fault.contains(".rootstock.lock") && fault.contains("link"), "{fault}");
        assert_eq!(ws.read("out/thesis.tex"), b"years of work");
        fs::remove_file(ws.path("out/.rootstock.lock")).expect("it is there");
    }
    let lock = File::create(ws.path("out/.rootstock.lock")).expect("it can be made");
    lock.lock().expect("nobody else has it");
    let fault = ws.run(&["train", "recipe.yaml", "overwrite_output_dir=true"]).fault();
    assert!(fault.contains("another run is writing here"), "{fault}");
}
