//! Runs that end before their end, and what becomes of them.

use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use rootstock::random::Random;

use super::{Workspace, questions};

/// The bits that a run leaves: the weights, and the loss of each step.
fn bits(ws: &Workspace, out: &str) -> (Vec<u8>, Vec<(u64, String)>) {
    let log = String::from_utf8(ws.read(&format!("{out}/trainer_log.jsonl"))).expect("UTF-8");
    let lines = log.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).expect("JSON"));
    let losses = lines.map(|l| (l["current_steps"].as_u64().expect("a step"), l["loss"].to_string())).collect();
    let adapter = format!("{out}/adapter_model.safetensors");
    let weights = if ws.path(&adapter).exists() { adapter } else { format!("{out}/model.safetensors") };
    (ws.read(&weights), losses)
}

fn is_running(child: &mut Child) -> bool {
    child.try_wait().expect("it is our child").is_none()
}

/// Waits until `ready`, for at most a minute; false when the program ended before.
fn wait_for(child: &mut Child, ready: impl Fn() -> bool) -> bool {
    let began = Instant::now();
    while is_running(child) {
        if ready() {
            return true;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "the program does nothing");
        std::thread::sleep(Duration::from_micros(200));
    }
    false
}

#[test]
fn a_resumed_run_has_the_bits_of_an_uninterrupted_one() {
    let ws = Workspace::new();
    // Two epochs of different orders, partial last groups, a model that is stored in less than f32.
    ws.write("train.jsonl", &questions(7));
    ws.recipe("max_steps: 6\nsave_steps: 3\ngradient_accumulation_steps: 2\nexport_dtype: bfloat16\nweight_decay: 0.1");
    ws.run(&["train", "recipe.yaml", "output_dir=whole"]).good();
    fs::create_dir_all(ws.path("out/checkpoint-3")).expect("it is new");
    for entry in fs::read_dir(ws.path("whole/checkpoint-3")).expect("it is there").flatten() {
        fs::copy(entry.path(), ws.path("out/checkpoint-3").join(entry.file_name())).expect("it can be copied");
    }
    // Half a checkpoint of a later step, as a power cut leaves it, is not taken for one.
    fs::create_dir(ws.path("out/.checkpoint-5.partial")).expect("it is new");
    fs::copy(ws.path("whole/model.safetensors"), ws.path("out/.checkpoint-5.partial/model.safetensors")).expect("it can be copied");
    fs::create_dir(ws.path("out/checkpoint-4")).expect("it is new");

    let said = ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true"]).good();
    assert!(said.stderr.contains("going on after step 3"), "{}", said.stderr);
    assert_eq!(bits(&ws, "out"), bits(&ws, "whole"));
    let file = |name: &str| (ws.read(&format!("out/checkpoint-6/{name}")), ws.read(&format!("whole/checkpoint-6/{name}")));
    let (resumed, whole) = file("optimizer.safetensors");
    assert_eq!(resumed, whole);
    assert!(!ws.path("out/.checkpoint-5.partial").exists());

    // Another recipe cannot go on from there: the data order would be another.
    let fault = ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true", "seed=7"]).fault();
    assert!(
        fault.contains("resume_from_checkpoint") && fault.contains("same recipe") && fault.contains("seed was 42 and is 7 here"),
        "{fault}"
    );
}

/// A run of six steps in `whole`, and its state after three in `out`.
fn half_way(recipe: &str) -> Workspace {
    let ws = Workspace::new();
    ws.recipe(&format!("max_steps: 6\nsave_steps: 3\n{recipe}"));
    ws.run(&["train", "recipe.yaml", "output_dir=whole"]).good();
    copy(&ws, "whole/checkpoint-3", "out/checkpoint-3");
    ws
}

fn copy(ws: &Workspace, from: &str, to: &str) {
    fs::create_dir_all(ws.path(to)).expect("it can be made");
    for entry in fs::read_dir(ws.path(from)).expect("it is there").flatten() {
        fs::copy(entry.path(), ws.path(to).join(entry.file_name())).expect("it can be copied");
    }
}

#[test]
fn whatever_the_bits_depend_on_must_be_the_same_and_is_named() {
    let ws = half_way("");
    let resume = |more: &[&str]| ws.run(&[&["train", "recipe.yaml", "resume_from_checkpoint=true"], more].concat());
    for (changed, named) in [
        ("warmup_steps=2", "warmup was off and is 2 here"),
        ("lr_scheduler_type=linear", "lr_scheduler_type was cosine and is linear here"),
        ("adam_beta1=0.8", "adam_beta1 was 0.9 and is 0.8 here"),
        ("adam_epsilon=1e-6", "adam_epsilon"),
        ("train_on_prompt=true", "train_on_prompt was off and is true here"),
        ("mask_history=true", "mask_history"),
        ("packing=true", "packing was off and is true here"),
        ("cutoff_len=63", "cutoff_len was 64 and is 63 here"),
    ] {
        let fault = resume(&[changed]).fault();
        assert!(fault.contains(named) && fault.contains("use the same recipe and data"), "{changed}: {fault}");
    }
    // The same records in another order, and two answers swapped.
    let lines: Vec<String> = questions(12).lines().map(str::to_string).collect();
    let mut reordered = lines.clone();
    reordered.swap(2, 7);
    let mut swapped = lines.clone();
    (swapped[2], swapped[3]) = (lines[2].replace("It is 3.", "It is 4."), lines[3].replace("It is 4.", "It is 3."));
    assert_ne!(swapped, lines);
    for records in [reordered, swapped] {
        ws.write("train.jsonl", &(records.join("\n") + "\n"));
        let fault = resume(&[]).fault();
        assert!(fault.contains("the training samples are others or in another order"), "{fault}");
    }
    let kept = fs::read_dir(ws.path("out")).expect("out is there").count();
    assert_eq!(kept, 1, "nothing but the checkpoint: a refused run writes nothing");
    ws.write("train.jsonl", &(lines.join("\n") + "\n"));
    // Paths, logging, saving and how memory is saved do not change the bits.
    fs::rename(ws.path("train.jsonl"), ws.path("renamed.jsonl")).expect("it is there");
    fs::rename(ws.path("model"), ws.path("moved")).expect("it is there");
    resume(&[
        "dataset=renamed.jsonl",
        "model_name_or_path=moved",
        "logging_steps=2",
        "save_steps=2",
        "save_total_limit=1",
        "gradient_checkpointing=true",
        "max_shard_size=200KB",
        "plot_loss=false",
    ])
    .good();
    assert_eq!(ws.read("out/checkpoint-6/optimizer.safetensors"), ws.read("whole/checkpoint-6/optimizer.safetensors"));
}

/// Moments of 8 bits are saved as they are kept: a decoded and encoded scale would not be the same. The village model has matrices that
/// are large enough for them.
#[test]
fn other_optimisers_go_on_to_the_same_bits() {
    for (optim, kept) in [
        ("optim: adamw_8bit", &["exp_avg", "exp_avg_absmax", "exp_avg_sq", "exp_avg_sq_absmax"][..]),
        ("optim: lion_32bit", &["exp_avg"]),
        ("optim: sgd", &[]),
        ("optim: adafactor", &["exp_avg_sq", "exp_avg_sq_col", "exp_avg_sq_row"]),
        ("use_muon: true", &["exp_avg", "exp_avg_sq", "momentum_buffer"]),
    ] {
        let ws = Workspace::new();
        ws.recipe(&format!("max_steps: 4\nsave_steps: 2\n{optim}"));
        let model = format!("model_name_or_path={}/assets/embedded-model", env!("CARGO_MANIFEST_DIR"));
        ws.run(&["train", "recipe.yaml", "output_dir=whole", &model]).good();
        copy(&ws, "whole/checkpoint-2", "out/checkpoint-2");
        ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true", &model]).good();
        for file in ["optimizer.safetensors", "model.safetensors"] {
            assert_eq!(ws.read(&format!("out/checkpoint-4/{file}")), ws.read(&format!("whole/checkpoint-4/{file}")), "{optim}: {file}");
        }
        let states = TensorHeader::of(&ws.read("out/checkpoint-4/optimizer.safetensors"));
        let names = states.0.iter().filter_map(|name| Some(name.split_once('.')?.0));
        let found: std::collections::BTreeSet<&str> = names.filter(|name| *name != "master").collect();
        assert_eq!(found, kept.iter().copied().collect(), "{optim}");
    }
}

/// The names in a safetensors file: 8 bytes of length, then JSON.
struct TensorHeader(Vec<String>);

impl TensorHeader {
    fn of(bytes: &[u8]) -> TensorHeader {
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).expect("JSON");
        TensorHeader(header.as_object().expect("an object").keys().cloned().collect())
    }
}

#[test]
fn a_resumed_run_logs_the_lines_of_an_uninterrupted_one() {
    let ws = half_way("logging_steps: 4");
    ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true"]).good();
    assert_eq!(bits(&ws, "out"), bits(&ws, "whole"));
    assert_eq!(bits(&ws, "out").1.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [1, 4, 6]);
}

/// As a kill between setting the old one aside and giving the new one its name leaves it.
#[test]
fn a_checkpoint_that_was_being_replaced_is_found_again() {
    let ws = half_way("");
    fs::rename(ws.path("out/checkpoint-3"), ws.path("out/.checkpoint-3.replaced.partial")).expect("it is there");
    let said = ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true"]).good();
    assert!(said.stderr.contains("going on after step 3"), "{}", said.stderr);
    assert_eq!(bits(&ws, "out"), bits(&ws, "whole"));
}

#[test]
fn a_damaged_or_forged_checkpoint_is_refused_by_name() {
    let ws = half_way("");
    let resume = || ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true"]).fault();
    for file in ["optimizer.safetensors", "model.safetensors"] {
        let (path, good) = (format!("out/checkpoint-3/{file}"), ws.read(&format!("out/checkpoint-3/{file}")));
        let mut bytes = good.clone();
        let middle = bytes.len() - 100;
        bytes[middle] ^= 1;
        fs::write(ws.path(&path), bytes).expect("it can be written");
        let fault = resume();
        assert!(fault.contains(&path) && fault.contains("damaged") && fault.contains("checksum"), "{fault}");
        fs::write(ws.path(&path), good).expect("it can be written");
    }
    let path = "out/checkpoint-3/trainer_state.json";
    let good = ws.json(path);
    let forge = |change: &dyn Fn(&mut serde_json::Value)| {
        let mut state = good.clone();
        change(&mut state);
        ws.write(path, &state.to_string());
        resume()
    };
    for place in ["/etc", "../x", "checkpoint-1/..", "checkpoint-01"] {
        let fault = forge(&|state| state["best_model_checkpoint"] = place.into());
        assert!(fault.contains("best_model_checkpoint") && fault.contains(place), "{fault}");
    }
    let fault = forge(&|state| state["global_step"] = 7.into());
    assert!(fault.contains("7 steps of 6"), "{fault}");
    let fault = forge(&|state| state["fingerprint"] = "12 samples, 300 tokens, batch 2 × 1".into());
    assert!(fault.contains("earlier version") && fault.contains("model_name_or_path"), "{fault}");
}

/// A chat template that writes the date, and a run that began on another day.
#[test]
fn a_resumed_run_writes_the_date_that_it_began_with() {
    use rootstock::data::Tokenizer;
    use rootstock::platform::{NativeDirectory, block_on};
    use rootstock::workflow::{Model, Paths, Places, Run};

    let ws = Workspace::new();
    let template = String::from_utf8(ws.read("model/chat_template.jinja")).expect("UTF-8");
    ws.write("model/chat_template.jinja", &format!("{{{{ strftime_now('%Y-%m-%d') }}}}{template}"));
    ws.recipe("max_steps: 6\nsave_steps: 3");
    let text =
        String::from_utf8(ws.read("recipe.yaml")).expect("UTF-8").replace("dataset: ", &format!("dataset: {}/", ws.path("").display()));
    let recipe = rootstock::config::Recipe::parse("recipe.yaml", &text, &[]).expect("the recipe is right");
    block_on(async {
        let directory = Paths.directory(&ws.path("model").display().to_string()).await.expect("it is there");
        let mut model = Model::open(directory.clone()).await.expect("it opens");
        model.tokenizer = std::rc::Rc::new(Tokenizer::load_at(&*directory, 1_000_000_000).await.expect("it loads"));
        let run = Run::on(model, recipe, &Paths).await.expect("the data is right");
        let out = NativeDirectory::new(ws.path("whole"));
        run.train(&crate::kernels::gpu(), &out, &mut rootstock::train::Silent).await.expect("it trains");
    });
    assert_eq!(ws.json("whole/checkpoint-3/trainer_state.json")["date"], 1_000_000_000);
    copy(&ws, "whole/checkpoint-3", "out/checkpoint-3");
    ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true"]).good();
    assert_eq!(bits(&ws, "out"), bits(&ws, "whole"));
}

#[test]
fn a_finished_run_that_is_resumed_keeps_its_results_and_its_limit() {
    let ws = half_way("save_total_limit: 2");
    ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true"]).good();
    let runtime = |ws: &Workspace| ws.json("out/train_results.json")["train_runtime"].as_f64().expect("a number");
    // A run that has only to write its result again took no less time than it noted with its last checkpoint.
    let noted = ws.json("out/checkpoint-6/trainer_state.json")["seconds"].as_f64().expect("a number");
    // As a kill between writing checkpoint-6 and removing the oldest leaves it.
    copy(&ws, "out/checkpoint-3", "out/checkpoint-1");
    // As a kill leaves it between removing a checkpoint's files and the directory.
    fs::create_dir(ws.path("out/.checkpoint-2.removed.partial")).expect("it can be made");
    ws.run(&["train", "recipe.yaml", "resume_from_checkpoint=true"]).good();
    assert!(noted > 0.0 && runtime(&ws) >= noted, "{} and {noted}", runtime(&ws));
    assert!(!ws.path("out/.checkpoint-2.removed.partial").exists());
    assert!(!ws.path("out/checkpoint-1").exists() && ws.path("out/checkpoint-3").exists() && ws.path("out/checkpoint-6").exists());
}

#[test]
fn a_run_that_is_killed_at_any_moment_ends_with_the_same_bits() {
    kill_and_resume("max_steps: 24\nsave_steps: 1\nsave_total_limit: 2", 6);
}

#[test]
fn an_adapter_s_run_that_is_killed_at_any_moment_ends_with_the_same_bits() {
    let adapter = "finetuning_type: lora\nlora_dropout: 0.1\nuse_dora: true";
    kill_and_resume(&format!("{adapter}\nmax_steps: 24\nsave_steps: 1\nsave_total_limit: 2"), 4);
}

fn kill_and_resume(recipe: &str, rounds: u32) {
    let ws = Workspace::new();
    ws.recipe(recipe);
    ws.run(&["train", "recipe.yaml", "output_dir=whole"]).good();
    let resume = ["train", "recipe.yaml", "resume_from_checkpoint=true"];
    let mut moments = Random::new(5, 0);
    let mut killed = 0;
    for round in 0..rounds {
        let mut child = ws.start(&resume);
        // Half of the time in the middle of a save, half of the time anywhere.
        let newest = || rootstock::platform::block_on(rootstock::train::newest_checkpoint(&out(&ws))).ok().flatten();
        let before = newest();
        let ready = if round % 2 == 0 {
            wait_for(&mut child, || newest() != before)
                && wait_for(&mut child, || {
                    fs::read_dir(ws.path("out")).is_ok_and(|d| d.flatten().any(|e| e.file_name().to_string_lossy().ends_with(".partial")))
                })
        } else {
            let ready = wait_for(&mut child, || newest() != before);
            std::thread::sleep(Duration::from_millis(moments.below(150)));
            ready
        };
        if ready {
            killed += u32::from(is_running(&mut child));
        }
        child.kill().expect("it is our child");
        child.wait().expect("it is our child");
    }
    assert!(killed >= rounds / 2, "the run was over before it could be killed: {killed}");
    ws.run(&resume).good();
    assert_eq!(bits(&ws, "out"), bits(&ws, "whole"));
    let left: Vec<_> =
        fs::read_dir(ws.path("out")).expect("out is there").flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    assert!(!left.iter().any(|name| name.ends_with(".partial")), "{left:?}");
}

fn out(ws: &Workspace) -> rootstock::platform::NativeDirectory {
    rootstock::platform::NativeDirectory::new(ws.path("out"))
}

#[cfg(unix)]
#[test]
fn ctrl_c_stops_after_the_step_and_saves() {
    let ws = Workspace::new();
    ws.recipe("max_steps: 100000\nsave_steps: 50000");
    let mut child = ws.start(&["train", "recipe.yaml"]);
    let log = ws.path("out/trainer_log.jsonl");
    assert!(wait_for(&mut child, || fs::metadata(&log).is_ok_and(|m| m.len() > 0)));
    let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("kill is there").success());
    assert!(!wait_for(&mut child, || false), "it ends");
    assert_eq!(child.wait().expect("it is our child").code(), Some(1));
    let newest = rootstock::platform::block_on(rootstock::train::newest_checkpoint(&out(&ws))).expect("it lists");
    assert!(newest.is_some_and(|name| name != "checkpoint-50000"));
    assert!(!ws.path("out/.rootstock.lock").exists());
}
