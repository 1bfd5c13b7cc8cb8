//! The server through real sockets, with limits that a test can wait for.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::super::http::{Limits, loopback, serve};
use super::*;

const SMALL: &[u8] = b"a page";
static LARGE: [u8; 8 << 20] = [b'x'; 8 << 20];

fn find(path: &str) -> Option<File> {
    let content: &'static [u8] = match path {
        "/" => SMALL,
        "/large" => &LARGE,
        _ => return None,
    };
    let brotli = (path == "/").then_some(Cow::Borrowed(&SMALL[..3]));
    Some(File { content: Cow::Borrowed(content), brotli, content_type: "text/plain", immutable: false })
}

/// A server on a port of its own, for as long as the test program runs.
fn start(limits: Limits) -> u16 {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
            let port = listener.local_addr().expect("it is bound").port();
            sender.send(port).expect("the test waits for it");
            let _ = serve(
                listener,
                Site {
                    find,
                    policy: "default-src 'none'; frame-ancestors 'none'".into(),
                    door: Door { port, names: loopback(), tls: None },
                },
                limits,
            )
            .await;
        });
    });
    receiver.recv().expect("the server starts")
}

fn quick() -> Limits {
    Limits { connections: 16, head: Duration::from_millis(500), stalled: Duration::from_millis(500), age: Duration::from_secs(60) }
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("it can be set");
    stream
}

/// What comes back until the server closes the connection.
fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match stream.read_to_end(&mut bytes) {
        Err(e) if e.kind() != ErrorKind::ConnectionReset => panic!("the server keeps the connection: {e}"),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn ask(port: u16, head: &str) -> String {
    let mut stream = connect(port);
    write!(stream, "{head}\r\nConnection: close\r\n\r\n").expect("it reads");
    rest(&mut stream)
}

fn get(port: u16) -> String {
    ask(port, &format!("GET / HTTP/1.1\r\nHost: localhost:{port}"))
}

#[test]
fn files_are_given_to_get_and_head_only() {
    let port = start(Limits::default());
    let page = get(port).to_ascii_lowercase();
    assert!(page.starts_with("http/1.1 200") && page.ends_with("\r\n\r\na page"), "{page}");
    for line in [
        "content-security-policy: default-src 'none'; frame-ancestors 'none'",
        "cross-origin-opener-policy: same-origin",
        "cross-origin-resource-policy: same-origin",
        "x-content-type-options: nosniff",
        "vary: accept-encoding",
    ] {
        assert!(page.contains(line), "'{line}' in {page}");
    }
    let head = ask(port, &format!("HEAD / HTTP/1.1\r\nHost: 127.0.0.1:{port}")).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 6") && head.ends_with("\r\n\r\n"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        let answer = ask(port, &format!("{method} / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0"));
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD") && answer.contains("ask with GET"), "{answer}");
    }
    let nowhere = ask(port, &format!("GET /nowhere HTTP/1.1\r\nHost: 127.0.0.1:{port}"));
    assert!(nowhere.starts_with("HTTP/1.1 404") && nowhere.contains("no such file"), "{nowhere}");
}

/// A name that somebody else lets point to loopback is refused.
#[test]
fn only_requests_for_this_server_are_answered() {
    let port = start(Limits::default());
    for host in ["127.0.0.1", "localhost", "LocalHost", "[::1]"] {
        let answer = ask(port, &format!("GET / HTTP/1.1\r\nHost: {host}:{port}"));
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
    }
    let other = port ^ 1;
    let wrong = [
        format!("GET / HTTP/1.1\r\nHost: rebind.example:{port}"),
        format!("GET / HTTP/1.1\r\nHost: localhost.example:{port}"),
        format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{other}"),
        "GET / HTTP/1.1\r\nHost: localhost".to_string(),
        format!("GET / HTTP/1.1\r\nHost: evil@127.0.0.1:{port}"),
        format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nHost: rebind.example"),
        format!("GET http://rebind.example/ HTTP/1.1\r\nHost: 127.0.0.1:{port}"),
        "GET / HTTP/1.0\r\nAccept: */*".to_string(),
    ];
    for head in wrong {
        let answer = ask(port, &head);
        assert!(answer.starts_with("HTTP/1.1 421") || answer.starts_with("HTTP/1.0 421"), "{head}: {answer}");
        assert!(answer.contains(&format!("http://127.0.0.1:{port}/")) && !answer.contains("a page"), "{head}: {answer}");
    }
}

/// Four hundred clients at once, most of which say nothing: the server goes on, and those that ask are answered.
#[test]
fn several_hundred_connections_are_survived() {
    let port = start(quick());
    let mut idle: Vec<TcpStream> = Vec::new();
    for _ in 0..400 {
        match TcpStream::connect_timeout(&(Ipv4Addr::LOCALHOST, port).into(), Duration::from_secs(10)) {
            Ok(stream) => idle.push(stream),
            // The system's queue is full, or this program has no more file descriptors: that is crowd enough.
            Err(_) => break,
        }
    }
    assert!(idle.len() > 100, "{}", idle.len());
    drop(idle.drain(..idle.len() / 2));
    let page = get(port);
    assert!(page.ends_with("a page"), "{page}");
    drop(idle);
    assert!(get(port).ends_with("a page"));
}

#[test]
fn a_slow_client_is_left() {
    let port = start(quick());
    let begun = Instant::now();
    // Says nothing; says half of a head; comes back for more and says nothing.
    let (mut silent, mut half, mut again) = (connect(port), connect(port), connect(port));
    half.write_all(b"GET / HTTP/1.1\r\nHo").expect("it reads");
    write!(again, "GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").expect("it reads");
    assert_eq!(rest(&mut silent), "");
    let answer = rest(&mut half);
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(rest(&mut again).ends_with("a page"));
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

/// Downloads that nobody reads cost no memory, and are ended.
#[test]
fn unread_downloads_hold_no_copies() {
    let limits = Limits { connections: 128, stalled: Duration::from_secs(5), ..quick() };
    let port = start(limits);
    let before = memory();
    let mut unread: Vec<TcpStream> = (0..64).map(|_| connect(port)).collect();
    for stream in &mut unread {
        write!(stream, "GET /large HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n").expect("it reads");
    }
    // All of them have an answer that has begun.
    for stream in &mut unread {
        let mut start = [0; 12];
        stream.read_exact(&mut start).expect("it answers");
        assert_eq!(&start, b"HTTP/1.1 200");
    }
    if let (Some(before), Some(after)) = (before, memory()) {
        let copies = after.saturating_sub(before) / LARGE.len() as u64;
        assert!(copies < 16, "64 downloads hold {copies} copies of the file");
    }
    std::thread::sleep(limits.stalled + Duration::from_secs(1));
    let mut first = unread.swap_remove(0);
    assert!(rest(&mut first).len() < LARGE.len(), "it was ended in the middle");
}

/// Bytes that this process has in memory (Linux only).
fn memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}
