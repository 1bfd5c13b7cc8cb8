//! `rootstock generate`.

use std::io::Read;
use std::rc::Rc;

use clap::Args;
use rootstock::config::Using;
use rootstock::data::{Message, Tokenizer};
use rootstock::generate::{Answer, FinishReason, GeneratorOptions, SamplingOptions, chat_prompt, context_limit, text_prompt};
use rootstock::{Error, Result};
use serde::Serialize;

use super::Global;
use super::console::{self, Console, count};
use super::setup::{AdapterArgs, open_adapted};

/// Answers a prompt, or continues a text
///
/// A model with a chat template of its own gets the prompt as a user's message and answers it; a model without one continues the
/// text. The answer goes to stdout as it is written.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock generate --model out --prompt 'Who keeps the bees?'
  rootstock generate --model out --prompt 'Once upon a time' --raw --temperature 1.0 --seed 7
  echo 'Who keeps the bees?' | rootstock generate --model out --prompt - --greedy --json")]
pub(super) struct GenerateArgs {
    /// The model's directory
    #[arg(long, value_name = "DIR")]
    model: String,
    #[command(flatten)]
    adapters: AdapterArgs,
    /// The prompt to answer, or the text to continue; - reads it from stdin
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    prompt: String,
    /// A system message before the prompt
    #[arg(long, value_name = "TEXT", conflicts_with = "raw")]
    system: Option<String>,
    /// Continue the prompt as plain text even if the model has a chat template
    #[arg(long)]
    raw: bool,
    /// Treat the prompt as a message even if the model has no chat template
    #[arg(long, conflicts_with = "raw")]
    chat: bool,
    /// Most tokens of the answer
    #[arg(long, value_name = "N", default_value_t = 256)]
    max_new_tokens: usize,
    /// The longest prompt and answer together, in tokens [default: as long as these need]
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Print {"text", "tokens", "finish_reason", "tokens_per_second", …} as JSON, when all is done
    #[arg(long)]
    json: bool,
}

/// How tokens are chosen: the same options for `generate` and `chat`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(super) struct SamplingArgs {
    /// Always take the likeliest token
    #[arg(long)]
    greedy: bool,
    /// Divides the logits: below 1 favours likely tokens, above 1 flattens the distribution [default: 0.7]
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    temperature: Option<f32>,
    /// Draw from the K likeliest tokens only; 0: from all [default: 0]
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// Draw from the likeliest tokens that together reach this probability [default: 0.95]
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    top_p: Option<f32>,
    /// Leave out tokens less likely than this share of the likeliest
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    min_p: f32,
    /// Above 1: make tokens that have come before less likely [default: 1]
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    repetition_penalty: Option<f32>,
    /// The same seed draws the same tokens [default: 42]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// What holds for options that are not given.
const DEFAULTS: SamplingOptions =
    SamplingOptions { greedy: false, temperature: 0.7, top_k: 0, top_p: 0.95, min_p: 0.0, repetition_penalty: 1.0, seed: 42 };

impl SamplingArgs {
    /// Whether a seed is given.
    pub(super) fn is_seeded(&self) -> bool {
        self.seed.is_some()
    }

    /// The library's options; `turn` changes the seed for each answer of a conversation.
    pub(super) fn options(&self, turn: u64) -> SamplingOptions {
        self.over(&DEFAULTS, turn)
    }

    /// The same over those of a recipe.
    pub(super) fn over_recipe(&self, recipe: &Using, turn: u64) -> SamplingOptions {
        let drawn = &recipe.generating;
        let options = SamplingOptions {
            greedy: !drawn.do_sample,
            temperature: drawn.temperature as f32,
            top_k: drawn.top_k,
            top_p: drawn.top_p as f32,
            min_p: 0.0,
            repetition_penalty: drawn.repetition_penalty as f32,
            seed: recipe.seed,
        };
        self.over(&options, turn)
    }

    fn over(&self, others: &SamplingOptions, turn: u64) -> SamplingOptions {
        SamplingOptions {
            // A temperature on the command line asks for drawing.
            greedy: self.greedy || others.greedy && self.temperature.is_none(),
            temperature: self.temperature.unwrap_or(others.temperature),
            top_k: self.top_k.unwrap_or(others.top_k),
            top_p: self.top_p.unwrap_or(others.top_p),
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty.unwrap_or(others.repetition_penalty),
            seed: self.seed.unwrap_or(others.seed).wrapping_add(turn),
        }
    }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    text: &'a str,
    /// Of the answer.
    tokens: usize,
    finish_reason: Option<FinishReason>,
    tokens_per_second: f64,
    prompt_tokens: usize,
    token_ids: &'a [u32],
}

pub(super) async fn run(args: &GenerateArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let sampling = args.sampling.options(0);
    sampling.check()?;
    let model = open_adapted(&args.model, &args.adapters.adapters, console).await?;
    let prompt = prompt(args, &model.tokenizer, console)?;

    let gpu = Rc::new(global.gpu().await?);
    console.say(&format!("device   {}", gpu.profile().name));
    let config = model.config();
    let needed = prompt.len().saturating_add(args.max_new_tokens).max(1);
    let context = args.context.unwrap_or_else(|| needed.min(context_limit(config, gpu.profile())));
    let options = GeneratorOptions { context: Some(context), chunk: None };
    let mut responder = model.responder(gpu, options).await?;

    let mut stream = responder.begin(&prompt, sampling, args.max_new_tokens).await?;
    let mut text = String::new();
    while let Some(piece) = stream.next_text().await? {
        text.push_str(&piece);
        if !args.json && !console::print_answer(&piece)? {
            return Ok(()); // stdout was closed
        }
    }
    let answer = stream.answer();
    if args.json {
        return console::print_json(&Document {
            text: &text,
            tokens: answer.tokens().len(),
            finish_reason: answer.finish_reason(),
            tokens_per_second: answer.tokens_per_second(),
            prompt_tokens: answer.prompt_tokens(),
            token_ids: answer.tokens(),
        });
    }
    if !text.ends_with('\n') {
        console::print_answer("\n")?;
    }
    console.say(&summary(answer));
    Ok(())
}

/// Tokens, speed and end of an answer, in one line.
pub(super) fn summary(answer: &Answer<'_>) -> String {
    let end = match answer.finish_reason() {
        Some(FinishReason::Stop) => "ended by the model",
        Some(FinishReason::Length) => "ended by --max-new-tokens",
        Some(FinishReason::Context) => "ended by the context's length",
        None => "stopped",
    };
    let (asked, said) = (count(answer.prompt_tokens(), "token"), count(answer.tokens().len(), "token"));
    format!("{asked} of prompt, {said} of answer, {:.1} tokens/s, {end}", answer.tokens_per_second())
}

fn prompt(args: &GenerateArgs, tokenizer: &Tokenizer, console: Console) -> Result<Vec<u32>> {
    let mut text = args.prompt.clone();
    if text == "-" {
        text.clear();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|e| Error::file("the standard input", format!("it cannot be read as text: {e}")))?;
        text.truncate(text.trim_end_matches(['\r', '\n']).len());
    }
    let template = tokenizer.template();
    let chat = args.chat || args.system.is_some() || !template.is_fallback();
    if args.raw || !chat {
        return text_prompt(tokenizer, &text);
    }
    if template.is_fallback() {
        console.say("note: this model has no chat template; a plain one is used (User: …, Assistant: …)");
    }
    let system = args.system.iter().map(|system| Message::new("system", system.as_str()));
    let messages: Vec<Message> = system.chain([Message::new("user", text)]).collect();
    chat_prompt(tokenizer, &messages)
}
