//! A server of a few files, on loopback or by TLS on a local network: it answers GET and HEAD for its own names, holds a limited number
//! of connections, and ends those that are slow, so that no client can use up the machine's memory or keep others out.

use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rootstock::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// A file of the site.
pub(super) struct File {
    pub(super) content: Cow<'static, [u8]>,
    /// The same, compressed.
    pub(super) brotli: Option<Cow<'static, [u8]>>,
    pub(super) content_type: &'static str,
    /// Whether its name changes with its content.
    pub(super) immutable: bool,
}

/// What is served.
pub(super) struct Site {
    /// The file of a path.
    pub(super) find: fn(&str) -> Option<File>,
    /// The content security policy.
    pub(super) policy: String,
    /// The port that the server listens on.
    pub(super) port: u16,
    /// The names and addresses that it answers to.
    pub(super) names: Vec<String>,
    /// Speaks https, where others on the network are served.
    pub(super) tls: Option<TlsAcceptor>,
}

/// The names that this machine alone is served under.
pub(super) fn loopback() -> Vec<String> {
    ["127.0.0.1", "localhost", "[::1]"].map(str::to_string).to_vec()
}

/// What clients may use.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Connections at one time; further ones wait in the system's queue.
    pub(super) connections: usize,
    /// From the connection, or the answer before, until a request's head is complete.
    pub(super) head: Duration,
    /// For a client that takes nothing of its answer.
    pub(super) stalled: Duration,
    /// For a connection in all.
    pub(super) age: Duration,
}

impl Default for Limits {
    /// A browser opens six connections to a host. The largest file is a few megabytes, which loopback carries in milliseconds.
    fn default() -> Self {
        Limits { connections: 128, head: Duration::from_secs(15), stalled: Duration::from_secs(15), age: Duration::from_secs(600) }
    }
}

/// How long accepting pauses after a failure: of file descriptors, mostly, and they come back when connections end.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers whoever connects. It never returns by itself.
///
/// # Errors
/// None; the type is that of what calls it.
pub(super) async fn serve(listener: TcpListener, site: Site, limits: Limits) -> Result<()> {
    let (site, slots) = (Arc::new(site), Arc::new(Semaphore::new(limits.connections)));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) }; // only a closed semaphore, which this is not
        match listener.accept().await {
            Ok((stream, _)) => {
                let site = site.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(limits.age, welcome(stream, &site, limits)).await;
                    drop(slot);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The first byte of a TLS connection: a handshake.
const HANDSHAKE: u8 = 0x16;

/// One connection, encrypted first where that is asked for.
async fn welcome(mut stream: TcpStream, site: &Site, limits: Limits) {
    let Some(tls) = &site.tls else { return converse(stream, site, limits).await };
    let secured = async {
        let mut first = [0];
        if stream.peek(&mut first).await.is_ok() && first[0] != HANDSHAKE {
            // An address written without https: a sentence instead of a connection that breaks.
            let sentence =
                format!("this is https: open https://{}:{}/\n", site.names.first().map_or("localhost", String::as_str), site.port);
            let head = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n";
            let answer = format!("{head}Content-Length: {}\r\n\r\n{sentence}", sentence.len());
            // What was sent is read first: a connection that is closed over unread bytes is reset, and the sentence lost. What fails here
            // concerns the client alone.
            let _ = stream.read(&mut [0; 8192]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
            return None;
        }
        tls.accept(stream).await.ok()
    };
    if let Ok(Some(stream)) = tokio::time::timeout(limits.head, secured).await {
        converse(stream, site, limits).await;
    }
}

/// One connection to its end. What goes wrong with it concerns the client alone.
async fn converse<S: AsyncRead + AsyncWrite + 'static>(stream: S, site: &Site, limits: Limits) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.stalled));
    let answer = service_fn(|request: Request<Incoming>| {
        let response = answer(&request, site);
        async move { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(Box::pin(stream)), answer);
    let _ = connection.await;
}

fn answer<T>(request: &Request<T>, site: &Site) -> Response<Full<Bytes>> {
    let mut response = found_or_refused(request, site);
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(policy) = HeaderValue::from_str(&site.policy) {
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    response
}

fn found_or_refused<T>(request: &Request<T>, site: &Site) -> Response<Full<Bytes>> {
    if !is_named(request, site) {
        // A page of another site whose name was made to point here (DNS rebinding) would otherwise be of the same origin.
        let scheme = if site.tls.is_some() { "https" } else { "http" };
        let known: Vec<String> = site.names.iter().map(|name| format!("{scheme}://{name}:{}/", site.port)).collect();
        let sentence = format!("this server answers to {} only: open one of them\n", known.join(" and "));
        return refuse(StatusCode::MISDIRECTED_REQUEST, sentence);
    }
    if request.method() != Method::GET && request.method() != Method::HEAD {
        let mut response = refuse(StatusCode::METHOD_NOT_ALLOWED, "this server only gives files: ask with GET or HEAD\n".into());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match (site.find)(request.uri().path()) {
        Some(file) => send(file, request.headers()),
        None => refuse(StatusCode::NOT_FOUND, "there is no such file\n".into()),
    }
}

/// Whether the request is for this server, by one of its names and its port.
fn is_named<T>(request: &Request<T>, site: &Site) -> bool {
    let usual = if site.tls.is_some() { 443 } else { 80 };
    let named = |authority: &Authority| {
        let known = site.names.iter().any(|name| authority.host().eq_ignore_ascii_case(name));
        known && authority.port_u16().unwrap_or(usual) == site.port && !authority.as_str().contains('@')
    };
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| Authority::try_from(host.as_bytes()).ok());
    hosts.next().is_none() && host.as_ref().is_some_and(named) && request.uri().authority().is_none_or(named)
}

fn refuse(status: StatusCode, sentence: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(sentence));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A file, compressed for those that take it so. Embedded bytes are borrowed: a download holds no copy of them.
fn send(file: File, asked: &HeaderMap) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.content_type));
    let caching = if file.immutable { "max-age=31536000, immutable" } else { "no-cache" };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    if file.brotli.is_some() {
        headers.insert(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    let content = match file.brotli.filter(|_| takes_brotli(asked)) {
        Some(small) => {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
            small
        }
        None => file.content,
    };
    *response.body_mut() = Full::new(match content {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    });
    response
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

#[cfg(test)]
mod tests;
