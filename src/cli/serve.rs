//! `rootstock serve`.

use std::net::Ipv4Addr;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use clap::Args;
use rootstock::{Error, Result};
use rust_embed::RustEmbed;

use super::Global;
use super::console;

/// Serves the page that does all this in a browser tab, on this machine only
///
/// The page is part of this program and computes in the browser that opens it. Nothing is sent anywhere: the server listens on
/// 127.0.0.1, and answers with the page's own files.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  rootstock serve
  rootstock serve --port 9000")]
pub(super) struct ServeArgs {
    /// The port to listen on; 0 takes one that is free
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,
}

/// The page as `npm run build:web` leaves it. A release build holds it; a debug build reads the folder when it is asked.
#[derive(RustEmbed)]
#[folder = "web/dist/"]
#[allow_missing = true]
struct Page;

pub(super) async fn run(args: &ServeArgs, global: &Global) -> Result<()> {
    if Page::get("index.html").is_none() {
        return Err(Error::file(
            "the page",
            "it is not in this program, which was compiled before the page was built: run `npm run build:web`, and compile again \
             (`npm start` does both without this command)",
        ));
    }
    let fault = |e: &std::io::Error| {
        Error::file(format!("port {}", args.port), format!("it cannot be listened on: {e}; choose another one with --port"))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(|e| fault(&e))?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await.map_err(|e| fault(&e))?;
        let address = listener.local_addr().map_err(|e| fault(&e))?;
        console::print(&format!("http://{address}/"))?;
        global.console().say("This is the page; open it in a browser with WebGPU. Ctrl-C ends it.");
        axum::serve(listener, Router::new().fallback(file)).await.map_err(|e| fault(&e))
    })
}

/// What `scripts/web.mjs` adds to the name of a file's compressed twin.
const COMPRESSED: &str = ".br";

/// One of the page's files, compressed for those that take it so.
async fn file(uri: Uri, asked: HeaderMap) -> Response {
    let path = uri.path().trim_start_matches('/');
    let path = if path.is_empty() { "index.html" } else { path };
    let Some(found) = Page::get(path) else { return (StatusCode::NOT_FOUND, "there is no such file").into_response() };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type(path)));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Files below assets/ have their content in their name; the others may change with the program.
    let caching = if path.starts_with("assets/") { "max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    let small = Page::get(&format!("{path}{COMPRESSED}"));
    if small.is_some() {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    match small.filter(|_| takes_brotli(&asked)) {
        Some(small) => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
            (headers, small.data.into_owned()).into_response()
        }
        None => (headers, found.data.into_owned()).into_response(),
    }
}

/// Whether `Accept-Encoding` names brotli without refusing it (`br;q=0`).
fn takes_brotli(asked: &HeaderMap) -> bool {
    let named = asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    named.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let refused = |q: &str| q.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0));
        parts.next() == Some("br") && !parts.any(refused)
    })
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css",
        "js" => "text/javascript",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}
