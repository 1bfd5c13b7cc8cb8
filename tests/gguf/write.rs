//! Files that are written: read back they are the model that went in, and what the format cannot express is refused.

use std::rc::Rc;

use rootstock::checkpoint::{Checkpoint, Dtype};
use rootstock::data::Tokenizer;
use rootstock::gguf::{Container, OutType, open, write_model};
use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, block_on};
use rootstock::validate::{Options, Verdict, validate};

use super::open::{MODELS, opened};

const VILLAGE: &str = "assets/embedded-model";

/// Writes a model and opens what was written.
fn through(directory: Rc<dyn Directory>, outtype: OutType) -> (MemoryDirectory, Rc<dyn Directory>) {
    let out = MemoryDirectory::new("out");
    block_on(async {
        let checkpoint = Checkpoint::open(directory.clone()).await.expect("it opens");
        let written = write_model(&checkpoint, &*directory, outtype, &out, "model.gguf").await;
        written.unwrap_or_else(|error| panic!("{}: {error}", directory.label()));
    });
    let view = block_on(open(Rc::new(out.clone()), "model.gguf")).expect("what was written opens");
    (out, view)
}

#[test]
fn what_is_written_reads_back_as_it_was() {
    for (name, _) in MODELS {
        let before = opened(name);
        let (_, after) = through(before.clone(), OutType::F32);
        let (one, other) = block_on(async { (Checkpoint::open(before.clone()).await, Checkpoint::open(after.clone()).await) });
        let (one, other) = (one.expect("it opens"), other.expect("it opens"));
        let bare = |checkpoint: &Checkpoint| {
            let mut config = checkpoint.config().clone();
            config.raw.clear();
            config
        };
        assert_eq!(bare(&other), bare(&one), "{name}");
        for param in one.params() {
            let read = |checkpoint: &Checkpoint| block_on(checkpoint.read_stored(param, 0..param.elements())).expect("it reads");
            assert_eq!(read(&other), read(&one), "{name}: {}", param.name);
        }
        let load = |dir: &Rc<dyn Directory>| block_on(Tokenizer::load(&**dir)).expect("it loads");
        let (one, other) = (load(&before), load(&after));
        for text in ["A gardener grafts 17 scions; é, 園 and 🌳 too.", "  two   spaces\n\nand lines\t", "it's <|im_end|></s> o'clock"] {
            assert_eq!(other.encode(text, true), one.encode(text, true), "{name}: {text:?}");
        }
        assert_eq!((other.bos(), other.eos(), other.pad()), (one.bos(), one.eos(), one.pad()), "{name}");
        assert_eq!(other.template().source(), one.template().source(), "{name}");
    }
}

#[test]
fn the_village_model_goes_through_every_type() {
    let village: Rc<dyn Directory> = Rc::new(NativeDirectory::new(VILLAGE));
    let original = block_on(Checkpoint::open(village.clone())).expect("it opens");
    // The largest error of a number over the largest number of its block, which rounding may cause.
    for (outtype, allowed, stored) in [
        (OutType::F32, 0.0, Dtype::F32),
        (OutType::Bf16, 0.0, Dtype::BF16),
        (OutType::F16, 0.001, Dtype::F16),
        (OutType::Q8_0, 0.005, Dtype::F32),
        (OutType::Q4_0, 0.13, Dtype::F32),
    ] {
        let (_, view) = through(village.clone(), outtype);
        let report = block_on(validate(view.clone(), &Options::default(), &mut |_| {})).expect("a report");
        assert_eq!(report.verdict, Verdict::Ready, "{outtype:?}: {:?}", report.findings);
        let written = block_on(Checkpoint::open(view)).expect("it opens");
        for param in original.params() {
            let read = |checkpoint: &Checkpoint| block_on(checkpoint.read_stored(param, 0..param.elements())).expect("it reads");
            let (one, other) = (read(&original), read(&written));
            for (one, other) in one.chunks(32).zip(other.chunks(32)) {
                let largest = one.iter().fold(0f32, |largest, x| largest.max(x.abs()));
                let error = one.iter().zip(other).fold(0f32, |error, (a, b)| error.max((a - b).abs()));
                assert!(error <= allowed * largest, "{outtype:?} {}: {error} of {largest}", param.name);
            }
            let dtype = if param.rows == 1 { Dtype::F32 } else { stored };
            assert_eq!(written.stored_dtype(param), Ok(dtype), "{outtype:?} {}", param.name);
        }
    }
}

/// The keys and tensors that llama.cpp's converter writes for the same model are all there, with the same values.
#[test]
fn keys_and_tensors_are_those_of_the_converter() {
    for (name, _) in MODELS {
        let (out, _) = through(opened(name), OutType::F16);
        let read = |dir: &dyn Directory, file: &str| block_on(Container::read(dir, file)).expect("it reads");
        let (ours, theirs) = (read(&out, "model.gguf"), read(&NativeDirectory::new(super::FIXTURES), &format!("{name}.gguf")));
        for key in theirs.metadata.keys() {
            // What describes the file and not the model; scores and lists of merges are compared by what they do.
            let remark = key.starts_with("general.") && key != "general.architecture" && key != "general.file_type";
            // (llama.cpp reads the original context only together with factors.)
            let ignored = [
                "phi3.rope.scaling.original_context_length",
                "tokenizer.ggml.scores",
                "tokenizer.ggml.add_sep_token",
                "tokenizer.ggml.add_eos_token",
            ]
            .contains(&key);
            if remark || ignored {
                continue;
            }
            assert!(ours.metadata.get(key) == theirs.metadata.get(key), "{name}: {key} differs");
        }
        let tensors = |container: &Container| {
            let mut list: Vec<_> = container.tensors.iter().map(|t| (t.name.clone(), t.shape.clone(), t.encoding)).collect();
            list.sort_by(|a, b| a.0.cmp(&b.0));
            list
        };
        assert_eq!(tensors(&ours), tensors(&theirs), "{name}");
    }
}

#[test]
fn what_the_format_cannot_express_is_refused() {
    let refused = |change: &dyn Fn(&mut serde_json::Value), name: &str, reason: &str| {
        let before = opened(name);
        let mut dir = MemoryDirectory::new("changed");
        for entry in block_on(before.list()).expect("it lists") {
            dir = dir.with(&entry.name, block_on(before.read(&entry.name)).expect("it reads"));
        }
        let mut config: serde_json::Value =
            serde_json::from_slice(&block_on(before.read("config.json")).expect("it reads")).expect("it is JSON");
        change(&mut config);
        let dir: Rc<dyn Directory> = Rc::new(dir.with("config.json", config.to_string()));
        let out = MemoryDirectory::new("out");
        let error = block_on(async {
            let checkpoint = Checkpoint::open(dir.clone()).await.expect("it opens");
            write_model(&checkpoint, &*dir, OutType::F16, &out, "x.gguf").await
        });
        let error = error.expect_err("it cannot be expressed").to_string();
        assert!(error.contains(reason), "{error} lacks {reason:?}");
        assert!(block_on(out.list()).expect("it lists").is_empty(), "something was left behind");
    };
    refused(&|config| config["hidden_act"] = "relu".into(), "llama", "hidden_act cannot be written as GGUF");
    refused(&|config| config["no_rope_layer_interval"] = 3.into(), "smollm3", "llama.cpp rotates other layers' positions than layer 2");
    refused(
        &|config| config["sliding_window_pattern"] = 3.into(),
        "gemma3",
        "sliding_window cannot be written as GGUF: layer 2 has no window",
    );
    refused(
        &|config| {
            config["rope_scaling"] = serde_json::json!({"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                "high_freq_factor": 2.0, "original_max_position_embeddings": 64});
        },
        "llama",
        "holds other factors than Llama 3's scaling gives",
    );
    refused(
        &|config| {
            config["model_type"] = "mistral".into();
            config["sliding_window"] = 16.into();
        },
        "llama",
        "layer 0 has a window of 16, and llama.cpp computes no window",
    );
}
