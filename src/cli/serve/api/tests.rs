//! The endpoint through real sockets, with a test in the model's place.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::queue::{End, Event, Job};
use super::routes::BODY;
use super::*;

/// A server on a port of its own, for as long as the test program runs, and its queue.
struct Server {
    port: u16,
    queue: Arc<Queue>,
}

fn start(most: usize, key: Option<&str>, origins: &[&str]) -> Server {
    let queue = Arc::new(Queue::new(most));
    let origins: Vec<String> = origins.iter().map(ToString::to_string).collect();
    let access = Access::new(key.map(str::to_string), &origins).expect("they are origins");
    let defaults =
        Defaults { model: "org/gardener".into(), system: None, max_new_tokens: 512, sampling: SamplingOptions::default(), seeded: false };
    let (sender, receiver) = std::sync::mpsc::channel();
    let jobs = queue.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
            let port = listener.local_addr().expect("it is bound").port();
            sender.send(port).expect("the test waits for it");
            let door = Door { port, names: loopback(), tls: None };
            let _ = serve(listener, Api::new(door, access, defaults, jobs), Limits { age: Limits::ANY_AGE, ..Limits::default() }).await;
        });
    });
    Server { port: receiver.recv().expect("the server starts"), queue }
}

/// An answer: its head in lower case, and its body.
#[derive(Debug)]
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> &str {
        &self.head["http/1.1 ".len()..][..3]
    }

    fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

impl Server {
    fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).expect("somebody listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it can be set");
        stream.write_all(request.as_bytes()).expect("it reads");
        stream
    }

    fn request(&self, line: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        let port = self.port;
        format!("{line} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
    }

    fn ask(&self, line: &str, headers: &str, body: &str) -> Answer {
        finish(self.send(&self.request(line, headers, body)))
    }

    fn chat(&self, more: Json) -> TcpStream {
        let mut body = json!({"messages": [{"role": "user", "content": "Hello"}]});
        let (Json::Object(fields), Json::Object(more)) = (&mut body, more) else { panic!("two objects") };
        fields.extend(more);
        self.send(&self.request("POST /v1/chat/completions", "Content-Type: application/json\r\n", &body.to_string()))
    }

    /// The next request, which is then answered.
    fn answers(&self, events: Vec<Event>) -> Job {
        let job = self.queue.pop();
        events.into_iter().for_each(|event| job.tell(event));
        job
    }
}

fn finish(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("it answers");
    let text = String::from_utf8(bytes).expect("it is text");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let head = head.to_ascii_lowercase();
    let chunked = head.contains("transfer-encoding: chunked");
    Answer { body: if chunked { unchunked(body) } else { body.to_string() }, head }
}

fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).expect("a size");
        whole.push_str(&rest[..size]);
        body = rest[size..].trim_start_matches("\r\n");
    }
    whole
}

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

fn done(reason: &'static str) -> Event {
    Event::Done(End { reason, calls: Vec::new(), prompt_tokens: 5, completion_tokens: 3 })
}

#[test]
fn an_answer_comes_whole() {
    let server = start(4, None, &[]);
    let stream = server.chat(json!({"model": "org/gardener", "max_tokens": 9}));
    let job = server.answers(vec![Event::Begun, text("Water "), text("it."), done("stop")]);
    assert_eq!(job.ask.max_new_tokens, 9);
    let answer = finish(stream);
    assert_eq!(answer.status(), "200");
    let reply = answer.json();
    assert_eq!(reply["object"], "chat.completion");
    assert_eq!(reply["choices"][0]["message"], json!({"role": "assistant", "content": "Water it.", "refusal": null}));
    assert_eq!(reply["choices"][0]["finish_reason"], "stop");
    assert_eq!(reply["usage"], json!({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}));

    let stream = server.send(&server.request("POST /v1/completions", "", r#"{"prompt": "Once"}"#));
    server.answers(vec![Event::Begun, text(" upon"), done("length")]);
    let reply = finish(stream).json();
    assert_eq!((reply["object"].as_str(), reply["choices"][0]["text"].as_str()), (Some("text_completion"), Some(" upon")));
    assert_eq!(reply["choices"][0]["finish_reason"], "length");
}

#[test]
fn an_answer_comes_as_events() {
    let server = start(4, None, &[]);
    let stream = server.chat(json!({"stream": true, "stream_options": {"include_usage": true}}));
    server.answers(vec![Event::Begun, text("Water\n"), text("it."), done("stop")]);
    let answer = finish(stream);
    assert!(answer.status() == "200" && answer.head.contains("text/event-stream"), "{answer:?}");
    let events: Vec<&str> = answer.body.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    let (end, chunks) = events.split_last().expect("there are some");
    assert_eq!(*end, "[DONE]");
    let chunks: Vec<Json> = chunks.iter().map(|chunk| serde_json::from_str(chunk).expect("JSON")).collect();
    let deltas: Vec<&Json> = chunks.iter().map(|chunk| &chunk["choices"][0]["delta"]).collect();
    assert_eq!(deltas[0], &json!({"role": "assistant", "content": ""}));
    assert_eq!((deltas[1], deltas[2]), (&json!({"content": "Water\n"}), &json!({"content": "it."})));
    assert_eq!(chunks[3]["choices"][0]["finish_reason"], "stop");
    assert_eq!((&chunks[4]["choices"], &chunks[4]["usage"]["total_tokens"]), (&json!([]), &json!(8)));
    assert!(chunks.iter().all(|chunk| chunk["id"] == chunks[0]["id"]));

    // A fault before the first byte has its own status, one behind it is an event.
    let stream = server.chat(json!({"stream": true}));
    server.answers(vec![Event::Failed(fault::Fault::bad("messages", "too long"))]);
    assert_eq!(finish(stream).status(), "400");
    let stream = server.chat(json!({"stream": true}));
    server.answers(vec![Event::Begun, text("Wa"), Event::Failed(fault::Fault::of(&rootstock::Error::gpu("lost")))]);
    let answer = finish(stream);
    assert!(answer.status() == "200" && answer.body.contains("server_error") && !answer.body.contains("[DONE]"), "{answer:?}");
}

#[test]
fn calls_of_tools_are_told_in_openai_s_form() {
    let server = start(4, None, &[]);
    let call = json!({"type": "function", "function": {"name": "look", "arguments": {"tree": "pear"}}});
    let end = End { reason: "tool_calls", calls: vec![call], prompt_tokens: 1, completion_tokens: 1 };
    let tools = json!([{"type": "function", "function": {"name": "look"}}]);
    for stream in [false, true] {
        let asked = server.chat(json!({"stream": stream, "tools": tools}));
        server.answers(vec![Event::Begun, Event::Done(end.clone())]);
        let answer = finish(asked);
        assert!(answer.body.contains(r#""arguments":"{\"tree\":\"pear\"}""#), "{answer:?}");
        assert!(answer.body.contains(r#""finish_reason":"tool_calls""#), "{answer:?}");
        if !stream {
            assert_eq!(answer.json()["choices"][0]["message"]["content"], Json::Null);
        }
    }
}

#[test]
fn models_health_and_wrong_paths() {
    let server = start(4, None, &[]);
    let list = server.ask("GET /v1/models", "", "").json();
    assert_eq!((list["object"].as_str(), list["data"][0]["id"].as_str()), (Some("list"), Some("org/gardener")));
    assert_eq!(server.ask("GET /v1/models/org%2Fgardener", "", "").json()["id"], "org/gardener");
    assert_eq!(server.ask("GET /health", "", "").json(), json!({"status": "ok", "waiting": 0}));
    for (line, status, word) in [
        ("GET /v1/models/other", "404", "this server has org/gardener"),
        ("GET /", "404", "POST /v1/chat/completions"),
        ("GET /v1/completions", "405", "POST"),
        ("POST /v1/models", "405", "GET, HEAD"),
        ("POST /v1/completions", "400", "not valid JSON"),
    ] {
        let answer = server.ask(line, "", "");
        assert_eq!(answer.status(), status, "{line}: {answer:?}");
        let error = &answer.json()["error"];
        assert!(error["message"].as_str().is_some_and(|said| said.contains(word)) && error["type"].is_string(), "{line}: {error}");
    }
}

#[test]
fn strangers_are_kept_out() {
    let server = start(4, Some("secret"), &["http://localhost:5173"]);
    let rebound = finish(server.send("GET /v1/models HTTP/1.1\r\nHost: rebind.example\r\nConnection: close\r\n\r\n"));
    assert!(rebound.status() == "421" && rebound.json()["error"]["message"].is_string(), "{rebound:?}");
    for headers in ["", "Authorization: Bearer wrong\r\n", "Authorization: secret\r\n", "Authorization: Bearer \r\n"] {
        let answer = server.ask("GET /v1/models", headers, "");
        assert!(answer.status() == "401" && answer.json()["error"]["code"] == "invalid_api_key", "{headers}: {answer:?}");
    }
    let key = "Authorization: Bearer secret\r\n";
    assert_eq!(server.ask("GET /v1/models", key, "").status(), "200");
    assert_eq!(server.ask("GET /health", "", "").status(), "200");

    // A page of another site reaches loopback from the browser of this machine.
    let page = server.ask("POST /v1/completions", &format!("{key}Origin: https://evil.example\r\n"), "{}");
    assert!(page.status() == "403" && page.body.contains("--allow-origin https://evil.example"), "{page:?}");
    let preflight = "Origin: http://localhost:5173\r\nAccess-Control-Request-Headers: authorization\r\n";
    let allowed = server.ask("OPTIONS /v1/completions", preflight, "");
    for header in ["http/1.1 204", "access-control-allow-origin: http://localhost:5173", "access-control-allow-headers: authorization"] {
        assert!(allowed.head.contains(header), "{allowed:?}");
    }
    assert!(Access::new(None, &["*".into()]).is_err() && Access::new(None, &["http://a/b".into()]).is_err());
}

#[test]
fn requests_have_limits() {
    let server = start(2, None, &[]);
    let mut long = server.send(&server.request("POST /v1/completions", "", "").replace("Length: 0", &format!("Length: {}", BODY + 1)));
    let piece = vec![b' '; BODY + 1];
    let _ = long.write_all(&piece); // the server may have closed it before the end
    assert_eq!(finish(long).status(), "413");

    // One is being answered, two wait, and the next is told to come back.
    let _first = server.chat(json!({}));
    let _answering = server.queue.pop();
    let (second, third) = (server.chat(json!({})), server.chat(json!({})));
    until(|| server.queue.waiting() == 2);
    let full = finish(server.chat(json!({})));
    assert!(full.status() == "503" && full.head.contains("retry-after: 1") && full.body.contains("queue_full"), "{full:?}");
    // Whoever leaves makes room.
    drop(second);
    until(|| server.queue.waiting() == 1);
    let fourth = server.chat(json!({}));
    until(|| server.queue.waiting() == 2);
    for stream in [third, fourth] {
        server.answers(vec![Event::Begun, done("stop")]);
        assert_eq!(finish(stream).status(), "200");
    }
}

#[test]
fn an_answer_ends_when_its_client_leaves() {
    let server = start(2, None, &[]);
    // In the middle of a stream.
    let stream = server.chat(json!({"stream": true}));
    let job = server.answers(vec![Event::Begun, text("Water")]);
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while !line.contains("Water") {
        line.clear();
        assert!(reader.read_line(&mut line).expect("it answers") > 0);
    }
    assert!(!job.is_left());
    drop(reader);
    until(|| job.is_left());
    // Before a whole answer.
    let stream = server.chat(json!({}));
    let job = server.answers(vec![Event::Begun, text("Water")]);
    drop(stream);
    until(|| job.is_left());
}

/// Waits for what another thread does.
fn until(holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(60), "it does not come to that");
        std::thread::yield_now();
    }
}
