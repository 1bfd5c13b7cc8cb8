//! The matrix products of whole steps as GPUs get them: enough workgroups, bounded partial sums.

use std::rc::Rc;

use rootstock::gpu::Profile;
use rootstock::graph::{ParamLayout, Purpose, WeightType};
use rootstock::kernels::Family;
use rootstock::model::{ModelConfig, forward, params};
use rootstock::plan::{Options, Program, compile};

const SMOLLM2_135M: &str = r#"{"model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "head_dim": 64, "tie_word_embeddings": true, "max_position_embeddings": 8192}"#;

const QWEN2_5_0_5B: &str = r#"{"model_type": "qwen2", "vocab_size": 151936, "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
    "num_attention_heads": 14, "num_key_value_heads": 2, "tie_word_embeddings": true, "max_position_embeddings": 32768}"#;

const GPUS: [Family; 6] = [Family::NvidiaLike, Family::Amd, Family::Apple, Family::IntelSimd8, Family::IntelXe2, Family::UnknownGpu];

/// A full fine-tuning step as a GPU of this family gets it.
fn full_step(model: &str, family: Family, tokens: usize) -> Program {
    let config = ModelConfig::parse("config.json", model.as_bytes()).expect("a configuration");
    let profile = Profile { max_binding: 1 << 30, ..Profile::lavapipe().as_if(family, None) };
    let params = Rc::new(forward::graph_params(&params(&config), true, |_| WeightType::F32));
    let layout = ParamLayout::new(&params, &profile);
    let graph = forward::build(&config, params, tokens, Purpose::Train, tokens);
    compile(&graph, &layout, &profile, Options::default())
}

/// A GPU has room for some hundred workgroups at a time; a product with fewer leaves parts of it idle.
#[test]
fn no_product_of_a_step_starves_a_gpu() {
    for (model, sizes) in [(SMOLLM2_135M, [256, 512, 1024, 2048]), (QWEN2_5_0_5B, [256, 384, 1024, 2048])] {
        for tokens in sizes {
            for family in GPUS {
                let program = full_step(model, family, tokens);
                let products: Vec<_> = program.dispatches.iter().filter(|d| d.shape.is_some()).collect();
                assert!(products.len() > 400, "{} products", products.len());
                for d in products {
                    let workgroups: u32 = d.workgroups.iter().product();
                    assert!(workgroups >= 200, "{family:?}, {tokens} tokens: {} {:?} has {:?}", d.shader.name, d.shape, d.workgroups);
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
