//! The paths of the endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value as Json, json};
use tokio::sync::mpsc::unbounded_channel;

use super::access::Access;
use super::fault::Fault;
use super::queue::{Event, Job, Queue};
use super::reply::Head;
use super::request::{Ask, Defaults};
use super::stream::Events;
use crate::cli::serve::http::{Body, Door, Handler};

/// The most bytes of a request.
pub(super) const BODY: usize = 4 << 20;
/// How long a request's body may take to come.
const PATIENCE: Duration = Duration::from_secs(30);
/// When a client that found the queue full may come back, in seconds.
const COME_BACK: &str = "1";

/// The endpoint.
pub(super) struct Api {
    door: Door,
    access: Access,
    defaults: Defaults,
    queue: Arc<Queue>,
    /// Answers so far.
    count: AtomicU64,
    /// When it was started, in nanoseconds since 1970.
    began: u128,
}

/// What is at a path.
enum Route {
    Health,
    Models,
    Model(String),
    Chat,
    Text,
}

impl Route {
    fn of(path: &str) -> Option<Route> {
        Some(match path {
            "/health" | "/v1/health" => Route::Health,
            "/v1/models" => Route::Models,
            "/v1/chat/completions" => Route::Chat,
            "/v1/completions" => Route::Text,
            path => Route::Model(percent_decoded(path.strip_prefix("/v1/models/")?)),
        })
    }

    fn allowed(&self) -> &'static [Method] {
        match self {
            Route::Health | Route::Models | Route::Model(_) => &[Method::GET, Method::HEAD],
            Route::Chat | Route::Text => &[Method::POST],
        }
    }
}

/// `%2F` as `/`: clients write the name of a model into a path so.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let hex = after.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Handler for Api {
    fn door(&self) -> &Door {
        &self.door
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        if let Some(sentence) = self.door.refusal(&request) {
            return refusal(&Fault::new(StatusCode::MISDIRECTED_REQUEST, sentence));
        }
        let origin = match self.access.origin(request.headers()) {
            Ok(origin) => origin,
            Err(fault) => return refusal(&fault),
        };
        let mut response = match origin.is_some() && request.method() == Method::OPTIONS {
            true => preflight(request.headers()),
            false => self.route(request).await.unwrap_or_else(|fault| refusal(&fault)),
        };
        let headers = response.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(origin) = origin {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
            headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        response
    }
}

impl Api {
    pub(super) fn new(door: Door, access: Access, defaults: Defaults, queue: Arc<Queue>) -> Api {
        let began = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
        Api { door, access, defaults, queue, count: AtomicU64::new(0), began }
    }

    async fn route(&self, request: Request<Incoming>) -> Result<Response<Body>, Fault> {
        let path = request.uri().path();
        let Some(route) = Route::of(path) else {
            let shown: String = path.chars().take(80).collect();
            let sentence = format!(
                "there is nothing at {shown}; this server has POST /v1/chat/completions and /v1/completions, GET /v1/models and /health"
            );
            return Err(Fault::new(StatusCode::NOT_FOUND, sentence));
        };
        if !matches!(route, Route::Health) {
            self.access.check_key(&request)?;
        }
        if !route.allowed().contains(request.method()) {
            let allowed = if route.allowed().contains(&Method::POST) { "POST" } else { "GET, HEAD" };
            let mut response = refusal(&Fault::new(StatusCode::METHOD_NOT_ALLOWED, format!("ask here with {allowed}")));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            return Ok(response);
        }
        match route {
            Route::Health => Ok(document(StatusCode::OK, &json!({"status": "ok", "waiting": self.queue.waiting()}))),
            Route::Models => Ok(document(StatusCode::OK, &json!({"object": "list", "data": [self.model()]}))),
            Route::Model(name) if name == self.defaults.model => Ok(document(StatusCode::OK, &self.model())),
            Route::Model(name) => {
                let sentence = format!("there is no model {name} here; this server has {}", self.defaults.model);
                Err(Fault::new(StatusCode::NOT_FOUND, sentence).coded("model_not_found"))
            }
            Route::Chat => self.complete(request, true).await,
            Route::Text => self.complete(request, false).await,
        }
    }

    fn model(&self) -> Json {
        json!({
            "id": self.defaults.model, "object": "model", "created": (self.began / 1_000_000_000) as u64, "owned_by": "rootstock"
        })
    }

    async fn complete(&self, request: Request<Incoming>, chat: bool) -> Result<Response<Body>, Fault> {
        let body = body(request).await?;
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let ask = Ask::read(&body, chat, &self.defaults, (self.began as u64).wrapping_add(number))?;
        drop(body);
        let created = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let head = Head { chat, number, created, model: self.defaults.model.clone() };
        let (stream, include_usage) = (ask.stream, ask.include_usage);
        let (sender, mut events) = unbounded_channel();
        if !self.queue.push(Job { ask, events: sender }) {
            let waiting = self.queue.waiting();
            let sentence = format!("{waiting} requests wait already; come back later, or start the server with a longer --queue");
            return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, sentence).coded("queue_full"));
        }
        let silent = || Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "the model's thread has ended");
        if stream {
            // What is wrong with a prompt is known before the first byte: it gets its own status.
            return match events.recv().await.ok_or_else(silent)? {
                Event::Failed(fault) => Err(fault),
                _ => Ok(event_stream(Events::new(events, head, include_usage))),
            };
        }
        let mut text = String::new();
        loop {
            match events.recv().await.ok_or_else(silent)? {
                Event::Begun => {}
                Event::Text(piece) => text.push_str(&piece),
                Event::Done(end) => return Ok(document(StatusCode::OK, &head.whole(&text, &end))),
                Event::Failed(fault) => return Err(fault),
            }
        }
    }
}

/// The body of a request, if it is not too long and comes in time.
async fn body(request: Request<Incoming>) -> Result<Bytes, Fault> {
    let collected = tokio::time::timeout(PATIENCE, Limited::new(request.into_body(), BODY).collect()).await;
    match collected {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let sentence = format!("the request has more than {} MiB", BODY >> 20);
            Err(Fault::new(StatusCode::PAYLOAD_TOO_LARGE, sentence))
        }
        Ok(Err(_)) => Err(Fault::new(StatusCode::BAD_REQUEST, "the request's body is broken")),
        Err(_) => Err(Fault::new(StatusCode::REQUEST_TIMEOUT, "the request's body did not come in time")),
    }
}

fn document(status: StatusCode, content: &Json) -> Response<Body> {
    let mut response = Response::new(Full::from(format!("{content}\n")).boxed());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn refusal(fault: &Fault) -> Response<Body> {
    let mut response = document(fault.status, &fault.json());
    match fault.status {
        StatusCode::UNAUTHORIZED => drop(response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))),
        StatusCode::SERVICE_UNAVAILABLE => drop(response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static(COME_BACK))),
        _ => {}
    }
    response
}

fn event_stream(events: Events) -> Response<Body> {
    let mut response = Response::new(events.boxed());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// What a browser asks before it lets a page's request through.
fn preflight(asked: &HeaderMap) -> Response<Body> {
    let mut response = Response::new(Full::default().boxed());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD, POST"));
    // OpenAI's client for browsers sends headers of its own.
    if let Some(names) = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, names.clone());
    }
    if asked.contains_key("access-control-request-private-network") {
        headers.insert(HeaderName::from_static("access-control-allow-private-network"), HeaderValue::from_static("true"));
    }
    response
}
