//! What the self-test and the look at the numbers must tell apart: a model that knows little, and one whose weights are not what they
//! should be. Made from the embedded model, which has read stories about one village and predicts other English worse than chance.

use std::collections::BTreeMap;
use std::rc::Rc;

use rootstock::checkpoint::Checkpoint;
use rootstock::generate::{GeneratorOptions, estimate_reading};
use rootstock::gpu::{DeviceChoice, Gpu};
use rootstock::graph::{ParamLayout, WeightType};
use rootstock::model::forward;
use rootstock::platform::{Directory, MemoryDirectory, NativeDirectory, block_on};
use rootstock::random::Random;
use rootstock::validate::{Options, Report, Severity, Verdict, validate};
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::kernels::gpu;

/// The standard deviation that transformers initialises with.
const INITIAL: f64 = 0.02;

type Tensors = BTreeMap<String, (Vec<usize>, Vec<half::bf16>)>;

/// The embedded model's weights, changed, in a directory.
fn model(change: impl Fn(&mut Tensors, &mut Random), settings: &[(&str, serde_json::Value)]) -> Rc<dyn Directory> {
    let original = NativeDirectory::new("assets/embedded-model");
    let read = |name: &str| block_on(original.read(name)).expect("the embedded model is there");
    let bytes = read("model.safetensors");
    let stored = SafeTensors::deserialize(&bytes).expect("a good file");
    let numbers = |view: &TensorView<'_>| {
        assert_eq!(view.dtype(), Dtype::BF16);
        view.data().as_chunks::<2>().0.iter().map(|bytes| half::bf16::from_le_bytes(*bytes)).collect()
    };
    let mut tensors: Tensors = stored.iter().map(|(name, view)| (name.to_string(), (view.shape().to_vec(), numbers(&view)))).collect();
    change(&mut tensors, &mut Random::new(1, 0));
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .into_iter()
        .map(|(name, (shape, numbers))| (name, shape, numbers.iter().flat_map(|number| number.to_le_bytes()).collect()))
        .collect();
    let views = data.iter().map(|(name, shape, bytes)| {
        (name.as_str(), TensorView::new(Dtype::BF16, shape.clone(), bytes).expect("as many bytes as the shape takes"))
    });
    let mut config: serde_json::Value = serde_json::from_slice(&read("config.json")).expect("JSON");
    for (key, value) in settings {
        config[*key] = value.clone();
    }
    let mut directory = MemoryDirectory::new("model")
        .with("model.safetensors", serialize(views, None).expect("it can be written"))
        .with("config.json", config.to_string());
    for name in ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "chat_template.jinja"] {
        directory = directory.with(name, read(name));
    }
    Rc::new(directory)
}

fn judge(directory: Rc<dyn Directory>) -> Report {
    let report = block_on(validate(directory, &Options { gpu: Some(gpu()), ..Options::default() }, &mut |_| {})).expect("a report");
    assert_eq!(report.verdict, Verdict::Ready, "{:?}", report.findings);
    report
}

/// The codes of the warnings.
fn warnings(report: &Report) -> Vec<&'static str> {
    report.findings.iter().filter(|finding| finding.severity == Severity::Warning).map(|finding| finding.code.name()).collect()
}

fn initialise(numbers: &mut [half::bf16], random: &mut Random) {
    numbers.iter_mut().for_each(|number| *number = half::bf16::from_f64(INITIAL * random.normal()));
}

fn layer(name: &str) -> Option<usize> {
    name.strip_prefix("model.layers.")?.split('.').next()?.parse().ok()
}

fn is_matrix(shape: &[usize]) -> bool {
    shape.len() == 2
}

#[test]
fn a_model_that_knows_one_village_is_no_random_one() {
    let report = judge(model(|_, _| {}, &[]));
    assert!(report.loss.expect("it was run") > 512f64.ln(), "worse than chance on English, {:?}", report.loss);
    assert!(warnings(&report).is_empty(), "{:?}", report.findings);
    let said = report.findings.iter().find(|finding| finding.code.name() == "self_test").expect("what it says");
    assert!(said.message.contains("no random model does"), "{}", said.message);
}

#[test]
fn weights_that_nobody_trained_are_found() {
    let all = judge(model(
        |tensors, random| tensors.values_mut().filter(|(shape, _)| is_matrix(shape)).for_each(|(_, n)| initialise(n, random)),
        &[],
    ));
    assert_eq!(warnings(&all), ["random_weights", "loss_near_chance"], "{:?}", all.findings);
    assert!(all.findings[0].message.starts_with("all matrices look"), "{}", all.findings[0]);

    let head = judge(model(
        |tensors, random| {
            let mut head = tensors["model.embed_tokens.weight"].clone();
            initialise(&mut head.1, random);
            tensors.insert("lm_head.weight".into(), head);
        },
        &[("tie_word_embeddings", false.into())],
    ));
    assert_eq!(warnings(&head), ["random_weights", "loss_near_chance"], "{:?}", head.findings);
    assert_eq!(head.findings[0].tensor.as_deref(), Some("lm_head.weight"));
    assert!(head.findings[0].message.starts_with("the matrices of lm_head.weight look"), "{}", head.findings[0]);

    // The last layers anew: the model predicts the text no worse than before, only the numbers tell.
    let half = judge(model(
        |tensors, random| {
            let late = |name: &str| layer(name).is_some_and(|layer| layer >= 3);
            tensors.iter_mut().filter(|(name, (shape, _))| late(name) && is_matrix(shape)).for_each(|(_, (_, n))| initialise(n, random));
        },
        &[],
    ));
    assert_eq!(warnings(&half), ["random_weights"], "{:?}", half.findings);
    assert!(half.findings[0].message.starts_with("the matrices of layers 3 to 4 look"), "{}", half.findings[0]);
}

/// Trained numbers in the wrong places: no number is strange, only the model's behaviour is.
#[test]
fn weights_in_the_wrong_places_are_found() {
    let reversed = judge(model(
        |tensors, _| {
            let old = tensors.clone();
            for (name, value) in &old {
                if let Some(at) = layer(name) {
                    tensors.insert(name.replacen(&format!("layers.{at}."), &format!("layers.{}.", 4 - at), 1), value.clone());
                }
            }
        },
        &[],
    ));
    assert_eq!(warnings(&reversed), ["loss_near_chance"], "{:?}", reversed.findings);
    let shuffled = judge(model(
        |tensors, random| {
            let layers = tensors.iter_mut().filter(|(name, (shape, _))| layer(name).is_some() && is_matrix(shape));
            layers.for_each(|(_, (_, numbers))| random.shuffle(numbers));
        },
        &[],
    ));
    assert!(warnings(&shuffled).contains(&"loss_near_chance"), "{:?}", shuffled.findings);
}

/// The self-test keeps weights as they are stored: a model in bf16 is run where it would not fit in f32.
#[test]
fn a_model_runs_in_the_precision_that_it_is_stored_in() {
    let directory = model(|_, _| {}, &[]);
    let checkpoint = block_on(Checkpoint::open(directory.clone())).expect("the embedded model");
    let memory = |weight_type: WeightType| {
        let profile = gpu().profile().clone();
        let params = Rc::new(forward::graph_params(checkpoint.params(), false, |_| weight_type));
        let reading = GeneratorOptions { context: Some(192), chunk: None };
        let beside = estimate_reading(checkpoint.config(), &params, &profile, reading).expect("a context that can be");
        ParamLayout::new(&params, &profile).weights_bytes() + beside.peak_bytes()
    };
    let limit = memory(WeightType::Bf16) + (256 << 10);
    assert!(limit < memory(WeightType::F32));
    let choice = DeviceChoice { memory_limit: Some(limit), ..DeviceChoice::default() };
    let gpu = Rc::new(block_on(Gpu::open(&choice)).expect("a device"));
    let options = Options { gpu: Some(gpu), ..Options::default() };
    let report = block_on(validate(directory, &options, &mut |_| {})).expect("a report");
    let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code.name()).collect();
    assert!(codes.contains(&"self_test"), "{:?}", report.findings);
}
