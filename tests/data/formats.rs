//! Dataset files, right and wrong, and dataset_info.json.

use proptest::prelude::*;
use rootstock::data::{Content, LoadedRecords, Message, Record, load_datasets, read_records};
use rootstock::platform::{Directory, MemoryDirectory, block_on, open_directory, parent_and_name};
use rootstock::{Error, Result};

fn conversation(turns: &[(&str, &str)]) -> Content {
    Content::Conversation(turns.iter().map(|(role, content)| Message::new(*role, *content)).collect::<Vec<_>>().into())
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
    let image = r#"{"messages": [{"role": "user", "content": [{"type": "image_url"}]}, {"role": "assistant", "content": "a"}]}"#;
    assert!(fault("d.jsonl", image).contains("message 1: a part is of type 'image_url'; only text is trained"));
}

/// What must not be learned as if it were a good answer, and what would be left out in silence.
#[test]
fn records_that_mean_something_else_are_refused() {
    for (record, words) in [
        (r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "chosen": "a"}"#, "single answers"),
        (r#"{"instruction": "q", "output": "a", "images": ["a.png"]}"#, "only text is trained"),
    ] {
        let fault = fault("d.jsonl", record);
        assert!(fault.starts_with("d.jsonl, line 1: ") && fault.contains(words), "{fault}");
    }
    // A label that is no verdict is a field like any other.
    assert_eq!(contents("d.jsonl", r#"{"instruction": "q", "output": "a", "label": 3, "images": []}"#).len(), 1);
}

#[test]
fn answers_of_weight_0_are_not_learned() {
    let read = |weight: &str| {
        let record = format!(
            r#"{{"messages": [{{"role": "user", "content": "q", "loss_weight": 0.0}}, {{"role": "assistant", "content": "a", {weight}}}, {{"role": "user", "content": "q"}}, {{"role": "assistant", "content": "b", "weight": 1}}]}}"#
        );
        read_records("d.jsonl", record.as_bytes(), None).map(|mut records| match records.remove(0).content {
            Content::Conversation(conversation) => conversation.messages.iter().map(|message| message.learned).collect::<Vec<_>>(),
            _ => Vec::new(),
        })
    };
    assert_eq!(read(r#""weight": 0"#).map(|learned| (learned[1], learned[3])), Ok((false, true)));
    assert_eq!(read(r#""loss_weight": 1.0"#).map(|learned| learned[1]), Ok(true));
    for wrong in [r#""weight": 0.5"#, r#""weight": "1""#] {
        assert!(read(wrong).expect_err("neither 0 nor 1").to_string().contains("expected 0 (not learned) or 1 (learned)"));
    }
    let none = r#"{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "weight": 0}]}"#;
    assert!(fault("d.jsonl", none).contains("every answer has weight 0"));
}

#[test]
fn a_single_object_is_told_from_a_list_of_records() {
    for (path, text, words) in [
        ("d.json", "{\n  \"instruction\": \"a\",\n  \"output\": \"b\"\n}\n", "one JSON object over several lines"),
        ("d.json", "{\"data\": [\n  {\"text\": \"a\"}\n]}", "the records stand in \"data\"; write the list itself"),
        ("d.jsonl", "{\n  \"data\": [\n    {\"text\": \"a\"}]}", "the records stand in \"data\""),
        ("d.json", "{\"version\": 1, \"rows\": [{\"text\": \"a\"}]}", "the records stand in \"rows\""),
    ] {
        let fault = fault(path, text);
        assert!(fault.starts_with(&format!("{path}, line 1: ")) && fault.contains(words), "{fault}");
    }
    assert_eq!(contents("d.json", "{\"text\": \"a\"}"), [Content::Text("a".into())], "one record on one line");
}

#[test]
fn files_that_hold_nothing_or_something_else_are_refused() {
    for (path, text) in [("d.jsonl", ""), ("d.jsonl", "\n \n"), ("d.json", "[]"), ("d.txt", "\n")] {
        assert!(fault(path, text).starts_with(&format!("{path}: the file holds no record")), "{path} {text:?}");
    }
    assert!(fault("d.xlsx", "PK").contains("convert it to JSON lines"));
    assert!(fault("d.jsonl", "version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
}

fn load(files: MemoryDirectory, names: &[&str], max_samples: Option<usize>) -> Result<Vec<Record>> {
    load_with_notices(files, names, max_samples).map(|loaded| loaded.records)
}

fn load_with_notices(files: MemoryDirectory, names: &[&str], max_samples: Option<usize>) -> Result<LoadedRecords> {
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
      "script": {"script_url": "glaive.py"},
      "pairs": {"file_name": "plain.jsonl", "ranking": true},
      "odd": {"file_name": "plain.jsonl", "formatting": "xml"},
      "gone": {"file_name": "gone.jsonl"},
      "two": {"file_name": "plain.jsonl", "split": "train[1:3]"},
      "half": {"file_name": "plain.jsonl", "split": "train[-34%:]"},
      "other split": {"file_name": "plain.jsonl", "split": "test"},
      "good and bad": {"file_name": "plain.jsonl", "columns": {"prompt": "q", "response": "a", "kto_tag": "label"}},
      "unmapped": {"file_name": "history.jsonl"},
      "mapped": {"file_name": "history.jsonl", "columns": {"prompt": "instruction", "response": "output", "history": "history", "system": "system"}},
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
        .with("data/history.jsonl", r#"{"instruction": "Q", "output": "A", "history": [["before", "then"]], "system": "S"}"#)
        .with("mine/own.txt", "a line\nanother\n")
        .with("mlx/train.jsonl", "{\"text\": \"to train\"}\n")
        .with("mlx/valid.jsonl", "{\"text\": \"to validate\"}\n")
        .with("mlx/test.jsonl", "{\"text\": \"to test\"}\n")
        .with("shards/README.md", "a card")
        .with("shards/data/train-00000-of-00002.jsonl", "{\"text\": \"first\"}\n")
        .with("shards/data/train-00001-of-00002.jsonl", "{\"text\": \"second\"}\n")
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
    assert_eq!(texts(&["two"], None), [text("two"), text("three")]);
    assert_eq!(texts(&["two"], Some(1)), [text("two")]);
    assert_eq!(texts(&["half"], None), [text("three")]);
    let record = &load(files(), &["mine/own.txt"], None).expect("fine")[1];
    assert_eq!((&*record.path, record.line), ("mine/own.txt", 2));
}

/// What LLaMA-Factory would not read either is not read, and that is said.
#[test]
fn only_mapped_columns_of_registered_files_are_read() {
    let loaded = load_with_notices(files(), &["unmapped"], None).expect("fine");
    assert_eq!(loaded.records[0].content, conversation(&[("user", "Q"), ("assistant", "A")]));
    assert_eq!(
        loaded.notices,
        [
            "data/history.jsonl: the fields \"history\", \"system\" of its records are not read; name them under columns in dataset_info.json if that is meant"
        ]
    );
    let all = conversation(&[("system", "S"), ("user", "before"), ("assistant", "then"), ("user", "Q"), ("assistant", "A")]);
    let loaded = load_with_notices(files(), &["mapped"], None).expect("fine");
    assert_eq!((&loaded.records[0].content, loaded.notices.len()), (&all, 0));
    let loaded = load_with_notices(files(), &["data/history.jsonl"], None).expect("fine");
    assert_eq!((&loaded.records[0].content, loaded.notices.len()), (&all, 0), "a file by its path is read whole");
}

#[test]
fn folders_are_read_by_their_splits() {
    let loaded = load_with_notices(files(), &["shards"], None).expect("fine");
    let texts: Vec<Content> = loaded.records.into_iter().map(|record| record.content).collect();
    assert_eq!(texts, [Content::Text("first".into()), Content::Text("second".into())]);
    assert!(loaded.notices[0].starts_with("shards: a folder; its split train is read"), "{:?}", loaded.notices);
    // For scoring, the split to validate on is meant.
    let loaded = load_with_notices(files(), &["mlx"], None).expect("fine");
    assert_eq!(loaded.records[0].content, Content::Text("to validate".into()));
    assert_eq!(&*loaded.records[0].path, "mlx/valid.jsonl");
}

#[test]
fn tables_may_part_their_cells_by_semicolons() {
    let asked = conversation(&[("user", "Which, please?"), ("assistant", "The pear; yes.")]);
    assert_eq!(contents("a.csv", "instruction;output\r\nWhich, please?;\"The pear; yes.\"\r\n"), std::slice::from_ref(&asked));
    let files = MemoryDirectory::new("here").with("a.csv", "instruction;output\nWhich, please?;\"The pear; yes.\"\n");
    let loaded = load_with_notices(files, &["a.csv"], None).expect("fine");
    assert_eq!(loaded.records[0].content, asked);
    assert_eq!(loaded.notices, ["a.csv: its cells are parted by semicolons"]);
}

/// Several bad records are counted, and the first of them named.
#[test]
fn bad_records_are_counted_and_named() {
    let text: String = (0..100).map(|i| if i % 4 == 1 { "{\"text\": 5}\n" } else { "{\"text\": \"a\"}\n" }).collect();
    let error = load(MemoryDirectory::new("here").with("d.jsonl", text), &["d.jsonl"], None).expect_err("a quarter is wrong");
    let Error::Records { count: 25, records: 100, faults, .. } = &error else { panic!("{error:?}") };
    assert_eq!(faults.len(), 20);
    let shown = error.to_string();
    assert!(
        shown.starts_with("d.jsonl: 25 of 100 records cannot be used; mend them, or leave them out with on_bad_record: skip\n"),
        "{shown}"
    );
    assert!(shown.contains("\n  - d.jsonl, line 6: \"text\" is a number, expected text\n") && shown.ends_with("and 5 more"), "{shown}");
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
        let records = block_on(load_datasets(std::slice::from_ref(name), dir, None, &open)).expect("every line is right").records;
        let expected = |content: &Content| match name.starts_with("manners") {
            true => matches!(content, Content::Pair(..)),
            false => matches!(content, Content::Conversation(_)),
        };
        assert!(records.len() > 20 && records.iter().all(|r| expected(&r.content)), "{name}");
    }
}

#[test]
fn an_unknown_or_unusable_dataset_says_why() {
    let fault = |name: &str| load(files(), &[name], None).expect_err("unusable").to_string();
    assert_eq!(fault("plian"), "plian: data/dataset_info.json has no such name; did you mean plain?");
    assert_eq!(fault("no/such.jsonl"), "no/such.jsonl: there is no such file, nor one in data");
    assert!(fault("hub").contains("holds no data"), "{}", fault("hub"));
    assert!(fault("script").contains("neither file_name nor hf_hub_url"), "{}", fault("script"));
    assert!(fault("pairs").contains("\"instruction\" is missing"));
    assert!(fault("good and bad").contains("\"q\" is missing"));
    assert!(fault("other split").contains("split is \"test\", but a file is all one split"));
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
