//! Which modules an adapter's configuration means: PEFT's rules.

use rootstock::adapter::{AdapterConfig, ResolvedAdapter, TargetKind};
use rootstock::checkpoint::Checkpoint;
use serde_json::{Value, json};

use super::support::base;

fn resolve(base: &Checkpoint, fields: Value) -> Result<ResolvedAdapter, String> {
    let mut all = json!({"peft_type": "LORA"});
    all.as_object_mut().expect("an object").extend(fields.as_object().expect("an object").clone());
    AdapterConfig::parse("adapter_config.json", all.to_string().as_bytes())
        .and_then(|config| ResolvedAdapter::resolve(&config, base.config(), base.params()))
        .map_err(|e| e.to_string())
}

fn modules(base: &Checkpoint, fields: Value) -> Vec<String> {
    resolve(base, fields).expect("it resolves").targets.into_iter().map(|t| t.module).collect()
}

fn refusal(base: &Checkpoint, fields: Value) -> String {
    resolve(base, fields).expect_err("it is refused")
}

#[test]
fn names_are_whole_or_suffixes_after_a_dot() {
    let llama = base("llama");
    let q = ["model.layers.0.self_attn.q_proj", "model.layers.1.self_attn.q_proj"];
    assert_eq!(modules(&llama, json!({"target_modules": ["q_proj"]})), q);
    assert_eq!(modules(&llama, json!({"target_modules": ["1.self_attn.q_proj"]})), q[1..]);
    assert_eq!(modules(&llama, json!({"target_modules": [q[0]]})), q[..1]);
    let found = refusal(&llama, json!({"target_modules": ["proj"]}));
    assert!(found.contains("names no module of this llama model; it has embed_tokens, q_proj"), "{found}");
    let resolved = resolve(&llama, json!({"target_modules": ["q_proj", "c_attn"], "modules_to_save": ["score"]})).expect("one is there");
    assert_eq!(resolved.unmatched, ["c_attn", "score"]);
}

#[test]
fn a_text_must_match_the_whole_name() {
    let llama = base("llama");
    assert_eq!(modules(&llama, json!({"target_modules": r".*\.0\.(?!mlp).*[qk]_proj"})).len(), 2);
    assert!(refusal(&llama, json!({"target_modules": "q_proj"})).contains("names no module"));
    assert!(refusal(&llama, json!({"target_modules": "(q_proj"})).contains("not a regular expression"));
}

#[test]
fn all_linear_is_all_but_the_head() {
    for (name, linears, names) in [
        ("llama", 14, "down_proj gate_proj k_proj o_proj q_proj up_proj v_proj"),
        ("gpt2", 8, "c_attn c_fc c_proj"),
        ("phi3", 8, "down_proj gate_up_proj o_proj qkv_proj"),
    ] {
        let base = base(name);
        let resolved = resolve(&base, json!({"target_modules": "all-linear"})).expect("it resolves");
        assert_eq!(resolved.targets.len(), linears, "{name}");
        assert!(resolved.targets.iter().all(|t| t.kind == TargetKind::Linear));
        assert_eq!(resolved.target_names(base.params()).join(" "), names);
        assert_eq!(resolved.fan_in_fan_out(base.params()), name == "gpt2");
    }
}

#[test]
fn names_that_would_mean_more_are_written_whole() {
    let base = base("gpt2");
    let resolved = resolve(&base, json!({"target_modules": ["mlp.c_proj"]})).expect("it resolves");
    assert_eq!(resolved.target_names(base.params()), ["transformer.h.0.mlp.c_proj", "transformer.h.1.mlp.c_proj"]);
}

#[test]
fn what_is_excluded_or_saved_is_not_adapted() {
    let llama = base("llama");
    assert_eq!(modules(&llama, json!({"target_modules": ["q_proj", "v_proj"], "exclude_modules": ["v_proj"]})).len(), 2);
    assert_eq!(modules(&llama, json!({"target_modules": ["q_proj"], "exclude_modules": r".*\.0\..*"})).len(), 1);
    let resolved =
        resolve(&llama, json!({"target_modules": ["q_proj", "gate_proj"], "modules_to_save": ["mlp", "lm_head"]})).expect("good");
    assert_eq!(resolved.targets.len(), 2);
    let saved: Vec<&str> = resolved.saved.iter().map(|s| s.name.as_str()).collect();
    assert_eq!(saved.len(), 7, "{saved:?}");
    assert!(saved.contains(&"model.layers.1.mlp.up_proj.weight") && saved.contains(&"lm_head.weight"));
}

#[test]
fn layers_can_be_chosen() {
    let llama = base("llama");
    assert_eq!(modules(&llama, json!({"target_modules": ["q_proj"], "layers_to_transform": 1})), ["model.layers.1.self_attn.q_proj"]);
    let by_name = json!({"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": "layers"});
    assert_eq!(modules(&llama, by_name), ["model.layers.0.self_attn.q_proj"]);
}

#[test]
fn the_first_pattern_wins_and_rslora_divides_by_the_root() {
    let llama = base("llama");
    let resolved = resolve(
        &llama,
        json!({"target_modules": ["q_proj", "k_proj"], "r": 4, "lora_alpha": 6, "use_rslora": true,
            "rank_pattern": {"0.self_attn.q_proj": 9, "q_proj": 2, "roj": 7}, "alpha_pattern": {"k_proj": 8}}),
    )
    .expect("it resolves");
    let found: Vec<(usize, f32)> = resolved.targets.iter().map(|t| (t.rank, t.scale)).collect();
    assert_eq!(found, [(9, 2.0), (4, 4.0), (2, (6.0 / 2f64.sqrt()) as f32), (4, 4.0)]);
}

/// A tied head is a module of its own, as in PEFT.
#[test]
fn tied_heads_and_embeddings_are_apart() {
    let tied = base("llama-tied-bias");
    let embedding = tied.params().iter().position(|p| p.name == "model.embed_tokens.weight").expect("it has one");
    for (module, kind) in [("lm_head", TargetKind::Head), ("embed_tokens", TargetKind::Embedding)] {
        let resolved = resolve(&tied, json!({"target_modules": [module]})).expect("it resolves");
        assert_eq!((resolved.targets.len(), resolved.targets[0].kind, resolved.targets[0].param), (1, kind, embedding));
        assert!(resolved.unties(tied.config(), tied.params()));
        let saved = resolve(&tied, json!({"target_modules": ["q_proj"], "modules_to_save": [module]})).expect("it resolves");
        assert_eq!((saved.saved.len(), saved.saved[0].is_head(), saved.saved[0].param), (1, kind == TargetKind::Head, embedding));
        assert!(saved.unties(tied.config(), tied.params()));
    }
    assert!(!resolve(&tied, json!({"target_modules": ["q_proj"]})).expect("good").unties(tied.config(), tied.params()));
}

#[test]
fn defaults_are_pefts() {
    assert_eq!(modules(&base("gpt2"), json!({})), ["transformer.h.0.attn.c_attn", "transformer.h.1.attn.c_attn"]);
    assert_eq!(modules(&base("gemma3"), json!({})).len(), 2 * base("gemma3").config().num_hidden_layers);
    assert!(refusal(&base("phi3"), json!({})).contains("PEFT has no default for phi3"));
}

#[test]
fn what_is_not_supported_is_said() {
    let llama = base("llama");
    let targets = |extra: Value| {
        let mut fields = json!({"target_modules": ["q_proj"]});
        fields.as_object_mut().expect("an object").extend(extra.as_object().expect("an object").clone());
        refusal(&llama, fields)
    };
    for (fields, part) in [
        (json!({"peft_type": "IA3"}), "peft_type is IA3; only LORA"),
        (json!({"bias": "all"}), "bias is \"all\""),
        (json!({"lora_bias": true}), "lora_bias is set"),
        (json!({"trainable_token_indices": [1]}), "single tokens"),
        (json!({"layer_replication": [[0, 1]]}), "repeated layers"),
        (json!({"init_lora_weights": "pissa_niter_4"}), "path_initial_model_for_weight_conversion"),
        (json!({"r": 0}), "r is 0"),
        (json!({"lora_alpha": "16"}), "lora_alpha is \"16\""),
        (json!({"target_modules": ["norm"]}), "neither a linear map nor the token embedding"),
        (json!({"target_modules": ["embed_tokens"], "use_dora": true}), "DoRA is supported on the linear maps of the layers only"),
    ] {
        let found = targets(fields);
        assert!(found.starts_with("adapter_config.json: ") && found.contains(part), "{found:?} lacks {part:?}");
    }
}

/// PEFT writes it where no task type was given: the class of the base, which the base's own configuration says better.
#[test]
fn a_custom_class_of_the_base_is_no_matter() {
    let class = json!({"base_model_class": "LlamaForCausalLM", "parent_library": "transformers.models.llama.modeling_llama"});
    let llama = base("llama");
    assert_eq!(modules(&llama, json!({"target_modules": ["q_proj"], "auto_mapping": class, "task_type": null})).len(), 2);
}

/// A stranger's file: what it may cost is bounded by the names' number times the modules' depth, not by their product.
#[test]
fn a_hundred_thousand_names_are_looked_up_and_many_patterns_refused() {
    let llama = base("llama");
    let many: Vec<String> = (0..100_000).map(|i| format!("module_{i}")).collect();
    let patterns = |prefix: &str| (0..100_000).map(|i| (format!("{prefix}{i}"), json!(4))).collect::<serde_json::Map<_, _>>();
    let started = std::time::Instant::now();
    let names: Vec<&str> = many.iter().map(String::as_str).chain(["q_proj"]).collect();
    let resolved =
        resolve(&llama, json!({"target_modules": names, "modules_to_save": many, "rank_pattern": patterns("x")})).expect("q_proj is there");
    assert_eq!((resolved.targets.len(), resolved.saved.len(), resolved.unmatched.len()), (2, 0, 200_000));
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    let expressions: Vec<String> = (0..100_000).map(|i| format!("module_{i}.*")).collect();
    let found = refusal(&llama, json!({"target_modules": ["q_proj"], "modules_to_save": expressions}));
    assert!(found.contains("modules_to_save holds 100000 regular expressions; at most 256 are read"), "{found}");
    let found = refusal(&llama, json!({"target_modules": ["q_proj"], "rank_pattern": patterns("x*")}));
    assert!(found.contains("rank_pattern holds 100000 regular expressions"), "{found}");
}
