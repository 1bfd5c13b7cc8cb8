//! `rootstock bench`.

use std::rc::Rc;

use clap::Args;
use rootstock::bench::{self, Measured, Shape};
use rootstock::{Error, Result};

use super::Global;
use super::console;

/// Measures kernels, whole training steps and answers against this device's own peaks
#[derive(Debug, Args)]
#[command(after_help = "\
The peaks are measured in the same run: chains of multiply-adds, and a copy that no cache holds. Close other programs
for figures that mean something.

Examples:
  rootstock bench                          the embedded model and SmolLM2-135M (about 2.2 GiB of GPU memory)
  rootstock bench --model embedded         only the small one
  rootstock bench --only generation        how fast answers are written
  rootstock bench --json > bench.json")]
pub(super) struct BenchArgs {
    /// Only the shape of this name: embedded or SmolLM2-135M
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only this: full, lora, lora-8bit or lora-4bit (training steps), or generation (answers)
    #[arg(long, value_name = "WHAT")]
    only: Option<String>,
    /// Print every figure as JSON
    #[arg(long)]
    json: bool,
    /// Lines of each kernel table
    #[arg(long, value_name = "N", default_value_t = 16)]
    kernels: usize,
}

pub(super) async fn run(args: &BenchArgs, global: &Global) -> Result<()> {
    let all = [Shape::EMBEDDED, Shape::SMOLLM2_135M];
    let shapes: Vec<Shape> = match &args.model {
        None => all.to_vec(),
        Some(name) => all.into_iter().filter(|s| s.name.eq_ignore_ascii_case(name)).collect(),
    };
    if shapes.is_empty() {
        let names = all.map(|s| s.name).join(" and ");
        return Err(Error::recipe("--model", format!("there are the shapes {names}")));
    }
    let named = Measured::ALL.into_iter().chain(Measured::MORE);
    let names: Vec<&str> = named.clone().map(Measured::name).collect();
    let what: Vec<Measured> = match &args.only {
        None => Measured::ALL.to_vec(),
        Some(name) => named.filter(|m| m.name() == name).collect(),
    };
    if what.is_empty() {
        return Err(Error::recipe("--only", format!("there are {}", names.join(", "))));
    }
    let gpu = Rc::new(global.gpu().await?);
    let console = global.console();
    let report = bench::run(&gpu, &shapes, &what, &mut |what| console.say(&format!("measuring {what} …"))).await?;
    if args.json {
        return console::print_json(&report);
    }
    console::print(&bench::text(&report, args.kernels))
}
