//! The files that a finished run leaves beside the model, with LLaMA-Factory's names.

use serde_json::{Map, Value, json};

use super::history::History;
use super::job::{Job, Outcome};
use super::state::SavedState;
use crate::error::Result;
use crate::platform::{loss_plot, write_file};

pub(super) async fn write(job: &Job<'_>, outcome: &Outcome, state: &SavedState, history: &History) -> Result<()> {
    let train = json!({
        "epoch": outcome.epoch,
        "total_steps": outcome.steps,
        "train_loss": outcome.train_loss,
        "train_runtime": outcome.train_runtime,
        "train_samples_per_second": outcome.train_samples_per_second,
        "train_steps_per_second": outcome.train_steps_per_second,
        "tokens_per_second": outcome.tokens_per_second,
        "peak_bytes": outcome.peak_bytes,
    });
    let mut all = Map::new();
    merge(&mut all, &train);
    write_json(job, "train_results.json", &train).await?;
    if let Some(loss) = outcome.eval_loss {
        let eval = json!({ "epoch": outcome.epoch, "eval_loss": loss, "perplexity": loss.exp() });
        merge(&mut all, &eval);
        write_json(job, "eval_results.json", &eval).await?;
    }
    write_json(job, "all_results.json", &Value::Object(all)).await?;
    let mut state = serde_json::to_value(state).unwrap_or_default();
    state["log_history"] = history.log_history().into();
    write_json(job, "trainer_state.json", &state).await?;
    if job.recipe.plot_loss
        && let Some(png) = loss_plot(&history.losses(), &history.eval_losses())
    {
        write_file(job.out, "training_loss.png", &png).await?;
    }
    Ok(())
}

fn merge(all: &mut Map<String, Value>, part: &Value) {
    if let Value::Object(part) = part {
        all.extend(part.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
}

async fn write_json(job: &Job<'_>, name: &str, value: &Value) -> Result<()> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    write_file(job.out, name, &bytes).await
}
