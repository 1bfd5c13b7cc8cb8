//! `rootstock validate`.

use std::borrow::Cow;
use std::path::Path;
use std::rc::Rc;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rootstock::error::on_one_line;
use rootstock::gguf::is_gguf;
use rootstock::platform::{Directory, NativeDirectory, open_directory, parent_and_name};
use rootstock::validate::{self, Finding, Fixed, Kind, Options, Progress, Report, Severity, Verdict};
use rootstock::workflow::{Paths, Places, model_directory};
use rootstock::{Error, Result};
use serde::Serialize;

use super::Global;
use super::console::{self, Console, Style, count, thousands};

/// Says whether a directory is a model that can be trained on, and everything that is wrong with it
///
/// Names every fault at once, what other tools would do with it, and the way out. A ready model loads and computes what its
/// configuration says, here and in transformers, and can be the base of a LoRA run. The directory is never changed: --fix writes a new one.
#[derive(Debug, Args)]
#[command(after_help = "\
Exit code 0: ready (with --fix: OUT is). 1: not ready, the findings say why.

Examples:
  rootstock validate out
  rootstock validate out/checkpoint-100 --base models/SmolLM2-135M
  rootstock validate adapter --base models/SmolLM2-135M        # does the adapter fit?
  rootstock validate broken --base models/SmolLM2-135M --fix repaired
  rootstock validate out --quick --json")]
pub(super) struct ValidateArgs {
    /// The directory, or a GGUF file
    #[arg(value_name = "DIR")]
    directory: String,
    /// The model that it was made from: differences are shown, and repairs take missing files from it
    #[arg(long, value_name = "DIR")]
    base: Option<String>,
    /// Judge it as an adapter (for --adapter or adapter_name_or_path); a whole model is then an error
    #[arg(long)]
    as_adapter: bool,
    /// Skip the slow parts: reading the weights, and running the model
    #[arg(long)]
    quick: bool,
    /// Write a repaired copy of the directory here, if it can be repaired
    #[arg(long, value_name = "OUT", conflicts_with = "quick")]
    fix: Option<String>,
    /// Print the report as JSON: {"verdict", "model_type", "parameters", "findings": […], …}
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &ValidateArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let dir = open(&args.directory).await?;
    let base = match &args.base {
        Some(base) => Some(open(base).await?),
        None => None,
    };
    // A machine without a graphics device can validate too; the report says that the model was not run.
    let gpu = if args.quick { None } else { global.gpu().await.ok().map(Rc::new) };
    let options = Options { base, quick: args.quick, as_adapter: args.as_adapter, gpu };
    let mut bar = Bar::new(console);
    if let Some(out) = &args.fix {
        let fixed = write_fixed(dir, out, &options, &mut bar).await;
        bar.finish();
        return show_fixed(&fixed?, out, args);
    }
    let report = judge(dir, &options, &mut bar).await?;
    if args.json {
        console::print_json(&report)?;
    } else {
        console::print_painted(&render(&report, &args.directory, Style::of_stdout()))?;
    }
    conclude(&report)
}

/// Opens what is to be judged: whatever a directory holds is judged, so a name that is none is the only error.
pub(super) async fn open(path: &str) -> Result<Rc<dyn Directory>> {
    match is_gguf(path) {
        true => Paths.directory(path).await,
        false => model_directory(Rc::new(open_directory(Path::new(path))?)).await,
    }
}

async fn judge(dir: Rc<dyn Directory>, options: &Options, bar: &mut Bar) -> Result<Report> {
    let report = validate::validate(dir, options, &mut |progress| bar.show(progress)).await;
    bar.finish();
    report
}

/// Judges a directory and shows the report, as the command does without options.
///
/// # Errors
/// [`Error::Judged`] when it is not ready.
pub(super) async fn show_judgement(dir: Rc<dyn Directory>, name: &str, options: &Options, console: Console) -> Result<()> {
    let report = judge(dir, options, &mut Bar::new(console)).await?;
    console::print_painted(&render(&report, name, Style::of_stdout()))?;
    conclude(&report)
}

fn conclude(report: &Report) -> Result<()> {
    match report.verdict {
        Verdict::Ready => Ok(()),
        _ => Err(Error::Judged),
    }
}

async fn write_fixed(dir: Rc<dyn Directory>, out: &str, options: &Options, bar: &mut Bar) -> Result<Fixed> {
    let path = Path::new(out);
    if path.exists() {
        return Err(Error::file(out, "exists already; --fix writes a new directory, give another name"));
    }
    let (parent, name) = parent_and_name(path);
    let parent = NativeDirectory::new(parent);
    validate::fix(dir, &parent, &name, options, &mut |progress| bar.show(progress)).await
}

/// The report on the original, and the repairs.
fn show_fixed(fixed: &Fixed, out: &str, args: &ValidateArgs) -> Result<()> {
    let style = Style::of_stdout();
    if args.json {
        #[derive(Serialize)]
        struct Document<'a> {
            #[serde(flatten)]
            before: &'a Report,
            fixed: Option<Written<'a>>,
        }
        #[derive(Serialize)]
        struct Written<'a> {
            directory: &'a str,
            steps: &'a [String],
            verdict: Verdict,
        }
        let written = fixed.after.as_ref().map(|after| Written { directory: out, steps: &fixed.steps, verdict: after.verdict });
        console::print_json(&Document { before: &fixed.before, fixed: written })?;
    } else {
        let mut text = findings(&fixed.before, &args.directory, style);
        match &fixed.after {
            Some(after) => {
                text.push_str(&format!("\n\n{}: a repaired copy was written\n", on_one_line(out)));
                fixed.steps.iter().for_each(|step| text.push_str(&format!("  - {}\n", on_one_line(step))));
                text.push_str(&format!("\n{}: {}", on_one_line(out), verdict(after, out, style)));
            }
            None if fixed.before.verdict == Verdict::Ready => {
                text.push_str(&format!(
                    "\n\n{}\nThere is nothing to repair; nothing was written.",
                    verdict(&fixed.before, &args.directory, style)
                ));
            }
            None => text.push_str(&format!("\n\n{}\nNothing was written.", verdict(&fixed.before, &args.directory, style))),
        }
        console::print_painted(&text)?;
    }
    match &fixed.after {
        Some(_) => Ok(()),
        None if fixed.before.verdict == Verdict::Ready => Ok(()),
        None => Err(Error::Judged),
    }
}

/// A progress bar on a terminal.
pub(super) struct Bar {
    console: Console,
    bar: Option<ProgressBar>,
}

impl Bar {
    pub(super) fn new(console: Console) -> Bar {
        Bar { console, bar: None }
    }

    pub(super) fn show(&mut self, progress: Progress<'_>) {
        if !self.console.is_interactive() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            let bar = ProgressBar::with_draw_target(Some(progress.total), ProgressDrawTarget::stderr_with_hz(8));
            let style = ProgressStyle::with_template("{msg} {bar:24} {bytes}/{total_bytes}  {binary_bytes_per_sec}");
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━━─"));
            bar
        });
        bar.set_length(progress.total);
        bar.set_position(progress.done);
        bar.set_message(on_one_line(progress.what).into_owned());
    }

    pub(super) fn finish(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

fn painted(severity: Severity, style: Style) -> String {
    match severity {
        Severity::Error => style.paint("1;31", "error"),
        Severity::Warning => style.paint("1;33", "warning"),
        Severity::Info => style.paint("36", "info"),
    }
}

/// The report for a person.
fn render(report: &Report, directory: &str, style: Style) -> String {
    format!("{}\n\n{}", findings(report, directory, style), verdict(report, directory, style))
}

/// The report without its verdict.
pub(super) fn findings(report: &Report, directory: &str, style: Style) -> String {
    let mut lines = vec![headline(report, directory)];
    for finding in &report.findings {
        lines.push(String::new());
        lines.push(show(finding, style));
    }
    lines.join("\n")
}

fn headline(report: &Report, directory: &str) -> String {
    let kind = match report.kind {
        Kind::Model => "a model",
        Kind::Adapter => "an adapter",
        Kind::ModelAndAdapter => "a model and an adapter",
        Kind::Run => "the folder of a training run",
        Kind::Zero => "DeepSpeed ZeRO shards",
        Kind::Fsdp => "sharded FSDP state",
        Kind::Meta => "a model in Meta's format",
        Kind::Gguf => "a model for llama.cpp",
        Kind::Unknown => "no model",
    };
    let more: Vec<String> = [
        report.model_type.as_deref().map(|name| on_one_line(name).into_owned()),
        report.parameters.map(|n| format!("{} parameters", thousands(n))),
    ]
    .into_iter()
    .flatten()
    .collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
    format!("{}: {kind}{more}", on_one_line(directory))
}

fn show(finding: &Finding, style: Style) -> String {
    let place: Vec<Cow<'_, str>> = [&finding.file, &finding.tensor].into_iter().flatten().map(|name| on_one_line(name)).collect();
    let place = if place.is_empty() { String::new() } else { format!("{}\n  ", style.paint("1", &place.join(": "))) };
    let code = style.paint("2", &format!("[{}]", finding.code.name()));
    let mut text = format!("{} {code} {place}{}", painted(finding.severity, style), on_one_line(&finding.message));
    if let Some(repair) = &finding.repair {
        text.push_str(&format!("\n  {} {}", style.paint("32", "repair:"), on_one_line(&repair.to_string())));
    }
    text
}

pub(super) fn verdict(report: &Report, directory: &str, style: Style) -> String {
    let number = |severity: Severity| report.findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(number(Severity::Error), "error"), count(number(Severity::Warning), "warning"));
    match report.verdict {
        Verdict::Ready if report.kind == Kind::Adapter => {
            let warnings = if number(Severity::Warning) == 0 { String::new() } else { format!(", {warnings}") };
            format!(
                "{}{warnings}: an adapter to use with its model, or to train further (adapter_name_or_path)",
                style.paint("1;32", "ready")
            )
        }
        Verdict::Ready => {
            let targets = on_one_line(&report.lora_targets.join(", ")).into_owned();
            let warnings = if number(Severity::Warning) == 0 { String::new() } else { format!(", {warnings}") };
            format!("{}{warnings}: it can be trained on, also as the base for LoRA (lora_target: {targets})", style.paint("1;32", "ready"))
        }
        Verdict::Repairable => format!(
            "{}, {errors}: not yet a base for LoRA or any other run; `rootstock validate {} --fix OUT` writes a directory that is",
            style.paint("1;33", "repairable"),
            on_one_line(directory)
        ),
        Verdict::Unusable => format!(
            "{}, {errors}: it cannot be a base for LoRA or any other run until what is said above is done",
            style.paint("1;31", "unusable")
        ),
    }
}
