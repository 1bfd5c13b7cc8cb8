//! `rootstock fetch`.

use clap::Args;
use rootstock::{Error, Result};

use super::Global;
use super::console;
use super::hub::{Name, fetch};

/// Downloads a model from Hugging Face's hub
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
  rootstock chat --model HuggingFaceTB/SmolLM2-135M-Instruct")]
pub(super) struct FetchArgs {
    /// The model's name, with @REVISION for another branch, tag or commit than main
    #[arg(value_name = "ORG/NAME")]
    name: String,
}

pub(super) fn run(args: &FetchArgs, global: &Global) -> Result<()> {
    let name = Name::of(&args.name)
        .ok_or_else(|| Error::file(&args.name, "this is no name of a model on the hub; write it as HuggingFaceTB/SmolLM2-135M"))?;
    let directory = fetch(&name, global.console())?;
    console::print(&directory.display().to_string())
}
