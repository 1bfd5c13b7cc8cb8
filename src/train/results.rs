//! The files of results that a finished run writes beside the model, with LLaMA-Factory's names.

use serde_json::{Map, Value, json};

use super::history::History;
use super::job::{Job, Outcome};
use super::names::STATE_FILE;
use super::state::SavedState;
use crate::config::Stage;
use crate::error::Result;
use crate::platform::{Plot, plot, write_file, write_json};

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
        let mut eval = json!({ "epoch": outcome.epoch, "eval_loss": loss });
        if !job.recipe.stage.compares_answers() {
            eval["perplexity"] = loss.exp().into();
        }
        let preferences = job.recipe.stage.compares_answers();
        for (name, figure) in history.figures_of(loss).into_iter().filter(|(name, _)| preferences || name.ends_with("_accuracy")) {
            eval[name] = figure.into();
        }
        merge(&mut all, &eval);
        write_json(job.out, "eval_results.json", &eval).await?;
    }
    write_json(job.out, "all_results.json", &Value::Object(all)).await?;
    write_json(job.out, STATE_FILE, &state.with_history(job.recipe, history)).await?;
    if !job.recipe.plot_loss {
        return Ok(());
    }
    // Of the figures, those that LLaMA-Factory draws.
    let (of_loss, figure) = match job.recipe.stage {
        Stage::Sft | Stage::Pt => (
            "loss per token (nats)",
            job.recipe.compute_accuracy.then_some(("accuracy", "Right tokens, mean over samples", "share of tokens")),
        ),
        Stage::Dpo => ("loss per pair", Some(("rewards/accuracies", "Pairs whose preferred answer leads", "share of pairs"))),
        Stage::Rm => ("loss per pair", Some(("accuracy", "Pairs whose preferred answer leads", "share of pairs"))),
        Stage::Kto => ("loss per answer", Some(("rewards/chosen", "Reward of good answers", "reward"))),
    };
    let (train, eval) = (history.losses(), history.eval_losses());
    let title = if eval.is_empty() { "Training loss" } else { "Training and evaluation loss" };
    let loss = Plot { title, y_desc: of_loss, name: "loss", train: &train, eval: &eval };
    if let Some(png) = plot(&loss) {
        write_file(job.out, "training_loss.png", &png).await?;
    }
    if let Some((name, title, y_desc)) = figure {
        let [train, eval] = history.figure(name);
        let figure = Plot { title, y_desc, name, train: &train, eval: &eval };
        if let Some(png) = plot(&figure) {
            write_file(job.out, &format!("training_{}.png", name.replace('/', "_")), &png).await?;
        }
    }
    Ok(())
}

fn merge(all: &mut Map<String, Value>, part: &Value) {
    if let Value::Object(part) = part {
        all.extend(part.iter().map(|(k, v)| (k.clone(), v.clone())));
    }
}
