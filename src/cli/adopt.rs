//! `rootstock adopt`.

use std::path::Path;
use std::rc::Rc;

use clap::Args;
use rootstock::error::on_one_line;
use rootstock::platform::{NativeDirectory, parent_and_name};
use rootstock::validate::{self, Fixed, Options, Report, Verdict};
use rootstock::{Error, Result};
use serde::Serialize;

use super::Global;
use super::console::{self, Style};
use super::validate::{Bar, findings, open, verdict};

/// Takes back what was trained elsewhere: writes a complete model or adapter from a run's directory
///
/// DIR is an output directory or checkpoint-N of Trainer or LLaMA-Factory (safetensors or pickles, sharded or not), an adapter, or a
/// checkpoint of DeepSpeed's ZeRO, whose weights are put together from the pieces of all processes. What is missing comes from the base.
/// Every step is said; the result is validated and appears under its name only when it is ready. DIR is only read.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 0: OUT is ready. 1: nothing was written, the findings say why.

Examples:
  rootstock adopt cluster/output --out tuned
  rootstock adopt cluster/output/checkpoint-300 --out tuned --base models/SmolLM2-135M
  rootstock adopt lora-output --base models/SmolLM2-135M --out adapter")]
pub(super) struct AdoptArgs {
    /// What came back
    #[arg(value_name = "DIR")]
    directory: String,
    /// Where the complete directory goes: one that does not exist yet or is empty
    #[arg(long, value_name = "OUT")]
    out: String,
    /// The model that was trained: gives what is missing; an adapter needs it
    #[arg(long, value_name = "DIR")]
    base: Option<String>,
    /// Print the report as JSON: that of `validate`, with "adopted": {"directory", "steps", "verdict"}
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &AdoptArgs, global: &Global) -> Result<()> {
    let dir = open(&args.directory).await?;
    let base = match &args.base {
        Some(base) => Some(open(base).await?),
        None => None,
    };
    let path = Path::new(&args.out);
    if path.is_file() {
        return Err(Error::file(args.out.as_str(), "this is a file; name a directory for the result"));
    }
    // Without a graphics device the result is judged all the same; the report says that it was not run.
    let gpu = global.gpu().await.ok().map(Rc::new);
    let options = Options { base, quick: false, as_adapter: false, gpu };
    let (parent, name) = parent_and_name(path);
    let parent = NativeDirectory::new(parent);
    let mut bar = Bar::new(global.console());
    let adopted = validate::adopt(dir, &parent, &name, &options, &mut |progress| bar.show(progress)).await;
    bar.finish();
    show(&adopted?, args)
}

fn show(adopted: &Fixed, args: &AdoptArgs) -> Result<()> {
    if args.json {
        print_json(adopted, args)?;
    } else {
        let style = Style::of_stdout();
        let mut text = findings(&adopted.before, &args.directory, style);
        match &adopted.after {
            Some(after) => {
                text.push_str(&format!("\n\n{}: written from it\n", on_one_line(&args.out)));
                adopted.steps.iter().for_each(|step| text.push_str(&format!("  - {}\n", on_one_line(step))));
                text.push_str(&format!("\n{}: {}", on_one_line(&args.out), verdict(after, &args.out, style)));
            }
            None => text.push_str(&format!("\n\n{}\nNothing was written.", verdict(&adopted.before, &args.directory, style))),
        }
        console::print_painted(&text)?;
    }
    if adopted.after.is_some() { Ok(()) } else { Err(Error::Judged) }
}

fn print_json(adopted: &Fixed, args: &AdoptArgs) -> Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        before: &'a Report,
        adopted: Option<Written<'a>>,
    }
    #[derive(Serialize)]
    struct Written<'a> {
        directory: &'a str,
        steps: &'a [String],
        verdict: Verdict,
    }
    let written = adopted.after.as_ref();
    let written = written.map(|after| Written { directory: &args.out, steps: &adopted.steps, verdict: after.verdict });
    console::print_json(&Document { before: &adopted.before, adopted: written })
}
