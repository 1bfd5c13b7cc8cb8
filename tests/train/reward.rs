//! Stage rm against LLaMA-Factory's trainer (scripts/fixtures/make_rewards.py): gradients, ten steps, what the trained models make of answers;
//! and what a run does with its value head.

use std::rc::Rc;

use rootstock::Result;
use rootstock::adapter::{Adapted, Adapter};
use rootstock::checkpoint::{Carry, Checkpoint, ParamSource, TensorFile, ValueHead};
use rootstock::config::Recipe;
use rootstock::data::{Batch, Feedback, Prepared, Sample};
use rootstock::engine::{Engine, EngineOptions, Method, Objective};
use rootstock::graph::{Preference, PreferenceLoss};
use rootstock::kernels::StepValues;
use rootstock::optim::Optimizer;
use rootstock::plan::Part;
use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, OutputDirectory, block_on};
use rootstock::train::{Observer, Outcome, PlannedRun, RunInput, Silent, judge, score_preferences, with_value_head};
use serde_json::Value;

use super::preference::Stop;
use super::references::{Distance, TOLERANCE, answers, directory, list, log, number, recipe};
use crate::golden::difference;
use crate::kernels::gpu;

fn fixture() -> Value {
    let text = std::fs::read("tests/fixtures/reward/reward.json").expect("the fixture is part of the repository");
    serde_json::from_slice(&text).expect("JSON")
}

/// A golden model, with this dropout before a value head.
fn model(name: &str, dropout: f64) -> Rc<dyn Directory> {
    let stored = NativeDirectory::new(format!("tests/fixtures/golden/{name}"));
    let read = |file: &str| block_on(stored.read(file)).expect("the fixture is part of the repository");
    let mut config: Value = serde_json::from_slice(&read("config.json")).expect("JSON");
    config["summary_dropout_prob"] = dropout.into();
    let memory = MemoryDirectory::new(name).with("config.json", config.to_string()).with("model.safetensors", read("model.safetensors"));
    Rc::new(memory)
}

struct Case {
    name: String,
    recipe: String,
    checkpoint: Checkpoint,
    adapters: Vec<Rc<dyn Directory>>,
    samples: Vec<Sample>,
    eval: Vec<Sample>,
    tensors: TensorFile,
}

impl Case {
    fn of(case: &Value, arguments: &Value) -> Case {
        Case::with_dropout(case, arguments, 0.0)
    }

    fn with_dropout(case: &Value, arguments: &Value, dropout: f64) -> Case {
        let samples = list(&case["samples"]).iter().enumerate();
        let samples = samples.map(|(i, sample)| Sample::of_answers(Feedback::Judged, answers(sample), i + 1));
        let name = case["name"].as_str().expect("a name").to_string();
        let adapters =
            case["adapter"].as_str().map(|name| directory(format!("tests/fixtures/peft/{name}"))).into_iter().collect::<Vec<_>>();
        let recipe = recipe("rm", !adapters.is_empty(), arguments);
        let tensors = block_on(TensorFile::open(directory("tests/fixtures/reward".into()), "reward.safetensors")).expect("tensors");
        let begin = |part: &str| all(&tensors, &format!("{name}/begin/v_head.summary.{part}"));
        let head = block_on(ValueHead::of(&begin("weight"), begin("bias")[0])).expect("memory");
        let checkpoint = block_on(Checkpoint::open(model(case["base"].as_str().expect("a base"), dropout))).expect("the fixture opens");
        let checkpoint = checkpoint.with_value_head(&head).expect("a dropout");
        Case { name, recipe, checkpoint, adapters, samples: samples.collect(), eval: Vec::new(), tensors }
    }

    fn named(name: &str) -> Case {
        let fixture = fixture();
        let case = list(&fixture["cases"]).iter().find(|case| case["name"] == name).expect("a case of that name");
        Case::of(case, &fixture["arguments"])
    }

    fn recipe(&self, more: &str) -> Recipe {
        let overrides: Vec<String> = more.split_whitespace().map(str::to_string).collect();
        Recipe::parse("recipe.yaml", &self.recipe, &overrides).unwrap_or_else(|e| panic!("{e}"))
    }

    fn train(&self, more: &str, out: &dyn OutputDirectory, observer: &mut dyn Observer) -> Result<(u64, Outcome)> {
        let mut data = Prepared::default();
        data.train.samples = self.samples.clone();
        data.eval.samples = self.eval.clone();
        let input = RunInput {
            recipe: self.recipe(more),
            checkpoint: self.checkpoint.clone(),
            carry: Carry::nothing(),
            data: Rc::new(data),
            adapters: self.adapters.clone(),
            reference: None,
            resume_from: None,
            date: 0,
        };
        let gpu = gpu();
        block_on(async {
            let planned = PlannedRun::new(input, gpu.profile()).await?;
            Ok((planned.memory.peak_bytes(), planned.train(&gpu, out, observer).await?))
        })
    }

    /// What a run wrote, opened again: as a model with its value head, and the adapter on it.
    fn trained(&self, out: Rc<dyn Directory>) -> (Checkpoint, Vec<Adapter>) {
        let hidden_size = self.checkpoint.config().hidden_size;
        let head = block_on(ValueHead::find(&out, hidden_size)).expect("it opens").expect("it is there");
        let with = |checkpoint: Checkpoint| checkpoint.with_value_head(&head).expect("a dropout");
        if self.adapters.is_empty() {
            return (with(block_on(Checkpoint::open(out)).expect("it opens")), Vec::new());
        }
        let base = with(block_on(Checkpoint::open(self.checkpoint.directory().clone())).expect("it opens"));
        let adapters = block_on(Adapter::open_all(vec![out], &base)).expect("it opens");
        (base, adapters)
    }
}

fn all(file: &TensorFile, tensor: &str) -> Vec<f32> {
    let elements = file.get(tensor).unwrap_or_else(|| panic!("{tensor}")).shape.iter().product::<u64>();
    block_on(file.read_f32(tensor, 0..elements)).unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn gradients_of_a_micro_batch_equal_llama_factory() {
    let fixture = fixture();
    for case in list(&fixture["cases"]) {
        let name = &case["name"];
        let ours = Case::of(case, &fixture["arguments"]);
        block_on(async {
            let adapters = Adapter::open_all(ours.adapters.clone(), &ours.checkpoint).await.expect("it opens");
            let method = match adapters.first() {
                Some(adapter) => Method::Adapter { resolved: Rc::new(adapter.resolved.clone()), loraplus_lr_ratio: 1.0 },
                None => Method::Full,
            };
            let options = EngineOptions {
                method,
                gradient_checkpointing: false,
                kept: None,
                sequence: 32,
                optimizer: Optimizer::default(),
                objective: Objective {
                    preference: Some(Preference { loss: PreferenceLoss::Reward, beta: 1.0, ftx: 0.0 }),
                    ..Objective::default()
                },
            };
            let mut engine = Engine::load(gpu(), &ours.checkpoint, options).await.expect("memory");
            if let Some(adapter) = adapters.first() {
                engine.load_adapter(adapter).await.expect("it reads");
            }
            let first = case["first"]["samples"].as_u64().expect("a number") as usize;
            let batch = Batch::of(&ours.samples[..first].iter().collect::<Vec<_>>());
            let step = StepValues { loss_scale: 1.0 / first as f32, ..StepValues::default() };
            engine.micro_step(&batch, step).await.expect("a step");
            let stats = engine.stats().await.expect("statistics");
            let want = number(&case["first"]["loss"]);
            assert!((f64::from(stats.loss_sum) - want).abs() < TOLERANCE * want, "{name}: {} for {want}", stats.loss_sum);
            // Every parameter that has a gradient there is trained here, and no other.
            let norms = case["gradient_norms"].as_object().expect("norms");
            let trained: Vec<usize> = engine.trained();
            assert_eq!(trained.len(), norms.len(), "{name}");
            for index in trained {
                let declaration = engine.declarations[index].clone();
                let gradient = engine.part(Part::Gradients).read_rows(index, 0..declaration.rows).await.expect("a gradient");
                let norm = gradient.iter().map(|g| f64::from(*g) * f64::from(*g)).sum::<f64>().sqrt();
                let want = number(&norms[&declaration.name]);
                // The value head's bias has none but rounding: it is the same in both answers.
                assert!((norm - want).abs() < TOLERANCE * want.max(1e-3), "{name}: {}: {norm} for {want}", declaration.name);
            }
        });
    }
}

#[test]
fn ten_steps_equal_llama_factory() {
    let fixture = fixture();
    let mut failures = Vec::new();
    for case in list(&fixture["cases"]) {
        let ours = Case::of(case, &fixture["arguments"]);
        let name = &ours.name;
        let out = MemoryDirectory::new("out");
        let (planned, outcome) = ours.train("", &out, &mut Silent).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(outcome.peak_bytes <= planned, "{name}: {} bytes instead of at most {planned}", outcome.peak_bytes);
        let mut distance = Distance::new(name, &mut failures);
        let lines = log(&out);
        assert_eq!(lines.len(), list(&case["log"]).len(), "{name}");
        for (step, (line, want)) in lines.iter().zip(list(&case["log"])).enumerate() {
            distance.check_step(step, line, want);
            assert!(line["accuracy"].is_number() && line["rewards/margins"].is_number() && line["logps/chosen"].is_null(), "{line}");
        }
        let file = if ours.adapters.is_empty() { "model.safetensors" } else { "adapter_model.safetensors" };
        let files =
            ["value_head.safetensors", file].map(|file| block_on(TensorFile::open(Rc::new(out.clone()), file)).expect("the result"));
        let prefix = format!("{name}/final/");
        let names: Vec<String> =
            ours.tensors.tensors().iter().map(|t| t.name.clone()).filter(|stored| stored.starts_with(&prefix)).collect();
        assert!(names.len() >= 4, "{name}: {names:?}");
        for stored in names {
            let tensor = &stored[prefix.len()..];
            let file = files.iter().find(|file| file.get(tensor).is_some()).unwrap_or_else(|| panic!("{name}: {tensor}"));
            let (got, want) = (all(file, tensor), all(&ours.tensors, &stored));
            if tensor == "v_head.summary.bias" {
                // Its gradient is rounding, which Adam divides by itself: it stays about where it began.
                continue;
            }
            distance.check(2, &format!("{tensor} after ten steps"), difference(&got, &want), 2.0 * TOLERANCE);
            if tensor == "lm_head.weight" {
                assert!(got == want, "{name}: the output head stays as it is");
            }
        }
        // What the result makes of the answers, opened again; the values themselves may share an offset, the bias.
        let (checkpoint, adapters) = ours.trained(Rc::new(out.clone()));
        let adapted = Adapted::new(&checkpoint, &adapters).expect("one adapter");
        let recipe = ours.recipe("do_train=false do_eval=true eval_dataset=held");
        let score = block_on(score_preferences(&gpu(), adapted.model(), adapted.apart(), None, &ours.samples, &recipe)).expect("a score");
        let want = number(&case["eval"]["eval_loss"]);
        distance.check(3, "loss of the evaluation", (score.loss - want).abs() / want.max(0.1), 5.0 * TOLERANCE);
        assert_eq!(score.figures["accuracy"], case["eval"]["eval_accuracy"].as_f64(), "{name}");
        let values = block_on(judge(&gpu(), adapted.model(), adapted.apart(), &ours.samples, &recipe)).expect("values");
        for (pair, want) in values.iter().zip(list(&case["values"])) {
            let margin = number(&want[0]) - number(&want[1]);
            distance.check(3, "a margin", (f64::from(pair[0] - pair[1]) - margin).abs() / margin.abs().max(1.0), 5.0 * TOLERANCE);
        }
        let worst = distance.worst;
        println!("{name}: loss {:.1e}, gradient norm {:.1e}, weights {:.1e}, judgement {:.1e}", worst[0], worst[1], worst[2], worst[3]);
    }
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_reward_model_that_llama_factory_wrote_judges_as_there() {
    let fixture = fixture();
    let case = &list(&fixture["cases"])[0];
    let ours = Case::of(case, &fixture["arguments"]);
    let theirs = directory("tests/fixtures/reward/lora".into());
    let (checkpoint, adapters) = ours.trained(theirs.clone());
    let adapted = Adapted::new(&checkpoint, &adapters).expect("one adapter");
    let recipe = ours.recipe("do_train=false do_eval=true eval_dataset=held per_device_eval_batch_size=3");
    let values = block_on(judge(&gpu(), adapted.model(), adapted.apart(), &ours.samples, &recipe)).expect("values");
    assert_eq!(values.len(), list(&case["values"]).len());
    for (pair, want) in values.iter().zip(list(&case["values"])) {
        for (got, want) in pair.iter().zip(list(want)) {
            assert!((f64::from(*got) - number(want)).abs() < 1e-5, "{pair:?} for {want}");
        }
    }
    // A run goes on from it: from its adapter and from its value head.
    let base = block_on(Checkpoint::open(ours.checkpoint.directory().clone())).expect("it opens");
    let found = block_on(with_value_head(base.clone(), &[theirs], &ours.recipe(""))).expect("it is there");
    let last = found.params().len() - 2;
    let weight = block_on(ParamSource::read_rows(&found, last, 0..1)).expect("it reads");
    assert_eq!(weight, all(&ours.tensors, "lora/final/v_head.summary.weight"));
    // Without one a new one begins, by the seed; but nothing is judged by a new one.
    let begin = |seed: &str| {
        let found = block_on(with_value_head(base.clone(), &[], &ours.recipe(seed))).expect("a new one");
        block_on(ParamSource::read_rows(&found, last, 0..1)).expect("it reads")
    };
    assert!(begin("seed=1") == begin("seed=1") && begin("seed=1") != begin("seed=2"));
    let bound = 1.0 / (weight.len() as f32).sqrt();
    assert!(begin("seed=1").iter().all(|number| number.abs() <= bound) && begin("seed=1").iter().any(|number| number.abs() > bound / 2.0));
    let error = block_on(with_value_head(base, &[], &recipe)).err().expect("it is no reward model").to_string();
    assert!(error.contains("there is no value_head.safetensors here") && error.contains("stage: rm"), "{error}");
}

#[test]
fn a_resumed_run_ends_with_the_same_bits() {
    for (name, more) in [("lora", ""), ("full", "export_dtype=bfloat16"), ("full-tied", "")] {
        let mut case = Case::named(name);
        case.eval = case.samples[..3].to_vec();
        let settings = format!("eval_dataset=held max_steps=6 save_steps=2 eval_strategy=steps eval_steps=2 logging_steps=3 {more}");
        let (whole, out) = (MemoryDirectory::new("whole"), MemoryDirectory::new("out"));
        case.train(&settings, &whole, &mut Silent).expect("it trains");
        case.train(&settings, &out, &mut Stop(4)).expect_err("it is stopped");
        case.train(&format!("{settings} resume_from_checkpoint=true"), &out, &mut Silent).expect("it goes on");
        let files = if name == "lora" { "adapter_model" } else { "model" };
        for file in ["value_head.safetensors".to_string(), format!("{files}.safetensors")] {
            let read = |out: &MemoryDirectory| block_on(out.read(&file)).expect("it is there");
            assert!(read(&out) == read(&whole), "{name}: {file}");
        }
        assert!(log(&out).iter().any(|line| line["eval_accuracy"].is_number()), "{name}");
    }
}

#[test]
fn dropout_before_the_head_is_for_training_alone() {
    let fixture = fixture();
    let case = list(&fixture["cases"]).iter().find(|case| case["name"] == "full").expect("a case of that name");
    let with = |dropout: f64| {
        let (ours, out) = (Case::with_dropout(case, &fixture["arguments"], dropout), MemoryDirectory::new("out"));
        let mut ours = ours;
        ours.eval = ours.samples.clone();
        // Nothing is learned to speak of: what differs is the dropout.
        let settings = "eval_dataset=held max_steps=1 eval_strategy=steps eval_steps=1 learning_rate=1e-12 warmup_steps=0";
        ours.train(settings, &out, &mut Silent).expect("it trains");
        let log = log(&out);
        (number(&log[0]["loss"]), number(&log[1]["eval_loss"]))
    };
    let (plain, dropped) = (with(0.0), with(0.1));
    assert!((plain.0 - dropped.0).abs() > 1e-6, "{plain:?} {dropped:?}");
    assert!((plain.1 - dropped.1).abs() < 1e-6, "{plain:?} {dropped:?}");
    let wrong = model("llama", 1.5);
    let checkpoint = block_on(Checkpoint::open(wrong)).expect("a language model");
    let head = block_on(ValueHead::of(&[0.0; 52], 0.0)).expect("memory");
    let error = checkpoint.with_value_head(&head).err().expect("no probability").to_string();
    assert!(error.contains("summary_dropout_prob is 1.5"), "{error}");
}

#[test]
fn a_value_head_of_another_model_is_refused() {
    let found = |bytes: Vec<u8>, hidden: usize| {
        let dir: Rc<dyn Directory> = Rc::new(MemoryDirectory::new("out").with("value_head.safetensors", bytes));
        block_on(ValueHead::find(&dir, hidden)).map(|head| head.is_some()).map_err(|error| error.to_string())
    };
    let stored = std::fs::read("tests/fixtures/reward/lora/value_head.safetensors").expect("the fixture is part of the repository");
    let hidden = Case::named("lora").checkpoint.config().hidden_size;
    assert_eq!(found(stored.clone(), hidden), Ok(true));
    assert!(found(stored.clone(), 7).is_err_and(|error| error.contains("v_head.summary.weight") && error.contains("another model")));
    assert!(found(stored[..20].to_vec(), hidden).is_err());
    let none: Rc<dyn Directory> = Rc::new(MemoryDirectory::new("out"));
    assert!(block_on(ValueHead::find(&none, hidden)).expect("it lists").is_none());
}
