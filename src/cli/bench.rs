//! `rootstock bench`.

use std::rc::Rc;

use clap::Args;
use rootstock::bench::{self, KernelResult, Measured, Report, Shape};
use rootstock::gpu::human_bytes;
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
    /// Only this: full or lora (training steps), or generation (answers)
    #[arg(long, value_name = "WHAT")]
    only: Option<String>,
    /// Print every figure as JSON
    #[arg(long)]
    json: bool,
    /// Lines of the kernel table for each model
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
    let what: Vec<Measured> = match &args.only {
        None => Measured::ALL.to_vec(),
        Some(name) => Measured::ALL.into_iter().filter(|m| m.name() == name).collect(),
    };
    if what.is_empty() {
        return Err(Error::recipe("--only", format!("there are {}", Measured::ALL.map(Measured::name).join(", "))));
    }
    let gpu = Rc::new(global.gpu().await?);
    let console = global.console();
    let report = bench::run(&gpu, &shapes, &what, &mut |what| console.say(&format!("measuring {what} …"))).await?;
    if args.json {
        return console::print_json(&report);
    }
    console::print(&text(&report, args.kernels))
}

fn giga(value: f64) -> String {
    format!("{:.1}", value / 1e9)
}

fn text(report: &Report, lines: usize) -> String {
    let mut out = format!(
        "{} ({})\npeaks, measured in this run: {} GFLOP/s, {} GB/s\n",
        report.device,
        report.driver,
        giga(report.peak_flops),
        giga(report.peak_bandwidth)
    );
    for step in &report.steps {
        out += &format!(
            "\n{}, {} fine-tuning, {} × {} tokens: {:.3} s a step, {:.0} tokens/s, {:.1} % of the peak, {}\n\n",
            step.model,
            step.method,
            step.batch,
            step.sequence,
            step.seconds,
            step.tokens_per_second,
            step.utilisation * 100.0,
            human_bytes(step.peak_bytes)
        );
        if step.method != "full" {
            continue;
        }
        let of_model: Vec<&KernelResult> = report.kernels.iter().filter(|k| k.model == step.model).collect();
        out += &kernels(&of_model, lines);
    }
    for g in &report.generation {
        out += &format!(
            "\n{}, an answer after {} tokens (bf16): {:.1} tokens/s, {:.1} % of what the copy's bandwidth allows over {} of weights, \
             {} dispatches a token; the prompt is read at {:.0} tokens/s\n\n",
            g.model,
            g.prompt,
            g.tokens_per_second,
            g.fraction_of_bandwidth * 100.0,
            human_bytes(g.weights_bytes),
            g.dispatches,
            g.prompt_tokens_per_second
        );
        out += &kernels(&g.kernels.iter().collect::<Vec<_>>(), lines);
    }
    out.trim_end().to_string()
}

/// The slowest kernels as a table.
fn kernels(of_model: &[&KernelResult], lines: usize) -> String {
    let total: f64 = of_model.iter().map(|k| k.seconds).sum();
    let head =
        ["kernel", "variant", "shape (m × n × k)", "times", "ms", "share", "GFLOP/s", "GB/s", "of peak"].map(str::to_string).to_vec();
    let rows = of_model.iter().take(lines).map(|k| {
        vec![
            k.name.clone(),
            k.variant.clone(),
            k.shape.clone(),
            k.count.to_string(),
            format!("{:.1}", k.seconds * 1e3),
            format!("{:.1} %", k.seconds / total * 100.0),
            if k.flops > 0.0 { giga(k.flops) } else { "–".into() },
            giga(k.bandwidth),
            format!("{:.0} %", k.fraction_of_peak * 100.0),
        ]
    });
    let mut out = console::table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    out.push('\n');
    if of_model.len() > lines {
        out += &format!("… and {} more (--kernels {})\n", of_model.len() - lines, of_model.len());
    }
    out
}
