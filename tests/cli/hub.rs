//! Models by their names on the hub, from a server on this machine that behaves like it, faults included.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use sha1::Digest;

use super::Workspace;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong with a file, as often as it says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// The connection ends after a third.
    Cut(usize),
    /// The server answers with this status.
    Status(u16, usize),
    /// The bytes are others.
    Damaged,
    /// Fewer bytes than the listing says.
    Short,
}

#[derive(Default)]
struct State {
    files: HashMap<String, Vec<u8>>,
    /// The files of the data set `garden/talks`, by their paths.
    talks: HashMap<String, Vec<u8>>,
    faults: HashMap<String, Fault>,
    /// Paths that were asked for, with the first byte.
    asked: Vec<(String, u64)>,
    token: Option<String>,
}

/// A hub with one model, `garden/tree`, and one data set, `garden/talks`.
struct Hub {
    address: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    fn of(ws: &Workspace) -> Hub {
        let names = [
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
        ];
        let files = names.iter().map(|name| (name.to_string(), ws.read(&format!("model/{name}")))).collect();
        let state = Arc::new(Mutex::new(State { files, ..State::default() }));
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                thread::spawn(move || answer(stream, &state));
            }
        });
        Hub { address, state }
    }

    fn fail(&self, name: &str, fault: Fault) {
        self.state.lock().expect("no panic").faults.insert(name.into(), fault);
    }

    fn asked(&self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.state.lock().expect("no panic").asked)
    }

    fn run(&self, ws: &Workspace, args: &[&str]) -> super::Said {
        ws.run_with(args, &[("HF_HUB_OFFLINE", "0"), ("HF_ENDPOINT", &self.address)])
    }
}

fn listing(files: &HashMap<String, Vec<u8>>, state: &State) -> Value {
    let sibling = |(name, bytes): (&String, &Vec<u8>)| {
        let size = bytes.len() + usize::from(state.faults.get(name) == Some(&Fault::Short)) * 5;
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let mut blob = sha1::Sha1::new();
        blob.update(format!("blob {}\0", bytes.len()));
        blob.update(bytes);
        let mut sibling = json!({"rfilename": name, "size": size, "blobId": hex(&blob.finalize())});
        if name.ends_with(".safetensors") {
            sibling["lfs"] = json!({"sha256": hex(&sha2::Sha256::digest(bytes)), "size": size, "pointerSize": 134});
        }
        sibling
    };
    // Of a model nobody asks for it.
    let readme = (!files.contains_key("README.md")).then(|| json!({"rfilename": "README.md", "size": 3, "blobId": "aaaaaaaa"}));
    let siblings: Vec<Value> = files.iter().map(sibling).chain(readme).collect();
    json!({"id": "garden/tree", "sha": COMMIT, "siblings": siblings})
}

fn answer(mut stream: TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(stream.try_clone().expect("a second handle")).lines();
    let Some(Ok(request)) = lines.next() else { return };
    let path = request.split(' ').nth(1).unwrap_or_default().to_string();
    let (mut first, mut token) = (0, None);
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_lowercase().as_str() {
            "range" => first = value.trim_start_matches("bytes=").trim_end_matches('-').parse().expect("a range"),
            "authorization" => token = value.strip_prefix("Bearer ").map(str::to_string),
            _ => {}
        }
    }
    let mut state = state.lock().expect("no panic");
    state.asked.push((path.clone(), first));
    let mut reply = |status: &str, headers: &str, length: usize, body: &[u8]| {
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n");
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
    };
    if state.token.is_some() && state.token != token {
        return reply("401 Unauthorized", "", 0, b"");
    }
    if path == "/api/datasets/garden/talks/revision/main?blobs=true" {
        let text = listing(&state.talks, &state).to_string();
        return reply("200 OK", "Content-Type: application/json\r\n", text.len(), text.as_bytes());
    }
    if let Some(bytes) = path.strip_prefix(&format!("/datasets/garden/talks/resolve/{COMMIT}/")).and_then(|name| state.talks.get(name)) {
        return reply("200 OK", "", bytes.len(), bytes);
    }
    let name = path.rsplit('/').next().unwrap_or_default().to_string();
    let name = if path.starts_with("/api/") { "api".to_string() } else { name };
    if let Some(Fault::Status(status, times @ 1..)) = state.faults.get(&name).copied() {
        state.faults.insert(name, Fault::Status(status, times - 1));
        return reply(&format!("{status} Busy"), "Retry-After: 0\r\n", 0, b"");
    }
    if path == "/api/models/garden/tree/revision/main?blobs=true" {
        let text = listing(&state.files, &state).to_string();
        return reply("200 OK", "Content-Type: application/json\r\n", text.len(), text.as_bytes());
    }
    let Some(bytes) = state.files.get(&name).filter(|_| path == format!("/garden/tree/resolve/{COMMIT}/{name}")).cloned() else {
        return reply("404 Not Found", "", 0, b"");
    };
    let mut body = bytes[first as usize..].to_vec();
    let status = if first > 0 { "206 Partial Content" } else { "200 OK" };
    match state.faults.get(&name).copied() {
        Some(Fault::Cut(times @ 1..)) => {
            state.faults.insert(name, Fault::Cut(times - 1));
            reply(status, "", body.len(), &body[..body.len() / 3]);
        }
        Some(Fault::Damaged) => {
            body.iter_mut().for_each(|byte| *byte ^= 1);
            reply(status, "", body.len(), &body);
        }
        _ => reply(status, "", body.len(), &body),
    }
}

#[test]
fn a_model_is_fetched_once_and_found_by_its_name_from_then_on() {
    let ws = Workspace::new();
    let hub = Hub::of(&ws);
    // A busy hub and connections that end: it waits, and goes on where it stopped.
    hub.fail("api", Fault::Status(429, 2));
    hub.fail("model.safetensors", Fault::Cut(2));
    hub.fail("tokenizer.json", Fault::Status(503, 1));
    let said = hub.run(&ws, &["fetch", "garden/tree"]).good();
    let snapshot = format!("hub/hub/models--garden--tree/snapshots/{COMMIT}");
    assert!(said.stdout.trim().ends_with(&snapshot), "{}", said.stdout);
    let asked = hub.asked();
    assert!(!asked.iter().any(|(path, _)| path.ends_with("README.md")), "only what is needed: {asked:?}");
    let firsts: Vec<u64> = asked.iter().filter(|(path, _)| path.ends_with("model.safetensors")).map(|(_, first)| *first).collect();
    assert!(firsts.len() == 3 && firsts[0] == 0 && firsts[1] > 0 && firsts[2] > firsts[1], "it goes on where it stopped: {firsts:?}");
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        assert!(ws.read(&format!("{snapshot}/{name}")) == ws.read(&format!("model/{name}")), "{name}");
    }
    assert_eq!(ws.read("hub/hub/models--garden--tree/refs/main"), COMMIT.as_bytes());

    // From then on its name is enough, without a hub.
    let loss = |model: &str| ws.run(&["eval", "--model", model, "--dataset", "test.jsonl", "--json"]).good().json()["loss"].as_f64();
    assert_eq!(loss("garden/tree"), loss("model"));
    assert_eq!(loss(&format!("garden/tree@{COMMIT}")), loss("model"));
    hub.run(&ws, &["fetch", "garden/tree"]).good();
    assert!(hub.asked().iter().all(|(path, _)| path.starts_with("/api/")), "nothing comes twice");
}

#[test]
fn a_recipe_s_model_comes_from_the_hub_by_itself() {
    let ws = Workspace::new();
    let hub = Hub::of(&ws);
    ws.recipe("model_name_or_path: garden/tree\nmax_steps: 1\nsave_strategy: no");
    let said = hub.run(&ws, &["train", "recipe.yaml"]).good();
    assert!(said.stderr.contains("fetching garden/tree (6 files"), "{}", said.stderr);
    assert!(ws.path("out/model.safetensors").is_file());
    let said = hub.run(&ws, &["train", "recipe.yaml", "output_dir=again", "model_revision=main"]).good();
    assert!(!said.stderr.contains("fetching"), "{}", said.stderr);
}

#[test]
fn what_the_hub_refuses_or_sends_wrongly_is_one_sentence_and_leaves_no_model() {
    let ws = Workspace::new();
    let hub = Hub::of(&ws);
    let fault = |hub: &Hub, name: &str| hub.run(&ws, &["fetch", name]).fault();
    assert!(fault(&hub, "garden/rose").contains("has no such model, revision or file"));
    assert!(fault(&hub, "garden/tree@winter").contains("has no such model, revision or file"));
    assert!(fault(&hub, "./tree").contains("no name of a model on the hub"));
    hub.state.lock().expect("no panic").token = Some("secret".into());
    assert!(fault(&hub, "garden/tree").contains("no token is given"));
    let wrong =
        ws.run_with(&["fetch", "garden/tree"], &[("HF_HUB_OFFLINE", "0"), ("HF_ENDPOINT", &hub.address), ("HF_TOKEN", "guess")]).fault();
    assert!(wrong.contains("the token given does not allow it"), "{wrong}");
    hub.state.lock().expect("no panic").token = None;
    hub.fail("api", Fault::Status(429, 99));
    assert!(fault(&hub, "garden/tree").contains("too many requests"));
    hub.fail("api", Fault::Status(429, 0));
    hub.fail("model.safetensors", Fault::Damaged);
    let damaged = fault(&hub, "garden/tree");
    assert!(damaged.contains("garden/tree/model.safetensors: what came is damaged"), "{damaged}");
    hub.fail("model.safetensors", Fault::Short);
    let short = fault(&hub, "garden/tree");
    assert!(short.contains("model.safetensors: it did not come whole"), "{short}");
    // Nothing of that is taken for a model.
    assert!(ws.run(&["eval", "--model", "garden/tree", "--dataset", "test.jsonl"]).fault().contains("HF_HUB_OFFLINE"));
    hub.fail("model.safetensors", Fault::Cut(0));
    hub.run(&ws, &["fetch", "garden/tree"]).good();
    let token = [("HF_HUB_OFFLINE", "0"), ("HF_ENDPOINT", "http://127.0.0.1:9"), ("HF_HOME", "elsewhere")];
    let fault = ws.run_with(&["fetch", "garden/tree"], &token).fault();
    assert!(fault.contains("http://127.0.0.1:9 cannot be reached"), "{fault}");
}

#[test]
fn a_data_set_of_the_hub_is_fetched_as_far_as_it_is_meant() {
    let ws = Workspace::new();
    let hub = Hub::of(&ws);
    let chat = include_bytes!("../fixtures/parquet/chat.parquet");
    let talk = |n: usize| (format!("de/train-{n:05}-of-00002.parquet"), chat.to_vec());
    let others = [
        ("README.md", b"# Talks".to_vec()),
        ("LICENSE.txt", b"free".to_vec()),
        ("en/train.parquet", b"not asked for".to_vec()),
        ("en/test.parquet", Vec::new()),
    ];
    hub.state.lock().expect("no panic").talks =
        [talk(0), talk(1)].into_iter().chain(others.map(|(name, bytes)| (name.to_string(), bytes))).collect();
    let entry = |more: Value| {
        let mut entry = json!({"hf_hub_url": "garden/talks", "formatting": "openai", "columns": {"messages": "messages"}});
        entry.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        entry
    };
    let registry = json!({
        "talks": entry(json!({"subset": "de", "split": "train[:5]"})),
        "french": entry(json!({"subset": "fr"})),
        "nowhere": {"hf_hub_url": "garden/silence"},
        "wrong": {"hf_hub_url": "../talks"},
    });
    ws.write("dataset_info.json", &registry.to_string());
    ws.recipe("dataset: talks\ndataset_dir: .\nmax_steps: 1\nsave_strategy: no");
    // Without the right to download, the sentence names the data set.
    let offline = ws.run(&["preview", "recipe.yaml"]).fault();
    assert!(offline.starts_with("garden/talks: ") && offline.contains("HF_HUB_OFFLINE"), "{offline}");
    let said = hub.run(&ws, &["train", "recipe.yaml"]).good();
    assert!(
        said.stderr.contains("fetching garden/talks (2 files") && said.stderr.contains("5 records became 9 sequences"),
        "{}",
        said.stderr
    );
    assert!(!hub.asked().iter().any(|(path, _)| path.contains("/en/") || path.contains("LICENSE")), "only what is meant");
    // From then on it is there without a hub.
    let again = ws.run(&["preview", "recipe.yaml"]).good();
    assert!(again.stdout.contains("Question 0?"), "{}", again.stdout);

    let fault = |name: &str| hub.run(&ws, &["preview", "recipe.yaml", &format!("dataset={name}")]).fault();
    assert!(fault("french").contains("has a part fr"));
    assert!(fault("nowhere").contains("has no such data set"));
    assert!(fault("wrong").contains("is not a name on the hub"));
    hub.run(&ws, &["fetch", "--dataset", "garden/talks", "--folder", "de"]).good();
    let online = hub.run(&ws, &["fetch", "--dataset", "garden/talks", "--folder", "it"]).fault();
    assert!(online.contains("no data in a folder it"), "{online}");
}

/// Version 1 of LLaMA-Factory names data sets of the hub in its descriptions, and in a recipe where nothing on the machine has that name.
#[test]
fn recipes_of_version_1_name_data_sets_of_the_hub() {
    let ws = Workspace::new();
    let hub = Hub::of(&ws);
    let chat = include_bytes!("../fixtures/parquet/chat.parquet").to_vec();
    hub.state.lock().expect("no panic").talks =
        [("train-00000.parquet".to_string(), chat), ("README.md".to_string(), b"# Talks".to_vec())].into_iter().collect();
    ws.write("sets.yaml", "talks:\n  path: garden/talks\n  split: \"train[:5]\"\n");
    ws.write("v1.yaml", "model: model\ntrain_dataset: sets.yaml\noutput_dir: out\nmicro_batch_size: 2\ncutoff_len: 64\nmax_steps: 1\n");
    let said = hub.run(&ws, &["train", "v1.yaml"]).good();
    assert!(said.stderr.contains("fetching garden/talks (1 file") && said.stderr.contains("5 records"), "{}", said.stderr);
    let said = hub.run(&ws, &["train", "v1.yaml", "train_dataset=garden/talks", "output_dir=o"]).good();
    assert!(
        said.stderr.contains("nothing on this machine is called garden/talks") && said.stderr.contains("40 records"),
        "{}",
        said.stderr
    );
    let fault = hub.run(&ws, &["train", "v1.yaml", "train_dataset=garden/silence", "output_dir=p"]).fault();
    assert!(fault.contains("garden/silence") && fault.contains("has no such data set"), "{fault}");
    std::fs::create_dir_all(ws.path("garden/talks")).expect("the directory is writable");
    ws.write("garden/talks/train.jsonl", "{\"text\": \"a tree\"}\n");
    let said = ws.run(&["train", "v1.yaml", "train_dataset=garden/talks", "output_dir=q"]).good();
    assert!(!said.stderr.contains("nothing on this machine"), "{}", said.stderr);
}

/// The card says which files a configuration and its splits are, whatever their names.
#[test]
fn a_data_sets_card_chooses_its_files() {
    let ws = Workspace::new();
    let hub = Hub::of(&ws);
    let chat = include_bytes!("../fixtures/parquet/chat.parquet").to_vec();
    let card = "---\nconfigs:\n- config_name: long\n  data_files: b/*\n- config_name: short\n  default: true\n  data_files:\n  - split: train\n    path: a/one-*\n  \
                - split: held\n    path: a/two-*\n---\n# Talks\n";
    let files = [
        ("README.md", card.as_bytes().to_vec()),
        ("a/one-0.parquet", chat.clone()),
        ("a/two-0.parquet", chat),
        ("b/x.parquet", b"no".to_vec()),
    ];
    hub.state.lock().expect("no panic").talks = files.into_iter().map(|(name, bytes)| (name.to_string(), bytes)).collect();
    let entry = json!({"hf_hub_url": "garden/talks", "formatting": "openai", "columns": {"messages": "messages"}});
    let with = |key: &str, value: &str| {
        let mut entry = entry.clone();
        entry[key] = value.into();
        entry
    };
    let registry =
        json!({"talks": entry.clone(), "held": with("split", "held"), "german": with("subset", "de"), "test": with("split", "test")});
    ws.write("dataset_info.json", &registry.to_string());
    ws.recipe("dataset: talks\ndataset_dir: .\neval_dataset: held\nmax_steps: 1\nsave_strategy: no");
    let said = hub.run(&ws, &["train", "recipe.yaml"]).good();
    assert!(said.stderr.contains("its split train is read (a/one-0.parquet)"), "{}", said.stderr);
    assert!(said.stderr.contains("its split held is read (a/two-0.parquet)"), "{}", said.stderr);
    assert!(!hub.asked().iter().any(|(path, _)| path.contains("/b/")), "only what is meant");
    let fault = |name: &str| hub.run(&ws, &["preview", "recipe.yaml", &format!("dataset={name}"), "eval_dataset=null"]).fault();
    let german = fault("german");
    assert!(german.contains("names no configuration de, but long, short"), "{german}");
    let test = fault("test");
    assert!(test.contains("by README.md it has no split test, but train, held"), "{test}");
}
