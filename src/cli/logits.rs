//! `rootstock logits`.

use std::rc::Rc;

use clap::Args;
use rootstock::adapter::Adapted;
use rootstock::generate::{Generator, GeneratorOptions};
use rootstock::validate::open_checkpoint;
use rootstock::workflow::{Paths, Places};
use rootstock::{Error, Result};
use serde::{Deserialize, Serialize};

use super::Global;
use super::console;
use super::setup::{AdapterArgs, open_adapters};

/// Prints a model's logits for token ids, to compare them with another program's
///
/// The output is {"input_ids": […], "logits": [[…], …]}, or a list of these for a list of texts: a row of logits for each token, each
/// text on its own, positions from 0. scripts/fixtures/check_interop.py compares it with transformers.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  echo '[1, 5, 9]' > ids.json
  rootstock logits --model out --ids ids.json > logits.json
  python scripts/fixtures/check_interop.py out --reference-logits logits.json")]
pub(super) struct LogitsArgs {
    /// The model's directory
    #[arg(long, value_name = "DIR")]
    model: String,
    #[command(flatten)]
    adapters: AdapterArgs,
    /// JSON: a list of token ids, or a list of such lists
    #[arg(long, value_name = "FILE")]
    ids: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Ids {
    One(Vec<u32>),
    Several(Vec<Vec<u32>>),
}

#[derive(Serialize)]
struct Document {
    input_ids: Vec<u32>,
    logits: Vec<Vec<f32>>,
}

pub(super) async fn run(args: &LogitsArgs, global: &Global) -> Result<()> {
    let text = std::fs::read(&args.ids).map_err(|e| Error::file(&args.ids, e.to_string()))?;
    let ids: Ids = serde_json::from_slice(&text)
        .map_err(|_| Error::file(&args.ids, "this must be a JSON list of token ids, [1, 5, 9], or a list of such lists"))?;
    let checkpoint = open_checkpoint(Paths.directory(&args.model).await?).await?;
    let adapters = open_adapters(&checkpoint, &args.adapters.adapters, global.console()).await?;
    let adapted = Adapted::new(&checkpoint, &adapters)?;
    let gpu = Rc::new(global.gpu().await?);
    let texts = match &ids {
        Ids::One(ids) => std::slice::from_ref(ids),
        Ids::Several(texts) => texts,
    };
    let longest = texts.iter().map(Vec::len).max().unwrap_or(0).max(1);
    let options = GeneratorOptions { context: Some(longest), chunk: None };
    let mut generator = Generator::load_adapted(gpu, adapted.model(), adapted.apart(), options).await?;
    let mut documents = Vec::new();
    for ids in texts {
        documents.push(Document { input_ids: ids.clone(), logits: generator.logits(ids).await? });
    }
    let json = match (&ids, documents.first()) {
        (Ids::One(_), Some(one)) => serde_json::to_string(one),
        _ => serde_json::to_string(&documents),
    };
    console::print(&json.map_err(|e| Error::file("the standard output", e.to_string()))?)
}
