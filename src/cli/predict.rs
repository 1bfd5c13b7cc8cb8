//! Prediction (`do_predict`): the model answers the prompts of the evaluation samples, and the answers are compared with the expected ones; or
//! a reward model judges the samples' answers.

use std::rc::Rc;
use std::time::Instant;

use rootstock::config::{Generating, Recipe};
use rootstock::data::Sample;
use rootstock::generate::{GeneratorOptions, Judge, SamplingOptions, Similarity, context_limit};
use rootstock::gpu::Gpu;
use rootstock::platform::{NativeDirectory, json_line, write_file, write_json};
use rootstock::workflow::Model;
use rootstock::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};

use super::console::{self, Console, count};

/// The file of answers, by LLaMA-Factory's name.
const ANSWERS: &str = "generated_predictions.jsonl";

/// One answer, as LLaMA-Factory writes it.
#[derive(Debug, Serialize)]
struct Prediction {
    prompt: String,
    predict: String,
    label: String,
}

/// What a prediction scores.
#[derive(Debug, Serialize)]
pub(super) struct Predicted {
    #[serde(flatten)]
    pub(super) mean: Similarity,
    pub(super) samples: usize,
    pub(super) runtime: f64,
}

/// The recipe's evaluation samples end with one answer, which alone is expected.
pub(super) fn for_prediction(recipe: Recipe) -> Recipe {
    Recipe { train_on_prompt: false, mask_history: true, ..recipe }
}

/// Answers the prompts of samples, writes the answers and their scores into the recipe's output_dir, and returns the scores.
///
/// # Errors
/// When a prompt leaves no room in the model's context; what generating and writing fail with.
pub(super) async fn predict(model: &Model, recipe: &Recipe, samples: &[Sample], gpu: &Rc<Gpu>, console: Console) -> Result<Predicted> {
    let prompts: Vec<(&[u32], Vec<u32>)> = samples.iter().map(split).collect();
    let longest = prompts.iter().map(|(prompt, _)| prompt.len()).max().unwrap_or(0);
    let needed = longest.saturating_add(recipe.generating.max_new_tokens).max(1);
    let context = needed.min(context_limit(model.config(), gpu.profile()));
    let mut responder = model.responder(gpu.clone(), GeneratorOptions { context: Some(context), chunk: None }).await?;
    let tokenizer = model.tokenizer.clone();
    let (judge, started) = (Judge::default(), Instant::now());
    let (mut lines, mut scores) = (String::new(), Vec::new());
    for (index, (prompt, label)) in prompts.iter().enumerate() {
        if console.is_interactive() {
            console.replace(&format!("answer {} of {}", index + 1, prompts.len()));
        }
        let options = sampling(&recipe.generating, recipe.seed.wrapping_add(index as u64));
        let mut answer = responder.begin(prompt, options, recipe.generating.max_new_tokens).await?;
        let mut predict = String::new();
        while let Some(piece) = answer.next_text().await? {
            predict += &piece;
        }
        let prediction = Prediction { prompt: tokenizer.decode(prompt, false)?, predict, label: tokenizer.decode(label, true)? };
        scores.push(judge.score(&prediction.predict, &prediction.label));
        lines += &json_line(ANSWERS, &prediction)?;
        lines.push('\n');
    }
    if console.is_interactive() {
        console.replace("");
    }
    let predicted = Predicted { mean: Judge::mean(&scores), samples: scores.len(), runtime: started.elapsed().as_secs_f64() };
    let out = NativeDirectory::new(&recipe.output_dir);
    write_file(&out, ANSWERS, lines.as_bytes()).await?;
    let results = results(&predicted)?;
    for name in ["predict_results.json", "all_results.json"] {
        write_json(&out, name, &results).await?;
    }
    Ok(predicted)
}

/// What a reward model makes of pairs of answers.
#[derive(Debug, Serialize)]
pub(super) struct JudgedPairs {
    /// The mean of −ln σ(preferred − rejected).
    loss: f64,
    /// The share of pairs whose preferred answer has the higher value.
    accuracy: f64,
    samples: usize,
    runtime: f64,
}

/// Lets a reward model judge the answers of samples and writes what it gives them into the recipe's output_dir: a line a pair, rounded to two
/// digits, as LLaMA-Factory writes it.
///
/// # Errors
/// What judging and writing fail with.
pub(super) async fn judge(model: &Model, recipe: &Recipe, samples: &[Sample], gpu: &Rc<Gpu>) -> Result<JudgedPairs> {
    #[derive(Serialize)]
    struct Line {
        chosen: f64,
        rejected: f64,
    }
    let started = Instant::now();
    let values = model.judge(gpu, samples, recipe).await?;
    let rounded = |value: f32| (f64::from(value) * 100.0).round() / 100.0;
    let mut lines = String::new();
    for [chosen, rejected] in &values {
        lines += &json_line(ANSWERS, &Line { chosen: rounded(*chosen), rejected: rounded(*rejected) })?;
        lines.push('\n');
    }
    let count = values.len().max(1) as f64;
    let margin = |[chosen, rejected]: &[f32; 2]| f64::from(*chosen) - f64::from(*rejected);
    let judged = JudgedPairs {
        loss: values.iter().map(|pair| (-margin(pair)).max(0.0) + (-margin(pair).abs()).exp().ln_1p()).sum::<f64>() / count,
        accuracy: values.iter().filter(|[chosen, rejected]| chosen > rejected).count() as f64 / count,
        samples: values.len(),
        runtime: started.elapsed().as_secs_f64(),
    };
    let out = NativeDirectory::new(&recipe.output_dir);
    write_file(&out, ANSWERS, lines.as_bytes()).await?;
    let results = json!({
        "predict_loss": judged.loss,
        "predict_accuracy": judged.accuracy,
        "predict_runtime": judged.runtime,
        "predict_samples_per_second": count / judged.runtime.max(1e-9),
    });
    for name in ["predict_results.json", "all_results.json"] {
        write_json(&out, name, &results).await?;
    }
    Ok(judged)
}

/// Shows what a reward model made of pairs.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn show_judged(judged: &JudgedPairs, output_dir: &str) -> Result<()> {
    let row = |name: &str, value: f64| vec![name.to_string(), format!("{value:.4}")];
    console::print(&console::table(&[row("predict_loss", judged.loss), row("predict_accuracy", judged.accuracy)]))?;
    console::print(&format!("{} in {output_dir}/{ANSWERS}", count(judged.samples, "pair")))
}

/// The scores under the names that LLaMA-Factory gives them.
fn results(predicted: &Predicted) -> Result<Value> {
    let mean = serde_json::to_value(predicted.mean).map_err(|e| Error::file("predict_results.json", e.to_string()))?;
    let named = mean.as_object().into_iter().flatten().map(|(name, value)| (format!("predict_{name}"), value.clone()));
    let mut results: serde_json::Map<String, Value> = named.collect();
    let per_second = predicted.samples as f64 / predicted.runtime.max(1e-9);
    results.insert("predict_runtime".into(), json!(predicted.runtime));
    results.insert("predict_samples_per_second".into(), json!(per_second));
    Ok(Value::Object(results))
}

/// Shows the scores.
///
/// # Errors
/// When stdout cannot be written.
pub(super) fn show(predicted: &Predicted, output_dir: &str) -> Result<()> {
    let Similarity { bleu_4, rouge_1, rouge_2, rouge_l } = predicted.mean;
    let row = |name: &str, score: f64| vec![name.to_string(), format!("{score:.4}")];
    let scores = [row("BLEU-4", bleu_4), row("ROUGE-1", rouge_1), row("ROUGE-2", rouge_2), row("ROUGE-L", rouge_l)];
    console::print(&console::table(&scores))?;
    console::print(&format!("{} in {output_dir}/{ANSWERS}", count(predicted.samples, "answer")))
}

/// The tokens before the expected answer, and those of the answer.
fn split(sample: &Sample) -> (&[u32], Vec<u32>) {
    let is_expected = |at: &usize| sample.labels[*at] >= 0;
    let first = (0..sample.ids.len()).find(is_expected).unwrap_or(sample.ids.len());
    let label = (first..sample.ids.len()).filter(is_expected).map(|at| sample.ids[at]).collect();
    (&sample.ids[..first], label)
}

fn sampling(drawn: &Generating, seed: u64) -> SamplingOptions {
    SamplingOptions {
        greedy: !drawn.do_sample,
        temperature: drawn.temperature as f32,
        top_k: drawn.top_k,
        top_p: drawn.top_p as f32,
        min_p: 0.0,
        repetition_penalty: drawn.repetition_penalty as f32,
        seed,
    }
}
