//! The matrix products of whole steps as GPUs get them: enough workgroups, bounded partial sums.

use std::rc::Rc;

use rootstock::adapter::{AdapterConfig, ResolvedAdapter, TargetModules};
use rootstock::engine::{self, Half, Method};
use rootstock::gpu::Profile;
use rootstock::graph::{ParamLayout, Purpose, WeightType};
use rootstock::kernels::{Dispatch, Family};
use rootstock::model::{ModelConfig, ParamDecl, ParamKind, forward, params};
use rootstock::plan::{Options, Program, compile};

pub(super) const SMOLLM2_135M: &str = r#"{"model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "tie_word_embeddings": true, "max_position_embeddings": 8192}"#;

pub(super) const QWEN2_5_0_5B: &str = r#"{"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": true, "max_position_embeddings": 32768}"#;

pub(super) const GPUS: [Family; 6] =
    [Family::NvidiaLike, Family::Amd, Family::Apple, Family::IntelSimd8, Family::IntelXe2, Family::UnknownGpu];

/// A full fine-tuning step as a GPU of this family gets it.
pub(super) fn full_step(model: &str, family: Family, tokens: usize) -> Program {
    step(model, &Method::Full, |_| WeightType::F32, family, tokens, Options::default())
}

/// The same with activations kept in 16 bits.
pub(super) fn kept_step(model: &str, family: Family, tokens: usize, half: Half) -> Program {
    step(model, &Method::Full, |_| WeightType::F32, family, tokens, Options { kept: Some(half), ..Options::default() })
}

/// A step with LoRA, the base's linear maps in this type, where a run computes in `fp16`.
pub(super) fn half_lora_step(model: &str, linear: WeightType, family: Family, tokens: usize) -> Program {
    lora_with(model, linear, family, tokens, Options { kept: Some(Half::F16), ..Options::default() })
}

/// A step with LoRA of rank 8 on every linear map but the head.
pub(super) fn lora_step(model: &str, family: Family, tokens: usize) -> Program {
    quantised_step(model, WeightType::Bf16, family, tokens)
}

/// The same with the base's linear maps in this type.
pub(super) fn quantised_step(model: &str, linear: WeightType, family: Family, tokens: usize) -> Program {
    lora_with(model, linear, family, tokens, Options::default())
}

fn lora_with(model: &str, linear: WeightType, family: Family, tokens: usize, options: Options) -> Program {
    let config = ModelConfig::parse("config.json", model.as_bytes()).expect("a configuration");
    let adapter = AdapterConfig { target_modules: Some(TargetModules::AllLinear), ..AdapterConfig::default() };
    let resolved = Rc::new(ResolvedAdapter::resolve(&adapter, &config, &params(&config)).expect("an adapter"));
    let frozen = |d: &ParamDecl| if d.kind == ParamKind::Linear { linear } else { WeightType::Bf16 };
    step(model, &Method::Adapter { resolved, loraplus_lr_ratio: 1.0 }, frozen, family, tokens, options)
}

fn step(
    model: &str,
    method: &Method,
    frozen: impl Fn(&ParamDecl) -> WeightType,
    family: Family,
    tokens: usize,
    options: Options,
) -> Program {
    let config = ModelConfig::parse("config.json", model.as_bytes()).expect("a configuration");
    let profile = Profile { max_binding: 1 << 30, ..Profile::lavapipe().as_if(family, None) };
    let (_, params) = engine::parameters(&params(&config), method, frozen);
    let params = Rc::new(params);
    let layout = ParamLayout::new(&params, &profile);
    let graph = forward::build(&config, params, tokens, Purpose::Train, tokens);
    compile(&graph, &layout, &profile, options)
}

/// Query, key and value are one product, gate and up another, in each direction; so are the narrow products of their adapters, and the gradients
/// of all factors of a group are one dispatch.
#[test]
fn maps_of_one_input_are_one_product() {
    const LAYERS: usize = 30;
    for tokens in [256, 2048] {
        for family in GPUS {
            let count = |program: &Program, name: &str| {
                let named = |d: &&Dispatch| d.owner.layer.is_some() && d.shader.name.split(".tiled").next() == Some(name);
                program.dispatches.iter().filter(named).count()
            };
            let full = full_step(SMOLLM2_135M, family, tokens);
            for (kernel, each) in [("linear_forward", 3), ("linear_backward_input", 3), ("linear_backward_weight", 4)] {
                assert_eq!(count(&full, kernel), each * LAYERS, "{kernel}, {family:?}, {tokens} tokens");
            }
            // What is between gate and up and the product down is made within these two.
            for (kernel, plain) in [("gated_linear_forward", "gated_forward"), ("gated_linear_backward_input", "gated_backward")] {
                assert_eq!([count(&full, kernel), count(&full, plain)], [LAYERS, 0], "{kernel}, {family:?}, {tokens} tokens");
            }
            // Splitting adds a second pass to a sixth of the products; norms take over the others.
            assert!(count(&full, "sum_parts") <= 2 * LAYERS, "{family:?}, {tokens} tokens: {}", count(&full, "sum_parts"));
            let lora = lora_step(SMOLLM2_135M, family, tokens);
            // The norm after the products down and out makes dy·B of theirs.
            for (kernel, each) in
                [("low_rank_forward", 4), ("low_rank_backward", 2), ("rms_norm_backward_input.narrow", 2), ("low_rank_backward_weight", 4)]
            {
                assert_eq!(count(&lora, kernel), each * LAYERS, "{kernel}, {family:?}, {tokens} tokens");
            }
            assert_eq!([count(&lora, "linear_forward"), count(&lora, "gated_linear_forward")], [3 * LAYERS, LAYERS]);
            // The first layer's input needs no gradient.
            assert_eq!([count(&lora, "linear_backward_input"), count(&lora, "gated_linear_backward_input")], [3 * LAYERS - 1, LAYERS]);
            println!("{family:?}, {tokens} tokens: {} dispatches a full step, {} with LoRA", full.dispatches.len(), lora.dispatches.len());
        }
    }
}

/// A vocabulary of 152k in chunks of 64 rows reads the head's weight 32 times for 2048 tokens, in each direction; with 8 GiB of memory a fifth as often.
#[test]
fn the_head_takes_larger_chunks_where_memory_allows() {
    let chunks = |memory: Option<u64>| {
        let config = ModelConfig::parse("config.json", QWEN2_5_0_5B.as_bytes()).expect("a configuration");
        let profile = Profile { max_binding: 1 << 30, memory, ..Profile::lavapipe().as_if(Family::NvidiaLike, None) };
        let (_, params) = engine::parameters(&params(&config), &Method::Full, |_| WeightType::F32);
        let params = Rc::new(params);
        let layout = ParamLayout::new(&params, &profile);
        let program = compile(&forward::build(&config, params, 2048, Purpose::Train, 2048), &layout, &profile, Options::default());
        program.dispatches.iter().filter(|d| d.shader.name == "cross_entropy_forward").count()
    };
    assert_eq!(chunks(None), 32);
    assert_eq!(chunks(Some(2 << 30)), 32, "64 MiB are a thirty-second of it");
    assert_eq!(chunks(Some(8 << 30)), 6);
    assert_eq!(chunks(Some(64 << 30)), 6, "at most 256 MiB");
}

/// A GPU has room for some hundred workgroups at a time; a product with fewer leaves parts of it idle.
#[test]
fn no_product_of_a_step_starves_a_gpu() {
    for (model, sizes) in [(SMOLLM2_135M, [256, 512, 1024, 2048]), (QWEN2_5_0_5B, [256, 384, 1024, 2048])] {
        for tokens in sizes {
            for family in GPUS {
                for (method, program) in [("full", full_step(model, family, tokens)), ("LoRA", lora_step(model, family, tokens))] {
                    let products: Vec<_> = program.dispatches.iter().filter(|d| d.shape.is_some()).collect();
                    assert!(products.len() > 150, "{method}: {} products", products.len());
                    for d in products {
                        let (workgroups, shape) = (d.workgroups.iter().product::<u32>(), d.shape);
                        let what = || format!("{family:?}, {method}, {tokens} tokens: {} {shape:?} has {:?}", d.shader.name, d.workgroups);
                        assert!(workgroups >= 200, "{}", what());
                    }
                }
            }
        }
    }
}

/// The sums of a split product's parts take at most 16 MiB, and are part of the planned memory like every other temporary.
#[test]
fn partial_sums_are_bounded_and_planned() {
    for model in [SMOLLM2_135M, QWEN2_5_0_5B] {
        for tokens in [256, 2048] {
            let program = full_step(model, Family::NvidiaLike, tokens);
            let sums: Vec<_> = program.dispatches.iter().filter(|d| d.shader.name == "sum_parts").collect();
            assert!(!sums.is_empty(), "the weights' gradients at least have few tiles");
            for d in sums {
                assert!(d.binds[0].size <= 16 << 20, "{} bytes", d.binds[0].size);
                let rootstock::kernels::Resource::Value(_) = d.binds[0].resource else { panic!("{:?} is no temporary", d.binds[0]) };
            }
        }
    }
}

/// A token of generation, with 4096 tokens of context and weights in bf16: a layer is a norm with the residual sum before it, query, key and value as one
/// product, their rotation with the append to the caches, attention (in two passes on a GPU), its output, a norm, gate and up as one product, the gate, and the
/// product down. Beside them stand the embedding, the last norm, and three for the logits.
#[test]
fn a_token_takes_few_dispatches() {
    let token = |model: &str, family: Family, subgroup: Option<u32>| {
        let config = ModelConfig::parse("config.json", model.as_bytes()).expect("a configuration");
        let profile =
            Profile { max_binding: 1 << 30, ..Profile::lavapipe().as_if(family, subgroup.map(rootstock::kernels::Subgroups::of)) };
        let (_, params) = engine::parameters(&params(&config), &Method::Inference(None), |_| WeightType::Bf16);
        let params = Rc::new(params);
        let layout = ParamLayout::new(&params, &profile);
        let graph = forward::build(&config, params, 1, Purpose::Generate { cache_rows: 4096, logit_rows: 1 }, 4096);
        compile(&graph, &layout, &profile, Options::default()).dispatches.len()
    };
    for (model, layers) in [(SMOLLM2_135M, 30), (QWEN2_5_0_5B, 24)] {
        for family in GPUS {
            assert_eq!(token(model, family, None), 10 * layers + 5, "{family:?}");
        }
        assert_eq!(token(model, Family::Lavapipe, Some(8)), 9 * layers + 5);
        assert_eq!(token(model, Family::OtherProcessor, None), 9 * layers + 5);
    }
}

/// A layer of a full step: eight dispatches forwards; backwards two each for the products down, out, and those of gate and up and of query, key and value, one for
/// each norm, queries (with delta), keys, and their sum along with the rotation. Beside them second passes of split products that no norm takes over,
/// the norms' second stages, the head and the embedding.
#[test]
fn a_step_takes_few_dispatches() {
    const LAYERS: usize = 30;
    for family in GPUS {
        for tokens in [256, 2048] {
            let program = full_step(SMOLLM2_135M, family, tokens);
            let named = |name: &str| program.dispatches.iter().filter(|d| d.shader.name == name).count();
            assert_eq!([named("add"), named("attention_sum"), named("rms_norm_backward_weight")], [0; 3], "they are part of others");
            assert_eq!(named("attention_backward_delta"), 0, "it is part of the pass over queries");
            // 61 norms, in a handful of dispatches.
            assert!(named("column_sum") <= 8, "{family:?}, {tokens} tokens: {}", named("column_sum"));
            let layers = program.dispatches.iter().filter(|d| d.owner.layer.is_some() && d.shader.name != "sum_parts").count();
            // The last norm of a layer's sum belongs to the next.
            assert!(layers <= (8 + 13) * LAYERS, "{family:?}, {tokens} tokens: {layers}");
            let lora = lora_step(SMOLLM2_135M, family, tokens);
            assert!(program.dispatches.len() < 750, "{family:?}, {tokens} tokens: {}", program.dispatches.len());
            assert!(lora.dispatches.len() < 900, "{family:?}, {tokens} tokens: {} with LoRA", lora.dispatches.len());
        }
    }
}

/// What `bf16` costs: passes that pack and unpack, how much they move, and how many of them only a gradient of a weight reads, which could unpack by itself.
#[test]
fn what_keeping_in_sixteen_bits_adds() {
    let few = |program: &Program, name: &str| program.dispatches.iter().filter(|d| d.shader.name.starts_with(name)).count();
    for family in [Family::NvidiaLike, Family::Lavapipe] {
        for (what, plain, kept) in [
            ("full", full_step(SMOLLM2_135M, family, 512), kept_step(SMOLLM2_135M, family, 512, Half::Bf16)),
            ("LoRA", lora_step(SMOLLM2_135M, family, 512), half_lora_step(SMOLLM2_135M, WeightType::Bf16, family, 512)),
        ] {
            let readers = |made: usize| {
                let value = kept.dispatches[made].binds[1].resource;
                let reads = |d: &&Dispatch| d.binds.iter().any(|bind| bind.resource == value);
                let names = kept.dispatches[made + 1..].iter().filter(reads).map(|d| d.shader.name.split('.').next().unwrap_or_default());
                names.collect::<std::collections::BTreeSet<&str>>()
            };
            let is_keep = |d: &&Dispatch| d.shader.name.starts_with("keep_");
            let bytes: u64 = kept.dispatches.iter().filter(is_keep).map(Dispatch::bytes).sum();
            let all: u64 = plain.dispatches.iter().map(Dispatch::bytes).sum();
            let mut unpacked = std::collections::BTreeMap::<Vec<&str>, usize>::new();
            for (index, d) in kept.dispatches.iter().enumerate() {
                if d.shader.name.starts_with("keep_backward") {
                    *unpacked.entry(readers(index).into_iter().collect()).or_default() += 1;
                }
            }
            let (packs, unpacks) = (few(&kept, "keep_forward"), few(&kept, "keep_backward"));
            println!(
                "{what}, {family:?}: {} dispatches, {} with packing ({packs}) and unpacking ({unpacks}), which move {} of {} MiB more; unpacked for {unpacked:?}",
                plain.dispatches.len(),
                kept.dispatches.len(),
                bytes >> 20,
                all >> 20
            );
            assert_eq!(packs, unpacks);
            // What is kept of a layer: inputs of both norms, what they make, query, key and value, attention's result, gate and up, and what these make; with
            // adapters x·Aᵀ of up to seven maps.
            assert!(packs <= 15 * 30 + 1, "{what}, {family:?}: {packs}");
        }
    }
}
