//! Requests to the hub: `HF_ENDPOINT`, tokens, patience with a hub that is busy.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use rootstock::platform::hub_cache::Kind;
use rootstock::{Error, Result};
use serde::Deserialize;
use ureq::http::Response;
use ureq::{Agent, Body};

/// How often a request is made again that failed for a reason that may pass.
pub(super) const TRIES: u32 = 5;

/// The longest wait that a busy hub may ask for.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest answer to a question about a model.
const LISTING_BYTES: u64 = 16 << 20;

/// A hub, and who asks.
pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

/// A file of a model or a data set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) size: u64,
    /// Its hash, by which the cache names it.
    pub(super) hash: String,
    /// Whether that is SHA-256 of the content; else it is git's of a blob.
    pub(super) is_sha256: bool,
}

/// What a repository consists of at a revision.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<File>,
}

/// The hub's answer about a repository, as far as it is read.
#[derive(Deserialize)]
struct Told {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    blob_id: Option<String>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: String,
    size: u64,
}

impl Client {
    /// As Hugging Face's programs are told by the environment.
    pub(super) fn from_environment() -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("rootstock/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(20)))
            .timeout_recv_response(Some(Duration::from_secs(60)));
        let set = |name: &str| env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
        let token = set("HF_TOKEN").or_else(|| set("HUGGING_FACE_HUB_TOKEN")).or_else(saved_token);
        Client {
            agent: config.build().into(),
            endpoint: endpoint.trim_end_matches('/').into(),
            token: token.map(|token| token.trim().into()),
        }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// What a repository consists of.
    pub(super) fn list(&self, kind: Kind, repository: &str, revision: &str) -> Result<Listing> {
        let place = match kind {
            Kind::Model => "models",
            Kind::Dataset => "datasets",
        };
        let url = format!("{}/api/{place}/{repository}/revision/{}?blobs=true", self.endpoint, revision.replace('/', "%2F"));
        let fault = |reason: String| Error::file(repository, reason);
        let mut answer = self.get(kind, repository, &url, None)?;
        let text = answer.body_mut().with_config().limit(LISTING_BYTES).read_to_string();
        let text = text.map_err(|e| fault(format!("the answer of {} cannot be read: {e}; try again", self.endpoint)))?;
        let told: Told = serde_json::from_str(&text).map_err(|e| fault(format!("{url} does not answer as the hub does: {e}")))?;
        if !is_hash(&told.sha) {
            return Err(fault(format!("{url} does not answer as the hub does: {:?} is no commit", told.sha)));
        }
        let mut files = Vec::new();
        for sibling in told.siblings {
            let leaves = sibling.rfilename.starts_with(['/', '\\']) || sibling.rfilename.contains(':');
            if leaves || sibling.rfilename.split(['/', '\\']).any(|part| matches!(part, "" | "." | "..")) {
                return Err(fault(format!("{} names a file {:?}, which leads out of a directory", self.endpoint, sibling.rfilename)));
            }
            let (hash, size, is_sha256) = match (sibling.lfs, sibling.blob_id, sibling.size) {
                (Some(lfs), ..) => (lfs.sha256, lfs.size, true),
                (None, Some(hash), Some(size)) => (hash, size, false),
                _ => return Err(fault(format!("{} does not tell size and hash of {}", self.endpoint, sibling.rfilename))),
            };
            if !is_hash(&hash) {
                return Err(fault(format!("{} names a hash {hash:?} of {}", self.endpoint, sibling.rfilename)));
            }
            files.push(File { name: sibling.rfilename, size, hash, is_sha256 });
        }
        Ok(Listing { commit: told.sha, files })
    }

    /// Asks for a file from a byte on.
    pub(super) fn file(&self, kind: Kind, repository: &str, commit: &str, name: &str, first: u64) -> Result<Response<Body>> {
        let place = match kind {
            Kind::Model => "",
            Kind::Dataset => "datasets/",
        };
        let url = format!("{}/{place}{repository}/resolve/{commit}/{name}", self.endpoint);
        self.get(kind, repository, &url, (first > 0).then_some(first))
    }

    /// One request, made again while the hub is busy.
    fn get(&self, kind: Kind, repository: &str, url: &str, first: Option<u64>) -> Result<Response<Body>> {
        let fault = |reason: String| Error::file(repository, reason);
        for attempt in 1.. {
            let mut request = self.agent.get(url);
            if let Some(token) = &self.token {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            if let Some(first) = first {
                request = request.header("Range", format!("bytes={first}-"));
            }
            let wait = match request.call() {
                Err(error) if attempt < TRIES => {
                    let _ = error;
                    pause(attempt)
                }
                Err(error) => {
                    let way_out = "check the connection and HF_ENDPOINT, or give a directory";
                    return Err(fault(format!("{} cannot be reached ({error}); {way_out}", self.endpoint)));
                }
                Ok(answer) => match answer.status().as_u16() {
                    200..=299 => return Ok(answer),
                    401 | 403 => {
                        let who = if self.token.is_some() { "the token given does not allow it" } else { "no token is given" };
                        return Err(fault(format!(
                            "{} does not give it ({}): it does not exist, is private, or asks to accept its licence, and {who}; accept the \
                             licence on its page, set HF_TOKEN or run `hf auth login`",
                            self.endpoint,
                            answer.status()
                        )));
                    }
                    404 => {
                        let endpoint = &self.endpoint;
                        return Err(fault(match kind {
                            Kind::Model => format!(
                                "there is no such directory, and {endpoint} has no such model, revision or file ({url}); check the spelling"
                            ),
                            Kind::Dataset => format!("{endpoint} has no such data set, revision or file ({url}); check the spelling"),
                        }));
                    }
                    429 | 500..=599 if attempt < TRIES => {
                        let asked = answer.headers().get("retry-after").and_then(|value| value.to_str().ok()?.parse().ok());
                        asked.map_or_else(|| pause(attempt), Duration::from_secs).min(PATIENCE)
                    }
                    status => {
                        let busy = if status == 429 { "too many requests; wait some minutes, or set HF_TOKEN" } else { "try again later" };
                        return Err(fault(format!("{} answers {}: {busy}", self.endpoint, answer.status())));
                    }
                },
            };
            sleep(wait);
        }
        Err(fault("it could not be asked for".into()))
    }
}

/// The wait after a failed attempt: half a second, then twice as long each time.
pub(super) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(250 << attempt.min(6))
}

/// What `hf auth login` saved.
fn saved_token() -> Option<String> {
    let of = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = of("HF_HOME").or_else(|| Some(of("HOME").or_else(|| of("USERPROFILE"))?.join(".cache/huggingface")));
    let path = of("HF_TOKEN_PATH").or_else(|| Some(home?.join("token")))?;
    fs::read_to_string(path).ok().map(|token| token.trim().to_string()).filter(|token| !token.is_empty())
}

fn is_hash(text: &str) -> bool {
    text.len() >= 8 && text.len() <= 64 && text.chars().all(|c| c.is_ascii_hexdigit())
}
