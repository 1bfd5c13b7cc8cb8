//! `rootstock preview`.

use std::path::PathBuf;

use clap::Args;
use rootstock::data::{Encoded, Feedback, IGNORE, Sample, Tokenizer};
use rootstock::error::{on_one_line, visible};
use rootstock::workflow::Paths;
use rootstock::{Error, Result};
use serde::Serialize;

use super::Global;
use super::console::{self, Style, count, thousands};
use super::setup::{introduce, load_recipe, open_beginning, prepare};

/// Shows what a recipe's data becomes: texts, tokens, what of them is learned
///
/// Reads and tokenises the data as `train` does, and shows the first samples. What the model learns is told apart from what it only
/// reads. Nothing is computed or written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock preview recipe.yaml
  rootstock preview recipe.yaml 10
  rootstock preview recipe.yaml 1 --tokens
  rootstock preview recipe.yaml 100 --json cutoff_len=512")]
pub(super) struct PreviewArgs {
    /// The recipe, a YAML file with LLaMA-Factory's keys
    recipe: PathBuf,
    /// How many samples to show [default: 3], and settings that win over the recipe's
    #[arg(value_name = "N | KEY=VALUE")]
    rest: Vec<String>,
    /// Show each token with its number
    #[arg(long)]
    tokens: bool,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Preview {
    dataset: Vec<String>,
    #[serde(flatten)]
    counts: Counts,
    evaluation: Option<Counts>,
    notices: Vec<String>,
    shown: Vec<Shown>,
}

/// How much there is of it.
#[derive(Debug, Serialize)]
struct Counts {
    records: usize,
    samples: usize,
    tokens: usize,
    learned: usize,
    truncated: usize,
    dropped: usize,
    /// Samples by their length.
    lengths: Vec<Lengths>,
}

/// How many samples have so many tokens.
#[derive(Debug, Serialize)]
struct Lengths {
    from: usize,
    to: usize,
    samples: usize,
}

/// A sample.
#[derive(Debug, Serialize)]
struct Shown {
    line: usize,
    targets: usize,
    tokens: Vec<Token>,
    /// In stages dpo and kto: what its answers are, and one past the last token of each.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<(&'static str, usize)>,
}

/// A token of a sample.
#[derive(Debug, Serialize)]
struct Token {
    id: u32,
    text: String,
    learned: bool,
}

pub(super) async fn run(args: &PreviewArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let (numbers, overrides): (Vec<String>, Vec<String>) = args.rest.iter().cloned().partition(|word| !word.contains('='));
    let shown = match numbers.as_slice() {
        [] => 3,
        [number] => number.parse().map_err(|_| Error::recipe("N", format!("'{number}' is no number of samples, for example 5")))?,
        [_, second, ..] => return Err(Error::recipe("N", format!("one number of samples is enough; what is '{second}'?"))),
    };
    let recipe = load_recipe(&args.recipe, &overrides).await?;
    console.notes(&recipe.notices);
    let model = open_beginning(&recipe, console).await?;
    introduce(&model, &recipe.model_name_or_path, console);
    let data = prepare(&model, &recipe, &Paths, console).await?;
    let encoded = if data.train.samples.is_empty() { &data.eval } else { &data.train };
    let preview = Preview {
        dataset: if data.train.samples.is_empty() && !recipe.eval_dataset.is_empty() { recipe.eval_dataset } else { recipe.dataset },
        counts: Counts::of(encoded),
        evaluation: (!data.eval.samples.is_empty() && !data.train.samples.is_empty()).then(|| Counts::of(&data.eval)),
        notices: [encoded.notices.clone(), data.eval.notices.clone()].concat(),
        shown: encoded.samples.iter().take(shown).map(|sample| Shown::of(sample, &model.tokenizer)).collect::<Result<_>>()?,
    };
    if args.json {
        return console::print_json(&preview);
    }
    console.notes(&preview.notices);
    console::print_painted(&preview.render(args.tokens, Style::of_stdout()))
}

impl Counts {
    fn of(encoded: &Encoded) -> Counts {
        Counts {
            records: encoded.records,
            samples: encoded.samples.len(),
            tokens: encoded.tokens(),
            learned: encoded.targets(),
            truncated: encoded.truncated,
            dropped: encoded.dropped,
            lengths: histogram(encoded.samples.iter().map(|sample| sample.ids.len())),
        }
    }
}

/// Lengths in classes that double: 1 to 15, 16 to 31, 32 to 63 …
fn histogram(lengths: impl Iterator<Item = usize>) -> Vec<Lengths> {
    const FIRST: u32 = 3;
    let mut classes: Vec<Lengths> = Vec::new();
    for length in lengths {
        let class = (length.max(1).ilog2().max(FIRST) - FIRST) as usize;
        while classes.len() <= class {
            let power = 1 << (classes.len() as u32 + FIRST);
            classes.push(Lengths { from: if classes.is_empty() { 1 } else { power }, to: 2 * power - 1, samples: 0 });
        }
        classes[class].samples += 1;
    }
    let empty = classes.iter().take_while(|class| class.samples == 0).count();
    classes.split_off(empty)
}

impl Shown {
    fn of(sample: &Sample, tokenizer: &Tokenizer) -> Result<Shown> {
        let texts = tokenizer.token_texts(&sample.ids)?;
        let tokens = sample.ids.iter().zip(texts).zip(&sample.labels);
        let tokens = tokens.map(|((id, text), label)| Token { id: *id, text, learned: *label != IGNORE }).collect();
        let names = match sample.feedback {
            None => [""; 2],
            Some(Feedback::Pair | Feedback::Judged) => ["preferred", "rejected"],
            Some(Feedback::Good) => ["good", "for comparison, an answer to another prompt"],
            Some(Feedback::Bad) => ["bad", "for comparison, an answer to another prompt"],
        };
        let answers = if sample.feedback.is_some() { names.into_iter().zip(sample.ends.iter().copied()).collect() } else { Vec::new() };
        Ok(Shown { line: sample.line, targets: sample.targets(), tokens, answers })
    }

    /// Its sequences that are shown apart, each with its name.
    fn parts(&self) -> Vec<(&'static str, &[Token])> {
        if self.answers.is_empty() {
            return vec![("", &self.tokens)];
        }
        let starts = std::iter::once(0).chain(self.answers.iter().map(|(_, end)| *end));
        starts.zip(&self.answers).map(|(start, (name, end))| (*name, &self.tokens[start..*end])).collect()
    }
}

/// Runs of tokens of which all are learned, or none.
fn runs(tokens: &[Token]) -> impl Iterator<Item = (bool, String)> {
    tokens.chunk_by(|a, b| a.learned == b.learned).map(|run| (run[0].learned, run.iter().map(|token| token.text.as_str()).collect()))
}

impl Preview {
    fn render(&self, tokens: bool, style: Style) -> String {
        let mut parts = vec![self.summary()];
        for (i, sample) in self.shown.iter().enumerate() {
            let title = format!(
                "sample {} (line {}: {}, {} learned)",
                i + 1,
                sample.line,
                count(sample.tokens.len(), "token"),
                thousands(sample.targets as u64)
            );
            let mut lines = vec![style.paint("1", &title)];
            for (name, part) in sample.parts() {
                if !name.is_empty() {
                    lines.push(style.paint("1", &format!("{name}:")));
                }
                lines.push(if tokens { table(part, style) } else { text(part, style) });
            }
            parts.push(lines.join("\n"));
        }
        parts.join("\n\n")
    }

    fn summary(&self) -> String {
        let c = &self.counts;
        let row = |name: &str, value: String| vec![name.to_string(), value];
        let mut rows = vec![
            row("dataset", on_one_line(&self.dataset.join(", ")).into_owned()),
            row("records", thousands(c.records as u64)),
            row("samples", format!("{} ({} dropped, {} truncated)", thousands(c.samples as u64), c.dropped, c.truncated)),
            row("tokens", format!("{}, {} of them learned", thousands(c.tokens as u64), thousands(c.learned as u64))),
        ];
        if let Some(held_out) = &self.evaluation {
            rows.push(row("evaluation", format!("{}, {}", count(held_out.samples, "sample"), count(held_out.tokens, "token"))));
        }
        let most = c.lengths.iter().map(|class| class.samples).max().unwrap_or(1).max(1);
        for (i, class) in c.lengths.iter().enumerate() {
            let bar = "━".repeat((class.samples * 30).div_ceil(most));
            let title = if i == 0 { "lengths" } else { "" };
            rows.push(row(title, format!("{:>6} to {:<6} {:>8}  {bar}", class.from, class.to, thousands(class.samples as u64))));
        }
        console::table(&rows)
    }
}

/// The text, what is learned in another colour; without colours each run on a line that says which it is.
fn text(tokens: &[Token], style: Style) -> String {
    if style.is_coloured() {
        let run = |(learned, text): (bool, String)| style.paint(if learned { "1;32" } else { "2" }, &visible(&text));
        return runs(tokens).map(run).collect();
    }
    let run = |(learned, text): (bool, String)| format!("  {}  {}", if learned { "learned" } else { "read   " }, escaped(&text));
    runs(tokens).map(run).collect::<Vec<_>>().join("\n")
}

fn table(tokens: &[Token], style: Style) -> String {
    let row = |token: &Token| {
        let line = format!("  {:>8}  {}  {}", token.id, if token.learned { "learned" } else { "read   " }, escaped(&token.text));
        if token.learned { style.paint("1;32", &line) } else { line }
    };
    tokens.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// A text in quotes on one line.
fn escaped(text: &str) -> String {
    visible(&format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").replace('\t', "\\t"))).into_owned()
}

/// The first sample of a run on one line, what is learned in brackets.
pub(super) fn first_sample(encoded: &Encoded, tokenizer: &Tokenizer) -> Result<Option<String>> {
    const LONGEST: usize = 400;
    let Some(sample) = encoded.samples.first() else { return Ok(None) };
    let shown = Shown::of(sample, tokenizer)?;
    let part = |(name, part): (&str, &[Token])| -> String {
        let name = if name.is_empty() { String::new() } else { format!("{name}: ") };
        name + &runs(part).map(|(learned, text)| if learned { format!("⟦{text}⟧") } else { text }).collect::<String>()
    };
    // Of an answer that is good or bad on its own, the other one is no news.
    let alone = matches!(sample.feedback, Some(Feedback::Good | Feedback::Bad));
    let shown_parts = if alone { 1 } else { 2 };
    let line = shown.parts().into_iter().take(shown_parts).map(part).collect::<Vec<_>>().join(" │ ");
    let line = line.replace('\n', "⏎");
    Ok(Some(match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_fall_into_classes_that_double() {
        let classes: Vec<(usize, usize, usize)> =
            histogram([3, 15, 16, 40, 64].into_iter()).iter().map(|class| (class.from, class.to, class.samples)).collect();
        assert_eq!(classes, [(1, 15, 2), (16, 31, 1), (32, 63, 1), (64, 127, 1)]);
        assert_eq!(histogram([100].into_iter()).iter().map(|class| (class.from, class.samples)).collect::<Vec<_>>(), [(64, 1)]);
        assert!(histogram(std::iter::empty()).is_empty());
    }
}
