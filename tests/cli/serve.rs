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

/// Others of the network are served by https; without it, and under other names, a sentence says what to do.
#[test]
fn a_network_is_served_by_https() {
    if !Path::new(env!("CARGO_MANIFEST_DIR")).join("web/dist/index.html").exists() {
        return; // the other test holds what is said without the page
    }
    let home = tempfile::tempdir().expect("a folder");
    let mut program = Command::new(env!("CARGO_BIN_EXE_rootstock"));
    program.args(["serve", "--lan", "--port", "0"]).env("XDG_DATA_HOME", home.path());
    program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = program.spawn().expect("the program starts");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it is text");
    if line.is_empty() {
        let mut said = String::new();
        child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
        assert!(said.contains("on no network"), "{said}");
        let _ = child.wait();
        return;
    }
    let address = line.trim().strip_prefix("https://").and_then(|a| a.strip_suffix('/')).expect("it says where").to_string();
    let (_, port) = address.rsplit_once(':').expect("a port");
    assert!(get(&format!("127.0.0.1:{port}"), "/").contains("this is https: open https://"), "without https");
    let certificate = home.path().join("rootstock/lan-certificate.pem");
    // curl is on every system that tests run on, and checks the certificate's names.
    let curl = |url: &str, more: &[&str]| {
        let output =
            Command::new("curl").args(["--silent", "--show-error", "--include", "--cacert"]).arg(&certificate).args(more).arg(url).output();
        output.map(|o| String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned()).expect("curl runs")
    };
    let page = curl(&format!("https://{address}/"), &[]);
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("content-security-policy"), "{page}");
    let other = curl(&format!("https://{address}/"), &["--header", "Host: elsewhere.test"]);
    assert!(other.starts_with("HTTP/1.1 421") && other.contains("open one of them"), "{other}");
    child.kill().expect("it runs");
    let _ = child.wait();
}
