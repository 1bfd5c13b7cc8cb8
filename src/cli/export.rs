//! `rootstock export`.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use clap::{Args, ValueEnum};
use rootstock::adapter::Merged;
use rootstock::checkpoint::NewDirectory;
use rootstock::error::on_one_line;
use rootstock::gguf::{OutType, is_gguf, write_adapter, write_model};
use rootstock::gpu::human_bytes;
use rootstock::platform::{Directory, NativeDirectory, parent_and_name};
use rootstock::validate::open_checkpoint;
use rootstock::workflow::{Paths, Places, write_merged};
use rootstock::{Error, Result};

use super::Global;
use super::console;
use super::merge::StoredType;
use super::setup::open_adapters;

/// Writes a model as a GGUF file for llama.cpp, Ollama and LM Studio, or a GGUF file as a Hugging Face directory
///
/// Adapters are added to the weights, as `rootstock merge` does; with --as-adapter the file holds the adapter alone, for a program that
/// puts it on the base. What the format cannot express is said, and nothing is written then. A recipe of llamafactory-cli export, which
/// adds adapters to a model, goes to `rootstock merge`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock export --model out --gguf out.gguf --outtype q8_0
  rootstock export --model models/SmolLM2-135M --adapter out --gguf tuned.gguf
  rootstock export --model models/SmolLM2-135M --adapter out --as-adapter --gguf adapter.gguf
  rootstock export --model SmolLM2-135M-Instruct.Q4_1.gguf --directory models/SmolLM2-135M-Instruct --dtype bf16")]
pub(super) struct ExportArgs {
    #[arg(hide = true, value_parser = merges)]
    recipe: Option<String>,
    /// The model's directory, or a GGUF file
    #[arg(long, value_name = "DIR")]
    model: String,
    /// A LoRA adapter's directory; several are added up
    #[arg(long = "adapter", value_name = "DIR")]
    adapters: Vec<String>,
    /// The GGUF file to write
    #[arg(long, value_name = "FILE", required_unless_present = "directory", conflicts_with = "directory")]
    gguf: Option<PathBuf>,
    /// The type of the file's matrices; vectors are f32
    #[arg(long, value_name = "TYPE", default_value = "f16", conflicts_with = "directory")]
    outtype: FileType,
    /// Write the adapter alone, not the model with it
    #[arg(long, requires = "adapters", conflicts_with = "directory")]
    as_adapter: bool,
    /// The Hugging Face directory to write: one that does not exist yet or is empty
    #[arg(long, value_name = "OUT")]
    directory: Option<PathBuf>,
    /// The type to store the directory's weights in [default: the model's]
    #[arg(long, value_name = "TYPE", conflicts_with = "gguf")]
    dtype: Option<StoredType>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FileType {
    F32,
    F16,
    Bf16,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_0")]
    Q4_0,
}

impl From<FileType> for OutType {
    fn from(outtype: FileType) -> OutType {
        match outtype {
            FileType::F32 => OutType::F32,
            FileType::F16 => OutType::F16,
            FileType::Bf16 => OutType::Bf16,
            FileType::Q8_0 => OutType::Q8_0,
            FileType::Q4_0 => OutType::Q4_0,
        }
    }
}

/// What LLaMA-Factory's command of this name is here.
fn merges(recipe: &str) -> std::result::Result<String, String> {
    Err(format!("what llamafactory-cli export does is `rootstock merge {recipe}` here; this command takes --model DIR"))
}

pub(super) async fn run(args: &ExportArgs, global: &Global) -> Result<()> {
    let console = global.console();
    // The place is looked at first: nobody should wait for a file that has no place.
    let file = args.gguf.as_deref().map(new_file).transpose()?;
    let base = open_checkpoint(Paths.directory(&args.model).await?).await?;
    let adapters = open_adapters(&base, &args.adapters, console).await?;
    let Some((place, name)) = file else {
        let out = args.directory.as_deref().unwrap_or(Path::new(""));
        let (parent, name) = parent_and_name(out);
        let parent = NativeDirectory::new(parent);
        let new = NewDirectory::begin(&parent, &name).await?;
        let written = write_merged(&base, &adapters, args.dtype.map(Into::into), &*new.directory()).await;
        let dtype = new.complete(written).await?;
        return console::print(&format!("wrote {} ({dtype})", out.display()));
    };
    let remarks = match (args.as_adapter, &adapters[..]) {
        (true, [adapter]) => {
            write_adapter(adapter, &base, &place, &name).await?;
            Vec::new()
        }
        (true, _) => {
            return Err(Error::file(name, "one adapter goes into one file; export each on its own"));
        }
        (false, []) => write_model(&base, &**base.directory(), args.outtype.into(), &place, &name).await?,
        (false, _) => {
            let merged = Merged::new(&base, &adapters)?;
            // A trained model speaks as its adapter was trained to.
            let last = Paths.directory(args.adapters.last().unwrap_or(&args.model)).await?;
            let tokenizer: Rc<dyn Directory> = if last.size("tokenizer.json").await?.is_some() { last } else { base.directory().clone() };
            write_model(&merged, &*tokenizer, args.outtype.into(), &place, &name).await?
        }
    };
    for remark in remarks {
        console.say(&format!("note: {}", on_one_line(&remark)));
    }
    let bytes = place.size(&name).await?.unwrap_or(0);
    console::print(&format!("wrote {} ({})", place.path().join(&name).display(), human_bytes(bytes)))
}

/// The directory and the name of a file that does not exist yet.
fn new_file(path: &Path) -> Result<(NativeDirectory, String)> {
    let shown = path.display().to_string();
    let (parent, name) = parent_and_name(path);
    if !is_gguf(&name) {
        return Err(Error::file(shown, "a GGUF file's name ends with .gguf; other programs go by that"));
    }
    if path.exists() {
        return Err(Error::file(shown, "exists already; give another name, or remove it"));
    }
    if !parent.is_dir() {
        return Err(Error::file(shown, format!("there is no directory {} to write it in", parent.display())));
    }
    Ok((NativeDirectory::new(parent), name))
}
