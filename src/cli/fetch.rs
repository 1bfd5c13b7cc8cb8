//! `rootstock fetch`.

use clap::Args;
use rootstock::data::HubDataset;
use rootstock::{Error, Result};

use super::Global;
use super::console;
use super::hub::{Name, fetch, fetch_dataset};

/// Downloads a model or a data set from Hugging Face's hub
///
/// It goes into the cache that Hugging Face's programs share (HF_HUB_CACHE, HF_HOME), where its name finds it from then on. `train` and
/// `chat` do the same by themselves for a name in their recipe that is no directory. HF_TOKEN opens private and gated models,
/// HF_ENDPOINT names another hub, HF_HUB_OFFLINE=1 forbids downloads. An interrupted download goes on where it stopped; sizes and hashes
/// are checked.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock fetch HuggingFaceTB/SmolLM2-135M-Instruct
  rootstock fetch HuggingFaceTB/SmolLM2-135M@main
  rootstock fetch --dataset HuggingFaceH4/no_robots
  rootstock chat --model HuggingFaceTB/SmolLM2-135M-Instruct")]
pub(super) struct FetchArgs {
    /// The name is that of a data set: its parquet, JSON, CSV or text files are fetched
    #[arg(long)]
    dataset: bool,
    /// Only the files of this folder of the data set
    #[arg(long, value_name = "FOLDER", requires = "dataset")]
    folder: Option<String>,
    /// Only the files that have this name in their path, the configuration of the data set
    #[arg(long, value_name = "NAME", requires = "dataset")]
    subset: Option<String>,
    /// The model's name, with @REVISION for another branch, tag or commit than main
    #[arg(value_name = "ORG/NAME")]
    name: String,
}

pub(super) fn run(args: &FetchArgs, global: &Global) -> Result<()> {
    if args.dataset {
        let set = HubDataset::parse(&args.name).map_err(|reason| Error::file(&args.name, reason))?;
        let set = HubDataset { folder: args.folder.clone(), subset: args.subset.clone(), ..set };
        return console::print(&fetch_dataset(&set, global.console())?.display().to_string());
    }
    let name = Name::of(&args.name)
        .ok_or_else(|| Error::file(&args.name, "this is no name of a model on the hub; write it as HuggingFaceTB/SmolLM2-135M"))?;
    let directory = fetch(&name, global.console())?;
    console::print(&directory.display().to_string())
}
