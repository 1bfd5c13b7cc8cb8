//! The files of results that a finished run writes beside the model, with LLaMA-Factory's names.

use serde_json::{Map, Value, json};

use super::history::History;
use super::job::{Job, Outcome};
use super::names::STATE_FILE;
use super::state::SavedState;
use crate::error::Result;
use crate::platform::{loss_plot, write_file, write_json};

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
    write_json(job.out, "train_results.json", &train).await?;
    if let Some(loss) = outcome.eval_loss {
        let eval = json!({ "epoch": outcome.epoch, "eval_loss": loss, "perplexity": loss.exp() });
        merge(&mut all, &eval);
        write_json(job.out, "eval_results.json", &eval).await?;
    }
    write_json(job.out, "all_results.json", &Value::Object(all)).await?;
    write_json(job.out, STATE_FILE, &state.to_json(job.recipe, history)?).await?;
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
