//! Directories that transformers saved after bitsandbytes quantised them (scripts/fixtures/make_bitsandbytes.py): opened, kept for an adapter, decoded for
//! all else; and damaged ones.

use std::rc::Rc;

use rootstock::adapter::Adapter;
use rootstock::checkpoint::{Checkpoint, ModelSource, ParamSource, TensorFile, TensorFileWriter, TensorInfo};
use rootstock::data::{Batch, Sample};
use rootstock::engine::{Engine, EngineOptions, Method, Objective};
use rootstock::graph::WeightType;
use rootstock::kernels::StepValues;
use rootstock::model::ParamKind;
use rootstock::optim::Optimizer;
use rootstock::plan::Part;
use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, block_on};
use rootstock::quant::unpack_row;
use rootstock::validate::{Options, Severity, validate};
use rootstock::workflow::model_directory;
use serde_json::Value;

use crate::golden::difference;
use crate::kernels::gpu;

const TOLERANCE: f64 = 2e-5;

const NF4: WeightType = WeightType::Nf4 { double: false };
/// The directory, the model whose adapter is put on it, and what its maps are kept in.
const DIRECTORIES: [(&str, &str, WeightType); 5] = [
    ("llama-nf4-double", "llama", WeightType::Nf4 { double: true }),
    ("llama-fp4", "llama", WeightType::Fp4 { double: false }),
    ("llama-nf4-bf16-storage", "llama", NF4),
    ("llama-int8", "llama", WeightType::Int8),
    ("gpt2-nf4", "gpt2", NF4),
];

fn stored(name: &str) -> Rc<dyn Directory> {
    Rc::new(NativeDirectory::new(format!("tests/fixtures/bitsandbytes/{name}")))
}

fn opened(name: &str) -> Checkpoint {
    let directory = block_on(model_directory(stored(name))).unwrap_or_else(|error| panic!("{name}: {error}"));
    block_on(Checkpoint::open(directory)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

async fn compare(name: &str, base: &Checkpoint, adapter: &str) {
    let golden: Value = serde_json::from_slice(&stored(name).read("golden.json").await.expect("golden.json")).expect("JSON");
    let ids = |list: &Value| list.as_array().expect("a list").iter().map(|id| id.as_u64().expect("an id") as u32).collect();
    let sequences: Vec<Vec<u32>> = golden["sequences"].as_array().expect("a list").iter().map(ids).collect();
    let samples: Vec<Sample> =
        sequences.into_iter().map(|ids| Sample::new(ids.clone(), ids.into_iter().map(|id| id as i32).collect(), 1)).collect();
    let batch = Batch::of(&samples.iter().collect::<Vec<_>>());
    let adapter: Rc<dyn Directory> = Rc::new(NativeDirectory::new(format!("tests/fixtures/quantised/{adapter}/adapter")));
    let adapter = Adapter::open(adapter, base).await.expect("an adapter");
    let options = EngineOptions {
        method: Method::Adapter { resolved: Rc::new(adapter.resolved.clone()), loraplus_lr_ratio: 1.0 },
        gradient_checkpointing: false,
        kept: None,
        sequence: 64,
        optimizer: Optimizer::default(),
        objective: Objective::default(),
    };
    let mut engine = Engine::load(gpu(), base, options).await.expect("memory");
    engine.load_adapter(&adapter).await.expect("an adapter");
    let targets = batch.target_count();
    let step = StepValues { loss_scale: 1.0 / targets as f32, ..StepValues::default() };
    engine.micro_step(&batch, step).await.expect("a step");
    engine.update(&step).await.expect("an update with a learning rate of 0");
    let loss = f64::from(engine.stats().await.expect("statistics").loss_sum) / targets as f64;
    let want = golden["loss"].as_f64().expect("a loss");
    assert!((loss - want).abs() < TOLERANCE * want, "{name}: loss {loss} for {want}");
    let gradients = TensorFile::open(stored(name), "gradients.safetensors").await.expect("gradients");
    let ours = engine.part(Part::Gradients);
    for (index, param) in adapter.resolved.declarations(base.params()).iter().enumerate() {
        let decl = &param.decl;
        let got = ours.read_rows(base.params().len() + index, 0..decl.rows).await.expect("a gradient");
        let want = gradients.read_f32(&decl.name, 0..decl.elements()).await.expect("a golden gradient");
        let off = difference(&got, &want);
        assert!(off < TOLERANCE, "{name}: the gradient of {} is off by {off:.1e}", decl.name);
    }
}

#[test]
fn loss_and_gradients_equal_peft_on_what_was_saved() {
    for (name, adapter, _) in DIRECTORIES {
        block_on(compare(name, &opened(name), adapter));
    }
    // The same decoded.
    block_on(compare("llama-nf4-double", &opened("llama-nf4-double").dequantised(), "llama"));
}

#[test]
fn linear_maps_are_kept_as_they_are_stored() {
    for (name, _, kept) in DIRECTORIES {
        let base = opened(name);
        for (index, param) in base.params().iter().enumerate() {
            let wanted = (param.kind == ParamKind::Linear).then_some(kept);
            assert_eq!(base.kept(param), wanted, "{name}: {}", param.name);
            let Some(kept) = wanted else { continue };
            let rows = 1..param.rows - 3;
            let packed = block_on(ParamSource::read_blocks(&base, index, kept, rows.clone())).expect("it reads").expect("it is stored so");
            let mut values = Vec::new();
            packed.chunks(kept.row_bytes(param.cols)).for_each(|row| unpack_row(kept, row, param.cols, &mut values));
            assert_eq!(Ok(values), block_on(base.read_rows(param, rows)), "{name}: {}", param.name);
        }
        assert!(!base.config().raw.contains_key("quantization_config"), "what is written of it is not quantised");
    }
}

/// Ready, with a note of how it is stored; it lacks only what these fixtures have no need of, a tokenizer.
#[test]
fn the_verdict_names_the_scheme() {
    for (name, _, kept) in DIRECTORIES {
        let directory = block_on(model_directory(stored(name))).expect("it opens");
        let report = block_on(validate(directory, &Options::default(), &mut |_| {})).expect("a report");
        let errors: Vec<&str> = report.errors().map(|finding| finding.code.name()).collect();
        assert_eq!(errors, ["no_tokenizer"], "{name}: {:?}", report.findings);
        let note = report.findings.iter().find(|finding| finding.code.name() == "stored_in_few_bits").expect("a note");
        assert_eq!(note.severity, Severity::Info);
        assert!(note.message.contains(&format!("in {})", kept.name())), "{}", note.message);
    }
}

/// The llama in NF4 as files in memory, with one tensor changed.
fn changed(tensor: &str, change: impl Fn(&mut Vec<u8>, &mut Vec<u64>)) -> Rc<dyn Directory> {
    let source = TensorFile::open(stored("llama-nf4-double"), "model.safetensors");
    let source = block_on(source).expect("the fixture is there");
    let place = tempfile::tempdir().expect("a place");
    let out = NativeDirectory::create(place.path()).expect("a directory");
    let mut tensors = Vec::new();
    for entry in source.tensors() {
        let mut bytes = block_on(source.read_bytes(&entry.name, 0..entry.elements())).expect("it reads");
        let mut shape = entry.shape.clone();
        if entry.name.ends_with(tensor) {
            change(&mut bytes, &mut shape);
        }
        if !shape.contains(&u64::MAX) {
            tensors.push((TensorInfo::new(entry.name.clone(), entry.dtype, shape), bytes));
        }
    }
    block_on(async {
        let infos: Vec<TensorInfo> = tensors.iter().map(|(info, _)| info.clone()).collect();
        let mut file = TensorFileWriter::create(&out, "model.safetensors", &infos, &[]).await.expect("a file");
        for (info, bytes) in &tensors {
            file.write(&info.name, bytes).await.expect("it is written");
        }
        file.finish().await.expect("it is written");
        let weights = out.read("model.safetensors").await.expect("it reads");
        let config = stored("llama-nf4-double").read("config.json").await.expect("config.json");
        Rc::new(MemoryDirectory::new("model").with("config.json", config).with("model.safetensors", weights)) as Rc<dyn Directory>
    })
}

/// One sentence each, with the tensor.
#[test]
fn damaged_quantised_tensors_are_named() {
    let state = "layers.0.self_attn.q_proj.weight.quant_state.bitsandbytes__nf4";
    let set = |text: &'static str| {
        move |bytes: &mut Vec<u8>, shape: &mut Vec<u64>| {
            *bytes = text.as_bytes().to_vec();
            *shape = vec![bytes.len() as u64];
        }
    };
    let halved = |bytes: &mut Vec<u8>, shape: &mut Vec<u64>| {
        shape[0] /= 2;
        bytes.truncate(bytes.len() / 2);
    };
    let gone = |_: &mut Vec<u8>, shape: &mut Vec<u64>| *shape = vec![u64::MAX];
    let q = "model.layers.0.self_attn.q_proj.weight";
    let cases: [(&str, Rc<dyn Directory>, &str); 8] = [
        ("not JSON", changed(state, set("blocks of 64")), "is not the JSON that bitsandbytes writes"),
        ("a shape of three", changed(state, set(r#"{"blocksize": 64, "shape": [4, 4, 4]}"#)), "a matrix has two sizes"),
        ("absurd", changed(state, set(r#"{"blocksize": 64, "shape": [18446744073709551615, 2]}"#)), "which cannot be"),
        ("blocks of none", changed(state, set(r#"{"blocksize": 0, "shape": [64, 64]}"#)), "which cannot be"),
        ("too few codes", changed("layers.0.self_attn.q_proj.weight", halved), "numbers of 4 bits take"),
        ("too few scales", changed("layers.0.self_attn.q_proj.weight.absmax", halved), "scales"),
        ("no scales", changed("layers.0.self_attn.q_proj.weight.absmax", gone), "is missing"),
        ("a map of eight", changed("layers.0.self_attn.q_proj.weight.quant_map", halved), "has 8 numbers, 4 bits stand for 16"),
    ];
    for (what, directory, words) in cases {
        let error = block_on(model_directory(directory)).err().unwrap_or_else(|| panic!("{what}: it opens")).to_string();
        assert!(error.contains(words) && error.contains(q) && !error.contains('\n'), "{what}: {error}");
    }
}

#[test]
fn other_directories_stay_as_they_are() {
    for directory in [stored("llama-int8/nothing"), Rc::new(NativeDirectory::new("tests/fixtures/quantised/llama")) as Rc<dyn Directory>] {
        let same = block_on(model_directory(directory.clone())).expect("it is left alone");
        assert!(Rc::ptr_eq(&same, &directory));
    }
}
