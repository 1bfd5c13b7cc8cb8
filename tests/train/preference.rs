//! Stages dpo and kto against LLaMA-Factory's trainers, which are TRL's (scripts/fixtures/make_preferences.py): ten steps of whole runs. And
//! what a run does with its reference.

use std::rc::Rc;

use rootstock::Result;
use rootstock::checkpoint::{Carry, Checkpoint, TensorFile};
use rootstock::config::Recipe;
use rootstock::data::{Feedback, Prepared, Sample};
use rootstock::platform::{Directory, MemoryDirectory, OutputDirectory, block_on};
use rootstock::train::{Observer, Outcome, PlannedRun, RunInput, Silent};
use serde_json::Value;

use super::faults::Watch;
use super::references::{Distance, TOLERANCE, answers, directory, list, log, off, recipe};
use crate::golden::difference;
use crate::kernels::gpu;

fn fixture() -> Value {
    let text = std::fs::read("tests/fixtures/preference/preference.json").expect("the fixture is part of the repository");
    serde_json::from_slice(&text).expect("JSON")
}

/// A case of the fixture as a run's input.
struct Case {
    recipe: String,
    checkpoint: Checkpoint,
    adapters: Vec<Rc<dyn Directory>>,
    samples: Vec<Sample>,
    eval: Vec<Sample>,
    reference: Option<Checkpoint>,
}

fn open(model: &str) -> Checkpoint {
    block_on(Checkpoint::open(directory(format!("tests/fixtures/golden/{model}")))).expect("the fixture opens")
}

impl Case {
    fn of(case: &Value, arguments: &Value) -> Case {
        let samples = list(&case["samples"]).iter().enumerate().map(|(i, sample)| {
            let feedback = match sample["good"].as_bool() {
                None => Feedback::Pair,
                Some(true) => Feedback::Good,
                Some(false) => Feedback::Bad,
            };
            Sample::of_answers(feedback, answers(sample), i + 1)
        });
        let samples = samples.collect();
        let adapter = case["adapter"].as_str();
        let adapters = adapter.map(|name| directory(format!("tests/fixtures/peft/{name}"))).into_iter().collect();
        let mut recipe = recipe(case["stage"].as_str().expect("a stage"), adapter.is_some(), arguments);
        for (key, value) in case["keys"].as_object().expect("keys") {
            recipe += &format!("{key}: {}\n", value.to_string().trim_matches('"'));
        }
        let checkpoint = open(case["base"].as_str().expect("a base"));
        Case { recipe, checkpoint, adapters, samples, eval: Vec::new(), reference: None }
    }

    fn named(name: &str) -> Case {
        let fixture = fixture();
        let case = list(&fixture["cases"]).iter().find(|case| case["name"] == name).expect("a case of that name");
        Case::of(case, &fixture["arguments"])
    }

    fn train(&self, more: &str, out: &dyn OutputDirectory, observer: &mut dyn Observer) -> Result<(u64, Outcome)> {
        let overrides: Vec<String> = more.split_whitespace().map(str::to_string).collect();
        let recipe = Recipe::parse("recipe.yaml", &self.recipe, &overrides)?;
        let mut data = Prepared::default();
        data.train.samples = self.samples.clone();
        data.eval.samples = self.eval.clone();
        let input = RunInput {
            recipe,
            checkpoint: self.checkpoint.clone(),
            carry: Carry::nothing(),
            data: Rc::new(data),
            adapters: self.adapters.clone(),
            reference: self.reference.clone(),
            resume_from: None,
            date: 0,
        };
        let gpu = gpu();
        block_on(async {
            let planned = PlannedRun::new(input, gpu.profile()).await?;
            Ok((planned.memory.peak_bytes(), planned.train(&gpu, out, observer).await?))
        })
    }
}

fn weights(out: &MemoryDirectory) -> Vec<u8> {
    let name = if block_on(out.size("model.safetensors")).expect("memory").is_some() { "model" } else { "adapter_model" };
    block_on(out.read(&format!("{name}.safetensors"))).expect("weights")
}

#[test]
fn ten_steps_equal_llama_factory_and_trl() {
    let fixture = fixture();
    let kept = block_on(TensorFile::open(directory("tests/fixtures/preference".into()), "preference.safetensors")).expect("tensors");
    let mut failures = Vec::new();
    for case in list(&fixture["cases"]) {
        let name = case["name"].as_str().expect("a name");
        let out = MemoryDirectory::new("out");
        let (planned, outcome) =
            Case::of(case, &fixture["arguments"]).train("", &out, &mut Silent).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(outcome.peak_bytes <= planned, "{name}: {} bytes instead of at most {planned}", outcome.peak_bytes);
        let mut distance = Distance::new(name, &mut failures);
        let lines = log(&out);
        assert_eq!(lines.len(), list(&case["log"]).len(), "{name}");
        for (step, (line, want)) in lines.iter().zip(list(&case["log"])).enumerate() {
            distance.check_step(step, line, want);
            assert!(off(line, "lr", want, "learning_rate", 1e-9) < 1e-6, "{name}: the learning rate of step {step}");
            // Means over pairs here, of micro-batches there: the same where these are of one size. KTO's are over the group in both.
            if step % 2 == 0 || case["stage"] == "kto" {
                for figure in
                    ["rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies", "logps/chosen", "logps/rejected"]
                {
                    // Before the first update a reward is 0 but for rounding, and nobody leads.
                    let undecided = figure == "rewards/accuracies" && want["rewards/margins"] == 0.0;
                    if !want[figure].is_null() && !undecided {
                        distance.check(2, &format!("{figure} of step {step}"), off(line, figure, want, figure, 1.0), 3.0 * TOLERANCE);
                    }
                }
            }
        }
        let file = if case["adapter"].is_null() { "model.safetensors" } else { "adapter_model.safetensors" };
        let trained = block_on(TensorFile::open(Rc::new(out.clone()), file)).expect("the result");
        let prefix = format!("{name}/final/");
        let names: Vec<String> = kept.tensors().iter().map(|t| t.name.clone()).filter(|stored| stored.starts_with(&prefix)).collect();
        assert!(names.len() >= 2, "{name}: {names:?}");
        for stored in names {
            let tensor = &stored[prefix.len()..];
            let read = |file: &TensorFile, tensor: &str| {
                let elements = file.get(tensor).unwrap_or_else(|| panic!("{name}: {tensor}")).shape.iter().product::<u64>();
                block_on(file.read_f32(tensor, 0..elements)).unwrap_or_else(|e| panic!("{name}: {e}"))
            };
            distance.check(
                3,
                &format!("{tensor} after ten steps"),
                difference(&read(&trained, tensor), &read(&kept, &stored)),
                2.0 * TOLERANCE,
            );
        }
        let worst = distance.worst;
        println!("{name}: loss {:.1e}, gradient norm {:.1e}, figures {:.1e}, weights {:.1e}", worst[0], worst[1], worst[2], worst[3]);
    }
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_resumed_run_ends_with_the_same_bits() {
    for name in ["sigmoid", "kto-full"] {
        let mut case = Case::named(name);
        case.eval = case.samples[..3].to_vec();
        let settings = "eval_dataset=held max_steps=6 save_steps=2 eval_strategy=steps eval_steps=2 logging_steps=3";
        let (whole, out) = (MemoryDirectory::new("whole"), MemoryDirectory::new("out"));
        case.train(settings, &whole, &mut Silent).expect("it trains");
        case.train(&format!("{settings} max_steps=6"), &out, &mut Stop(4)).expect_err("it is stopped");
        case.train(&format!("{settings} resume_from_checkpoint=true"), &out, &mut Silent).expect("it goes on");
        assert_eq!(weights(&out), weights(&whole), "{name}");
        let figures = |out: &MemoryDirectory| -> Vec<Value> {
            let timeless = log(out).into_iter().map(|mut line| {
                for name in ["elapsed_time", "remaining_time", "tokens_per_second"] {
                    line[name] = Value::Null;
                }
                line
            });
            timeless.collect()
        };
        assert_eq!(figures(&out), figures(&whole), "{name}");
        assert!(figures(&out).iter().any(|line| line["eval_rewards/chosen"].is_number()), "{name}");
    }
}

/// Ends a run after so many steps.
pub(super) struct Stop(pub(super) u64);

#[async_trait::async_trait(?Send)]
impl Observer for Stop {
    fn event(&mut self, _event: rootstock::train::Event<'_>) {}

    async fn between_steps(&mut self, _engine: &rootstock::engine::Engine, done: u64) -> Result<rootstock::train::Wish> {
        Ok(if done == self.0 { rootstock::train::Wish::Stop } else { rootstock::train::Wish::GoOn })
    }
}

#[test]
fn a_reference_of_its_own_is_loaded_for_the_run_alone() {
    let mut case = Case::named("sigmoid-full");
    let settings = "max_steps=4";
    let (own, same, other) = (MemoryDirectory::new("own"), MemoryDirectory::new("same"), MemoryDirectory::new("other"));
    let (alone, _) = case.train(settings, &own, &mut Silent).expect("it trains");
    case.reference = Some(case.checkpoint.clone());
    let mut told = Vec::new();
    let mut watch = Watch(|event| {
        if let rootstock::train::Event::Notice(text) = event {
            told.push(text.clone());
        }
    });
    let (planned, outcome) = case.train(&format!("{settings} ref_model=reference"), &same, &mut watch).expect("it trains");
    assert_eq!(weights(&own), weights(&same), "the model as it is at the start is the same reference");
    assert!(planned <= alone && outcome.peak_bytes <= planned, "no second copy: {planned} and {alone} bytes");
    assert!(told.iter().any(|text| text.contains("what the reference") && text.contains("14 answers")), "{told:?}");
    // Another reference leads elsewhere; and orpo asks none.
    let orpo = MemoryDirectory::new("orpo");
    case.train(&format!("{settings} pref_loss=orpo dpo_label_smoothing=0"), &orpo, &mut Silent).expect("it trains");
    case.reference = Some(open("llama-rope-llama3"));
    let small = case.train(&format!("{settings} ref_model=reference"), &other, &mut Silent).expect_err("its vocabulary is smaller");
    assert!(small.to_string().contains("vocabulary of 71 tokens"), "{small}");
    let told = log(&own);
    assert!(told[0]["rewards/accuracies"].is_number() && log(&orpo)[0]["loss"] != told[0]["loss"]);
}
