//! `rootstock bench`.

use std::path::Path;
use std::rc::Rc;

use clap::Args;
use rootstock::bench::{self, Measured, Shape};
use rootstock::config::Quantization;
use rootstock::gpu::human_bytes;
use rootstock::platform::{Directory, NativeDirectory};
use rootstock::{Error, Result};

use super::Global;
use super::console;
use super::setup::open_model;

/// Measures kernels, whole training steps and answers against this device's own peaks
#[derive(Debug, Args)]
#[command(after_help = "\
The peaks are measured in the same run: chains of multiply-adds, and a copy that no cache holds. Close other programs
for figures that mean something.

Examples:
  rootstock bench                          the embedded model and SmolLM2-135M (about 2.2 GiB of GPU memory)
  rootstock bench --model embedded         only the small one
  rootstock bench --only generation        how fast answers are written
  rootstock bench --only products          how fast weights of each type are multiplied
  rootstock bench --load models/Qwen3-1.7B --quantization-bit 4    how soon a model's weights are on the device
  rootstock bench --json > bench.json")]
pub(super) struct BenchArgs {
    /// Only the shape of this name: embedded or SmolLM2-135M
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Only this: full, lora, lora-8bit or lora-4bit (training steps), generation (answers), or products (of weights in every type)
    #[arg(long, value_name = "WHAT")]
    only: Option<String>,
    /// Load the weights of this model, and say how long that takes; nothing else is measured
    #[arg(long, value_name = "DIR", conflicts_with_all = ["model", "only"])]
    load: Option<String>,
    /// Quantise them meanwhile, to so many bits (4: NF4)
    #[arg(long, value_name = "BITS", value_parser = ["8", "4"], requires = "load")]
    quantization_bit: Option<String>,
    /// Print every figure as JSON
    #[arg(long)]
    json: bool,
    /// Lines of each kernel table
    #[arg(long, value_name = "N", default_value_t = 16)]
    kernels: usize,
}

pub(super) async fn run(args: &BenchArgs, global: &Global) -> Result<()> {
    if let Some(path) = &args.load {
        return load(path, args, global).await;
    }
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

async fn load(path: &str, args: &BenchArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let bits = args.quantization_bit.as_ref().and_then(|bits| bits.parse().ok());
    let model = open_model(path, console).await?.quantised(Quantization { bits, ..Quantization::default() });
    let gpu = Rc::new(global.gpu().await?);
    let (files, names) = files(Path::new(path)).await?;
    let result = bench::load(&gpu, &model.checkpoint, &files, &names).await?;
    if args.json {
        return console::print_json(&result);
    }
    let worked = result.processor_seconds.map_or(String::new(), |seconds| format!(", {seconds:.2} s of work for the processor's cores"));
    let of_work = result.processor_over_reading.map_or(String::new(), |times| format!(", {times:.1} times the work"));
    console::print(&format!(
        "{path}: {} of weights were on {} after {:.2} s, {} there{worked}\nreading {} of files alone takes {:.2} s: loading takes {:.2} times as long{of_work}",
        human_bytes(result.stored_bytes),
        gpu.profile().name,
        result.seconds,
        human_bytes(result.device_bytes),
        human_bytes(result.file_bytes),
        result.read_seconds,
        result.over_reading
    ))
}

/// Where a model's files of weights lie, and their names: a file, or all of a directory's.
async fn files(path: &Path) -> Result<(NativeDirectory, Vec<String>)> {
    if path.is_file() {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Ok((
            NativeDirectory::new(path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))),
            vec![name],
        ));
    }
    let directory = NativeDirectory::new(path);
    let weights = [".safetensors", ".bin", ".pt", ".pth", ".gguf"];
    let names = directory.list().await?.into_iter().map(|entry| entry.name);
    let names = names.filter(|name| weights.iter().any(|end| name.ends_with(end))).collect();
    Ok((directory, names))
}
