//! What a run keeps when it goes wrong: the best state, the last good one, an earlier result, its log.

use std::cell::Cell;
use std::rc::Rc;

use rootstock::Error;
use rootstock::data::Sample;
use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, block_on};
use rootstock::train::{Event, LogEntry, Silent};

use super::faults::{Setup, SmallDisk, Watch, weights};

/// golden/llama with other bytes in its weights: `change` gets the numbers of each tensor by name.
fn changed(change: impl Fn(&str, &mut [f32])) -> Rc<dyn Directory> {
    let fixture = NativeDirectory::new("tests/fixtures/golden/llama");
    let read = |name: &str| block_on(fixture.read(name)).expect("the fixture is there");
    let mut bytes = read("model.safetensors");
    let head = 8 + u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..head]).expect("JSON");
    for (name, entry) in header.as_object().expect("an object").iter().filter(|(name, _)| *name != "__metadata__") {
        assert_eq!(entry["dtype"], "F32");
        let at = |i: usize| head + entry["data_offsets"][i].as_u64().expect("an offset") as usize;
        let part = &mut bytes[at(0)..at(1)];
        let mut numbers: Vec<f32> = part.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect();
        change(name, &mut numbers);
        part.copy_from_slice(bytemuck::cast_slice(&numbers));
    }
    Rc::new(MemoryDirectory::new("model").with("config.json", read("config.json")).with("model.safetensors", bytes))
}

fn names(out: &MemoryDirectory) -> Vec<String> {
    block_on(out.list()).expect("it lists").into_iter().map(|entry| entry.name).collect()
}

/// Token 306 stands in no training sample, and its embedding is NaN: only the evaluation sees it.
#[test]
fn an_evaluation_that_is_not_finite_is_never_the_best_and_can_be_read_again() {
    let mut setup = Setup::of(changed(|name, numbers| {
        if name == "model.embed_tokens.weight" {
            let last = numbers.len() - 52;
            numbers[last..].fill(f32::NAN);
        }
    }));
    setup.eval = vec![Sample::new(vec![5, 306, 7, 8], vec![5, 306, 7, 8], 1)];
    let out = MemoryDirectory::new("out");
    let recipe = "max_steps: 4\nlogging_steps: 1\neval_dataset: other\neval_strategy: steps\neval_steps: 2\nsave_steps: 2\n\
                  load_best_model_at_end: true";
    let mut said = Vec::new();
    let mut watch = Watch(|event: &Event<'_>| {
        if let Event::Notice(words) = event {
            said.push(words.clone());
        }
    });
    let outcome = setup.train(recipe, &out, &mut watch).expect("training itself is fine");
    assert_eq!(outcome.best, None);
    assert!(said.iter().any(|words| words.contains("after step 2 is not a finite number")), "{said:?}");
    let log = String::from_utf8(block_on(out.read("trainer_log.jsonl")).expect("it is there")).expect("UTF-8");
    assert!(log.contains("\"eval_loss\":null"), "{log}");

    let rest = MemoryDirectory::new("rest");
    for name in names(&out).iter().filter(|name| name.starts_with("checkpoint-2/")) {
        rest.clone().with(name, block_on(out.read(name)).expect("it is there"));
    }
    setup.train(&format!("{recipe}\nresume_from_checkpoint: true"), &rest, &mut Silent).expect("the checkpoint can be read");
    assert_eq!(weights(&rest, ""), weights(&out, ""));
}

#[test]
fn a_model_that_learns_nothing_any_more_is_remarked_on() {
    let setup = Setup::of(changed(|_, numbers| numbers.fill(0.0)));
    let mut said = Vec::new();
    let mut watch = Watch(|event: &Event<'_>| {
        if let Event::Notice(words) = event {
            said.push(words.clone());
        }
    });
    setup.train("max_steps: 3\nlogging_steps: 1", &MemoryDirectory::new("out"), &mut watch).expect("it goes through");
    let collapsed: Vec<_> = said.iter().filter(|words| words.contains("the model has collapsed by step 1")).collect();
    assert_eq!(collapsed.len(), 1, "once: {said:?}");
}

/// The first step's learning rate is 0, the second's ruins the model, the third is not finite.
#[test]
fn a_state_from_which_training_diverged_displaces_no_good_one() {
    let (out, setup) = (MemoryDirectory::new("out"), Setup::new());
    let recipe = "max_steps: 10\nlearning_rate: 1.0e+30\nlr_scheduler_type: constant_with_warmup\nwarmup_steps: 2\nsave_steps: 1\n\
                  save_total_limit: 1\nmax_grad_norm: 0";
    for again in ["", "\nresume_from_checkpoint: true"] {
        let error = setup.train(&format!("{recipe}{again}"), &out, &mut Silent).expect_err("it diverges");
        assert!(matches!(error, Error::NotFinite { .. }), "{error:?}");
        assert!(names(&out).contains(&"checkpoint-1/trainer_state.json".to_string()), "{again}: {:?}", names(&out));
    }
}

#[test]
fn an_earlier_result_comes_back_when_the_run_that_was_to_replace_it_fails() {
    let (files, setup) = (MemoryDirectory::new("out"), Setup::new());
    setup.train("max_steps: 2\nsave_strategy: no", &files, &mut Silent).expect("it trains");
    let (before, listed) = (weights(&files, ""), names(&files));
    let disk = SmallDisk { inner: Box::new(files.clone()), room: Rc::new(Cell::new(1000)) };
    let error = setup.train("max_steps: 4\nsave_steps: 2", &disk, &mut Silent).expect_err("the disk is full");
    assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
    // The log of the failed run took the place of the earlier one's until then; that one is back as well.
    assert_eq!(names(&files), listed);
    assert_eq!(weights(&files, ""), before);
}

#[test]
fn an_output_directory_that_is_removed_meanwhile_is_made_anew_with_the_whole_log() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let path = place.path().join("out");
    let mut remove = Watch(|event: &Event<'_>| {
        if matches!(event, Event::Step(3, _)) {
            std::fs::remove_dir_all(&path).expect("it is there");
        }
    });
    let recipe = "max_steps: 5\nlogging_steps: 1\nsave_strategy: no";
    Setup::new().train(recipe, &NativeDirectory::new(&path), &mut remove).expect("it trains");
    let log = std::fs::read_to_string(path.join("trainer_log.jsonl")).expect("it is there");
    let steps: Vec<u64> = log.lines().map(|line| serde_json::from_str::<LogEntry>(line).expect("a line").step()).collect();
    assert_eq!(steps, [1, 2, 3, 4, 5]);
    assert!(path.join("model.safetensors").exists());
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_taken_away_is_named() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let (disk, path) = (place.path().join("disk"), place.path().join("out"));
    std::fs::create_dir(&disk).expect("it is new");
    std::os::unix::fs::symlink(&disk, &path).expect("it can be made");
    let mut remove = Watch(|event: &Event<'_>| {
        if matches!(event, Event::Step(2, _)) {
            std::fs::remove_dir_all(&disk).expect("it is there");
        }
    });
    let recipe = "max_steps: 5\nlogging_steps: 1\nsave_strategy: no";
    let sentence = Setup::new().train(recipe, &NativeDirectory::new(&path), &mut remove).expect_err("it is gone").to_string();
    assert!(sentence.contains("leads to no directory") && sentence.contains("disk"), "{sentence}");
}
