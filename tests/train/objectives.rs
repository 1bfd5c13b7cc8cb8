//! Changed losses, learning rates and orders against transformers, torch and LLaMA-Factory (scripts/fixtures/make_objectives.py).

use std::rc::Rc;

use rootstock::checkpoint::{Checkpoint, ParamSource, TensorFile};
use rootstock::config::{Recipe, SchedulerKwargs, SchedulerType};
use rootstock::data::{Batch, Sample, group_by_length};
use rootstock::engine::{Engine, EngineOptions, Method, Objective};
use rootstock::generate::{Generator, GeneratorOptions};
use rootstock::kernels::StepValues;
use rootstock::optim::Optimizer;
use rootstock::plan::Part;
use rootstock::platform::{Directory, NativeDirectory, block_on};
use rootstock::train::{Plateau, Schedule, score, score_adapted};
use serde_json::Value;

use crate::golden::difference;
use crate::kernels::gpu;

/// Largest error over the largest magnitude: what the golden fixtures keep to.
const TOLERANCE: f64 = 2e-5;

fn fixture() -> Value {
    let text = std::fs::read("tests/fixtures/objectives/objectives.json").expect("the fixture is part of the repository");
    serde_json::from_slice(&text).expect("JSON")
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(f64::NAN)
}

fn list<T>(value: &Value, one: impl Fn(&Value) -> T) -> Vec<T> {
    value.as_array().expect("a list").iter().map(one).collect()
}

fn index(value: &Value) -> usize {
    value.as_u64().expect("a count") as usize
}

#[test]
fn changed_losses_and_noise_equal_their_references() {
    block_on(async {
        let kept: Rc<dyn Directory> = Rc::new(NativeDirectory::new("tests/fixtures/objectives"));
        let kept = TensorFile::open(kept, "objectives.safetensors").await.expect("the fixture's tensors");
        for case in list(&fixture()["objectives"], Value::clone) {
            let (name, model) = (case["name"].as_str().expect("a name"), case["model"].as_str().expect("a name"));
            let directory: Rc<dyn Directory> = Rc::new(NativeDirectory::new(format!("tests/fixtures/golden/{model}")));
            let golden: Value = serde_json::from_slice(&directory.read("golden.json").await.expect("golden.json")).expect("JSON");
            let checkpoint = Checkpoint::open(directory).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            let integers = |value: &Value| list(value, |v| v.as_i64().expect("an integer"));
            let samples = list(&golden["batch"]["sequences"], |at| {
                let sequence = &golden["sequences"][index(at)];
                let ids = integers(&sequence["input_ids"]).into_iter().map(|id| id as u32).collect();
                Sample::new(ids, integers(&sequence["labels"]).into_iter().map(|label| label as i32).collect(), 1)
            });
            let batch = Batch::of(&samples.iter().collect::<Vec<_>>());
            let objective = Objective {
                label_smoothing: number(&case["label_smoothing_factor"]) as f32,
                weigh_by_probability: case["use_dft_loss"] == true,
                embedding_noise: number(&case["neftune_noise_alpha"]) as f32,
                ..Objective::default()
            };
            let sequence = samples.iter().map(|sample| sample.ids.len()).max().unwrap_or(1);
            let options = EngineOptions {
                method: Method::Full,
                gradient_checkpointing: false,
                kept: None,
                sequence,
                optimizer: Optimizer::default(),
                objective,
            };
            let mut engine = Engine::load(gpu(), &checkpoint, options).await.unwrap_or_else(|e| panic!("{name}: {e}"));
            let targets = batch.target_count() as f64;
            let seed = case["seed"].as_u64().expect("a seed") as u32;
            let step = StepValues { loss_scale: 1.0 / targets as f32, seed, ..StepValues::default() };
            engine.micro_step(&batch, step).await.expect("a step");
            let loss = f64::from(engine.stats().await.expect("statistics").loss_sum) / targets;
            let expected = number(&case["loss"]);
            assert!((loss - expected).abs() < TOLERANCE * expected, "{name}: loss {loss} instead of {expected}");
            let gradients = engine.part(Part::Gradients);
            let mut compared = 0;
            for (at, declaration) in checkpoint.params().iter().enumerate() {
                let got = gradients.read_rows(at, 0..declaration.rows).await.expect("a gradient");
                let norm = got.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                let expected = number(&case["gradient_norms"][&declaration.name]);
                assert!(
                    (norm - expected).abs() < 1e-4 * expected + 1e-7,
                    "{name}: {}: norm {norm} instead of {expected}",
                    declaration.name
                );
                let stored = format!("{name}/{}", declaration.name);
                // GPT-2's matrices are stored transposed; its norm has been compared.
                let want = kept.read_f32(&stored, 0..declaration.elements()).await.ok().filter(|_| model != "gpt2");
                if let Some(want) = want {
                    let off = difference(&got, &want);
                    assert!(off < TOLERANCE, "{name}: {}: off by {off:.2e}", declaration.name);
                    compared += 1;
                }
            }
            assert_eq!(compared, usize::from(model != "gpt2"), "{name}");

            // An evaluation has the same loss, without noise.
            let (sum, _) = engine.loss(&batch).await.expect("an evaluation");
            match objective.embedding_noise > 0.0 {
                true => assert!((sum / targets - number(&golden["batch"]["loss"])).abs() < 1e-4, "{name}: noise only in training"),
                false => assert!((sum / targets - expected).abs() < TOLERANCE * expected, "{name}"),
            }
        }
    });
}

fn kwargs(value: &Value) -> SchedulerKwargs {
    let of = |name: &str| value[name].as_f64();
    SchedulerKwargs {
        num_cycles: of("num_cycles"),
        power: of("power"),
        lr_end: of("lr_end"),
        factor: of("factor"),
        patience: value["patience"].as_u64(),
        cooldown: value["cooldown"].as_u64(),
        threshold: of("threshold"),
        threshold_mode: value["threshold_mode"].as_str().map(str::to_string),
        min_lr: of("min_lr"),
        eps: of("eps"),
        ..SchedulerKwargs::default()
    }
}

#[test]
fn more_schedules_equal_transformers() {
    for case in list(&fixture()["schedules"], Value::clone) {
        let kind: SchedulerType = serde_json::from_value(case["kind"].clone()).expect("a schedule");
        let schedule = Schedule::new(kind, 0.002, index(&case["warmup"]) as u64, index(&case["total"]) as u64, kwargs(&case["kwargs"]));
        for (step, expected) in list(&case["learning_rates"], number).into_iter().enumerate() {
            let rate = schedule.learning_rate(step as u64);
            assert!((rate - expected).abs() < 1e-15, "{case}: step {step}: {rate} instead of {expected}");
        }
    }
}

#[test]
fn the_learning_rate_falls_where_the_loss_stays_as_torch_has_it() {
    let text = "model_name_or_path: m\ndataset: d\nval_size: 1\noutput_dir: o\nlearning_rate: 2.0e-3\nlr_scheduler_type: reduce_lr_on_plateau\n\
                eval_strategy: epoch\nlr_scheduler_kwargs: {mode: min, patience: 3, threshold_mode: rel}\n";
    let recipe = Recipe::parse("r.yaml", text, &[]).expect("complete");
    for case in list(&fixture()["plateaus"], Value::clone) {
        let mut plateau = Plateau::of(&recipe).expect("the schedule goes by the loss");
        for (loss, expected) in list(&case["losses"], number).into_iter().zip(list(&case["learning_rates"], number)) {
            plateau.step(loss, &kwargs(&case["kwargs"]));
            assert!((plateau.learning_rate - expected).abs() < 1e-15, "{case}: {} instead of {expected}", plateau.learning_rate);
        }
        let saved: Plateau = serde_json::from_str(&serde_json::to_string(&plateau).expect("JSON")).expect("it reads itself");
        assert_eq!(saved, plateau);
    }
    let error = Recipe::parse("r.yaml", text, &["eval_strategy=no".into()]).expect_err("nothing to go by").to_string();
    assert!(error.contains("goes by the evaluations' loss"), "{error}");
}

#[test]
fn samples_of_similar_length_come_together_as_transformers_puts_them() {
    for case in list(&fixture()["grouped"], Value::clone) {
        let (order, lengths) = (list(&case["order"], index), list(&case["lengths"], index));
        let grouped = group_by_length(&order, &lengths, index(&case["batch_size"]));
        assert_eq!(grouped, list(&case["indices"], index));
    }
}

/// LLaMA-Factory's ComputeAccuracy: of each sample the share of targets that are the likeliest token, by logits that the generator computes,
/// and the mean over the samples. The loss is the same as without.
#[test]
fn accuracy_is_the_mean_share_of_likeliest_tokens() {
    block_on(async {
        for model in ["llama", "gemma3", "gpt2"] {
            let directory: Rc<dyn Directory> = Rc::new(NativeDirectory::new(format!("tests/fixtures/golden/{model}")));
            let checkpoint = Checkpoint::open(directory).await.unwrap_or_else(|e| panic!("{model}: {e}"));
            let vocabulary = checkpoint.config().vocab_size as u32;
            let options = GeneratorOptions { context: Some(24), chunk: None };
            let mut generator = Generator::load(gpu(), &checkpoint, options).await.expect("it loads");
            let (mut samples, mut shares) = (Vec::new(), Vec::new());
            for (number, length) in [7u32, 12, 20].into_iter().enumerate() {
                // Every other target is what the model holds for likeliest, so that there is something to be right about.
                let mut ids = vec![number as u32 + 5];
                while ids.len() < length as usize {
                    let rows = generator.logits(&ids).await.expect("it computes");
                    let likeliest = argmax(rows.last().expect("a row"));
                    let at = ids.len() as u32;
                    ids.push(if at.is_multiple_of(2) { likeliest } else { (at * 37 + number as u32) % vocabulary });
                }
                let rows = generator.logits(&ids).await.expect("it computes");
                let learned = |at: usize| at >= 2 + number;
                let targets: Vec<usize> = (1..ids.len()).filter(|at| learned(*at)).collect();
                let right = targets.iter().filter(|at| argmax(&rows[*at - 1]) == ids[**at]).count();
                shares.push(right as f64 / targets.len() as f64);
                let labels = ids.iter().enumerate().map(|(at, id)| if learned(at) { *id as i32 } else { -100 }).collect();
                samples.push(Sample::new(ids, labels, number + 1));
            }
            let expected = shares.iter().sum::<f64>() / shares.len() as f64;
            assert!(shares.iter().all(|share| *share > 0.2 && *share < 1.0), "{model}: {shares:?}");
            let plain = score(&gpu(), &checkpoint, &samples, 8).await.expect("a score");
            let counted = score_adapted(&gpu(), &checkpoint, None, &samples, 8, true).await.expect("a score");
            assert_eq!(plain.accuracy, None);
            let accuracy = counted.accuracy.expect("it was asked for");
            assert!((accuracy - expected).abs() < 1e-6, "{model}: {accuracy} instead of {expected}");
            assert!((plain.loss - counted.loss).abs() < 1e-6 * plain.loss, "{model}: {} and {}", plain.loss, counted.loss);
        }
    });
}

fn argmax(logits: &[f32]) -> u32 {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    logits.iter().position(|logit| *logit == largest).expect("a row is not empty") as u32
}
