//! A server on loopback, or by TLS on a local network: it knows its own names, holds a limited number of connections, and ends those that
//! are slow, so that no client can use up the machine's memory or keep others out. What is answered is its handler's.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::header;
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use rootstock::Result;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;

/// What an answer carries.
pub(super) type Body = BoxBody<Bytes, Infallible>;

/// Where clients come in.
pub(super) struct Door {
    /// The port that the server listens on.
    pub(super) port: u16,
    /// The names and addresses that it answers to.
    pub(super) names: Vec<String>,
    /// Speaks https, where others on the network are served.
    pub(super) tls: Option<TlsAcceptor>,
}

/// What answers requests.
pub(super) trait Handler: Send + Sync + 'static {
    /// Where clients come in.
    fn door(&self) -> &Door;

    /// The answer to a request. Whether it is for this server ([`Door::refusal`]) is the handler's to ask.
    fn answer(&self, request: Request<Incoming>) -> impl Future<Output = Response<Body>> + Send;
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

impl Limits {
    /// For connections that may stay: answers take as long as they take.
    pub(super) const ANY_AGE: Duration = Duration::from_secs(365 * 24 * 3600);
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
pub(super) async fn serve<H: Handler>(listener: TcpListener, handler: H, limits: Limits) -> Result<()> {
    let (handler, slots) = (Arc::new(handler), Arc::new(Semaphore::new(limits.connections)));
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return Ok(()) }; // only a closed semaphore, which this is not
        match listener.accept().await {
            Ok((stream, _)) => {
                let handler = handler.clone();
                tokio::spawn(async move {
                    let _ = tokio::time::timeout(limits.age, welcome(stream, &*handler, limits)).await;
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
async fn welcome<H: Handler>(mut stream: TcpStream, handler: &H, limits: Limits) {
    let door = handler.door();
    let Some(tls) = &door.tls else { return converse(stream, handler, limits).await };
    let secured = async {
        let mut first = [0];
        if stream.peek(&mut first).await.is_ok() && first[0] != HANDSHAKE {
            // An address written without https: a sentence instead of a connection that breaks.
            let sentence =
                format!("this is https: open https://{}:{}/\n", door.names.first().map_or("localhost", String::as_str), door.port);
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
        converse(stream, handler, limits).await;
    }
}

/// One connection to its end. What goes wrong with it concerns the client alone.
async fn converse<S: AsyncRead + AsyncWrite + 'static, H: Handler>(stream: S, handler: &H, limits: Limits) {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limits.stalled));
    let answer = service_fn(|request: Request<Incoming>| async move { Ok::<_, Infallible>(handler.answer(request).await) });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(Box::pin(stream)), answer);
    let _ = connection.await;
}

impl Door {
    /// Why a request is not for this server, if it is not: a page of another site whose name was made to point here (DNS rebinding) would
    /// otherwise be of the same origin.
    pub(super) fn refusal<T>(&self, request: &Request<T>) -> Option<String> {
        if self.is_named(request) {
            return None;
        }
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let known: Vec<String> = self.names.iter().map(|name| format!("{scheme}://{name}:{}/", self.port)).collect();
        Some(format!("this server answers to {} only: open one of them", known.join(" and ")))
    }

    /// Whether the request is for this server, by one of its names and its port.
    fn is_named<T>(&self, request: &Request<T>) -> bool {
        let usual = if self.tls.is_some() { 443 } else { 80 };
        let named = |authority: &Authority| {
            let known = self.names.iter().any(|name| authority.host().eq_ignore_ascii_case(name));
            known && authority.port_u16().unwrap_or(usual) == self.port && !authority.as_str().contains('@')
        };
        let mut hosts = request.headers().get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| Authority::try_from(host.as_bytes()).ok());
        hosts.next().is_none() && host.as_ref().is_some_and(named) && request.uri().authority().is_none_or(named)
    }
}
