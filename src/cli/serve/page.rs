//! The page, which is part of this program, for a browser on this machine, or with `--lan` on others of its network.

use std::borrow::Cow;
use std::net::{Ipv4Addr, SocketAddr};

use rootstock::{Error, Result};
use rust_embed::RustEmbed;
use tokio::net::TcpListener;

use super::files::{File, Site};
use super::http::{Door, Limits, loopback, serve};
use super::lan::{self, Lan};
use crate::cli::Global;
use crate::cli::console;

/// The page as `npm run build:web` leaves it. A release build holds it; a debug build reads the folder at each request.
#[derive(RustEmbed)]
#[folder = "web/dist/"]
#[allow_missing = true]
struct Page;

/// The page's first file.
const INDEX: &str = "index.html";
/// What `scripts/web.mjs` adds to the name of a file's compressed twin.
const COMPRESSED: &str = ".br";

/// Serves the page on a port, to this machine or its network.
///
/// # Errors
/// When the page is not part of the program, or the port cannot be listened on.
pub(super) fn run(port: u16, lan: bool, global: &Global) -> Result<()> {
    let Some(index) = Page::get(INDEX) else {
        return Err(Error::file(
            "the page",
            "it is not in this program, which was compiled before the page was built: run `npm run build:web`, and compile again \
             (`npm start` does both without this command)",
        ));
    };
    let policy = policy(&String::from_utf8_lossy(&index.data)).ok_or_else(|| {
        Error::file("the page", "its index.html states no content security policy; build the page again: `npm run build:web`")
    })?;
    let fault = |e: &std::io::Error| taken(port, e);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| fault(&e))?;
    let lan = if lan { Some(Lan::open(&lan::folder()?)?) } else { None };
    runtime.block_on(async {
        let host = if lan.is_some() { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
        let listener = TcpListener::bind((host, port)).await.map_err(|e| fault(&e))?;
        let address: SocketAddr = listener.local_addr().map_err(|e| fault(&e))?;
        let port = address.port();
        let (names, tls) = match lan {
            None => {
                console::print(&format!("http://{address}/"))?;
                global.console().say("This is the page; open it in a browser with WebGPU. Ctrl-C ends it.");
                (loopback(), None)
            }
            Some(lan) => {
                for name in &lan.names {
                    console::print(&format!("https://{name}:{port}/"))?;
                }
                global.console().say(&explain(&lan));
                (lan.names, Some(lan.acceptor))
            }
        };
        serve(listener, Site { find, policy, door: Door { port, names, tls } }, Limits::default()).await
    })
}

/// Why a port cannot be listened on.
pub(super) fn taken(port: u16, error: &std::io::Error) -> Error {
    Error::file(format!("port {port}"), format!("it cannot be listened on: {error}; choose another one with --port"))
}

/// What a teacher has to know about the certificate.
fn explain(lan: &Lan) -> String {
    format!(
        "This is the page, for every machine of this network. Browsers warn of the certificate, because no authority vouches for it: let a \
         pupil compare its SHA-256 fingerprint, {}, and then go on (\"Advanced\", \"Proceed\"). Or install {} as trusted on the pupils' \
         machines; then there is no warning, and the page can be installed as an app. What is trained stays in each browser. Ctrl-C ends it.",
        lan.fingerprint,
        lan.certificate.display()
    )
}

/// A file of the page by its path in an address, with its compressed twin where there is one.
fn find(path: &str) -> Option<File> {
    let path = path.trim_start_matches('/');
    let path = if path.is_empty() { INDEX } else { path };
    let data = |name: &str| -> Option<Cow<'static, [u8]>> { Page::get(name).map(|file| file.data) };
    Some(File {
        content: data(path)?,
        brotli: data(&format!("{path}{COMPRESSED}")),
        content_type: content_type(path),
        // Files below assets/ have a hash of their content in their names; the others may change with the program.
        immutable: path.starts_with("assets/"),
    })
}

/// The content security policy that the page states about itself, and what only a header can say: that nobody may frame it.
fn policy(index: &str) -> Option<String> {
    let (_, meta) = index.split_once("http-equiv=\"Content-Security-Policy\"")?;
    let (policy, _) = meta.split_once("content=\"")?.1.split_once('"')?;
    Some(format!("{policy}; frame-ancestors 'none'"))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap_or_default() {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css",
        "js" => "text/javascript",
        "json" => "application/json",
        "svg" => "image/svg+xml",
        "webmanifest" => "application/manifest+json",
        "wasm" => "application/wasm",
        _ => "application/octet-stream",
    }
}

#[cfg(test)]
mod tests {
    use super::policy;

    #[test]
    fn the_page_states_its_policy() {
        let policy = policy(include_str!("../../../web/index.html")).expect("it is there");
        assert!(policy.starts_with("default-src 'none'; ") && policy.ends_with("; frame-ancestors 'none'"), "{policy}");
    }
}
