//! `serve --model`: the program with a model whose answers are known, through a socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::Workspace;
use super::generate::{ANSWER, workspace};

/// The program, ended with the test.
struct Served {
    child: Child,
    address: String,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(ws: &Workspace, args: &[&str]) -> Served {
        let mut command = ws.command(&[&["serve", "--port", "0", "--quiet"], args].concat());
        let mut child = command.stderr(Stdio::null()).spawn().expect("the program starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("it is piped")).read_line(&mut line).expect("it is text");
        let address = line.trim().strip_prefix("http://").and_then(|a| a.strip_suffix("/v1")).expect("it says where").to_string();
        Served { child, address }
    }

    /// Status and body.
    fn post(&self, path: &str, body: &Value) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).expect("somebody listens");
        let body = body.to_string();
        let head = format!("POST {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}", self.address, body.len());
        write!(stream, "{head}\r\n\r\n{body}").expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer[9..12].parse().expect("a status");
        (status, answer.split_once("\r\n\r\n").map(|(_, body)| body.to_string()).unwrap_or_default())
    }

    fn chat(&self, more: Value) -> Value {
        let mut body = json!({"model": "chain", "messages": [{"role": "user", "content": "How are you?"}], "temperature": 0});
        let (Value::Object(fields), Value::Object(more)) = (&mut body, more) else { panic!("two objects") };
        fields.extend(more);
        let (_, answer) = self.post("/v1/chat/completions", &body);
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"))
    }
}

#[test]
fn a_served_model_answers_as_generate_does() {
    let ws = workspace();
    let served = Served::start(&ws, &["--model", "chain"]);
    let choice = |more: Value| served.chat(more)["choices"][0].clone();
    assert_eq!(choice(json!({}))["message"]["content"], ANSWER);
    assert_eq!(choice(json!({}))["finish_reason"], "stop");
    // Cut by a number of tokens, and by a word that comes in several tokens.
    let cut = served.chat(json!({"max_tokens": 2}));
    assert_eq!((&cut["choices"][0]["finish_reason"], &cut["usage"]["completion_tokens"]), (&json!("length"), &json!(2)));
    assert_eq!(choice(json!({"stop": ["🎉"]}))["message"]["content"], ANSWER.split('🎉').next().expect("the word is in it"));
    let (status, body) = served.post("/v1/completions", &json!({"prompt": "The garden", "temperature": 0, "echo": true, "stream": true}));
    assert_eq!(status, 200);
    let texts: String = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: {"))
        .map(|line| {
            let chunk: Value = serde_json::from_str(&format!("{{{line}")).expect("JSON");
            chunk["choices"][0]["text"].as_str().unwrap_or_default().to_string()
        })
        .collect();
    assert_eq!(texts, "The garden in it");
    assert!(body.contains("data: [DONE]"));

    // What is wrong with a request is said, and the next one is answered.
    let long = served.chat(json!({"messages": [{"role": "user", "content": "word ".repeat(600)}], "stream": true}));
    assert_eq!((&long["error"]["code"], &long["error"]["param"]), (&json!("context_length_exceeded"), &json!("messages")));
    let tools = served.chat(json!({"tools": [{"type": "function", "function": {"name": "look"}}]}));
    assert!(tools["error"]["message"].as_str().is_some_and(|said| said.contains("does not write tools")), "{tools}");
    assert_eq!(served.post("/v1/completions", &json!({"prompt": [9999]})).0, 400);
    assert_eq!(served.post("/v1/completions", &json!({"prompt": ""})).0, 200);
    assert_eq!(choice(json!({}))["message"]["content"], ANSWER);
}

#[test]
fn what_cannot_be_served_is_said() {
    let ws = workspace();
    for (args, word) in [
        (vec!["serve", "--model", "nothing"], "nothing"),
        (vec!["serve", "--adapter", "chain"], "--model DIR"),
        (vec!["serve", "--quantization-bit", "8"], "--model DIR"),
        (vec!["serve", "--model", "chain", "--allow-origin", "*"], "no origin"),
        (vec!["serve", "--model", "chain", "--temperature", "-1"], "temperature"),
    ] {
        let fault = ws.run(&args).fault();
        assert!(fault.contains(word), "{args:?}: {fault}");
    }
    assert_eq!(ws.run(&["serve", "--model", "chain", "--lan"]).code, Some(2));
}
