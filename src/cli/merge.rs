//! `rootstock merge`.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::{Args, ValueEnum};
use rootstock::adapter::{Adapted, Adapter, Merged};
use rootstock::checkpoint::{Checkpoint, Dtype, ModelSource, NewDirectory, WriteOptions};
use rootstock::config::{ExportDtype, FinetuningType, Quantization, Recipe, Using};
use rootstock::data::Sample;
use rootstock::error::on_one_line;
use rootstock::generate::{Generator, GeneratorOptions};
use rootstock::gpu::{Gpu, human_bytes};
use rootstock::kernels::WeightType;
use rootstock::model::ModelConfig;
use rootstock::platform::{Directory, NativeDirectory, as_directory, open_directory, parent_and_name};
use rootstock::random::Random;
use rootstock::validate::{self, Options, Verdict, open_checkpoint};
use rootstock::workflow::{Paths, Places, write_merged_as};
use rootstock::{Error, Model, Result};

use super::Global;
use super::console::{self, Console, count, thousands};
use super::held_out::HeldOutArgs;
use super::hub;
use super::setup::{self, open_adapters, recipe_text};

/// Adds LoRA adapters to their base and writes one complete model (LLaMA-Factory's export)
///
/// The change is added in f32 and rounded once, into the type that the base is stored in. Where embedding and head are one tensor
/// and the adapter changes only one of them, the head becomes a tensor of its own. The result is validated and run; it gets its
/// name only if it computes what base and adapter compute together.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock merge --model models/SmolLM2-135M --adapter out --out merged
  rootstock merge recipe.yaml                     # a recipe of llamafactory-cli export
  rootstock merge train.yaml --out merged         # the recipe of the run that made the adapter: its output_dir is merged, and the losses
                                                  # before and after are those on what it held out
  rootstock merge --model base --adapter style --adapter facts --out merged --dtype f32")]
pub(super) struct MergeArgs {
    /// A recipe that names model, adapters and export_dir (LLaMA-Factory's keys), or that of a run with LoRA; options win over it
    #[arg(required_unless_present = "model", conflicts_with_all = ["model", "adapters"])]
    recipe: Option<PathBuf>,
    /// Settings that win over the recipe's
    #[arg(value_name = "KEY=VALUE", requires = "recipe")]
    overrides: Vec<String>,
    /// The base model's directory
    #[arg(long, value_name = "DIR", requires_all = ["adapters", "out"])]
    model: Option<String>,
    /// An adapter's directory; several are added up
    #[arg(long = "adapter", value_name = "DIR")]
    adapters: Vec<String>,
    /// Where the merged model goes: a directory that does not exist yet or is empty
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// The type to store weights in [default: the base's]
    #[arg(long, value_name = "TYPE")]
    dtype: Option<StoredType>,
    /// Samples to show the loss on, of base and adapter before, of the merged model after
    #[command(flatten)]
    held_out: HeldOutArgs,
    /// The adapter was trained beside a base in so many bits (4: NF4): the loss before is that of this base
    #[arg(long, value_name = "BITS", value_parser = ["8", "4"], requires = "dataset")]
    quantization_bit: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum StoredType {
    F32,
    Bf16,
    F16,
}

impl From<StoredType> for Dtype {
    fn from(stored: StoredType) -> Dtype {
        match stored {
            StoredType::F32 => Dtype::F32,
            StoredType::Bf16 => Dtype::BF16,
            StoredType::F16 => Dtype::F16,
        }
    }
}

/// Tokens that the result is run on beside base and adapter.
const PROBE: usize = 48;
/// Largest difference of logits over the largest logit between weights with the change added in f32 and the low-rank product apart:
/// two orders of the same sums.
const SAME: f32 = 1e-4;

/// Largest difference of logits over the largest logit that rounding all weights to `dtype` may cause: a guard against a wrong
/// result, with a margin.
fn rounding(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::BF16 => 0.1,
        Dtype::F16 => 0.02,
        _ => SAME,
    }
}

pub(super) async fn run(args: &MergeArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let Wanted { model, adapters, out, dtype, max_shard_size, of_run } = wanted(args, console).await?;
    let place = Place::of(&out)?;
    hub::ensure(&model, console)?;
    let base = open_checkpoint(Paths.directory(&model).await?).await?;
    console.say(&format!("model    {model}"));
    if let Some(types) = kept_types(&base) {
        console.say(&format!(
            "note: the base is stored in few bits ({types}); the adapter is added to what they decode to, and the result is as large as the unquantised \
             model"
        ));
    }
    let adapters = open_adapters(&base, &adapters, console).await?;
    // Before the work: what is wrong with the data is no surprise after it.
    let samples = samples(&base, &args.held_out, of_run.as_ref(), console).await?;
    let gpu = Rc::new(global.gpu().await?);
    let merge = Merge { base: &base, adapters: &adapters, dtype, max_shard_size };
    let agreement = merge.write(&gpu, &place, &[random_ids(base.config())], console).await?;
    let (count, out) = (count(adapters.len(), "adapter"), place.path.display());
    console::print(&format!("merged {count} into {out} ({}, {}); {agreement}", human_bytes(agreement.bytes), agreement.dtype))?;
    if samples.is_empty() {
        return Ok(());
    }
    let before = Model { adapters: Rc::new(adapters), ..Model::open(base.directory().clone()).await? };
    let bits = args.quantization_bit.as_ref().and_then(|bits| bits.parse().ok());
    let before = before.quantised(of_run.map_or(Quantization { bits, ..Quantization::default() }, |recipe| recipe.quantization));
    let after = Model::open(Rc::new(open_directory(&place.path)?)).await?;
    console::print(&losses(&samples, &gpu, &before, &after).await?)
}

/// The samples that the losses are shown on: those of the options, else what the run held out; none where there are none.
async fn samples(base: &Checkpoint, held_out: &HeldOutArgs, of_run: Option<&Recipe>, console: Console) -> Result<Vec<Sample>> {
    let model = || Model::open(base.directory().clone());
    let Some(recipe) = of_run.filter(|_| held_out.dataset.is_empty()) else {
        if held_out.dataset.is_empty() {
            return Ok(Vec::new());
        }
        return held_out.samples(&model().await?, console).await;
    };
    if recipe.stage.compares_answers() {
        console.say("note: the run learned from preferences, which say nothing of a text's loss; --dataset names texts to show it on");
        return Ok(Vec::new());
    }
    let eval = setup::prepare(&model().await?, recipe, &Paths, console).await?.eval;
    match eval.samples.len() {
        0 => {
            console.say("note: the run held nothing out (val_size, eval_dataset), so that no loss is shown; --dataset names samples for it")
        }
        samples => console.say(&format!("eval     {} of the run ({})", count(samples, "sample"), count(eval.tokens(), "token"))),
    }
    Ok(eval.samples)
}

/// The types of few bits in which a model is kept on the GPU; none where it is not.
fn kept_types(model: &Checkpoint) -> Option<String> {
    let types: BTreeSet<&str> = model.params().iter().filter_map(|param| model.kept(param)).map(WeightType::name).collect();
    (!types.is_empty()).then(|| types.into_iter().collect::<Vec<_>>().join(", "))
}

/// Samples that are scored at a time; fewer where memory is short.
const SCORED: usize = 8;

/// The losses of base and adapter as they were trained, of the base alone, and of the merged model.
async fn losses(samples: &[Sample], gpu: &Rc<Gpu>, before: &Model, after: &Model) -> Result<String> {
    let kept = kept_types(&before.checkpoint).map_or(String::new(), |types| format!(" (base in {types})"));
    let alone = Model { adapters: Rc::default(), ..before.clone() };
    let mut rows = vec![vec![String::new(), "loss".to_string(), "perplexity".to_string()]];
    for (what, model) in [(format!("base{kept}"), &alone), (format!("base + adapter{kept}"), before), ("merged".to_string(), after)] {
        let score = model.score(gpu, samples, SCORED).await?;
        rows.push(vec![what, format!("{:.6}", score.loss), format!("{:.4}", score.perplexity)]);
    }
    Ok(console::table(&rows))
}

/// What a command line or a recipe asks for.
struct Wanted {
    model: String,
    adapters: Vec<String>,
    out: PathBuf,
    dtype: Option<Dtype>,
    max_shard_size: u64,
    /// The recipe of the run that made the adapter.
    of_run: Option<Recipe>,
}

async fn wanted(args: &MergeArgs, console: Console) -> Result<Wanted> {
    let dtype = args.dtype.map(Dtype::from);
    let Some(path) = &args.recipe else {
        let out = args.out.clone().unwrap_or_default();
        let max_shard_size = WriteOptions::default().max_shard_size;
        let (model, adapters) = (args.model.clone().unwrap_or_default(), args.adapters.clone());
        return Ok(Wanted { model, adapters, out, dtype, max_shard_size, of_run: None });
    };
    let (name, text) = recipe_text(path).await?;
    let mut recipe = Using::parse(&name, &text, &args.overrides)?;
    let of_run = match recipe.has_data {
        true => Some(run_of(Recipe::parse(&name, &text, &args.overrides)?, &mut recipe)?),
        false => None,
    };
    console.notes(&recipe.notices);
    let Some(out) = args.out.clone().or(recipe.export_dir.map(PathBuf::from)) else {
        return Err(Error::recipe("export_dir", "this key is missing; write the directory that the merged model goes to, or give --out"));
    };
    if recipe.quantization.bits.is_some() && of_run.is_none() {
        let reason = "an adapter cannot be merged into quantised weights, whose rounding would take most of it away (LLaMA-Factory refuses it \
                      as well); remove this key, or write quantization_bit=null behind the recipe: the adapter is then merged into the model's \
                      weights as they are stored";
        return Err(Error::recipe("quantization_bit", reason));
    }
    let stored = match recipe.export_dtype {
        ExportDtype::Auto => None,
        ExportDtype::Float32 => Some(Dtype::F32),
        ExportDtype::Float16 => Some(Dtype::F16),
        ExportDtype::Bfloat16 => Some(Dtype::BF16),
    };
    if recipe.adapter_name_or_path.is_empty() {
        console.say("note: the recipe names no adapter: the model is written again as it is");
    }
    Ok(Wanted {
        model: recipe.model_name_or_path,
        adapters: recipe.adapter_name_or_path,
        out,
        dtype: dtype.or(stored),
        max_shard_size: recipe.max_shard_size,
        of_run,
    })
}

/// Takes a recipe for that of the run that made an adapter, which is in its `output_dir` unless adapters are named.
///
/// # Errors
/// [`Error::Recipe`] for a run that makes no adapter.
fn run_of(recipe: Recipe, using: &mut Using) -> Result<Recipe> {
    if recipe.finetuning_type != FinetuningType::Lora {
        let reason = format!("this run makes no adapter: what it leaves in output_dir ({}) is a whole model already", recipe.output_dir);
        return Err(Error::recipe("finetuning_type", reason));
    }
    if using.adapter_name_or_path.is_empty() {
        using.adapter_name_or_path.push(recipe.output_dir.clone());
    }
    Ok(recipe)
}

/// Token ids for the comparison when the caller has no texts.
fn random_ids(config: &ModelConfig) -> Vec<u32> {
    let mut random = Random::new(0, 0);
    (0..PROBE.min(config.max_position_embeddings)).map(|_| random.below(config.vocab_size as u64) as u32).collect()
}

/// What is merged.
pub(super) struct Merge<'a> {
    pub(super) base: &'a Checkpoint,
    pub(super) adapters: &'a [Adapter],
    /// The type to store weights in; the base's when absent.
    pub(super) dtype: Option<Dtype>,
    /// The largest file of weights, in bytes.
    pub(super) max_shard_size: u64,
}

/// How well a merged model agrees with base and adapters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Agreement {
    /// Bytes of the weights.
    pub(super) bytes: u64,
    pub(super) dtype: Dtype,
    /// Largest difference of logits over the largest logit.
    pub(super) difference: f32,
    /// Positions that were looked at, and those at which both find the same token likeliest.
    pub(super) positions: usize,
    pub(super) same: usize,
}

impl Display for Agreement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let why = if self.dtype == Dtype::F32 { String::new() } else { format!(", from rounding to {}", self.dtype) };
        let Agreement { difference, same, positions, .. } = self;
        write!(
            f,
            "its logits are within {difference:.1e} of base + adapter's{why}, the likeliest token is the same at {} of {} positions",
            thousands(*same as u64),
            thousands(*positions as u64)
        )
    }
}

impl Merge<'_> {
    /// Merges into a new directory, which appears when it has been validated and computes for `texts` (token ids) what base and
    /// adapters do.
    ///
    /// # Errors
    /// When the result is not valid or differs; its partial directory is removed.
    pub(super) async fn write(&self, gpu: &Rc<Gpu>, place: &Place, texts: &[Vec<u32>], console: Console) -> Result<Agreement> {
        let merged = Merged::new(self.base, self.adapters)?;
        let dtype = self.dtype.unwrap_or(merged.base_dtype());
        if merged.unties() {
            console.say("note: embedding and head were one tensor; as only one of them is changed, the head becomes a tensor of its own");
        }
        let new = place.begin(console).await?;
        let found = async {
            let options = WriteOptions { dtype, max_shard_size: self.max_shard_size };
            write_merged_as(self.base, self.adapters, options, &*new.directory()).await?;
            let directory: Rc<dyn Directory> = Rc::from(as_directory(new.directory()));
            let report = validate::validate(directory.clone(), &Options::default(), &mut |_| {}).await?;
            if report.verdict != Verdict::Ready {
                // A fault that the base has too (no tokenizer, say) is a warning; a fault that merging caused is an error.
                let before =
                    validate::validate(self.base.directory().clone(), &Options { quick: true, ..Options::default() }, &mut |_| {}).await?;
                let (old, new): (Vec<_>, Vec<_>) = report.errors().partition(|finding| before.has(finding.code));
                if !new.is_empty() {
                    let why: Vec<String> = new.iter().map(|finding| finding.message.to_string()).collect();
                    return Err(Error::file(
                        place.path.display().to_string(),
                        format!("the merged model is not sound: {}", why.join("; ")),
                    ));
                }
                for finding in old {
                    console.say(&format!("warning: as in the base: {}", on_one_line(&finding.message)));
                }
            }
            console.say("running the result beside base and adapter …");
            self.compare(&merged, &open_checkpoint(directory).await?, dtype, gpu, texts).await
        };
        let written = found.await;
        new.complete(written).await
    }

    /// Runs base and adapters, the sum in f32, and what was written, on the same tokens.
    async fn compare(&self, merged: &Merged, written: &Checkpoint, dtype: Dtype, gpu: &Rc<Gpu>, texts: &[Vec<u32>]) -> Result<Agreement> {
        let options = GeneratorOptions { context: texts.iter().map(Vec::len).max(), chunk: None };
        let adapted = Adapted::new(self.base, self.adapters)?;
        let expected = logits(Generator::load_adapted(gpu.clone(), adapted.model(), adapted.apart(), options).await?, texts).await?;
        let wrong = |what: &str, by: f32| {
            Error::file(
                written.directory().label(),
                format!(
                    "{what} computes logits that differ from those of base and adapter by {by:.1e} of the largest; this is a fault of the program, nothing was kept"
                ),
            )
        };
        let sum = logits(Generator::load(gpu.clone(), merged, options).await?, texts).await?;
        let by = difference(&sum, &expected);
        if by > SAME || by.is_nan() {
            return Err(wrong("the sum of base and adapter in f32", by));
        }
        let found = logits(Generator::load(gpu.clone(), written, options).await?, texts).await?;
        let by = difference(&found, &expected);
        if by > rounding(dtype) || by.is_nan() {
            return Err(wrong("the merged model", by));
        }
        let first = |row: &Vec<f32>| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(at, _)| at);
        let same = found.iter().zip(&expected).filter(|(a, b)| first(a) == first(b)).count();
        let bytes = merged.params().iter().map(|p| p.elements() * dtype.bitsize() as u64 / 8).sum();
        Ok(Agreement { bytes, dtype, difference: by, positions: expected.len(), same })
    }
}

/// The rows of logits of several texts, one after the other.
async fn logits(mut generator: Generator, texts: &[Vec<u32>]) -> Result<Vec<Vec<f32>>> {
    let mut rows = Vec::new();
    for ids in texts {
        rows.append(&mut generator.logits(ids).await?);
    }
    Ok(rows)
}

/// Largest difference over the largest magnitude.
fn difference(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    let largest = expected.iter().flatten().fold(0f32, |m, x| m.max(x.abs()));
    let error = found.iter().flatten().zip(expected.iter().flatten()).map(|(a, b)| (a - b).abs());
    error.fold(0f32, |m, x| if x.is_nan() { x } else { m.max(x) }) / largest
}

/// Where a result goes: a new directory.
pub(super) struct Place {
    pub(super) path: PathBuf,
    parent: NativeDirectory,
    name: String,
}

impl Place {
    /// A place that is free: nothing there, or an empty directory.
    ///
    /// # Errors
    /// [`Error::File`] when something is there.
    pub(super) fn of(path: &Path) -> Result<Place> {
        let shown = path.display().to_string();
        let fault = |reason: &str| Err(Error::file(shown.as_str(), reason));
        match std::fs::read_dir(path).map(Iterator::count) {
            Ok(1..) => {
                return fault("this directory is not empty; name another one for the result, or empty it");
            }
            Err(_) if path.exists() => return fault("this is a file; name a directory for the result"),
            _ => {}
        }
        let (parent, name) = parent_and_name(path);
        if name.is_empty() || name == ".." {
            return fault("name a new directory for the result");
        }
        Ok(Place { path: path.to_path_buf(), parent: NativeDirectory::new(parent), name })
    }

    /// The same where an earlier result may stand, which is removed: only files of these names.
    ///
    /// # Errors
    /// [`Error::File`] when anything else is there.
    pub(super) fn replacing(path: &Path, names: &[String]) -> Result<Place> {
        let entries: Vec<PathBuf> = std::fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        let known =
            |entry: &PathBuf| entry.is_file() && names.iter().any(|name| entry.file_name().is_some_and(|found| found == name.as_str()));
        if let Some(other) = entries.iter().find(|entry| !known(entry)) {
            return Err(Error::file(other.display().to_string(), "is in the way of the result; move it, or name another directory"));
        }
        for entry in entries {
            std::fs::remove_file(&entry).map_err(|e| Error::file(entry.display().to_string(), e.to_string()))?;
        }
        Place::of(path)
    }

    /// Begins to write there; says what an interrupted command left.
    ///
    /// # Errors
    /// When another command is writing there.
    pub(super) async fn begin(&self, console: Console) -> Result<NewDirectory<'_>> {
        let new = NewDirectory::begin(&self.parent, &self.name).await?;
        if let Some(sentence) = new.cleared() {
            console.say(&sentence);
        }
        Ok(new)
    }
}
