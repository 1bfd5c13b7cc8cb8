//! `rootstock chat`.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::Args;
use rootstock::config::{Quantization, Using};
use rootstock::data::Message;
use rootstock::generate::{GeneratorOptions, SamplingOptions};
use rootstock::workflow::{Fitted, Responder};
use rootstock::{Error, Result};

use super::Global;
use super::console::{self, Console};
use super::generate::{SamplingArgs, summary};
use super::setup::{AdapterArgs, load_using, open_adapted};

/// Talks with a model
///
/// Each line is a message; the model sees the whole conversation. /clear begins a new conversation, /exit (or the end of the input)
/// ends the program. Ctrl-C stops an answer; between answers it ends the program.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock chat --model out
  rootstock chat recipe.yaml
  rootstock chat --model out --system 'Answer like a pirate.' --temperature 1.0
  printf 'Who keeps the bees?\\nAnd the goats?\\n' | rootstock chat --model out --greedy")]
pub(super) struct ChatArgs {
    /// A recipe that names model and adapters and says how to draw (LLaMA-Factory's keys); options win over it
    #[arg(required_unless_present = "model", conflicts_with = "model")]
    recipe: Option<PathBuf>,
    /// Settings that win over the recipe's
    #[arg(value_name = "KEY=VALUE", requires = "recipe")]
    overrides: Vec<String>,
    /// The model's directory
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    #[command(flatten)]
    adapters: AdapterArgs,
    /// Keep the model's linear maps in 8 bits, or in 4 (NF4): less memory, rounded weights
    #[arg(long, value_name = "BITS", value_parser = ["8", "4"])]
    quantization_bit: Option<String>,
    /// A system message at the beginning of every conversation
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// Most tokens of an answer [default: 512, with a recipe its own]
    #[arg(long, value_name = "N")]
    max_new_tokens: Option<usize>,
    /// The longest conversation, in tokens; the oldest messages are dropped [default: 4096, or less where the model takes less]
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
    #[command(flatten)]
    sampling: SamplingArgs,
}

const HELP: &str = "Every line is a message. /clear begins a new conversation, /exit ends the program; Ctrl-C stops an answer.";

pub(super) async fn run(args: &ChatArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let plan = Plan::of(args, console).await?;
    plan.sampling(0).check()?;
    let model = open_adapted(&plan.model, &plan.adapters, console).await?.quantised(plan.quantization());
    if model.tokenizer.template().is_fallback() {
        console.say("note: this model has no chat template; a plain one is used (User: …, Assistant: …)");
    }
    let gpu = Rc::new(global.gpu().await?);
    console.say(&format!("device   {}", gpu.profile().name));
    let options = GeneratorOptions { context: args.context, chunk: None };
    let responder = model.responder(gpu, options).await?;
    let interrupt = Interrupt::install()?;
    let mut chat = Chat { plan, console, responder, interrupt, messages: Vec::new(), turns: 0 };
    chat.clear();
    chat.talk().await
}

/// What to talk with and how: the options, over a recipe if one is given.
struct Plan<'a> {
    args: &'a ChatArgs,
    recipe: Option<Using>,
    model: String,
    adapters: Vec<String>,
    system: Option<String>,
    max_new_tokens: usize,
}

impl<'a> Plan<'a> {
    async fn of(args: &'a ChatArgs, console: Console) -> Result<Plan<'a>> {
        let recipe = match &args.recipe {
            Some(path) => Some(load_using(path, &args.overrides).await?),
            None => None,
        };
        let mut plan = Plan {
            args,
            model: args.model.clone().unwrap_or_default(),
            adapters: args.adapters.adapters.clone(),
            system: args.system.clone(),
            max_new_tokens: args.max_new_tokens.unwrap_or(512),
            recipe: None,
        };
        if let Some(recipe) = recipe {
            console.notes(&recipe.notices);
            plan.model.clone_from(&recipe.model_name_or_path);
            plan.adapters.splice(0..0, recipe.adapter_name_or_path.iter().cloned());
            plan.system = plan.system.or_else(|| recipe.default_system.clone());
            plan.max_new_tokens = args.max_new_tokens.unwrap_or(recipe.generating.max_new_tokens);
            plan.recipe = Some(recipe);
        }
        Ok(plan)
    }

    /// The option, over the recipe's.
    fn quantization(&self) -> Quantization {
        let of_recipe = self.recipe.as_ref().map(|recipe| recipe.quantization);
        let quantization = of_recipe.unwrap_or_default();
        Quantization { bits: self.args.quantization_bit.as_ref().and_then(|bits| bits.parse().ok()).or(quantization.bits), ..quantization }
    }

    fn sampling(&self, turn: u64) -> SamplingOptions {
        match &self.recipe {
            Some(recipe) => self.args.sampling.over_recipe(recipe, turn),
            None => self.args.sampling.options(turn),
        }
    }
}

/// Ctrl-C: stops the answer that is being written; between answers it ends the program.
struct Interrupt {
    answering: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
}

impl Interrupt {
    fn install() -> Result<Interrupt> {
        let interrupt = Interrupt { answering: Arc::default(), stop: Arc::default() };
        let (answering, stop) = (interrupt.answering.clone(), interrupt.stop.clone());
        let installed = ctrlc::set_handler(move || {
            // A second Ctrl-C during the same answer ends the program: the model may not reach its next token.
            if !answering.load(Ordering::SeqCst) || stop.swap(true, Ordering::SeqCst) {
                let _ = writeln!(stderr());
                std::process::exit(0);
            }
        });
        installed.map_err(|e| Error::file("Ctrl-C", format!("it cannot be watched for: {e}")))?;
        Ok(interrupt)
    }

    fn begin(&self) {
        self.stop.store(false, Ordering::SeqCst);
        self.answering.store(true, Ordering::SeqCst);
    }

    fn came(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    fn end(&self) {
        self.answering.store(false, Ordering::SeqCst);
    }
}

struct Chat<'a> {
    plan: Plan<'a>,
    console: Console,
    responder: Responder,
    interrupt: Interrupt,
    messages: Vec<Message>,
    turns: u64,
}

impl Chat<'_> {
    async fn talk(&mut self) -> Result<()> {
        let interactive = stdin().is_terminal();
        if interactive {
            self.console.say(HELP);
        }
        loop {
            if interactive {
                let _ = write!(stderr(), "> ").and_then(|()| stderr().flush());
            }
            let mut line = String::new();
            let read = stdin().lock().read_line(&mut line);
            if read.map_err(|e| Error::file("the standard input", format!("it cannot be read as text: {e}")))? == 0 {
                return Ok(());
            }
            match line.trim() {
                "" => {}
                "/exit" | "/quit" => return Ok(()),
                "/clear" => self.clear(),
                "/help" => console::say(HELP),
                command if command.starts_with('/') => console::say(&format!("there is no {command}. {HELP}")),
                message => {
                    self.messages.push(Message::new("user", message));
                    match self.answer().await {
                        Ok(true) => {}
                        Ok(false) => return Ok(()), // stdout was closed
                        // A person can type a shorter message; a script has to see the error.
                        Err(error @ (Error::Recipe { .. } | Error::Config { .. })) if interactive => {
                            self.messages.pop();
                            console::error(&error.to_string());
                        }
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Drops the conversation except the system message.
    fn clear(&mut self) {
        self.messages = self.plan.system.iter().map(|system| Message::new("system", system.as_str())).collect();
    }

    /// The conversation's tokens, without its oldest turns where it would leave no room for an answer.
    fn prompt(&mut self) -> Result<Vec<u32>> {
        let Fitted { prompt, forgotten } = self.responder.fit(&self.messages, self.plan.max_new_tokens)?;
        if forgotten > 0 {
            let first = usize::from(self.plan.system.is_some());
            self.messages.drain(first..first + forgotten);
            self.console.say("note: the conversation fills the context; its oldest turns are dropped");
        }
        Ok(prompt)
    }

    /// Writes the answer to the last message; false when stdout was closed.
    async fn answer(&mut self) -> Result<bool> {
        let prompt = self.prompt()?;
        let sampling = self.plan.sampling(self.turns);
        self.turns += 1;
        self.interrupt.begin();
        let written = write_answer(&mut self.responder, &prompt, sampling, self.plan.max_new_tokens, &self.interrupt).await;
        self.interrupt.end();
        let (text, summary, open) = written?;
        self.console.say(&summary);
        self.messages.push(Message::new("assistant", text.trim()));
        Ok(open)
    }
}

/// The answer's text, its summary line, and whether stdout is still open.
async fn write_answer(
    responder: &mut Responder,
    prompt: &[u32],
    sampling: SamplingOptions,
    max_new_tokens: usize,
    interrupt: &Interrupt,
) -> Result<(String, String, bool)> {
    let mut stream = responder.begin(prompt, sampling, max_new_tokens).await?;
    let (mut text, mut open) = (String::new(), true);
    while open && !interrupt.came() {
        let Some(piece) = stream.next_text().await? else { break };
        open = console::print_answer(&piece)?;
        text.push_str(&piece);
    }
    let rest = stream.rest()?;
    text.push_str(&rest);
    open = open && console::print_answer(&format!("{rest}\n"))?;
    Ok((text, summary(stream.answer()), open))
}
