//! Dataset files, right and wrong, and dataset_info.json.

use proptest::prelude::*;
use rootstock::data::{Content, Message, Record, load_datasets, read_records};
use rootstock::platform::{Directory, MemoryDirectory, block_on, open_directory, parent_and_name};
use rootstock::{Error, Result};

fn conversation(turns: &[(&str, &str)]) -> Content {
    Content::Conversation(turns.iter().map(|(role, content)| Message::new(*role, *content)).collect())
}

fn contents(path: &str, text: &str) -> Vec<Content> {
    read_records(path, text.as_bytes(), None).expect("the file is right").into_iter().map(|r| r.content).collect()
}

#[test]
fn tables_are_read_by_the_names_in_their_first_row() {
    let asked = conversation(&[("user", "Which?"), ("assistant", "The pear, \"yes\".")]);
    assert_eq!(contents("a.csv", "instruction,input,output\nWhich?,,\"The pear, \"\"yes\"\".\"\n"), [asked]);
    assert_eq!(contents("a.TSV", "prompt\tcompletion\r\nWhich?\tThe pear, \"\"yes\"\".\r\n").len(), 1);
    let two_lines = read_records("a.csv", b"text\n\"one\ntwo\"\nthree\n", None).expect("it is right");
    let found: Vec<(usize, Content)> = two_lines.into_iter().map(|r| (r.line, r.content)).collect();
    assert_eq!(found, [(2, Content::Text("one\ntwo".into())), (4, Content::Text("three".into()))]);
    for (text, line, word) in [("text\na\nb,c\n", 3, "2 cells"), ("instruction,output\nWhich?,\n", 2, "output"), ("a,b\n1,2\n", 2, "a, b")]
    {
        let fault = read_records("a.csv", text.as_bytes(), None).expect_err("it is wrong").to_string();
        assert!(fault.contains(&format!("line {line}")) && fault.contains(word), "{fault}");
    }
}

#[test]
fn every_form_is_recognised_by_its_first_record() {
    let asked = conversation(&[("user", "Which?"), ("assistant", "The pear.")]);
    let with_system = conversation(&[("system", "Be brief."), ("user", "Which?"), ("assistant", "The pear.")]);
    for (text, expected) in [
        (r#"{"text": "a\nb"}"#, Content::Text("a\nb".into())),
        (r#"{"instruction": "Which?", "input": "", "output": "The pear."}"#, asked.clone()),
        (r#"{"instruction": "Which?", "output": "The pear.", "system": "Be brief."}"#, with_system.clone()),
        (r#"{"messages": [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "The pear."}]}"#, asked.clone()),
        (
            r#"{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which?"}, {"role": "assistant", "content": "The pear."}]}"#,
            with_system.clone(),
        ),
        (
            r#"{"messages": [{"role": "user", "content": [{"type": "text", "text": "Wh"}, {"type": "text", "text": "ich?"}]}, {"role": "assistant", "content": "The pear."}]}"#,
            asked.clone(),
        ),
        (
            r#"{"conversations": [{"from": "human", "value": "Which?"}, {"from": "gpt", "value": "The pear."}], "system": "Be brief."}"#,
            with_system.clone(),
        ),
        (r#"{"prompt": "Which?", "completion": "The pear."}"#, asked.clone()),
        (
            r#"{"instruction": "And", "input": "when?", "output": "Now.", "history": [["Which?", "The pear."]]}"#,
            conversation(&[("user", "Which?"), ("assistant", "The pear."), ("user", "And\nwhen?"), ("assistant", "Now.")]),
        ),
    ] {
        assert_eq!(contents("d.jsonl", text), std::slice::from_ref(&expected), "{text}");
        assert_eq!(contents("d.json", &format!("[{text},\n {text}]")), [expected.clone(), expected], "{text} in a list");
    }
}

#[test]
fn records_know_their_lines() {
    let lines = |path: &str, text: &str| -> Vec<usize> {
        read_records(path, text.as_bytes(), None).expect("the file is right").iter().map(|r| r.line).collect()
    };
    assert_eq!(lines("d.jsonl", "{\"text\": \"a\"}\n\n{\"text\": \"b\"}\r\n"), [1, 3]);
    assert_eq!(lines("d.json", "[\n  {\n    \"text\": \"a, ] [\\\"\"\n  },\n\n  {\"text\": \"b\"}\n]\n"), [2, 6]);
    assert_eq!(lines("d.json", "\u{feff}{\"text\": \"a\"}\n{\"text\": \"b\"}"), [1, 2], "JSON lines named .json, with a byte order mark");
    assert_eq!(lines("d.txt", "one\n\n  \nfour\n"), [1, 4]);
}

#[track_caller]
fn fault(path: &str, bytes: impl AsRef<[u8]>) -> String {
    read_records(path, bytes.as_ref(), None).expect_err("the file is wrong").to_string()
}

#[test]
fn a_broken_record_is_named_with_its_line() {
    let second = |record: &str| fault("d.jsonl", format!("{{\"instruction\": \"a\", \"output\": \"b\"}}\n{record}\n"));
    assert!(second("{\"instruction\": ").starts_with("d.jsonl, line 2: this is not valid JSON: "));
    assert!(second("\"words\"").starts_with("d.jsonl, line 2: found text, expected a record such as {\"text\""));
    assert_eq!(
        second("{\"text\": \"a\"}"),
        "d.jsonl, line 2: \"instruction\" is missing (found text); every record of a file must have the same form"
    );
    assert_eq!(second("{\"instruction\": 5, \"output\": \"b\"}"), "d.jsonl, line 2: \"instruction\" is a number, expected text");
    assert!(second("{\"instruction\": \"a\", \"output\": \" \"}").starts_with("d.jsonl, line 2: the answer is empty"));
    assert!(second("{\"instruction\": \"\", \"output\": \"b\"}").starts_with("d.jsonl, line 2: the question (\"instruction\") is empty"));
    assert!(second("{\"instruction\": \"a\", \"output\": \"b\", \"history\": [[\"c\"]]}").contains("not [question, answer]"));
    let error = fault("d.jsonl", "{\"question\": \"a\", \"answer\": \"b\"}");
    assert!(error.starts_with("d.jsonl, line 1: found the fields question, answer; expected {\"text\""), "{error}");
    let error = fault("d.json", "[\n{\"text\": \"a\"},\n{\"text\":\n nonsense}]");
    assert!(error.starts_with("d.json, line 4: this is not valid JSON"), "{error}");
    assert_eq!(fault("d.json", "[\n{\"text\": \"a\"},\n"), "d.json, line 3: the JSON list is not closed: the file seems to be cut off");
    assert_eq!(fault("d.jsonl", b"{\"text\": \"a\"}\n\xff\xfe"), "d.jsonl, line 2: this is not UTF-8 text; save the file as UTF-8");
}

#[test]
fn the_order_of_roles_is_checked() {
    let messages = |list: &[(&str, &str)]| {
        let list: Vec<_> = list.iter().map(|(role, content)| serde_json::json!({"role": role, "content": content})).collect();
        fault("d.jsonl", serde_json::json!({"messages": list}).to_string())
    };
    assert!(messages(&[]).contains("the conversation is empty"));
    assert!(messages(&[("system", "s")]).contains("the conversation is empty"));
    assert!(messages(&[("user", "q")]).contains("the last message is from user"));
    assert!(messages(&[("assistant", "a")]).contains("message 1 is from assistant, expected user"));
    assert!(messages(&[("system", "s"), ("user", "q"), ("user", "q")]).contains("message 3 is from user, expected assistant"));
    assert!(messages(&[("user", "q"), ("assistant", "a"), ("system", "s"), ("assistant", "a")]).contains("message 3 is from system"));
    assert!(messages(&[("human", "q"), ("assistant", "a")]).contains("message 1: the role is 'human', expected system, user or assistant"));
    assert!(messages(&[("user", "q"), ("assistant", "")]).contains("the answer is empty"));
    let tools = r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "", "tool_calls": [{}]}]}"#;
    assert!(fault("d.jsonl", tools).contains("message 2: tool calls are not trained"));
    let image = r#"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}, {"role": "assistant", "content": "a"}]}"#;
    assert!(fault("d.jsonl", image).contains("message 1: a part is of type 'image_url'; only text is trained"));
}

#[test]
fn files_that_hold_nothing_or_something_else_are_refused() {
    for (path, text) in [("d.jsonl", ""), ("d.jsonl", "\n \n"), ("d.json", "[]"), ("d.txt", "\n")] {
        assert!(fault(path, text).starts_with(&format!("{path}: the file holds no record")), "{path} {text:?}");
    }
    assert!(fault("d.parquet", "PAR1").contains("convert it to JSON lines"));
    assert!(fault("d.jsonl", "version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
}

fn load(files: MemoryDirectory, names: &[&str], max_samples: Option<usize>) -> Result<Vec<Record>> {
    let names: Vec<String> = names.iter().map(|n| n.to_string()).collect();
    let open = move |path: &str| -> Result<(Box<dyn Directory>, String)> { Ok((Box::new(files.clone()), path.to_string())) };
    block_on(load_datasets(&names, "data", max_samples, &open))
}

fn files() -> MemoryDirectory {
    let info = r#"{
      "plain": {"file_name": "plain.jsonl"},
      "corpus": {"file_name": "corpus.jsonl", "columns": {"prompt": "body"}},
      "qa": {"file_name": "qa.json", "columns": {"prompt": "q", "response": "a", "system": "s"}, "num_samples": 1},
      "chats": {"file_name": "chats.jsonl", "formatting": "sharegpt", "columns": {"messages": "turns"}, "tags": {"role_tag": "who", "content_tag": "what", "user_tag": "U", "assistant_tag": "A"}},
      "folder": {"file_name": "parts"},
      "hub": {"hf_hub_url": "someone/something"},
      "pairs": {"file_name": "plain.jsonl", "ranking": true},
      "odd": {"file_name": "plain.jsonl", "formatting": "xml"},
      "gone": {"file_name": "gone.jsonl"},
      "outside": {"file_name": "../mine/own.txt"},
      "absolute": {"file_name": "/etc/passwd"}
    }"#;
    MemoryDirectory::new("here")
        .with("data/dataset_info.json", info)
        .with("data/plain.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n{\"text\": \"three\"}\n")
        .with("data/corpus.jsonl", "{\"body\": \"the corpus\"}\n")
        .with("data/qa.json", "[{\"q\": \"Q\", \"a\": \"A\", \"s\": \"S\"}, {\"q\": \"Q2\", \"a\": \"A2\"}]")
        .with("data/chats.jsonl", "{\"turns\": [{\"who\": \"U\", \"what\": \"hello\"}, {\"who\": \"A\", \"what\": \"hi\"}]}")
        .with("data/parts/a.jsonl", "{\"text\": \"a\"}")
        .with("data/parts/b.txt", "b\n")
        .with("mine/own.txt", "a line\nanother\n")
}

#[test]
fn datasets_are_found_by_name_and_by_path() {
    let texts = |names: &[&str], max| -> Vec<Content> { load(files(), names, max).expect("fine").into_iter().map(|r| r.content).collect() };
    let text = |t: &str| Content::Text(t.into());
    assert_eq!(texts(&["plain", "corpus"], None), [text("one"), text("two"), text("three"), text("the corpus")]);
    assert_eq!(texts(&["plain", "mine/own.txt"], Some(1)), [text("one"), text("a line")]);
    assert_eq!(texts(&["plain.jsonl", "folder"], None).len(), 5, "relative to dataset_dir; a folder of files");
    assert_eq!(texts(&["qa"], None), [conversation(&[("system", "S"), ("user", "Q"), ("assistant", "A")])]);
    assert_eq!(texts(&["chats"], None), [conversation(&[("user", "hello"), ("assistant", "hi")])]);
    let record = &load(files(), &["mine/own.txt"], None).expect("fine")[1];
    assert_eq!((&*record.path, record.line), ("mine/own.txt", 2));
}

#[test]
fn the_datasets_of_the_demo_are_read() {
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo");
    let open = |path: &str| -> Result<(Box<dyn Directory>, String)> {
        let (parent, name) = parent_and_name(path.as_ref());
        Ok((Box::new(open_directory(&parent)?), name))
    };
    let info = std::fs::read_to_string(format!("{dir}/dataset_info.json")).expect("committed");
    let info: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&info).expect("JSON");
    for name in info.keys() {
        let records = block_on(load_datasets(std::slice::from_ref(name), dir, None, &open)).expect("every line is right");
        assert!(records.len() > 20 && records.iter().all(|r| matches!(r.content, Content::Conversation(_))), "{name}");
    }
}

#[test]
fn an_unknown_or_unusable_dataset_says_why() {
    let fault = |name: &str| load(files(), &[name], None).expect_err("unusable").to_string();
    assert_eq!(fault("plian"), "plian: data/dataset_info.json has no such name; did you mean plain?");
    assert_eq!(fault("no/such.jsonl"), "no/such.jsonl: there is no such file, nor one in data");
    assert!(fault("hub").contains("nothing is downloaded"));
    assert!(fault("pairs").contains("preferences"));
    assert!(fault("odd").contains("formatting is 'xml'"));
    assert!(fault("gone").contains("there is no file data/gone.jsonl"));
    for name in ["outside", "absolute"] {
        assert!(fault(name).contains("leads out of data; move the file there"), "{}", fault(name));
    }
    let none = load(MemoryDirectory::new("here"), &["plain"], None).expect_err("nothing there").to_string();
    assert!(none.contains("give a path such as data/train.jsonl"), "{none}");
    let broken = MemoryDirectory::new("here").with("data/dataset_info.json", "{\n\"a\": }");
    assert!(matches!(load(broken, &["a"], None), Err(Error::Line { line: 2, .. })));
}

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(text in "[\\[\\]{}\",:a-z\\\\ \n]{0,60}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = read_records("d.json", text.as_bytes(), None);
        let _ = read_records("d.json", format!("[{text}").as_bytes(), None);
        let _ = read_records("d.jsonl", &bytes, None);
    }

    /// Any list of any texts is read back, whatever brackets, quotes and line breaks they hold.
    #[test]
    fn a_list_is_read_as_it_was_written(texts in prop::collection::vec("(?s).{1,12}", 1..6), pretty in any::<bool>()) {
        let list: Vec<_> = texts.iter().map(|t| serde_json::json!({"nested": [{"a": ["]"]}], "text": t})).collect();
        let json = if pretty { serde_json::to_string_pretty(&list) } else { serde_json::to_string(&list) }.expect("texts are JSON");
        let expected: Vec<_> = texts.into_iter().map(Content::Text).collect();
        prop_assert_eq!(contents("d.json", &json), expected);
    }
}
