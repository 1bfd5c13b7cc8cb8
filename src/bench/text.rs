//! The report as text, for a terminal and for the clipboard.

use super::{KernelResult, ProductResult, Report};
use crate::gpu::human_bytes;

fn giga(value: f64) -> String {
    format!("{:.1}", value / 1e9)
}

/// The report as text, with so many lines of kernels for each model. What is left out is said.
pub fn text(report: &Report, lines: usize) -> String {
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
        let of_step: Vec<&KernelResult> = report.kernels.iter().filter(|k| k.model == step.model && k.measured == step.method).collect();
        out += &kernels(&of_step, lines);
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
    if !report.products.is_empty() {
        out += &format!(
            "\nthe products of a layer of Qwen3-0.6B, 256 tokens beside an adapter, or one token\n\n{}",
            products(&report.products)
        );
    }
    out.trim_end().to_string()
}

/// What the products of each type take.
fn products(results: &[ProductResult]) -> String {
    let head = ["weights", "MiB", "products", "ms", "over bf16", "processor ms", "over bf16"].map(str::to_string).to_vec();
    let or_none = |value: Option<f64>, text: &dyn Fn(f64) -> String| value.map_or("–".into(), text);
    let rows = results.iter().map(|r| {
        vec![
            r.weights.to_string(),
            format!("{:.1}", r.bytes as f64 / f64::from(1 << 20)),
            r.product.to_string(),
            format!("{:.2}", r.seconds * 1e3),
            format!("{:.2}", r.over_bf16),
            or_none(r.processor_seconds, &|seconds| format!("{:.2}", seconds * 1e3)),
            or_none(r.processor_over_bf16, &|ratio| format!("{ratio:.2}")),
        ]
    });
    table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

/// The slowest kernels as a table.
fn kernels(list: &[&KernelResult], lines: usize) -> String {
    let total: f64 = list.iter().map(|k| k.seconds).sum();
    let head =
        ["kernel", "variant", "shape (m × n × k)", "times", "ms", "share", "GFLOP/s", "GB/s", "of peak"].map(str::to_string).to_vec();
    let rows = list.iter().take(lines).map(|k| {
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
    let mut out = table(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    out.push('\n');
    if list.len() > lines {
        out += &format!("… and {} more\n", list.len() - lines);
    }
    out
}

/// Columns, each as wide as its widest cell.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}
