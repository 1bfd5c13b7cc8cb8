//! config.json: both spellings, the defaults of each configuration class, and a sentence for everything that is wrong.

use rootstock::Error;
use rootstock::kernels::Activation;
use rootstock::model::{Architecture, ModelConfig, RopeKind};
use serde_json::{Value, json};

use super::support::{llama, open_golden, parse, with};

/// The fields that have no default, for an architecture with llama's names.
fn minimal(model_type: &str) -> Value {
    json!({"model_type": model_type, "vocab_size": 10, "hidden_size": 1024, "intermediate_size": 8,
        "num_hidden_layers": 30, "num_attention_heads": 32})
}

/// Defaults as in transformers' configuration classes (5.23).
#[test]
fn absent_fields_have_the_class_defaults() {
    for (model_type, kv, head_dim, positions, eps, tied, bos, eos, pad) in [
        ("llama", 32, 32, 2048, 1e-6, false, Some(1), vec![2], None),
        ("mistral", 8, 32, 131_072, 1e-6, false, Some(1), vec![2], None),
        ("qwen2", 32, 32, 32768, 1e-6, false, None, vec![], None),
        ("qwen3", 32, 128, 32768, 1e-6, false, None, vec![], None),
        ("gemma3_text", 4, 256, 131_072, 1e-6, true, Some(2), vec![1], Some(0)),
        ("phi3", 32, 32, 4096, 1e-5, false, Some(1), vec![32000], Some(32000)),
    ] {
        let c = parse(&minimal(model_type)).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(c.architecture.model_type(), model_type);
        assert_eq!((c.num_key_value_heads, c.head_dim, c.max_position_embeddings), (kv, head_dim, positions), "{model_type}");
        assert_eq!((c.norm_eps, c.tie_word_embeddings), (eps as f32, tied), "{model_type}");
        assert_eq!((c.bos_token_id, c.eos_token_ids, c.pad_token_id), (bos, eos, pad), "{model_type}");
        let gemma = c.architecture == Architecture::Gemma3Text;
        assert_eq!(c.activation, if gemma { Activation::GeluTanh } else { Activation::Silu });
        assert_eq!(c.attention_bias, model_type == "qwen2");
        assert!(!c.attention_output_bias && !c.mlp_bias);
        let theta: Vec<f64> = c.ropes.iter().map(|rope| rope.theta).collect();
        assert_eq!(theta, if gemma { vec![1e6, 1e4] } else { vec![1e4] });
        let windows: Vec<_> = c.layers.iter().map(|layer| layer.window).collect();
        match model_type {
            "mistral" => assert_eq!(windows, [Some(4096); 30]),
            "gemma3_text" => {
                let sixth = |i: usize| (i % 6 != 5).then_some(4096);
                assert_eq!(windows, (0..30).map(sixth).collect::<Vec<_>>());
                assert_eq!(c.attention_scale, 1.0 / 16.0);
                assert_eq!((c.embedding_scale, c.norm_weight_offset), (32.0, 1.0));
                assert!(c.layers.iter().all(|layer| layer.rope == Some(usize::from(layer.window.is_some()))));
            }
            _ => assert_eq!(windows, [None; 30]),
        }
    }
    let c = parse(&json!({"model_type": "gpt2", "vocab_size": 10, "n_embd": 24, "n_head": 3, "n_layer": 2})).expect("good");
    assert_eq!((c.intermediate_size, c.head_dim, c.max_position_embeddings), (96, 8, 1024));
    assert_eq!((c.activation, c.norm_eps, c.tie_word_embeddings), (Activation::GeluTanh, 1e-5, true));
    assert_eq!((c.bos_token_id, c.eos_token_ids.as_slice()), (Some(50256), &[50256][..]));
    assert!(c.attention_bias && c.attention_output_bias && c.mlp_bias && c.ropes.is_empty());
    assert!(c.layers.iter().all(|layer| layer.rope.is_none()));
}

#[test]
fn rotary_positions_in_both_spellings() {
    let scaled = |outer: Value| parse(&with(&with(&llama(), json!({"rope_theta": null})), outer)).map(|c| c.ropes);
    for (v4, v5) in [
        (json!({"rope_theta": 5e5}), json!({"rope_parameters": {"rope_type": "default", "rope_theta": 5e5}})),
        (
            json!({"rope_theta": 5e5, "rope_scaling": {"type": "linear", "factor": 2}}),
            json!({"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 500000}}),
        ),
        (
            json!({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}}),
            json!({"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4,
                "original_max_position_embeddings": 64, "attention_factor": 0.1 * 4f64.ln() + 1.0, "beta_fast": 32, "beta_slow": 1.0}}),
        ),
    ] {
        let found = scaled(v4.clone()).expect("good");
        assert_eq!(Ok(found), scaled(v5), "{v4}");
    }
    // The old spelling wins where both stand, as in transformers 5.
    let both =
        json!({"rope_scaling": {"rope_type": "linear", "factor": 2.0}, "rope_parameters": {"rope_type": "default", "rope_theta": 7.0}});
    let rope = &scaled(both).expect("good")[0];
    assert_eq!((rope.theta, &rope.kind), (1e4, &RopeKind::Linear { factor: 2.0 }));
    // LongRoPE's factor for the whole table: √(1 + ln(64 / 16) / ln 16) = √1.5.
    let phi = open_golden("phi3-longrope-long");
    let RopeKind::LongRope { original_max_position_embeddings: original, .. } = phi.config().ropes[0].kind else {
        panic!("{:?}", phi.config().ropes)
    };
    let ratio = phi.config().max_position_embeddings as f64 / original as f64;
    let expected = (1.0 + ratio.ln() / (original as f64).ln()).sqrt();
    assert!((phi.config().ropes[0].attention_factor() - expected).abs() < 1e-12);
}

#[test]
fn windows_follow_layer_types() {
    let base = with(&minimal("qwen2"), json!({"num_hidden_layers": 3, "sliding_window": 7}));
    let windows = |changes| parse(&with(&base, changes)).map(|c| c.layers.iter().map(|l| l.window).collect::<Vec<_>>());
    assert_eq!(windows(json!({})), Ok(vec![None; 3]));
    assert_eq!(windows(json!({"use_sliding_window": true})), Ok(vec![None; 3]));
    assert_eq!(windows(json!({"use_sliding_window": true, "max_window_layers": 2})), Ok(vec![None, None, Some(7)]));
    assert_eq!(windows(json!({"use_sliding_window": true, "max_window_layers": 0})), Ok(vec![Some(7); 3]));
    let types = json!(["sliding_attention", "full_attention", "full_attention"]);
    assert_eq!(windows(json!({"use_sliding_window": true, "layer_types": types})), Ok(vec![Some(7), None, None]));
    assert!(windows(json!({"layer_types": types})).is_err(), "no window is in force");
    assert!(windows(json!({"layer_types": ["full_attention"]})).is_err());
    assert!(windows(json!({"layer_types": ["full_attention", "full_attention", "chunked_attention"]})).is_err());
    let mistral = minimal("mistral");
    let mut none = mistral.clone();
    none["sliding_window"] = Value::Null;
    assert_eq!(parse(&none).expect("good").layers[0].window, None);
}

/// (changes to a good llama, the field that the error names, a part of the sentence).
#[test]
fn every_wrong_field_is_named() {
    for (changes, field, part) in [
        (json!({"hidden_size": "64"}), "hidden_size", "hidden_size is the text \"64\"; it must be a whole number"),
        (json!({"hidden_size": 64.0}), "hidden_size", "is 64.0; it must be a whole number"),
        (json!({"hidden_size": 0}), "hidden_size", "is 0; it must lie between 1 and"),
        (json!({"hidden_size": -12}), "hidden_size", "is -12"),
        (json!({"hidden_size": 1e300}), "hidden_size", "must be a whole number"),
        (json!({"hidden_size": [12]}), "hidden_size", "is a list"),
        (json!({"vocab_size": null}), "vocab_size", "vocab_size is missing"),
        (json!({"vocab_size": 4_000_000_000u64}), "vocab_size", "must lie between"),
        (json!({"num_hidden_layers": 18_446_744_073_709_551_615u64}), "num_hidden_layers", "must lie between"),
        (json!({"intermediate_size": true}), "intermediate_size", "is true"),
        (json!({"hidden_size": 13}), "hidden_size", "not a multiple of the 2 attention heads"),
        (json!({"num_key_value_heads": 4}), "num_key_value_heads", "is 4, which does not divide the 2 query heads"),
        (json!({"head_dim": 7}), "head_dim", "is 7; only multiples of 4"),
        (json!({"head_dim": null, "hidden_size": 12}), "head_dim", "is 6; only multiples of 4"),
        (json!({"head_dim": null, "hidden_size": 13}), "num_attention_heads", "does not divide the hidden size of 13"),
        (json!({"rms_norm_eps": 0}), "rms_norm_eps", "must be a number greater than zero"),
        (json!({"rms_norm_eps": 1e-60}), "rms_norm_eps", "must be a number greater than zero"),
        (json!({"rms_norm_eps": "1e-5"}), "rms_norm_eps", "is the text \"1e-5\"; it must be a number"),
        (json!({"hidden_act": "tanh"}), "hidden_act", "is \"tanh\"; silu"),
        (json!({"hidden_act": 1}), "hidden_act", "must be a text in quotes"),
        (json!({"attention_bias": "no"}), "attention_bias", "must be true or false"),
        (json!({"eos_token_id": -5}), "eos_token_id", "is -5"),
        (json!({"eos_token_id": ["</s>"]}), "eos_token_id", "must be a token id"),
        (json!({"rope_theta": 1.0}), "rope_theta", "must be greater than 1"),
        (json!({"rope_scaling": 2}), "rope_scaling", "must be an object"),
        (json!({"rope_scaling": {"rope_type": "linear"}}), "rope_scaling.factor", "is missing"),
        (json!({"rope_scaling": {"rope_type": "linear", "factor": "2"}}), "rope_scaling.factor", "is the text"),
        (json!({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}), "rope_scaling.rope_type", "is dynamic"),
        (json!({"rope_scaling": {"type": "longrope"}}), "rope_scaling.rope_type", "phi3 only"),
        (json!({"rope_scaling": {"type": "spiral"}}), "rope_scaling.rope_type", "is \"spiral\""),
        (
            json!({"rope_scaling": {"rope_type": "llama3", "factor": 2, "low_freq_factor": 4, "high_freq_factor": 4}}),
            "rope_scaling.high_freq_factor",
            "must be greater than low_freq_factor",
        ),
        (json!({"rope_parameters": {"full_attention": {"rope_theta": 2.0}}}), "rope_parameters", "only gemma3_text"),
        (json!({"partial_rotary_factor": 0.5}), "partial_rotary_factor", "only phi3"),
        (json!({"quantization_config": {"quant_method": "gptq"}}), "quantization_config", "quantised (gptq)"),
        (json!({"model_type": null}), "model_type", "architectures says LlamaForCausalLM, so add \"model_type\": \"llama\""),
        (json!({"model_type": null, "architectures": null}), "model_type", "is missing; add it (supported: llama, mistral"),
        (json!({"model_type": "lama"}), "model_type", "is \"lama\", which is not supported"),
        (json!({"model_type": "lama"}), "model_type", "the nearest is llama"),
        (json!({"model_type": "gemma3"}), "model_type", "vision"),
        (json!({"model_type": "mine", "auto_map": {"AutoConfig": "c.C"}}), "auto_map", "Python code"),
    ] {
        match parse(&with(&llama(), changes.clone())) {
            Err(Error::Config { file, field: named, reason, .. }) => {
                assert_eq!((file.as_str(), named.as_str()), ("config.json", field), "{changes}: {reason}");
                assert!(reason.contains(part), "{changes}: {reason:?} lacks {part:?}");
            }
            other => panic!("{changes}: {other:?}"),
        }
    }
    for (model_type, changes, field) in [
        ("gemma3_text", json!({"use_bidirectional_attention": true}), "use_bidirectional_attention"),
        ("gemma3_text", json!({"rope_parameters": {"rope_theta": 1e6, "rope_type": "default"}}), "rope_parameters"),
        ("gemma3_text", json!({"rope_parameters": {"sliding_attention": {"rope_type": "linear", "factor": 2.0}}}), "rope_parameters"),
        ("phi3", json!({"partial_rotary_factor": 0.1}), "partial_rotary_factor"),
        ("phi3", json!({"partial_rotary_factor": 1.5}), "partial_rotary_factor"),
        ("phi3", json!({"rope_scaling": {"type": "linear", "factor": 2.0}}), "rope_scaling"),
        ("phi3", json!({"rope_scaling": {"type": "su", "short_factor": [1.0], "long_factor": [1.0]}}), "rope_scaling.short_factor"),
        ("gpt2", json!({"scale_attn_by_inverse_layer_idx": true}), "scale_attn_by_inverse_layer_idx"),
        ("gpt2", json!({"add_cross_attention": true}), "add_cross_attention"),
        ("gpt2", json!({"num_attention_heads": 3}), "num_attention_heads"),
    ] {
        let found = parse(&with(&minimal(model_type), changes));
        assert!(matches!(&found, Err(Error::Config { field: named, .. }) if named == field), "{model_type}: {found:?}");
    }
}

#[test]
fn json_errors_name_the_line() {
    let parse = |text: &str| ModelConfig::parse("config.json", text.as_bytes()).map(|_| ()).map_err(|e| e.to_string());
    let cut = parse("{\n  \"model_type\": \"llama\",\n  \"rope_").expect_err("it is cut off");
    assert!(cut.starts_with("config.json, line 3: this is not valid JSON: EOF while parsing a string"), "{cut}");
    assert_eq!(parse("[1]"), Err("config.json: the file must hold one JSON object, {…}".to_string()));
    assert!(parse("").is_err());
    let with_mark = format!("\u{feff}{}", llama());
    assert_eq!(parse(&with_mark), Ok(()));
    let remote = with(&llama(), json!({"auto_map": {"AutoConfig": "c.C"}}));
    assert_eq!(parse(&remote.to_string()), Ok(()), "a known architecture needs no remote code");
}

proptest::proptest! {
    /// Any value in any field gives a configuration or a sentence.
    #[test]
    fn no_field_value_panics(
        key in proptest::sample::select(vec!["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
            "num_key_value_heads", "head_dim", "max_position_embeddings", "sliding_window", "partial_rotary_factor",
            "sliding_window_pattern", "rope_theta", "query_pre_attn_scalar", "max_window_layers", "n_embd", "n_head"]),
        number in proptest::prelude::any::<i64>(),
        small in 0i64..70,
        fraction in proptest::prelude::any::<f64>(),
    ) {
        for value in [json!(number), json!(small), json!(fraction)] {
            for architecture in Architecture::all() {
                let mut config = minimal(architecture.model_type());
                config[key] = value.clone();
                config["use_sliding_window"] = json!(true);
                if let Ok(config) = parse(&config) {
                    proptest::prop_assert!(config.query_width() > 0 && config.ropes.iter().all(|r| r.rotary_dim <= config.head_dim));
                }
            }
        }
    }
}
