//! `rootstock demo`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Args;
use rootstock::checkpoint::Checkpoint;
use rootstock::config::Recipe;
use rootstock::data::{Content, Message, Tokenizer, load_datasets};
use rootstock::generate::{AnswerOptions, Generator, GeneratorOptions, SamplingOptions, chat_prompt, stop_ids, text_prompt};
use rootstock::gpu::{Gpu, human_bytes};
use rootstock::platform::Directory;
use rootstock::train::score;
use rootstock::{Error, Result};

use super::Global;
use super::console::{self, Console, count, duration, thousands};
use super::embedded;
use super::progress::Progress;
use super::setup::{Model, Setup};
use super::train::{Output, files, run_training};

/// Shows the whole journey on a small model that the program carries
///
/// A language model of a million parameters has read stories about a village. It is fully fine-tuned to answer questions about
/// it, asked before and after, written, and loaded again. Takes a few minutes, also without a graphics card.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock demo
  rootstock demo --out somewhere/else
  rootstock demo num_train_epochs=1          any setting of assets/demo/village.yaml can be tried

Afterwards:
  rootstock chat --model demo-output/village")]
pub(super) struct DemoArgs {
    /// Where the result goes, into a folder village/
    #[arg(long, value_name = "DIR", default_value = "demo-output")]
    out: PathBuf,
    /// Settings that win over the demo's recipe
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
}

/// Held-out questions whose answers are shown; a person can judge them at a glance.
const SHOWN: [usize; 6] = [0, 20, 40, 60, 80, 100];
/// What the model is asked to continue: a sentence as its stories have them.
const STORY: &str = "Anna lives in";
/// Longer than any answer of the village.
const MAX_NEW_TOKENS: usize = 32;
/// Columns of an answer that are shown.
const WIDTH: usize = 44;

struct Question {
    messages: Vec<Message>,
    expected: String,
}

pub(super) async fn run(args: &DemoArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let recipe = recipe(args).await?;
    let out = Output::open(&recipe)?;

    console.say("── The model: it has read stories about a village, and not one question");
    let model = Model::of(Rc::new(embedded::directory("embedded-model"))).await?;
    check_finite(&model.checkpoint).await?;
    let setup = Setup::with(recipe, model, &embedded::open, console).await?;
    let questions = held_out(&setup.recipe).await?;
    let gpu = Rc::new(global.gpu().await?);
    let samples = &setup.data.eval.samples;
    let batch = setup.recipe.per_device_eval_batch_size;
    let loss_before = score(&gpu, &setup.model.checkpoint, samples, batch).await?.loss;
    let mut before = Asked::open(&gpu, &setup.model.checkpoint, &setup.model.tokenizer).await?;
    console.say(&format!("it continues a story:   {STORY}{}", shorten(&before.continuation(STORY).await?)));
    console.say(&format!("and is asked {} that it will not be trained on …", count(questions.len(), "question")));
    let answers_before = before.answers(&questions).await?;
    drop(before);

    console.say("\n── Full fine-tuning: all its parameters learn to answer");
    let outcome = run_training(&setup, &out.directory, global, Progress::new(console)).await?;

    console.say("\n── The result, loaded again on its own");
    let directory: Rc<dyn Directory> = Rc::new(out.directory.clone());
    let tuned = Model::of(directory).await?;
    let again = score(&gpu, &tuned.checkpoint, samples, batch).await?.loss;
    let in_the_run = outcome.eval_loss.unwrap_or(f64::NAN);
    say_whether_same(console, again, in_the_run, &out)?;
    console.say("it is asked again …\n");
    let answers_after = Asked::open(&gpu, &tuned.checkpoint, &tuned.tokenizer).await?.answers(&questions).await?;

    console::print(&samples_table(&questions, &answers_before, &answers_after))?;
    let row = |name: &str, before: String, after: String| vec![name.to_string(), before, after];
    let accuracy = |answers: &[String]| {
        let right = answers.iter().zip(&questions).filter(|(answer, question)| question.is_answered_by(answer)).count();
        format!("{} % ({right} of {})", (100 * right + questions.len() / 2) / questions.len().max(1), questions.len())
    };
    console::print(&console::table(&[
        row("held-out questions", "before".into(), "after".into()),
        row("  answered right", accuracy(&answers_before), accuracy(&answers_after)),
        row("  loss", format!("{loss_before:.4}"), format!("{again:.4}")),
        row("  perplexity", format!("{:.2}", loss_before.exp()), format!("{:.2}", again.exp())),
    ]))?;
    console::print(&format!(
        "\n{} in {}, {} tokens/s, {} of GPU memory at most\n",
        count(outcome.steps as usize, "step"),
        duration(outcome.train_runtime),
        thousands(outcome.tokens_per_second as u64),
        human_bytes(outcome.peak_bytes)
    ))?;
    console::print(&files(out.directory.path()))
}

async fn recipe(args: &DemoArgs) -> Result<Recipe> {
    let out = args.out.join("village");
    let mut overrides = vec![format!("output_dir={}", out.display())];
    overrides.extend(args.overrides.iter().cloned());
    Recipe::load(&embedded::directory("demo"), "village.yaml", &overrides).await
}

/// Every weight is a number: the last thing that opening a checkpoint leaves open.
async fn check_finite(checkpoint: &Checkpoint) -> Result<()> {
    for param in checkpoint.params() {
        if !checkpoint.read_rows(param, 0..param.rows).await?.iter().all(|x| x.is_finite()) {
            return Err(Error::tensor(checkpoint.directory().label(), &param.name, "holds numbers that are not finite"));
        }
    }
    Ok(())
}

/// The held-out questions with their answers.
async fn held_out(recipe: &Recipe) -> Result<Vec<Question>> {
    let records = load_datasets(&recipe.eval_dataset, &recipe.dataset_dir, recipe.max_samples, &embedded::open).await?;
    let question = |content: Content| match content {
        Content::Conversation(mut messages) => messages.pop().map(|answer| Question { messages, expected: answer.content }),
        Content::Text(_) => None,
    };
    Ok(records.into_iter().filter_map(|record| question(record.content)).collect())
}

impl Question {
    /// Right when the answer holds the expected one, whatever punctuation ends it.
    fn is_answered_by(&self, answer: &str) -> bool {
        let mut expected = self.expected.clone();
        expected.pop();
        answer.contains(&expected)
    }

    fn text(&self) -> &str {
        self.messages.last().map_or("", |m| m.content.as_str())
    }
}

/// A model that is asked.
struct Asked<'a> {
    generator: Generator,
    tokenizer: &'a Tokenizer,
    stop_ids: BTreeSet<u32>,
}

impl<'a> Asked<'a> {
    async fn open(gpu: &Rc<Gpu>, checkpoint: &Checkpoint, tokenizer: &'a Tokenizer) -> Result<Asked<'a>> {
        let generator = Generator::load(gpu.clone(), checkpoint, GeneratorOptions::default()).await?;
        Ok(Asked { generator, tokenizer, stop_ids: stop_ids(checkpoint.config(), tokenizer) })
    }

    async fn answers(&mut self, questions: &[Question]) -> Result<Vec<String>> {
        let mut answers = Vec::with_capacity(questions.len());
        for question in questions {
            answers.push(self.complete(&chat_prompt(self.tokenizer, &question.messages)?).await?);
        }
        Ok(answers)
    }

    async fn continuation(&mut self, text: &str) -> Result<String> {
        self.complete(&text_prompt(self.tokenizer, text)?).await
    }

    async fn complete(&mut self, prompt: &[u32]) -> Result<String> {
        let sampling = SamplingOptions { greedy: true, ..SamplingOptions::default() };
        let options = AnswerOptions { sampling, max_new_tokens: MAX_NEW_TOKENS, stop_ids: self.stop_ids.clone() };
        let mut answer = self.generator.answer(prompt, options).await?.text(self.tokenizer, true);
        let mut text = String::new();
        while let Some(piece) = answer.next_text().await? {
            text.push_str(&piece);
        }
        Ok(text)
    }
}

fn say_whether_same(console: Console, again: f64, in_the_run: f64, out: &Output) -> Result<()> {
    if again.to_bits() != in_the_run.to_bits() {
        let place = out.directory.path().display().to_string();
        return Err(Error::file(
            place,
            format!(
                "the model that was written computes a held-out loss of {again}, the trained one computed {in_the_run}; they should agree"
            ),
        ));
    }
    console.say(&format!("held-out loss {again:.12}, as in the run to the last bit: what was written is what was trained"));
    Ok(())
}

fn shorten(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let space = if text.starts_with(char::is_whitespace) { " " } else { "" };
    if line.chars().count() <= WIDTH {
        format!("{space}{line}")
    } else {
        format!("{space}{} …", line.chars().take(WIDTH - 2).collect::<String>())
    }
}

fn samples_table(questions: &[Question], before: &[String], after: &[String]) -> String {
    let head = ["question (held out)", "before", "after"].map(str::to_string).to_vec();
    let row = |i: usize| vec![questions[i].text().to_string(), shorten(&before[i]).trim().into(), shorten(&after[i]).trim().into()];
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(SHOWN.into_iter().filter(|i| *i < questions.len()).map(row)).collect();
    format!("{}\n", console::table(&rows))
}
