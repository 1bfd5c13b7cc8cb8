//! `rootstock extract`.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::Args;
use rootstock::adapter::{Adapted, Adapter, AdapterFiles, Extracted, ExtractedModule, Rank, extract, fingerprint, write_adapter};
use rootstock::checkpoint::{Carry, Checkpoint};
use rootstock::data::{Encoding, LoadedRecords, Tokenizer, check_fits_model, encode_records, load_datasets};
use rootstock::gpu::human_bytes;
use rootstock::platform::{Directory, as_directory, open_beside, open_directory};
use rootstock::train::{Score, score, score_adapted};
use rootstock::validate::open_checkpoint;
use rootstock::workflow::{Paths, Places};
use rootstock::{Error, Result};
use serde::Serialize;

use super::Global;
use super::console::{self, count, thousands};
use super::merge::Place;

/// Turns what a full fine-tune changed into a LoRA adapter of its base
///
/// The difference of each matrix is cut down to its strongest directions by a singular value decomposition. Norms, and embeddings
/// that a low rank cannot hold, are stored whole. The report says how much of the change is kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock extract --base models/SmolLM2-135M --tuned out --rank 16 --out adapter
  rootstock extract --base base --tuned tuned --rank auto --energy 0.95 --out adapter --dataset test.jsonl")]
pub(super) struct ExtractArgs {
    /// The model that training began with
    #[arg(long, value_name = "DIR")]
    base: String,
    /// The model that came out
    #[arg(long, value_name = "DIR")]
    tuned: String,
    /// The rank of every matrix, or auto: as low as --energy allows, matrix by matrix
    #[arg(long, value_name = "R|auto", value_parser = rank)]
    rank: Wanted,
    /// With --rank auto: the share of the squared change to keep, 0 to 1
    #[arg(long, value_name = "SHARE", default_value_t = 0.9)]
    energy: f64,
    /// Where the adapter goes: a directory that does not exist yet or is empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Measure the loss of base, tuned model, and base with adapter on this dataset
    #[arg(long, value_name = "FILE")]
    dataset: Vec<String>,
    /// Where dataset_info.json lies
    #[arg(long, value_name = "DIR", default_value = "data")]
    dataset_dir: String,
    /// Print {"rank", "energy", "modules": […], "lost": […], "losses"} as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy)]
enum Wanted {
    Fixed(usize),
    Auto,
}

fn rank(text: &str) -> std::result::Result<Wanted, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Wanted::Auto),
        Ok(rank) if rank > 0 => Ok(Wanted::Fixed(rank)),
        _ => Err("a whole number of at least 1, or auto".into()),
    }
}

#[derive(Serialize)]
struct Losses {
    base: Score,
    tuned: Score,
    adapter: Score,
}

#[derive(Serialize)]
struct Document<'a> {
    rank: usize,
    energy: f64,
    adapter_bytes: u64,
    tuned_parameters: u64,
    adapter_parameters: u64,
    modules: &'a [ExtractedModule],
    lost: &'a [String],
    losses: Option<Losses>,
}

pub(super) async fn run(args: &ExtractArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let rank = match args.rank {
        Wanted::Fixed(rank) => Rank::Fixed(rank),
        Wanted::Auto if (0.0..=1.0).contains(&args.energy) => Rank::Energy(args.energy),
        Wanted::Auto => return Err(Error::recipe("--energy", format!("is {}; it is a share, from 0 to 1", args.energy))),
    };
    let place = Place::of(&args.out)?;
    let base = open_checkpoint(Paths.directory(&args.base).await?).await?;
    console.say(&format!("base     {}", args.base));
    let tuned = open_checkpoint(Paths.directory(&args.tuned).await?).await?;
    console.say(&format!("tuned    {}", args.tuned));
    let total = tuned.params().len();
    let mut done = 0;
    let found = extract(&base, &tuned, rank, &mut |name| {
        done += 1;
        if console.is_interactive() {
            console.replace(&format!("{done} of {total}: {name}"));
        }
    })
    .await?;
    if console.is_interactive() {
        console.replace("");
    }
    let new = place.begin(console).await?;
    let written = async {
        let fingerprint = fingerprint(&base).await?;
        let carry = Carry::load(&**tuned.directory()).await?;
        let base_params = base.params();
        let files =
            AdapterFiles { config: &found.config, resolved: &found.resolved, base: base_params, fingerprint: &fingerprint, carry: &carry };
        write_adapter(&*new.directory(), &files, &found).await?;
        let directory: Rc<dyn Directory> = Rc::from(as_directory(new.directory()));
        let adapter = Adapter::open(directory, &base).await?;
        Ok((adapter.bytes(), adapter.params.iter().map(|p| p.decl.elements()).sum()))
    };
    let written = written.await;
    let (bytes, parameters) = new.complete(written).await?;
    let losses = if args.dataset.is_empty() { None } else { Some(losses(args, global, &base, &tuned).await?) };
    let document = Document {
        rank: found.config.r,
        energy: found.energy,
        adapter_bytes: bytes,
        tuned_parameters: tuned.params().iter().map(|p| p.elements()).sum(),
        adapter_parameters: parameters,
        modules: &found.modules,
        lost: &found.lost,
        losses,
    };
    if args.json {
        return console::print_json(&document);
    }
    console::print(&render(&found, &document, &args.out))
}

async fn losses(args: &ExtractArgs, global: &Global, base: &Checkpoint, tuned: &Checkpoint) -> Result<Losses> {
    const BATCH: usize = 8;
    let LoadedRecords { records, notices } = load_datasets(&args.dataset, &args.dataset_dir, None, &open_beside).await?;
    global.console().notes(&notices);
    let name = args.dataset.join(", ");
    let tokenizer = Tokenizer::load(&**base.directory()).await?;
    let config = base.config();
    let encoded = encode_records(&name, &records, &tokenizer, &Encoding::scoring(config.max_position_embeddings.max(2)))?;
    check_fits_model(&name, &encoded.samples, config)?;
    let gpu = Rc::new(global.gpu().await?);
    // As it lies on the disk now.
    let adapters = [Adapter::open(Rc::new(open_directory(Path::new(&args.out))?), base).await?];
    let adapted = Adapted::new(base, &adapters)?;
    Ok(Losses {
        base: score(&gpu, base, &encoded.samples, BATCH).await?,
        tuned: score(&gpu, tuned, &encoded.samples, BATCH).await?,
        adapter: score_adapted(&gpu, adapted.model(), adapted.apart(), &encoded.samples, BATCH, false).await?,
    })
}

/// The report for a person.
fn render(found: &Extracted, document: &Document<'_>, out: &Path) -> String {
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let mut rows = vec![["module", "rank", "kept", "size of the change"].map(str::to_string).to_vec()];
    for module in &found.modules {
        let rank = if module.rank == 0 { "whole".to_string() } else { module.rank.to_string() };
        rows.push(vec![module.module.clone(), rank, percent(module.energy), format!("{} of the weight", percent(module.change))]);
    }
    let mut text = console::table(&rows);
    if !found.lost.is_empty() {
        text.push_str(&format!("\n\nnot kept, as an adapter has no place for them beside an adapted matrix: {}", found.lost.join(", ")));
    }
    text.push_str(&format!(
        "\n\n{} keeps {} of the change: {} parameters ({}) instead of {}",
        out.display(),
        percent(found.energy),
        thousands(document.adapter_parameters),
        human_bytes(document.adapter_bytes),
        thousands(document.tuned_parameters)
    ));
    if let Some(Losses { base, tuned, adapter }) = &document.losses {
        let row = |name: &str, score: &Score| vec![name.to_string(), format!("{:.4}", score.loss), format!("{:.2}", score.perplexity)];
        let head = vec![format!("{} scored", count(base.samples, "sample")), "loss".into(), "perplexity".into()];
        let table = console::table(&[head, row("base", base), row("tuned", tuned), row("base + adapter", adapter)]);
        text.push_str(&format!("\n\n{table}"));
    }
    text
}
