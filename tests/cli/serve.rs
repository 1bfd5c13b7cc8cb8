//! The page from the program.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

fn get(address: &str, path: &str) -> String {
    get_encoded(address, path, "identity")
}

fn get_encoded(address: &str, path: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: {accept}\r\nConnection: close\r\n\r\n").expect("it reads");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("it answers");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The page is built by npm: without it, a sentence says so.
#[test]
fn the_page_is_served_on_loopback_or_what_is_missing_is_said() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("web/dist/index.html").exists();
    let mut program = Command::new(env!("CARGO_BIN_EXE_rootstock"));
    program.args(["serve", "--port", "0"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it is text");
    if built {
        let address = line.trim().strip_prefix("http://").and_then(|a| a.strip_suffix('/')).expect("it says where").to_string();
        assert!(address.starts_with("127.0.0.1:"), "{address}");
        let page = get(&address, "/");
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("text/html") && page.contains("Content-Security-Policy"), "{page}");
        // Compressed for those who take it; the build leaves the twin beside the file.
        for accept in ["gzip, deflate, br, zstd", "br;q=1.0"] {
            let small = get_encoded(&address, "/", accept);
            assert!(small.contains("content-encoding: br") && small.len() < page.len(), "{accept}: {small}");
        }
        for accept in ["gzip", "br;q=0", "brx"] {
            assert!(!get_encoded(&address, "/", accept).contains("content-encoding"), "{accept}");
        }
        assert!(get(&address, "/files.json").contains("embedded-model/model.safetensors"));
        for nowhere in ["/nothing", "/../Cargo.toml", "/%2e%2e/Cargo.toml", "//etc/passwd"] {
            assert!(get(&address, nowhere).starts_with("HTTP/1.1 404"), "{nowhere}");
        }
        child.kill().expect("it runs");
    } else {
        assert_eq!(child.wait().expect("it ends").code(), Some(1));
        let mut said = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
        assert!(said.contains("npm run build:web"), "{said}");
    }
    let _ = child.wait();
}
