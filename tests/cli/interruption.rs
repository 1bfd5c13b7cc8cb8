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
    assert!(fault.contains("resume_from_checkpoint") && fault.contains("same recipe"), "{fault}");
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
