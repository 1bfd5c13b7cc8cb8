//! The page's files: GET and HEAD, with the headers that keep other sites out.

use std::borrow::Cow;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

use super::http::{Body, Door, Handler};

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
    /// Where clients come in.
    pub(super) door: Door,
}

impl Handler for Site {
    fn door(&self) -> &Door {
        &self.door
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        answer(&request, self).map(BodyExt::boxed)
    }
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
    if let Some(sentence) = site.door.refusal(request) {
        return refuse(StatusCode::MISDIRECTED_REQUEST, format!("{sentence}\n"));
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
