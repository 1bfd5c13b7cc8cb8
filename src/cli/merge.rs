//! `rootstock merge`.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::{Args, ValueEnum};
use rootstock::adapter::{Adapted, Adapter, Merged};
use rootstock::checkpoint::{Carry, Checkpoint, Dtype, ModelSource, WriteOptions, write_checkpoint};
use rootstock::generate::{Generator, GeneratorOptions};
use rootstock::gpu::{Gpu, human_bytes};
use rootstock::platform::{Directory, NativeDirectory, OutputDirectory, as_directory, open_directory, parent_and_name};
use rootstock::random::Random;
use rootstock::validate::{self, Options, Verdict};
use rootstock::{Error, Result};

use super::Global;
use super::console::{self, Console, count};
use super::setup::{open_adapters, open_model_directory};

/// Adds LoRA adapters to their base: a complete model of its own comes out
///
/// The change is added in f32 and rounded once, into the type that the base is stored in. Where embedding and head are one tensor
/// and the adapter changes only one of them, the head becomes a tensor of its own. The result is validated and run: only when it
/// computes what base and adapter compute together does it appear under its name.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock merge --model models/SmolLM2-135M --adapter out --out merged
  rootstock merge --model base --adapter style --adapter facts --out merged --dtype f32")]
pub(super) struct MergeArgs {
    /// The base model's directory
    #[arg(long, value_name = "DIR")]
    model: String,
    /// An adapter's directory; several are added up
    #[arg(long = "adapter", value_name = "DIR", required = true)]
    adapters: Vec<String>,
    /// Where the merged model goes: a directory that does not exist yet or is empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// The type to store weights in [default: the base's]
    #[arg(long, value_name = "TYPE")]
    dtype: Option<StoredType>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StoredType {
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

/// What rounding all weights of a model may do to its logits, over the largest: a guard against a wrong result, with room.
fn rounding(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::BF16 => 0.1,
        Dtype::F16 => 0.02,
        _ => SAME,
    }
}

pub(super) async fn run(args: &MergeArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let place = NewDirectory::of(&args.out)?;
    let base = Checkpoint::open(Rc::new(open_model_directory(&args.model)?)).await?;
    console.say(&format!("model    {}", args.model));
    let adapters = open_adapters(&base, &args.adapters, console).await?;
    let gpu = Rc::new(global.gpu().await?);
    let merged = merge(&base, &adapters, &args.adapters, args.dtype.map(Dtype::from), &gpu, &place, console).await?;
    console::print(&merged)
}

/// Merges into a new directory and says what came out.
///
/// # Errors
/// When the result is not what it should be; nothing is left then.
pub(super) async fn merge(
    base: &Checkpoint,
    adapters: &[Adapter],
    paths: &[String],
    dtype: Option<Dtype>,
    gpu: &Rc<Gpu>,
    place: &NewDirectory,
    console: Console,
) -> Result<String> {
    let merged = Merged::new(base, adapters)?;
    let dtype = dtype.unwrap_or(merged.base_dtype());
    if merged.unties() {
        console.say("note: embedding and head were one tensor; as only one of them is changed, the head becomes a tensor of its own");
    }
    let mut carry = Carry::load(&**base.directory()).await?;
    for path in paths {
        carry.replace_by(Carry::load(&open_directory(Path::new(path))?).await?);
    }
    let partial = place.begin().await?;
    let found = async {
        let options = WriteOptions { dtype, ..WriteOptions::default() };
        write_checkpoint(&*partial, &options, merged.config(), merged.params(), &merged, &carry).await?;
        let directory: Rc<dyn Directory> = Rc::from(as_directory(place.partial()));
        let report = validate::validate(directory.clone(), &Options::default(), &mut |_| {}).await?;
        if report.verdict != Verdict::Ready {
            // What the base lacks, a tokenizer perhaps, is not made up; what merging brought about is a fault.
            let before = validate::validate(base.directory().clone(), &Options { quick: true, ..Options::default() }, &mut |_| {}).await?;
            let (old, new): (Vec<_>, Vec<_>) = report.errors().partition(|finding| before.has(finding.code));
            if !new.is_empty() {
                let why: Vec<String> = new.iter().map(|finding| finding.message.clone()).collect();
                return Err(Error::file(place.path.display().to_string(), format!("the merged model is not sound: {}", why.join("; "))));
            }
            for finding in old {
                console.say(&format!("warning: as in the base: {}", finding.message));
            }
        }
        console.say("running the result beside base and adapter …");
        compare(base, adapters, &merged, &Checkpoint::open(directory).await?, dtype, gpu).await
    };
    let agreement = match found.await {
        Ok(agreement) => agreement,
        Err(error) => {
            place.give_up().await?;
            return Err(error);
        }
    };
    place.finish().await?;
    let bytes: u64 = merged.params().iter().map(|p| p.elements() * dtype.bitsize() as u64 / 8).sum();
    Ok(format!("merged {} into {} ({}, {dtype}); {agreement}", count(adapters.len(), "adapter"), place.path.display(), human_bytes(bytes)))
}

/// Runs base and adapter, the sum in f32, and what was written, on the same tokens.
async fn compare(
    base: &Checkpoint,
    adapters: &[Adapter],
    merged: &Merged<'_>,
    written: &Checkpoint,
    dtype: Dtype,
    gpu: &Rc<Gpu>,
) -> Result<String> {
    let mut random = Random::new(0, 0);
    let config = base.config();
    let length = PROBE.min(config.max_position_embeddings);
    let ids: Vec<u32> = (0..length).map(|_| random.below(config.vocab_size as u64) as u32).collect();
    let options = GeneratorOptions { context: Some(length), chunk: None };
    let adapted = Adapted::new(base, adapters)?;
    let expected = Generator::load_adapted(gpu.clone(), adapted.model(), adapted.apart(), options).await?.logits(&ids).await?;
    let wrong = |what: &str, by: f32| {
        Error::file(
            written.directory().label(),
            format!(
                "{what} computes logits that differ from those of base and adapter by {by:.1e} of the largest; this is a fault of the program, nothing was kept"
            ),
        )
    };
    let sum = Generator::load(gpu.clone(), merged, options).await?.logits(&ids).await?;
    let by = difference(&sum, &expected);
    if by > SAME || by.is_nan() {
        return Err(wrong("the sum of base and adapter in f32", by));
    }
    let found = Generator::load(gpu.clone(), written, options).await?.logits(&ids).await?;
    let by = difference(&found, &expected);
    if by > rounding(dtype) || by.is_nan() {
        return Err(wrong("the merged model", by));
    }
    let first = |row: &Vec<f32>| row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map(|(at, _)| at);
    let same = found.iter().zip(&expected).filter(|(a, b)| first(a) == first(b)).count();
    let why = if dtype == Dtype::F32 { String::new() } else { format!(", from rounding to {dtype}") };
    Ok(format!("its logits are within {by:.1e} of base + adapter's{why}, the likeliest token is the same at {same} of {length} positions"))
}

/// Largest difference over the largest magnitude.
fn difference(found: &[Vec<f32>], expected: &[Vec<f32>]) -> f32 {
    let largest = expected.iter().flatten().fold(0f32, |m, x| m.max(x.abs()));
    let error = found.iter().flatten().zip(expected.iter().flatten()).map(|(a, b)| (a - b).abs());
    error.fold(0f32, |m, x| if x.is_nan() { x } else { m.max(x) }) / largest
}

/// A directory that appears when it is complete, and not before.
pub(super) struct NewDirectory {
    pub(super) path: PathBuf,
    parent: NativeDirectory,
    name: String,
}

impl NewDirectory {
    /// A place that is free: nothing there, or an empty directory.
    ///
    /// # Errors
    /// [`Error::File`] when something is there.
    pub(super) fn of(path: &Path) -> Result<NewDirectory> {
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
        Ok(NewDirectory { path: path.to_path_buf(), parent: NativeDirectory::new(parent), name })
    }

    fn partial_name(&self) -> String {
        format!(".{}.partial", self.name)
    }

    pub(super) fn partial(&self) -> Box<dyn OutputDirectory> {
        self.parent.subdirectory(&self.partial_name())
    }

    /// The directory to write into for now.
    pub(super) async fn begin(&self) -> Result<Box<dyn OutputDirectory>> {
        self.give_up().await?; // what a killed run left
        Ok(self.partial())
    }

    pub(super) async fn give_up(&self) -> Result<()> {
        self.parent.remove(&self.partial_name()).await
    }

    /// Puts it under its name.
    pub(super) async fn finish(&self) -> Result<()> {
        self.partial().sync().await?;
        let _ = std::fs::remove_dir(&self.path); // only an empty one goes; what is left makes the next step fail
        self.parent.rename(&self.partial_name(), &self.name).await?;
        self.parent.sync().await
    }
}
