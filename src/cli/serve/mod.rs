//! `rootstock serve`: the page, or a model behind an OpenAI-compatible endpoint.

mod api;
mod files;
mod http;
mod lan;
mod page;

use clap::Args;
use rootstock::{Error, Result};

use self::api::ApiArgs;
use super::Global;

/// Serves the page, which trains in a browser tab; with --model, a model to programs that speak OpenAI's protocol
///
/// The page is part of this program and computes in the browser that opens it. No data leaves the machine: the server listens on
/// 127.0.0.1, and answers with the page's own files. With --lan it serves a class: it listens on the network, by https, because
/// browsers offer WebGPU to other machines over https only, with a certificate that it makes once and keeps. What is trained stays in each browser.
///
/// With --model, or a recipe that names one, the model is put on this machine's graphics device and answers POST /v1/chat/completions and
/// /v1/completions, on 127.0.0.1 only.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock serve
  rootstock serve --port 9000
  rootstock serve --lan          # for a class: https, with a certificate of this machine's own
  rootstock serve --model out    # http://127.0.0.1:8080/v1 for clients of OpenAI's API
  rootstock serve --model base --adapter out --served-name gardener
  rootstock serve recipe.yaml    # as llamafactory-cli api

docs/serve.md tells what the endpoint takes and gives.")]
pub(super) struct ServeArgs {
    /// The port to listen on; 0 takes one that is free
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// Serve the local network too, by https
    #[arg(long, conflicts_with_all = ["model", "recipe"])]
    lan: bool,
    #[command(flatten)]
    api: ApiArgs,
}

pub(super) async fn run(args: &ServeArgs, global: &Global) -> Result<()> {
    if args.api.names_a_model() {
        return api::run(args.port, &args.api, global).await;
    }
    match args.api.option_of_a_model() {
        Some(option) => Err(Error::file(option, "this is for a model that is served; name it with --model DIR")),
        None => page::run(args.port, args.lan, global),
    }
}
