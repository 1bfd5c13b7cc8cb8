//! Directories from strangers: the fixtures with their bytes changed in all ways, judged and repaired. Whatever comes, there is a
//! report: no panic, no refusal to judge, nothing read outside the directory, nothing written but what was asked for.
//!
//! The ordinary run does a few hundred. `ROOTSTOCK_FUZZ=100000 cargo test --release --test all hostile` goes on from there, and
//! `ROOTSTOCK_FUZZ_FROM` says with which it begins: every one is a function of its number.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use rootstock::platform::{MemoryDirectory, block_on};
use rootstock::random::Random;
use rootstock::validate::{Options, Verdict, fix, validate};

use super::cases::fixture;
use super::counting::peak_of;
use super::readers::READERS;

/// Directories that between them have every kind of file that is read.
const SEEDS: [&str; 14] = [
    "healthy/llama-v5",
    "healthy/gemma3-v4",
    "healthy/gpt2-v5",
    "healthy/phi3-v5",
    "broken/18-pickle",
    "broken/18-pickle-legacy",
    "broken/18-pickle-shards",
    "broken/18-pickle-trainer",
    "broken/18-pickle-hostile",
    "broken/19-no-index",
    "broken/21-index-disagrees",
    "broken/28-47-unmerged-peft-trained",
    "broken/03-adapter-only",
    "broken/38-fused",
];
const ORDINARY: u64 = 400;

/// Numbers below `n`; 0 for none.
fn below(random: &mut Random, n: usize) -> usize {
    random.below(n as u64) as usize
}

/// A place in a file: headers, directories and the JSON files' text are where it matters.
fn place_in(random: &mut Random, length: usize) -> usize {
    match below(random, 4) {
        0 => below(random, length),
        1 => length.saturating_sub(1 + below(random, length.min(4096))),
        _ => below(random, length.min(3000)),
    }
}

type Files = Vec<(String, Vec<u8>)>;

fn load(seed: &str) -> Files {
    let dir = fixture(seed);
    let entries = block_on(dir.list()).expect("the fixture is there");
    entries.into_iter().map(|entry| (entry.name.clone(), block_on(dir.read(&entry.name)).expect("it reads"))).collect()
}

/// One change of one file.
fn change(files: &mut Files, others: &Files, random: &mut Random) {
    /// Texts that mean something to one of the readers.
    const WORDS: [&str; 22] = [
        "../../etc/passwd",
        "/etc/passwd",
        "null",
        "-1",
        "0",
        "1e999",
        "18446744073709551615",
        "9007199254740993",
        "\"64\"",
        "[]",
        "{}",
        "true",
        "[[[[[[[[[[[[[[[[",
        "\\u0000",
        "model.",
        "module.",
        ".base_layer.",
        ".lora_A.default.weight",
        "BF16",
        "[16,16,16,16]",
        "F8_E4M3",
        "cos\nsystem\n",
    ];
    let at = below(random, files.len());
    let (name, bytes) = &mut files[at];
    let place = place_in(random, bytes.len());
    match below(random, 12) {
        0 => bytes.truncate(place),
        1 if !bytes.is_empty() => bytes[place] ^= 1 << below(random, 8),
        2 if !bytes.is_empty() => bytes[place] = random.next_u64() as u8,
        // Lengths, counts and offsets.
        3 | 4 => {
            let extreme = [0, 1, 0x7f, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 40, 1 << 62, u64::from(u32::MAX) + 1]
                [below(random, 11)];
            let width = [1, 2, 4, 8][below(random, 4)];
            for (slot, byte) in bytes.iter_mut().skip(place).zip(extreme.to_le_bytes()).take(width) {
                *slot = byte;
            }
        }
        5 | 6 => {
            let word = WORDS[below(random, WORDS.len())].as_bytes();
            let end = (place + below(random, 12)).min(bytes.len());
            bytes.splice(place.min(end)..end, word.iter().copied());
        }
        // A digit becomes another, or many.
        7 => {
            if let Some(digit) = bytes.iter().skip(place).position(u8::is_ascii_digit) {
                let digits: Vec<u8> = (0..1 + below(random, 4)).map(|_| b'0' + below(random, 10) as u8).collect();
                bytes.splice(place + digit..place + digit + 1, digits);
            }
        }
        8 => {
            let end = (place + below(random, 64)).min(bytes.len());
            bytes.drain(place.min(end)..end);
        }
        9 => {
            let end = (place + below(random, 200)).min(bytes.len());
            let copy = bytes[place.min(end)..end].to_vec();
            let to = below(random, bytes.len() + 1);
            bytes.splice(to..to, copy);
        }
        10 => {
            let (_, other) = &others[below(random, others.len())];
            let from = place_in(random, other.len());
            let copy = other.iter().skip(from).take(below(random, 300)).copied().collect::<Vec<u8>>();
            bytes.splice(place..place, copy);
        }
        _ => {
            // A file under another's name, or gone.
            let (other, _) = &others[below(random, others.len())];
            let other = other.clone();
            if below(random, 2) == 0 {
                *name = other;
            } else {
                files.remove(at);
            }
        }
    }
}

/// The directory of this number, judged; repaired where that is promised.
fn run(number: u64, seeds: &[Files]) -> Result<(), String> {
    let random = &mut Random::new(number, 0);
    let mut files = seeds[below(random, seeds.len())].clone();
    let others = &seeds[below(random, seeds.len())];
    for _ in 0..1 + below(random, 4) {
        if !files.is_empty() {
            change(&mut files, others, random);
        }
    }
    let dir = files.into_iter().fold(MemoryDirectory::new("model"), |dir, (name, bytes)| dir.with(&name, bytes));
    let base = (below(random, 3) == 0).then(|| fixture("healthy/llama-v5"));
    let options = Options { base, quick: below(random, 4) > 0, ..Options::default() };
    let report = block_on(validate(Rc::new(dir.clone()), &options, &mut |_| {})).map_err(|error| format!("no report: {error}"))?;
    if report.verdict == Verdict::Repairable && !options.quick {
        // Whether it can be promised without a run of the model is not asked here.
        let _ = block_on(fix(Rc::new(dir), &MemoryDirectory::new("out"), "repaired", &options, &mut |_| {}));
    }
    Ok(())
}

#[test]
fn whatever_comes_there_is_a_report() {
    let number = |key: &str| std::env::var(key).ok().and_then(|text| text.parse::<u64>().ok());
    let (count, from) = (number("ROOTSTOCK_FUZZ").unwrap_or(ORDINARY), number("ROOTSTOCK_FUZZ_FROM").unwrap_or(0));
    let seeds: Vec<Files> = SEEDS.iter().map(|seed| load(seed)).collect();
    let mut wrong = Vec::new();
    for number in from..from + count {
        match catch_unwind(AssertUnwindSafe(|| run(number, &seeds))) {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => wrong.push(format!("{number}: {reason}")),
            Err(_) => wrong.push(format!("{number}: panicked")),
        }
    }
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(!std::path::Path::new("/tmp/rootstock-pickle-ran").exists());
}

/// What the fuzz targets of fuzz/ begin with and have found so far, to the readers that they are for: no panic, and no more memory than a
/// multiple of the files'.
#[test]
fn the_fuzz_corpus_is_read_within_its_bounds() {
    let (_, peak) = peak_of(|| vec![0u8; 1 << 20]);
    assert!(peak >= 1 << 20, "the counting allocator is at work");
    let mut wrong = Vec::new();
    for (name, read) in READERS {
        let corpus = std::fs::read_dir(format!("fuzz/corpus/{name}")).expect("every reader has a corpus");
        let mut files: Vec<_> = corpus.map(|entry| entry.expect("it can be listed").path()).collect();
        files.sort();
        assert!(files.len() > 1, "{name}");
        for path in files {
            let bytes = std::fs::read(&path).expect("it is part of the repository");
            if catch_unwind(|| read(&bytes)).is_err() {
                wrong.push(path.display().to_string());
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The same with the readers of data, whose files come in more forms: each of the corpus with one to three random changes.
#[test]
fn changed_data_is_read_or_told() {
    const CHANGED: u64 = 40;
    let mut wrong = Vec::new();
    for (name, read) in READERS.into_iter().filter(|(name, _)| matches!(*name, "columns" | "packed" | "described" | "recipe")) {
        let corpus = std::fs::read_dir(format!("fuzz/corpus/{name}")).expect("every reader has a corpus");
        let mut files: Vec<_> = corpus.map(|entry| entry.expect("it can be listed").path()).collect();
        files.sort();
        for (at, path) in files.iter().enumerate().filter(|(_, path)| std::fs::metadata(path).is_ok_and(|about| about.len() < 20_000)) {
            let whole = std::fs::read(path).expect("it is part of the repository");
            for number in 0..CHANGED {
                let mut random = Random::new(number, at as u64);
                let mut bytes = whole.clone();
                for _ in 0..=below(&mut random, 3) {
                    let place = place_in(&mut random, bytes.len());
                    match below(&mut random, 4) {
                        0 => bytes[place] ^= 1 << below(&mut random, 8),
                        1 => bytes[place] = below(&mut random, 256) as u8,
                        2 => bytes.truncate(place.max(1)),
                        _ => bytes.insert(place, below(&mut random, 256) as u8),
                    }
                }
                if catch_unwind(|| read(&bytes)).is_err() {
                    wrong.push(format!("{} {number}", path.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The fixture with files replaced or added, judged without a run of the model; and the memory that it took.
fn judged(changes: &[(&str, Vec<u8>)]) -> (rootstock::validate::Report, usize) {
    let all = load("healthy/llama-v5").into_iter().fold(MemoryDirectory::new("model"), |dir, (name, bytes)| dir.with(&name, bytes));
    let dir = changes.iter().fold(all, |dir, (name, bytes)| dir.with(name, bytes.clone()));
    let options = Options { quick: true, ..Options::default() };
    peak_of(|| block_on(validate(Rc::new(dir), &options, &mut |_| {})).expect("whatever comes there is a report"))
}

/// A directory that cannot do what it is for is not called ready.
#[test]
fn templates_and_tokenizers_of_no_use_are_found() {
    let tokenizer = |change: &dyn Fn(&mut serde_json::Value)| {
        let files = load("healthy/llama-v5");
        let (_, bytes) = files.iter().find(|(name, _)| name == "tokenizer.json").expect("it has one");
        let mut json = serde_json::from_slice(bytes).expect("it is JSON");
        change(&mut json);
        json.to_string().into_bytes()
    };
    let text = |text: &str| text.as_bytes().to_vec();
    let rows = 100_000;
    let cases: [(&str, &str, Vec<u8>); 7] = [
        ("bad_template", "chat_template.jinja", text("{{ raise_exception('never') }}")),
        ("bad_template", "chat_template.jinja", text("{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}")),
        ("bad_template", "chat_template.jinja", text(&format!("{{{{ {}1 }}}}", "not ".repeat(50_000)))),
        ("random_tokenizer", "tokenizer.json", tokenizer(&|json| json["model"]["dropout"] = 0.1.into())),
        (
            "damaged_tokenizer",
            "tokenizer.json",
            tokenizer(&|json| {
                json["decoder"] = serde_json::json!({ "type": "Replace", "pattern": { "Regex": "." }, "content": "x".repeat(5000) })
            }),
        ),
        // Above the rows are many ids that no token has, and then one that has a token.
        ("tokenizer_too_large", "tokenizer.json", tokenizer(&|json| json["model"]["vocab"]["<beyond>"] = rows.into())),
        ("invalid_json", "config.json", [text("{\"a\": ["), text(&"[],".repeat(20_000_000)), text("[]]}")].concat()),
    ];
    for (code, name, bytes) in cases {
        let size = bytes.len();
        let (report, peak) = judged(&[(name, bytes)]);
        let found = report.findings.iter().find(|finding| finding.code.name() == code);
        let found = found.unwrap_or_else(|| panic!("{code}: {report:#?}"));
        assert_eq!(found.file.as_deref(), Some(name), "{found:?}");
        assert!(found.message.len() < 1500, "{code}: {}", found.message);
        assert_eq!(report.verdict == Verdict::Ready, code == "random_tokenizer", "{code}: {report:#?}");
        assert!(peak < (600 << 20) + 4 * size, "{code} took {peak} bytes");
    }
}
