//! The command line: one file per command.

mod adopt;
mod arguments;
mod bench;
mod chat;
mod console;
mod demo;
mod devices;
mod embedded;
mod estimate;
mod eval;
mod export;
mod extract;
mod fetch;
mod generate;
mod handover;
mod held_out;
mod hub;
mod logits;
mod manual;
mod merge;
mod predict;
mod preview;
mod progress;
mod serve;
mod setup;
mod train;
mod tuning;
mod validate;

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use rootstock::config::value::Value;
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::kernels::TuningChoice;
use rootstock::platform::block_on;
use rootstock::{Error, Result};

use console::Console;

/// Fine-tunes small language models with WebGPU, on this machine's graphics device.
///
/// A Hugging Face model directory goes in; a directory comes out that transformers, vLLM and llama.cpp's converter can load.
/// Nothing leaves this machine. A model that is named and not there is fetched from Hugging Face's hub.
#[derive(Debug, Parser)]
#[command(name = "rootstock", version, propagate_version = true, after_help = EXAMPLES, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  rootstock demo                                     the whole journey on a small model; a few minutes
  rootstock validate model                           can this directory be trained on, and if not, why?
  rootstock train recipe.yaml                        train as the recipe says
  rootstock train recipe.yaml learning_rate=1e-5     the same with another learning rate
  rootstock train - < recipe.yaml                    a recipe from the standard input
  rootstock preview recipe.yaml                      what does the model read of my data, and what does it learn?
  rootstock estimate recipe.yaml                     will it fit into the GPU's memory?
  rootstock eval --model out --dataset test.jsonl    how well does the result predict these texts?
  rootstock generate --model out --prompt 'Hello'    what does it answer?
  rootstock chat --model out                         talk with it; `rootstock chat recipe.yaml` as llamafactory-cli does
  rootstock merge --model m --adapter a --out n      a LoRA adapter and its base become one model (llamafactory-cli export)
  rootstock extract --base m --tuned n --rank 16 …   a full fine-tune becomes a LoRA adapter
  rootstock export --model out --gguf out.gguf       a file for llama.cpp, Ollama and LM Studio
  rootstock handover recipe.yaml --out cluster       the same run for LLaMA-Factory on many GPUs
  rootstock adopt cluster/output --out model         takes back what was trained there, DeepSpeed's shards included
  rootstock fetch org/name                           a model from Hugging Face's hub, into its programs' cache
  rootstock devices                                  which graphics devices are there?
  rootstock bench                                    how fast is this device?
  rootstock serve                                    the same in a browser tab, on this machine only
  rootstock serve --model out                        an OpenAI-compatible endpoint for programs of this machine

docs/recipes.md lists everything that a recipe can say.";

#[derive(Debug, Args)]
struct Global {
    /// The graphics device to use: part of its name, or its number in `rootstock devices`
    #[arg(long, global = true, value_name = "NAME|N", help_heading = "Everywhere")]
    device: Option<String>,
    /// Use at most this much GPU memory, for example 4GB or 512MiB
    #[arg(long, global = true, value_name = "SIZE", value_parser = size, help_heading = "Everywhere")]
    memory_limit: Option<u64>,
    /// Other kernels than the device would get: a family of devices, values by name, or both (`amd,vector_rows=4`);
    /// `rootstock devices --tuning` shows them
    #[arg(long, global = true, num_args = 0..=1, value_name = "FAMILY|NAME=VALUE,…", help_heading = "Everywhere")]
    tuning: Option<Option<String>>,
    /// No progress and no remarks; results and errors only
    #[arg(short, long, global = true, help_heading = "Everywhere")]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::DemoArgs),
    Validate(validate::ValidateArgs),
    Train(train::TrainArgs),
    Eval(eval::EvalArgs),
    Generate(generate::GenerateArgs),
    Chat(chat::ChatArgs),
    Logits(logits::LogitsArgs),
    Merge(merge::MergeArgs),
    Extract(extract::ExtractArgs),
    Preview(preview::PreviewArgs),
    Export(export::ExportArgs),
    Handover(handover::HandoverArgs),
    Adopt(adopt::AdoptArgs),
    Fetch(fetch::FetchArgs),
    Estimate(estimate::EstimateArgs),
    Devices(devices::DevicesArgs),
    Bench(bench::BenchArgs),
    Serve(serve::ServeArgs),
    Completions(manual::CompletionsArgs),
    Man(manual::ManArgs),
}

fn size(text: &str) -> Result<u64, String> {
    Value::parse(text).as_bytes()
}

impl Global {
    /// The device that is asked for.
    ///
    /// # Errors
    /// When `--tuning` asks for what does not exist.
    async fn choice(&self) -> Result<DeviceChoice> {
        Ok(DeviceChoice {
            device: self.device.clone(),
            memory_limit: self.memory_limit,
            tuning: TuningChoice::parse(self.tuning.iter().flatten().next().map_or("", String::as_str))?,
            measured: tuning::remembered().await,
            ..DeviceChoice::default()
        })
    }

    async fn gpu(&self) -> Result<Gpu> {
        Gpu::open(&self.choice().await?).await
    }

    fn console(&self) -> Console {
        Console::new(self.quiet)
    }
}

/// Mesa's layer that chooses among GPUs for desktops asks Wayland, and where there is none (a server, a container) writes an error of
/// its own to stderr. Rootstock chooses by itself.
#[expect(unsafe_code, reason = "the layer is switched off by an environment variable only")]
fn quiet_vulkan_layer() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() && std::env::var_os("MESA_VK_DEVICE_SELECT").is_none() {
        // SAFETY: nothing else runs yet; this is the first statement of the program, which has one thread.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Runs the program. Exit codes: 0 good, 1 the input or the run is at fault, 2 wrong usage (clap's own).
pub(crate) fn main() -> ExitCode {
    quiet_vulkan_layer();
    rootstock::platform::report_file_size_limit();
    std::panic::set_hook(Box::new(|panic| {
        if rootstock::platform::is_guarded() {
            return;
        }
        console::error(&format!(
            "this is a bug in rootstock {}: {panic}\nPlease report it with the command that you ran: {}/issues",
            env!("CARGO_PKG_VERSION"),
            env!("CARGO_PKG_REPOSITORY")
        ));
    }));
    let cli = Cli::parse_from(arguments::with_keys(std::env::args_os()));
    match std::panic::catch_unwind(|| block_on(run(cli))) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            match error {
                Error::Judged => {}
                Error::Interrupted { .. } => console::say(&error.to_string()),
                _ => console::error(&error.to_string()),
            }
            ExitCode::FAILURE
        }
        Err(_) => ExitCode::FAILURE, // the hook has spoken
    }
}

async fn run(cli: Cli) -> Result<()> {
    let global = &cli.global;
    match &cli.command {
        Command::Demo(args) => demo::run(args, global).await,
        Command::Validate(args) => validate::run(args, global).await,
        Command::Train(args) => train::run(args, global).await,
        Command::Eval(args) => eval::run(args, global).await,
        Command::Generate(args) => generate::run(args, global).await,
        Command::Chat(args) => chat::run(args, global).await,
        Command::Logits(args) => logits::run(args, global).await,
        Command::Merge(args) => merge::run(args, global).await,
        Command::Extract(args) => extract::run(args, global).await,
        Command::Preview(args) => preview::run(args, global).await,
        Command::Export(args) => export::run(args, global).await,
        Command::Handover(args) => handover::run(args, global).await,
        Command::Adopt(args) => adopt::run(args, global).await,
        Command::Fetch(args) => fetch::run(args, global),
        Command::Estimate(args) => estimate::run(args, global).await,
        Command::Devices(args) => devices::run(args, global).await,
        Command::Bench(args) => bench::run(args, global).await,
        Command::Serve(args) => serve::run(args, global).await,
        Command::Completions(args) => manual::completions(args, Cli::command()),
        Command::Man(args) => manual::pages(args, Cli::command()),
    }
}
