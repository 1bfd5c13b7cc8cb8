//! Verdict, finding and wording of every case.

use std::fmt::Write;
use std::rc::Rc;

use rootstock::model::Architecture;
use rootstock::platform::{Directory, NativeDirectory, block_on};
use rootstock::validate::{Options, Report, Severity, validate};
use serde_json::Value;

use crate::kernels::gpu;

/// Cases that need a look into the pickle: expected to be judged otherwise until it is there.
const PENDING: [&str; 0] = [];

const FIXTURES: &str = "tests/fixtures/validate";

pub(super) fn fixture(name: &str) -> Rc<dyn Directory> {
    Rc::new(NativeDirectory::new(format!("{FIXTURES}/{name}")))
}

fn judge(directory: &str, base: Option<&str>, options: Options) -> Report {
    let options = Options { base: base.map(|base| fixture(&format!("healthy/{base}"))), ..options };
    block_on(validate(fixture(directory), &options, &mut |_| {})).unwrap_or_else(|e| panic!("{directory}: {e}"))
}

pub(super) fn cases() -> Vec<Value> {
    let text = std::fs::read_to_string(format!("{FIXTURES}/cases.json")).expect("the fixtures are part of the repository");
    serde_json::from_str(&text).expect("a list of cases")
}

/// The report as its reader sees it; numbers of the self-test differ between adapters and are left out.
fn words(report: &Report) -> String {
    let mut out = String::new();
    for finding in report.findings.iter().filter(|finding| finding.severity != Severity::Info) {
        let _ = write!(out, "  {} {finding}", finding.code.name());
        let _ = writeln!(out, "{}", finding.repair.as_ref().map_or(String::new(), |repair| format!("\n    repair: {repair}")));
    }
    out
}

/// A pattern with its values put in, as a page does it.
fn filled(pattern: &str, values: &[String]) -> String {
    if values.is_empty() {
        return pattern.to_string();
    }
    let mut parts = pattern.split(['{', '}']);
    let mut text = parts.next().unwrap_or_default().to_string();
    for value in values {
        parts.next();
        text += value;
        text += parts.next().unwrap_or_default();
    }
    text
}

/// All cases with the self-test: verdict, finding, and the wording as a snapshot (of what does not depend on the adapter).
#[test]
fn every_way_to_fail_is_found() {
    let options = Options { gpu: Some(gpu()), ..Options::default() };
    let mut wrong = Vec::new();
    let mut said = String::new();
    let (mut findings, mut unknown) = (0, Vec::new());
    for case in cases() {
        let text = |key: &str| case[key].as_str().unwrap_or_default();
        let (name, code) = (text("name"), text("code"));
        let options = Options { as_adapter: case["as_adapter"].as_bool().unwrap_or(false), ..options.clone() };
        let report = judge(&format!("broken/{name}"), case["base"].as_str(), options.clone());
        let verdict = serde_json::to_value(report.verdict).expect("a word");
        let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code.name()).collect();
        let good = verdict == text("verdict") && codes.contains(&code);
        if good == PENDING.contains(&name) {
            wrong.push(format!("{name}: {verdict} with {codes:?}, expected {} with {code}\n{}", text("verdict"), words(&report)));
        }
        for finding in &report.findings {
            findings += 1;
            match finding.message.pattern() {
                Some(pattern) => assert_eq!(filled(pattern, finding.message.values()), finding.message.as_str()),
                None => unknown.push(finding.to_string()),
            }
        }
        let quick = judge(&format!("broken/{name}"), case["base"].as_str(), Options { quick: true, gpu: None, ..options });
        let _ = write!(said, "{name}: {}\n{}", text("about"), words(&quick));
    }
    assert!(wrong.is_empty(), "{} cases are judged otherwise:\n{}", wrong.len(), wrong.join("\n"));
    // The others come from a library's error, or end in one.
    assert!(unknown.len() * 5 < findings, "{} of {findings} sentences have no pattern: {unknown:#?}", unknown.len());
    // A new architecture changes no sentence but the list of all.
    let supported: Vec<&str> = Architecture::all().map(Architecture::model_type).collect();
    insta::assert_snapshot!("words", said.replace(&supported.join(", "), "ARCHITECTURES"));
}

/// Every architecture, written by transformers 4 and 5 and by PEFT's merge.
#[test]
fn healthy_directories_raise_no_alarm() {
    let options = Options { gpu: Some(gpu()), ..Options::default() };
    let mut names: Vec<String> = std::fs::read_dir(format!("{FIXTURES}/healthy"))
        .expect("the fixtures are part of the repository")
        .map(|entry| entry.expect("it can be listed").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 14, "{names:?}");
    for name in names {
        let report = judge(&format!("healthy/{name}"), None, options.clone());
        let loud: Vec<String> = report.findings.iter().filter(|f| f.severity != Severity::Info).map(ToString::to_string).collect();
        assert!(loud.is_empty(), "{name}: {loud:?}");
        assert_eq!(serde_json::to_value(report.verdict).expect("a word"), "ready", "{name}");
        assert!(!report.lora_targets.is_empty() && report.loss.is_some() && report.parameters.is_some(), "{name}: {report:?}");
    }
}

/// The contract that others script against.
#[test]
fn the_json_document_keeps_its_shape() {
    let report = judge("broken/33-vocabulary", None, Options { quick: true, ..Options::default() });
    let json = serde_json::to_value(&report).expect("it can be written");
    assert_eq!(json["verdict"], "repairable");
    assert_eq!((&json["kind"], &json["model_type"]), (&Value::from("model"), &Value::from("llama")));
    let finding = &json["findings"][0];
    let mut keys: Vec<&String> = finding.as_object().expect("an object").keys().collect();
    keys.sort();
    assert_eq!(keys, ["code", "file", "message", "pattern", "repair", "severity", "tensor", "values"]);
    assert_eq!(finding["pattern"], "vocab_size is {}, but the embedding {embedding} has {rows} rows; {elsewhere}");
    let said = serde_json::json!(["60", "model.embed_tokens.weight", "56", "transformers stops with a size mismatch"]);
    assert_eq!(finding["values"], said, "{finding}");
    assert_eq!((&finding["code"], &finding["severity"]), (&Value::from("vocab_size"), &Value::from("error")));
    assert!(finding["repair"].as_str().is_some_and(|repair| repair.contains("set vocab_size to 56")), "{finding}");
}

/// What training changed is said, and is no fault.
#[test]
fn a_model_against_itself_and_against_another() {
    let same = judge("healthy/llama-v4", Some("llama-v5"), Options::default());
    assert!(same.findings.iter().any(|finding| finding.code.name() == "unchanged_since_base"), "{same:?}");
    let merged = judge("healthy/llama-merged", Some("llama-v5"), Options::default());
    let changed: Vec<&str> =
        merged.findings.iter().filter(|f| f.code.name() == "changed_since_base").map(|finding| finding.message.as_str()).collect();
    assert!(changed.len() == 1 && changed[0].contains("tensors differ from the base"), "{merged:?}");
    let other = judge("healthy/qwen3-v5", Some("llama-v5"), Options::default());
    assert!(other.findings.iter().any(|finding| finding.code.name() == "other_base"), "{other:?}");
}

/// Rows of the list of faults, whose cases are in cases.json.
const ROWS: u64 = 48;

#[test]
fn every_row_of_the_list_has_a_case() {
    let rows: std::collections::BTreeSet<u64> = cases()
        .iter()
        .flat_map(|case| case["rows"].as_array().expect("a list").iter().filter_map(Value::as_u64).collect::<Vec<_>>())
        .collect();
    assert_eq!(rows, (1..=ROWS).collect());
}
