//! `--fix` on every case that can be repaired: the new directory is ready and computes what the healthy one does.

use std::collections::HashMap;
use std::rc::Rc;

use rootstock::checkpoint::Checkpoint;
use rootstock::generate::{Generator, GeneratorOptions};
use rootstock::platform::{Directory, MemoryDirectory, OutputDirectory, as_directory, block_on};
use rootstock::validate::{Fixed, Options, Report, Verdict, fix, validate};
use serde_json::Value;

use super::cases::{cases, fixture};
use crate::kernels::gpu;

/// PEFT merged in f32, the repair rounds the sum to the bf16 of the weights: half of 2⁻⁷.
const MERGED: f32 = 1.0 / 256.0;

/// What `--fix` writes of a case, with the judgement.
fn repaired(case: &str, base: Option<&str>) -> (Fixed, Rc<dyn Directory>) {
    let options = Options { base: base.map(|base| fixture(&format!("healthy/{base}"))), gpu: Some(gpu()), ..Options::default() };
    let parent = MemoryDirectory::new("out");
    let dir = fixture(&format!("broken/{case}"));
    let fixed = block_on(fix(dir, &parent, "repaired", &options, &mut |_| {})).unwrap_or_else(|e| panic!("{case}: {e}"));
    assert!(
        block_on(parent.list()).expect("it lists").iter().all(|entry| entry.name.starts_with("repaired/")),
        "{case}: something is left"
    );
    (fixed, as_directory(parent.subdirectory("repaired")).into())
}

fn open(dir: Rc<dyn Directory>) -> Checkpoint {
    block_on(Checkpoint::open(dir)).unwrap_or_else(|e| panic!("{e}"))
}

fn logits(checkpoint: &Checkpoint) -> Vec<Vec<f32>> {
    let options = GeneratorOptions { context: Some(8), chunk: None };
    block_on(async {
        let mut generator = Generator::load(gpu(), checkpoint, options).await.expect("it loads");
        generator.logits(&[1, 5, 9, 30, 12, 7, 7, 40]).await.expect("it computes")
    })
}

#[test]
fn every_repair_gives_the_model_back() {
    let mut healthy: HashMap<String, (Checkpoint, Vec<Vec<f32>>)> = HashMap::new();
    let mut steps = String::new();
    let mut wrong = Vec::new();
    for case in cases() {
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_string();
        let name = text("name");
        // An adapter is ready beside its base; it is merged all the same.
        if text("verdict") != "repairable" && name != "03-adapter-only-base" {
            continue;
        }
        let (fixed, dir) = repaired(&name, case["base"].as_str());
        steps.push_str(&format!("{name}: {}\n", text("about")));
        fixed.steps.iter().for_each(|step| steps.push_str(&format!("  - {step}\n")));
        let Some(after) = &fixed.after else {
            wrong.push(format!("{name}: nothing was written"));
            continue;
        };
        assert_eq!(after.verdict, Verdict::Ready, "{name}");
        let Some(original) = case["repaired"].as_str() else { continue };
        let (expected, expected_logits) = healthy.entry(original.to_string()).or_insert_with(|| {
            let checkpoint = open(fixture(&format!("healthy/{original}")));
            let logits = logits(&checkpoint);
            (checkpoint, logits)
        });
        let found = open(dir);
        let merged = name.contains("peft-trained") || name == "03-adapter-only-base";
        for param in expected.params() {
            let read = |checkpoint: &Checkpoint| block_on(checkpoint.read_rows(param, 0..param.rows)).expect("it reads");
            let (a, b) = (read(&found), read(expected));
            let same = if merged { a.iter().zip(&b).all(|(a, b)| (a - b).abs() <= MERGED * b.abs() + 1e-6) } else { a == b };
            if !same {
                wrong.push(format!("{name}: {} differs", param.name));
            }
        }
        if !merged && logits(&found) != *expected_logits {
            wrong.push(format!("{name}: other logits"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    insta::assert_snapshot!("steps", steps);
}

/// Rows for tokens that had none: the logits of all others stay, the new rows are the mean of the old.
#[test]
fn added_rows_leave_the_others_alone() {
    let (_, dir) = repaired("34-tokenizer-larger", None);
    let (found, expected) = (open(dir), open(fixture("healthy/llama-v5")));
    assert_eq!(found.config().vocab_size, 59);
    for (a, b) in logits(&found).iter().zip(logits(&expected)) {
        assert_eq!(a[..56], b[..]);
    }
}

/// Nothing is written for what is unusable or has nothing to repair, and an existing name is left alone.
#[test]
fn nothing_is_written_where_nothing_can_be_promised() {
    let parent = MemoryDirectory::new("out");
    let options = Options::default();
    let unusable = block_on(fix(fixture("broken/20-missing-shard"), &parent, "repaired", &options, &mut |_| {})).expect("a judgement");
    assert!(unusable.after.is_none() && unusable.before.verdict == Verdict::Unusable);
    assert!(block_on(parent.list()).expect("it lists").is_empty());
    let parent = parent.with("repaired/mine.txt", "mine");
    let error = block_on(fix(fixture("broken/33-vocabulary"), &parent, "repaired", &options, &mut |_| {}));
    let error = error.err().expect("the name exists").to_string();
    assert!(error.contains("exists already"), "{error}");
    assert_eq!(block_on(parent.list()).expect("it lists").len(), 1);
    // Without a device to run the model on, the number of heads is asked for.
    let error = block_on(fix(fixture("broken/01-no-config-no-base"), &MemoryDirectory::new("out"), "x", &options, &mut |_| {}));
    if let Err(error) = error {
        assert!(error.to_string().contains("--base DIR"), "{error}");
    }
}

/// What merging A and B alone would lose, or scale wrongly, is not repaired but said.
#[test]
fn an_unmerged_state_is_merged_whole_or_not_at_all() {
    const CASE: &str = "broken/28-47-unmerged-peft-trained";
    let original = fixture(CASE);
    let read = |name: &str| block_on(original.read(name)).expect("it reads");
    let judge = |name: &str, bytes: Vec<u8>| {
        let mut directory = MemoryDirectory::new("unmerged");
        for entry in block_on(original.list()).expect("the fixture is there") {
            directory = directory.with(&entry.name, read(&entry.name));
        }
        let directory: Rc<dyn Directory> = Rc::new(directory.with(name, bytes));
        block_on(validate(directory, &Options { quick: true, ..Options::default() }, &mut |_| {})).expect("a report")
    };
    let said = |report: &Report| report.findings.iter().map(|finding| finding.message.to_string()).collect::<String>();

    let weights = read("model.safetensors");
    assert_eq!(judge("model.safetensors", weights.clone()).verdict, Verdict::Repairable);
    let mut magnitude = weights;
    let at = magnitude.windows(8).position(|w| w == b".lora_B.").expect("it has factors");
    magnitude[at..at + 8].copy_from_slice(b".lora_M.");
    let report = judge("model.safetensors", magnitude);
    assert_eq!(report.verdict, Verdict::Unusable);
    assert!(said(&report).contains("none of the plain factors"), "{}", said(&report));

    let mut config: Value = serde_json::from_slice(&read("adapter_config.json")).expect("JSON");
    config["rank_pattern"] = serde_json::json!({"q_proj": 3});
    let report = judge("adapter_config.json", config.to_string().into_bytes());
    assert_eq!(report.verdict, Verdict::Unusable);
    assert!(said(&report).contains("No scale (lora_alpha / r) is known that holds for all"), "{}", said(&report));
}
