//! Runs whose activations are kept in 16 bits.

use std::rc::Rc;

use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::kernels::TuningChoice;
use rootstock::platform::{Directory, MemoryDirectory, block_on};
use rootstock::train::{Event, LogEntry, Silent};

use super::faults::{Setup, Watch, weights};

fn losses(out: &MemoryDirectory) -> Vec<f64> {
    let log = String::from_utf8(block_on(out.read("trainer_log.jsonl")).expect("it is there")).expect("UTF-8");
    let of = |line: &str| serde_json::from_str::<LogEntry>(line).expect("a line");
    log.lines().filter_map(|line| if let LogEntry::Step(step) = of(line) { Some(step.loss) } else { None }).collect()
}

/// What a run writes and plans.
struct Ran {
    out: MemoryDirectory,
    losses: Vec<f64>,
    activations: u64,
}

fn run(recipe: &str) -> Ran {
    run_on(&Setup::new(), recipe).0
}

/// The run, and what it says.
fn run_on(setup: &Setup, recipe: &str) -> (Ran, Vec<String>) {
    let out = MemoryDirectory::new("out");
    let (mut activations, mut notices) = (0, Vec::new());
    let mut watch = Watch(|event: &Event<'_>| match event {
        Event::Start(start) => activations = start.memory.activations_bytes,
        Event::Notice(notice) => notices.push(notice.clone()),
        _ => {}
    });
    setup.train(recipe, &out, &mut watch).unwrap_or_else(|e| panic!("{recipe}: {e}"));
    let losses = losses(&out);
    (Ran { out, losses, activations }, notices)
}

const RECIPE: &str = "max_steps: 20\nlogging_steps: 1\nsave_strategy: no\nlr_scheduler_type: constant";

/// The largest distance of two curves, over the way that the first goes down.
fn apart(a: &[f64], b: &[f64]) -> f64 {
    let down = a[0] - a[a.len() - 1];
    assert!(down > 0.5, "it learns: {a:?}");
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max) / down
}

#[test]
fn twenty_steps_learn_as_in_f32_in_less_memory() {
    let plain = run(RECIPE);
    // Rounded to 8 and to 11 bits; the first loss is the same bits.
    for (key, most) in [("bf16", 5e-3), ("fp16", 1e-3), ("pure_bf16", 5e-3)] {
        let half = run(&format!("{RECIPE}\n{key}: true"));
        assert_eq!(half.losses[0].to_bits(), plain.losses[0].to_bits(), "the forward pass is that of f32");
        let off = apart(&plain.losses, &half.losses);
        println!("{key}: {off:.1e} of the way from {:.3} to {:.3}", plain.losses[0], plain.losses[19]);
        assert!(off < most && off > 0.0, "{key}: {off:.2e}");
        assert!(half.activations < plain.activations, "{} of {}", half.activations, plain.activations);
    }
    let lora = "finetuning_type: lora\nlora_rank: 8\nlearning_rate: 1.0e-2";
    let plain = run(&format!("{RECIPE}\n{lora}"));
    for checkpointing in ["", "\ngradient_checkpointing: true"] {
        let half = run(&format!("{RECIPE}\n{lora}\nbf16: true{checkpointing}"));
        let off = apart(&plain.losses, &half.losses);
        // At this rate Adam makes steps of the smallest gradients, too.
        assert!(off < 3e-2 && off > 0.0, "LoRA{checkpointing}: {off:.2e}");
        assert!(half.activations < plain.activations, "{} of {}", half.activations, plain.activations);
    }
}

/// Products whose factors are halves learn as those of f32 do, and the run says what its device does.
#[test]
fn twenty_steps_of_halves_learn_as_in_f32() {
    let setup = |tuning: &str| {
        let tuning = TuningChoice::parse(tuning).expect("a tuning");
        Setup { gpu: Rc::new(block_on(Gpu::open(&DeviceChoice { tuning, ..DeviceChoice::default() })).expect("a device")), ..Setup::new() }
    };
    let apple = setup("apple");
    for method in ["", "\nfinetuning_type: lora\nlora_rank: 8\nlearning_rate: 3.0e-3"] {
        let (plain, said) = run_on(&apple, &format!("{RECIPE}{method}"));
        assert!(said.is_empty(), "{said:?}");
        let (half, said) = run_on(&apple, &format!("{RECIPE}{method}\nfp16: true"));
        assert!(said.len() == 1 && said[0].contains("take both factors in IEEE half precision"), "{said:?}");
        let off = apart(&plain.losses, &half.losses);
        println!("halves{}: {off:.1e} of the way from {:.3} to {:.3}", method.replace('\n', " "), plain.losses[0], plain.losses[19]);
        assert_ne!(half.losses[0].to_bits(), plain.losses[0].to_bits(), "the forward pass rounds, too");
        assert!(off < 5e-3, "{off:.2e}");
        // bfloat16 is taken for its range, which halves do not have.
        let (bfloat, _) = run_on(&apple, &format!("{RECIPE}{method}\nbf16: true"));
        assert_eq!(bfloat.losses[0].to_bits(), plain.losses[0].to_bits());
    }
    for (tuning, why) in [("apple,product_half=false", "costs its kernels more"), ("", "multiply in registers")] {
        let (_, said) = run_on(&setup(tuning), &format!("{RECIPE}\nfp16: true"));
        assert!(said.len() == 1 && said[0].contains("compute in f32") && said[0].contains(why), "{said:?}");
    }
}

/// The number type and whether layers are computed again decide about bits: a run goes on to those of one that was not interrupted, or says what is otherwise.
#[test]
fn a_run_goes_on_to_the_same_bits() {
    let recipe = "max_steps: 4\nsave_steps: 2\nlogging_steps: 1\nfp16: true\ngradient_checkpointing: true";
    let (whole, rest) = (run(recipe), MemoryDirectory::new("rest"));
    for entry in block_on(whole.out.list()).expect("it lists").iter().filter(|entry| entry.name.starts_with("checkpoint-2/")) {
        rest.clone().with(&entry.name, block_on(whole.out.read(&entry.name)).expect("it is there"));
    }
    let resumed = |recipe: &str| Setup::new().train(&format!("{recipe}\nresume_from_checkpoint: true"), &rest, &mut Silent);
    for (other, clause) in [
        (recipe.replace("fp16: true", "bf16: true"), "activations was fp16 and is bf16 here"),
        (recipe.replace("fp16: true\n", ""), "activations was fp16 and is off here"),
        (
            recipe.replace("gradient_checkpointing: true", "gradient_checkpointing: false"),
            "gradient_checkpointing was true and is off here",
        ),
    ] {
        let error = resumed(&other).expect_err("another run").to_string();
        assert!(error.contains(clause), "{error}");
    }
    resumed(recipe).expect("it goes on");
    assert_eq!(weights(&rest, ""), weights(&whole.out, ""));
}
