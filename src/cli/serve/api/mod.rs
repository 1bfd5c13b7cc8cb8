//! A model behind an OpenAI-compatible endpoint on loopback. docs/serve.md says what it takes and gives.
//!
//! The server has a thread of its own; the model stays on the program's first thread, where it answers one request after the other. Between
//! them lies the [`Queue`]. A client that leaves takes its request out of it, or ends the answer that is being written.

mod access;
mod fault;
mod queue;
mod reply;
mod request;
mod routes;
mod stream;
mod worker;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use clap::Args;
use rootstock::Result;
use rootstock::config::{Quantization, Using};
use rootstock::error::on_one_line;
use rootstock::generate::{GeneratorOptions, SamplingOptions};
use tokio::net::TcpListener;

use self::access::Access;
use self::queue::Queue;
use self::request::Defaults;
use self::routes::Api;
use self::worker::Worker;
use super::http::{Door, Limits, loopback, serve};
use super::page::taken;
use crate::cli::Global;
use crate::cli::console::{self, Console};
use crate::cli::generate::SamplingArgs;
use crate::cli::setup::{AdapterArgs, load_using, open_adapted};

/// What the endpoint serves and to whom.
#[derive(Debug, Args)]
#[command(next_help_heading = "A model for programs")]
pub(super) struct ApiArgs {
    /// A recipe that names model and adapters and says how to draw (LLaMA-Factory's keys); options win over it
    #[arg(conflicts_with = "model")]
    recipe: Option<PathBuf>,
    /// Settings that win over the recipe's
    #[arg(value_name = "KEY=VALUE", requires = "recipe")]
    overrides: Vec<String>,
    /// The model's directory
    #[arg(long, value_name = "DIR")]
    model: Option<String>,
    /// Keep the model's linear maps in 8 bits, or in 4 (NF4): less memory, rounded weights
    #[arg(long, value_name = "BITS", value_parser = ["8", "4"])]
    quantization_bit: Option<String>,
    #[command(flatten)]
    adapters: AdapterArgs,
    /// The name that clients ask for [default: the name of the adapter's or the model's directory]
    #[arg(long, value_name = "NAME")]
    served_name: Option<String>,
    /// Answer only who sends this key (Authorization: Bearer KEY); the variable ROOTSTOCK_API_KEY keeps it out of the list of processes
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// A web page's origin that may ask, such as http://localhost:5173; may be given several times [default: none may]
    #[arg(long = "allow-origin", value_name = "URL")]
    origins: Vec<String>,
    /// Requests that wait while one is answered; further ones are told to come back
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    queue: u16,
    /// The longest prompt and answer together, in tokens [default: 4096, or less where the model takes less]
    #[arg(long, value_name = "TOKENS")]
    context: Option<usize>,
    /// Most tokens of an answer to a request that does not say [default: 512, with a recipe its own]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_new_tokens: Option<u32>,
    #[command(flatten)]
    sampling: SamplingArgs,
}

/// The variable of the environment that holds the key.
const KEY_VARIABLE: &str = "ROOTSTOCK_API_KEY";

impl ApiArgs {
    /// Whether a model is to be served rather than the page.
    pub(super) fn names_a_model(&self) -> bool {
        self.model.is_some() || self.recipe.is_some()
    }

    /// The first option that is given and has no meaning for the page.
    pub(super) fn option_of_a_model(&self) -> Option<&'static str> {
        let given = [
            (!self.adapters.adapters.is_empty(), "--adapter"),
            (self.served_name.is_some(), "--served-name"),
            (self.api_key.is_some(), "--api-key"),
            (!self.origins.is_empty(), "--allow-origin"),
            (self.quantization_bit.is_some(), "--quantization-bit"),
            (self.context.is_some(), "--context"),
            (self.max_new_tokens.is_some(), "--max-new-tokens"),
        ];
        given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
    }

    fn key(&self) -> Option<String> {
        self.api_key.clone().or_else(|| std::env::var(KEY_VARIABLE).ok()).filter(|key| !key.is_empty())
    }
}

/// What is served: the options, over a recipe if one is given.
struct Plan {
    model: String,
    adapters: Vec<String>,
    quantization: Quantization,
    defaults: Defaults,
}

impl Plan {
    async fn of(args: &ApiArgs, console: Console) -> Result<Plan> {
        let recipe: Option<Using> = match &args.recipe {
            Some(path) => Some(load_using(path, &args.overrides).await?),
            None => None,
        };
        if let Some(recipe) = &recipe {
            console.notes(&recipe.notices);
        }
        let model = args.model.clone().or_else(|| recipe.as_ref().map(|r| r.model_name_or_path.clone())).unwrap_or_default();
        let mut adapters = recipe.as_ref().map(|r| r.adapter_name_or_path.clone()).unwrap_or_default();
        adapters.extend(args.adapters.adapters.iter().cloned());
        let sampling: SamplingOptions = match &recipe {
            Some(recipe) => args.sampling.over_recipe(recipe, 0),
            None => args.sampling.options(0),
        };
        sampling.check()?;
        let served = args.served_name.clone().unwrap_or_else(|| name_of(adapters.last().unwrap_or(&model)));
        let max_new_tokens = args.max_new_tokens.map(|n| n as usize);
        let defaults = Defaults {
            model: served,
            system: recipe.as_ref().and_then(|r| r.default_system.clone()),
            max_new_tokens: max_new_tokens.or(recipe.as_ref().map(|r| r.generating.max_new_tokens)).unwrap_or(512),
            // A seed of the command line is every request's; else each draws its own.
            seeded: args.sampling.is_seeded(),
            sampling,
        };
        let quantization = recipe.as_ref().map(|r| r.quantization);
        let quantization = quantization.unwrap_or_default();
        let bits = args.quantization_bit.as_ref().and_then(|bits| bits.parse().ok()).or(quantization.bits);
        Ok(Plan { model, adapters, quantization: Quantization { bits, ..quantization }, defaults })
    }
}

/// The name that a directory goes by: a model's of the hub is its own.
fn name_of(path: &str) -> String {
    let is_of_hub = !Path::new(path).exists() && path.split('/').count() == 2;
    let absolute = std::fs::canonicalize(path).ok();
    let last = absolute.as_deref().unwrap_or(Path::new(path)).file_name();
    if is_of_hub { path.to_string() } else { last.map_or_else(|| path.to_string(), |name| name.to_string_lossy().into_owned()) }
}

/// Loads the model and answers until the program is ended.
///
/// # Errors
/// What keeps the model from being loaded, a port that cannot be listened on, and a device that failed.
pub(super) async fn run(port: u16, args: &ApiArgs, global: &Global) -> Result<()> {
    let console = global.console();
    let access = Access::new(args.key(), &args.origins)?;
    let plan = Plan::of(args, console).await?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| taken(port, &e))?;
    let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, port))).map_err(|e| taken(port, &e))?;
    let address = listener.local_addr().map_err(|e| taken(port, &e))?;

    let model = open_adapted(&plan.model, &plan.adapters, console).await?.quantised(plan.quantization);
    if model.tokenizer.template().is_fallback() {
        console.say("note: this model has no chat template; a plain one is used for chat completions (User: …, Assistant: …)");
    }
    let gpu = Rc::new(global.gpu().await?);
    console.say(&format!("device   {}", gpu.profile().name));
    let responder = model.responder(gpu, GeneratorOptions { context: args.context, chunk: None }).await?;
    console.say(&format!("context  {} tokens", responder.generator.context()));

    let queue = Arc::new(Queue::new(usize::from(args.queue)));
    let door = Door { port: address.port(), names: loopback(), tls: None };
    let api = Api::new(door, access, plan.defaults.clone(), queue.clone());
    console::print(&format!("http://{address}/v1"))?;
    console.say(&format!("This serves {} to programs of this machine. Ctrl-C ends it.", on_one_line(&plan.defaults.model)));
    let serving = move || runtime.block_on(serve(listener, api, Limits { age: Limits::ANY_AGE, ..Limits::default() }));
    std::thread::Builder::new().name("server".into()).spawn(serving).map_err(|e| taken(port, &e))?;
    Worker { responder, queue, console }.run().await
}

#[cfg(test)]
mod tests;
