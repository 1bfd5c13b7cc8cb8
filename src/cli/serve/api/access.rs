//! Who may ask: programs with the key, and no web page unless its origin is named.

use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Request, StatusCode};
use rootstock::{Error, Result};
use sha2::{Digest, Sha256};

use super::fault::Fault;

/// The key and the origins.
pub(super) struct Access {
    /// A hash of the key: comparing hashes tells nothing by the time that it takes.
    key: Option<[u8; 32]>,
    origins: Vec<HeaderValue>,
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

impl Access {
    /// # Errors
    /// [`Error::File`] for what is no origin.
    pub(super) fn new(key: Option<String>, origins: &[String]) -> Result<Access> {
        let read = |origin: &String| {
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            let plain = host.is_some_and(|host| !host.is_empty() && !host.contains(['/', '*', '@', '?', '#']));
            let value = HeaderValue::from_str(origin).ok().filter(|_| plain);
            value.ok_or_else(|| Error::file("--allow-origin", format!("{origin} is no origin; write it as http://localhost:5173")))
        };
        Ok(Access { key: key.map(|key| digest(key.as_bytes())), origins: origins.iter().map(read).collect::<Result<_>>()? })
    }

    /// The origin to allow in the answer, if a page asks.
    ///
    /// # Errors
    /// [`Fault`] for a page of another origin: any page that this machine's browser shows can send requests to loopback.
    pub(super) fn origin(&self, headers: &HeaderMap) -> std::result::Result<Option<HeaderValue>, Fault> {
        let Some(origin) = headers.get(header::ORIGIN) else { return Ok(None) };
        match self.origins.iter().find(|known| *known == origin) {
            Some(known) => Ok(Some(known.clone())),
            None => {
                let shown = String::from_utf8_lossy(origin.as_bytes()).into_owned();
                let sentence = format!("pages of {shown} may not ask this server; start it with --allow-origin {shown} if they should");
                Err(Fault::new(StatusCode::FORBIDDEN, sentence))
            }
        }
    }

    /// # Errors
    /// [`Fault`] for a request without the key.
    pub(super) fn check_key<T>(&self, request: &Request<T>) -> std::result::Result<(), Fault> {
        let Some(key) = &self.key else { return Ok(()) };
        let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let scheme = |given: &'_ [u8]| given.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"bearer "));
        match given {
            Some(given) if scheme(given) && digest(given[7..].trim_ascii()) == *key => Ok(()),
            Some(_) => Err(Fault::new(StatusCode::UNAUTHORIZED, "this is not the server's key").coded("invalid_api_key")),
            None => {
                let sentence = "this server wants a key: send the header Authorization: Bearer KEY";
                Err(Fault::new(StatusCode::UNAUTHORIZED, sentence).coded("invalid_api_key"))
            }
        }
    }
}
