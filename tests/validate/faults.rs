//! Faults that need no model of a fixture: directories of a few small files in memory.

use std::rc::Rc;

use rootstock::Cause;
use rootstock::checkpoint::{Dtype, NewDirectory, WriteOptions};
use rootstock::platform::{Directory, MemoryDirectory, block_on, write_file};
use rootstock::validate::{Options, Report, Verdict, fix, validate};
use safetensors::tensor::TensorView;
use serde_json::{Value, json};

use super::cases::fixture;
use crate::checkpoint::support::{declared, directory, directory_as, llama, read, with};

fn judge(dir: impl Directory + 'static) -> Report {
    let options = Options { quick: true, ..Options::default() };
    block_on(validate(Rc::new(dir), &options, &mut |_| {})).expect("a directory is judged, whatever is in it")
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().filter(|finding| finding.is_error()).map(|finding| finding.code.name()).collect()
}

/// What a stranger's file says is repeated in sentences, so no sentence decides what kind of fault it is.
#[test]
fn words_in_a_file_do_not_decide_the_fault() {
    for words in ["git-lfs", "points outside", "leads nowhere", "cut short"] {
        let json = format!(r#"{{"t":{{"dtype":"{words}","shape":[2],"data_offsets":[0,8]}}}}"#);
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(json.as_bytes());
        file.extend_from_slice(&[0; 8]);
        let report = judge(directory(&llama()).with("model.safetensors", file));
        assert_eq!(codes(&report).first(), Some(&"damaged_file"), "{report:?}");
        let tokenizer = format!(r#"{{"version": "1.0", "model": {{"type": "{words} chat template"}}}}"#);
        let report = judge(directory(&llama()).with("tokenizer.json", tokenizer));
        assert_eq!(codes(&report), ["damaged_tokenizer"], "{report:?}");
    }
}

/// All but what is said of the tokenizer, which these directories lack.
fn other_codes(report: &Report) -> Vec<&'static str> {
    codes(report).into_iter().filter(|code| *code != "no_tokenizer").collect()
}

fn judge_numbers(dir: impl Directory + 'static) -> Report {
    block_on(validate(Rc::new(dir), &Options::default(), &mut |_| {})).expect("a directory is judged, whatever is in it")
}

/// A llama whose matrices are large enough for the rules that look at numbers.
fn wide() -> Value {
    with(&llama(), json!({"vocab_size": 64, "hidden_size": 64, "intermediate_size": 64, "head_dim": 32}))
}

/// A safetensors file of zeros: each weight matrix of a layer becomes `parts` (a suffix, a type, the bytes of 64 numbers).
fn packed(config: &Value, parts: &[(&str, Dtype)]) -> Vec<u8> {
    let zeros = vec![0u8; 64 * 64 * 8];
    let mut tensors: Vec<(String, TensorView<'_>)> = Vec::new();
    for (name, shape) in declared(config) {
        let (stem, parts) = match name.strip_suffix(".weight").filter(|_| name.contains("_proj.")) {
            Some(stem) => (stem, parts),
            None => (name.as_str(), &[("", Dtype::F32)][..]),
        };
        for (suffix, dtype) in parts {
            let bytes = shape.iter().product::<usize>() * dtype.bitsize() / 8;
            let tensor = TensorView::new(*dtype, shape.clone(), &zeros[..bytes]).expect("it fits");
            tensors.push((format!("{stem}{suffix}"), tensor));
        }
    }
    safetensors::serialize(tensors, None).expect("it can be serialised")
}

fn model(config: &Value, weights: Vec<u8>) -> MemoryDirectory {
    MemoryDirectory::new("model").with("config.json", config.to_string()).with("model.safetensors", weights)
}

/// Every scheme gets a verdict, its name and a way out; the rules that look at numbers keep off.
#[test]
fn quantised_weights_are_named() {
    let (float, byte, int, eight) = (Dtype::F32, Dtype::U8, Dtype::I32, Dtype::F8_E4M3);
    for (parts, settings, scheme) in [
        (
            &[(".weight", Dtype::I8), (".SCB", float)][..],
            json!({"quant_method": "bitsandbytes", "load_in_8bit": true}),
            "bitsandbytes 8-bit",
        ),
        (&[(".weight", Dtype::I8), (".SCB", float)], Value::Null, "bitsandbytes 8-bit"),
        (
            &[(".weight", byte), (".weight.absmax", float), (".weight.quant_state.bitsandbytes__nf4", byte)],
            Value::Null,
            "bitsandbytes 4-bit (nf4)",
        ),
        (&[(".weight", byte)], json!({"quant_method": "bitsandbytes", "bnb_4bit_quant_type": "fp4"}), "bitsandbytes 4-bit (fp4)"),
        (
            &[(".qweight", int), (".qzeros", int), (".scales", float), (".g_idx", int)],
            json!({"quant_method": "gptq", "bits": 4}),
            "GPTQ 4-bit",
        ),
        (&[(".qweight", int), (".qzeros", int), (".scales", float)], json!({"quant_method": "awq", "bits": 4}), "AWQ 4-bit"),
        (&[(".weight", eight), (".weight_scale_inv", float)], json!({"quant_method": "fp8"}), "FP8"),
        (&[("_blocks", byte), ("_scales", byte)], json!({"quant_method": "mxfp4"}), "MXFP4"),
        (
            &[(".weight_packed", int), (".weight_scale", float)],
            json!({"quant_method": "compressed-tensors", "format": "pack-quantized"}),
            "compressed-tensors (pack-quantized)",
        ),
    ] {
        let config = with(&wide(), json!({"quantization_config": settings}));
        let weights = packed(&wide(), parts);
        let report = judge_numbers(model(&config, weights));
        assert_eq!((other_codes(&report), report.verdict), (vec!["quantised"], Verdict::Unusable), "{scheme}: {report:?}");
        let said = report.findings.iter().find(|finding| finding.code.name() == "quantised").expect("it is there").message.clone();
        assert!(said.contains(&format!("quantised ({scheme})")) && said.contains("get the "), "{said}");
        serde_json::to_string(&report).expect("the report is JSON");
    }
    for dtype in [Dtype::I8, Dtype::U8, Dtype::F8_E5M2, Dtype::I64] {
        let report = judge_numbers(model(&wide(), packed(&wide(), &[(".weight", dtype)])));
        assert_eq!((other_codes(&report), report.verdict), (vec!["odd_dtype"], Verdict::Unusable), "{report:?}");
    }
}

#[test]
fn a_setting_that_no_tensor_bears_out_is_removed() {
    let config = with(&llama(), json!({"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true}}));
    let report = judge(directory(&llama()).with("config.json", config.to_string()));
    let finding = report.findings.iter().find(|finding| finding.code.name() == "quantised").expect("it is told");
    assert_eq!(finding.repair.as_ref().map(ToString::to_string).as_deref(), Some("in config.json remove quantization_config"));
    assert_eq!(other_codes(&report), ["quantised"], "{report:?}");
}

/// The tensor is there: one finding, and it can be mended.
#[test]
fn an_index_that_names_the_wrong_shard_is_one_fault() {
    let sharded = || directory_as(&llama(), WriteOptions { dtype: Dtype::F32, max_shard_size: 2000 });
    let index = "model.safetensors.index.json";
    let text = String::from_utf8(read(&sharded(), index)).expect("text");
    let shards: std::collections::BTreeSet<&str> = text.split('"').filter(|s| s.starts_with("model-")).collect();
    let first = shards.first().expect("there is one");
    for wrong in shards.iter().skip(1) {
        let report = judge(sharded().with(index, text.replace(wrong, first)));
        assert_eq!(other_codes(&report), ["index_mismatch"], "{wrong}: {report:?}");
        assert!(report.findings.iter().any(|finding| finding.code.name() == "index_mismatch" && finding.repair.is_some()));
    }
}

/// A header of `names`, each a tensor of two bytes.
fn many(names: impl Iterator<Item = String>) -> Vec<u8> {
    let entry = |(i, name): (usize, String)| format!(r#""{name}":{{"dtype":"BF16","shape":[1],"data_offsets":[{},{}]}}"#, 2 * i, 2 * i + 2);
    let entries: Vec<String> = names.enumerate().map(entry).collect();
    let json = format!("{{{}}}", entries.join(","));
    let mut file = (json.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(json.as_bytes());
    file.resize(file.len() + 2 * entries.len(), 0);
    file
}

/// As many tensors as the largest models have: work that grew with their square would take minutes here.
#[test]
fn headers_of_many_tensors_are_judged() {
    const COUNT: usize = 60_000;
    let cases: [(&str, Vec<u8>); 4] = [
        ("none of the 21 tensors of a llama model is here", many((0..COUNT).map(|i| format!("t{i}")))),
        ("names carry \"module.\"", many((0..COUNT).map(|i| format!("module.model.layers.{i}.self_attn.qkv_proj.weight")))),
        (
            "PEFT model",
            many(
                (0..COUNT / 2)
                    .flat_map(|i| ["base_layer", "lora_A.default"].map(|part| format!("model.layers.{i}.mlp.up_proj.{part}.weight"))),
            ),
        ),
        (
            "num_hidden_layers is 2, but there are tensors of 60000 layers",
            many((0..COUNT).map(|i| format!("model.layers.{i}.mlp.up_proj.weight"))),
        ),
    ];
    for (said, weights) in cases {
        let report = judge_numbers(model(&llama(), weights));
        assert!(report.findings.iter().any(|finding| finding.message.contains(said)), "{said}: {:?}", report.findings);
        assert!(report.findings.len() < 40, "{said}: {} findings", report.findings.len());
    }
}

/// A healthy directory in memory, with some files replaced.
fn healthy(files: &[(&str, &str)]) -> MemoryDirectory {
    let source = fixture("healthy/llama-v5");
    let mut out = MemoryDirectory::new("model");
    for entry in block_on(source.list()).expect("the fixture is there") {
        out = out.with(&entry.name, read(&*source, &entry.name));
    }
    for (name, text) in files {
        out = out.with(name, *text);
    }
    out
}

#[test]
fn a_template_that_renders_no_conversation_is_a_fault() {
    assert!(codes(&judge(healthy(&[]))).is_empty());
    let no_system = "{% if messages[0].role == 'system' %}{{ raise_exception('no system messages') }}{% endif %}{{ messages[0].content }}";
    assert!(codes(&judge(healthy(&[("chat_template.jinja", no_system)]))).is_empty());
    for (template, words) in [
        ("{{ raise_exception('only for members') }}", "only for members"),
        ("{{ messages[0].content.frob() }}", "no method named frob"),
        ("{% for i in range(100000) %}{% for j in range(100000) %}{{ i }}{% endfor %}{% endfor %}", "does not come to an end"),
    ] {
        let report = judge(healthy(&[("chat_template.jinja", template)]));
        assert_eq!(codes(&report), ["bad_template"], "{template}: {report:?}");
        assert!(report.findings[0].message.contains(words), "{}", report.findings[0].message);
    }
}

#[test]
fn generation_settings_of_the_wrong_type_are_a_fault() {
    for (text, named) in [
        (r#"{"eos_token_id": "</s>"}"#, r#"eos_token_id is "</s>""#),
        (r#"{"eos_token_id": [2, "x"], "bos_token_id": 1}"#, r#"eos_token_id is [2,"x"]"#),
        (r#"{"do_sample": true, "temperature": "hot", "top_k": 5}"#, r#"temperature is "hot""#),
        (r#"{"do_sample": "yes"}"#, r#"do_sample is "yes""#),
        (r#"{"top_p": 3.0, "do_sample": true}"#, "top_p is 3.0"),
    ] {
        let report = judge(healthy(&[("generation_config.json", text)]));
        assert_eq!((codes(&report), report.verdict), (vec!["bad_generation_config"], Verdict::Repairable), "{text}: {report:?}");
        assert!(report.findings[0].message.contains(named), "{}", report.findings[0].message);
    }
    let good = r#"{"eos_token_id": [2, 3], "bos_token_id": null, "do_sample": true, "temperature": 0.7, "top_p": 0.9, "top_k": 50}"#;
    assert!(codes(&judge(healthy(&[("generation_config.json", good)]))).is_empty());
}

/// Two repairs into one place do not mix, and what a killed one left is cleared.
#[test]
fn repairs_into_one_place_do_not_mix() {
    block_on(async {
        let broken = || Rc::new(healthy(&[("generation_config.json", r#"{"top_k": "many"}"#)])) as Rc<dyn Directory>;
        let parent = MemoryDirectory::new("parent");
        let options = Options::default();
        let other = NewDirectory::begin(&parent, "out").await.expect("the name is free");
        write_file(&*other.directory(), "a", b"half").await.expect("it can be written");
        let refused = fix(broken(), &parent, "out", &options, &mut |_| {}).await.err().expect("another one is at it");
        assert_eq!(refused.cause(), Cause::InUse, "{refused}");
        assert_eq!(read(&parent, ".out.partial/a"), b"half");
        drop(other); // killed
        let fixed = fix(broken(), &parent, "out", &options, &mut |_| {}).await.expect("nobody is at it");
        assert!(fixed.steps.iter().any(|step| step.contains("which an interrupted command left")), "{:?}", fixed.steps);
        let names: Vec<String> = parent.list().await.expect("it can be listed").into_iter().map(|entry| entry.name).collect();
        assert!(names.iter().all(|name| name.starts_with("out/")), "{names:?}");
        let taken = fix(broken(), &parent, "out", &options, &mut |_| {}).await.err().expect("the name is taken");
        assert_eq!(taken.cause(), Cause::AlreadyExists, "{taken}");
    });
}
