//! Every variant of a kernel that a class of GPUs can choose, and that the committed table of what GPU compilers make of them has each.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::OnceLock;

use rootstock::engine::Half;
use rootstock::gpu::Profile;
use rootstock::graph::{Objective, ParamLayout, Preference, PreferenceLoss, Purpose, WeightType};
use rootstock::kernels::{Dispatch, Family, GgmlType, Subgroups, Tuning};
use rootstock::model::{ModelConfig, forward, params};
use rootstock::optim::{Adafactor, AdamW, Muon, Optimizer, Role, update_program};
use rootstock::plan::{Options, compile};
use serde_json::{Value, json};

use super::products::{GPUS, QWEN2_5_0_5B, SMOLLM2_135M, full_step, half_lora_step, kept_step, lora_step, quantised_step};

/// A head of 256 floats, sliding windows, norms of queries and keys.
const GEMMA3_270M: &str = r#"{"model_type": "gemma3_text", "vocab_size": 262144, "hidden_size": 640, "intermediate_size": 2048, "num_hidden_layers": 6,
    "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 256, "sliding_window": 512, "query_pre_attn_scalar": 256}"#;

/// LayerNorm, biases, learned positions.
const GPT2: &str =
    r#"{"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_layer": 2, "n_head": 12, "n_positions": 1024, "n_ctx": 1024}"#;

/// The types that a base is quantised to.
const QUANTISED: [WeightType; 5] = [
    WeightType::Nf4 { double: false },
    WeightType::Nf4 { double: true },
    WeightType::Fp4 { double: false },
    WeightType::Fp4 { double: true },
    WeightType::Int8,
];

/// The list from which scripts/kernel-table.mjs makes the table.
const LIST: &str = "scripts/kernel-variants.json";
const TABLE: &str = "docs/kernel-statistics.md";

/// The programs of a family: steps of four shapes, and tokens that are generated.
fn dispatches(family: Family) -> Vec<Dispatch> {
    let mut all = Vec::new();
    // Two layers show all that there is.
    let few = |model: &str| model.replace("_layers\": 30", "_layers\": 2").replace("_layers\": 24", "_layers\": 2");
    for model in [SMOLLM2_135M, QWEN2_5_0_5B, GEMMA3_270M, GPT2].map(few) {
        let model = model.as_str();
        for tokens in [256, 1024] {
            all.extend(full_step(model, family, tokens).dispatches);
        }
        all.extend(lora_step(model, family, 512).dispatches);
        if model == few(SMOLLM2_135M) {
            all.extend([Half::Bf16, Half::F16].into_iter().flat_map(|half| kept_step(model, family, 512, half).dispatches));
            for linear in QUANTISED.into_iter().chain(GgmlType::ALL.map(WeightType::Ggml)) {
                all.extend(quantised_step(model, linear, family, 512).dispatches);
                all.extend(quantised_step(model, linear, family, 4).dispatches);
            }
        }
        // Tiles in f16, where a family has them.
        if Profile::lavapipe().as_if(family, None).half_products() {
            all.extend([256, 1024].into_iter().flat_map(|tokens| kept_step(model, family, tokens, Half::F16).dispatches));
            all.extend(half_lora_step(model, WeightType::Bf16, family, 512).dispatches);
            if model == few(SMOLLM2_135M) {
                let types = QUANTISED.into_iter().chain(GgmlType::ALL.map(WeightType::Ggml));
                all.extend(types.flat_map(|linear| half_lora_step(model, linear, family, 512).dispatches));
            }
        }
        let config = ModelConfig::parse("config.json", model.as_bytes()).expect("a configuration");
        let profile = Profile { max_binding: 1 << 30, ..Profile::lavapipe().as_if(family, None) };
        let trained = Rc::new(forward::graph_params(&params(&config), true, |_| WeightType::F32));
        for optimizer in [
            Optimizer::default(),
            Optimizer::AdamW8bit(AdamW::default()),
            Optimizer::Adafactor(Adafactor { weight_decay: 0.0 }),
            Optimizer::Muon(Muon::new(AdamW::default())),
        ] {
            let layout = ParamLayout::with_states(&trained, &profile, |index| {
                optimizer.states(1 << 20, if trained[index].shape.rows == 1 { Role::Vector } else { Role::Matrix })
            });
            all.extend(update_program(&trained, &layout, &profile.tuning, &optimizer).dispatches);
        }
        // What preferences add is in the head.
        for loss in [PreferenceLoss::Sigmoid { label_smoothing: 0.0 }, PreferenceLoss::Kto { chosen_weight: 1.0, rejected_weight: 1.0 }] {
            let objective = Objective { preference: Some(Preference { loss, beta: 0.1, ftx: 0.0 }), ..Objective::default() };
            let layout = ParamLayout::new(&trained, &profile);
            let graph = forward::build_for(&config, trained.clone(), 256, Purpose::Train, 1024, objective);
            let head = |d: &Dispatch| d.shader.name == "preference" || d.shader.name == "cross_entropy_forward";
            all.extend(compile(&graph, &layout, &profile, Options::default()).dispatches.into_iter().filter(head));
        }
        // What an evaluation adds that counts the targets it would have guessed is in the head, too.
        let layout = ParamLayout::new(&trained, &profile);
        let objective = Objective { accuracy: true, ..Objective::default() };
        let graph = forward::build_for(&config, trained.clone(), 256, Purpose::Evaluate, 1024, objective);
        let counts = |d: &Dispatch| d.shader.name == "loss_sum" || d.shader.name == "cross_entropy_forward";
        all.extend(compile(&graph, &layout, &profile, Options::default()).dispatches.into_iter().filter(counts));
        // A reward model ends with another head.
        let judge = config.clone().with_value_head().expect("a probability");
        let trained = Rc::new(forward::graph_params(&params(&judge), true, |_| WeightType::F32));
        let reward = Preference { loss: PreferenceLoss::Reward, beta: 1.0, ftx: 0.0 };
        for purpose in [Purpose::Train, Purpose::Evaluate] {
            let objective = Objective { preference: Some(reward), ..Objective::default() };
            let graph = forward::build_for(&judge, trained.clone(), 256, purpose, 1024, objective);
            let head = |d: &Dispatch| d.owner.layer.is_none();
            let layout = ParamLayout::new(&trained, &profile);
            all.extend(compile(&graph, &layout, &profile, Options::default()).dispatches.into_iter().filter(head));
        }
        let params = Rc::new(forward::graph_params(&params(&config), false, |_| WeightType::Bf16));
        let layout = ParamLayout::new(&params, &profile);
        for tokens in [1, profile.tuning.prompt_tokens] {
            let graph = forward::build(&config, params.clone(), tokens, Purpose::Generate { cache_rows: 1024, logit_rows: 1 }, 1024);
            all.extend(compile(&graph, &layout, &profile, Options::default()).dispatches);
        }
    }
    all
}

/// The kernel's name and the constants that change its code. Numbers with a fraction (a scale, an epsilon) do not.
fn variant(d: &Dispatch) -> (&'static str, Vec<String>) {
    let whole = |name: &str| !d.shader.wgsl().contains(&format!("override {name}: f32"));
    let constant = |(name, value): &(&'static str, f64)| {
        let flag = d.shader.wgsl().contains(&format!("override {name}: bool"));
        if flag { format!("{name}={}", *value != 0.0) } else { format!("{name}={value}") }
    };
    (d.shader.name, d.constants.iter().filter(|(name, _)| whole(name)).map(constant).collect())
}

type Variants = BTreeMap<(&'static str, Vec<String>), BTreeSet<&'static str>>;

/// All variants with the families that choose them.
fn variants() -> &'static Variants {
    static KNOWN: OnceLock<Variants> = OnceLock::new();
    KNOWN.get_or_init(find)
}

/// The sizes of subgroups that drivers of a family tell, where they offer them; what Metal tells of Apple's, and the widest range for a GPU that nobody knows.
fn subgroups(family: Family) -> Subgroups {
    let (least, most) = match family {
        Family::NvidiaLike => (32, 32),
        Family::Amd => (32, 64),
        Family::Apple => (4, 64),
        Family::IntelSimd8 => (8, 32),
        Family::IntelXe2 => (16, 32),
        _ => (4, 128),
    };
    Subgroups::new(least, most).expect("powers of two")
}

fn find() -> Variants {
    let mut found = Variants::new();
    for family in GPUS {
        let (sizes, tuning) = (subgroups(family), Tuning::of(family, Some(subgroups(family))));
        for d in dispatches(family) {
            found.entry(variant(&d)).or_default().insert(family.name());
            found.entry(variant(&d.in_subgroups(sizes, &tuning))).or_default().insert(family.name());
        }
    }
    found
}

fn list() -> Value {
    let entries = variants().iter().map(|((kernel, constants), families)| {
        let families = if families.len() == GPUS.len() { vec!["all"] } else { families.iter().copied().collect() };
        json!({ "kernel": kernel, "constants": constants, "families": families })
    });
    entries.collect()
}

#[test]
fn the_list_of_variants_is_what_the_families_choose() {
    let now = list();
    if std::env::var_os("UPDATE_VARIANTS").is_some() {
        let text = serde_json::to_string_pretty(&now).expect("JSON") + "\n";
        std::fs::write(LIST, text).expect("scripts can be written");
    }
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(LIST).unwrap_or_default()).unwrap_or_default();
    assert!(
        committed == now,
        "{LIST} is not what the classes of GPUs choose now: UPDATE_VARIANTS=1 cargo test --test all variants, and then the table by \
         node scripts/kernel-table.mjs COMPILER ({TABLE} says which program that is)"
    );
}

/// The columns of the table: the compilers, and the family whose devices each is for.
const COMPILERS: [(&str, Family); 5] = [
    ("amd", Family::Amd),
    ("nvidia", Family::NvidiaLike),
    ("intel-xe", Family::IntelSimd8),
    ("intel-xe2", Family::IntelXe2),
    ("apple", Family::Apple),
];

/// A kernel that spills keeps a GPU waiting for memory: no family chooses a variant that spills on its devices, and a GPU that nobody knows
/// gets none that spills anywhere.
#[test]
fn the_table_has_every_variant_and_none_spills_where_it_is_chosen() {
    let table = std::fs::read_to_string(TABLE).expect("the table is committed");
    let (_, table) = table.split_once("\n| kernel |").expect("the table has a head");
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split(" | ").collect();
    let column = |compiler: &str| head.iter().position(|cell| cell.trim().starts_with(&format!("{compiler} (")));
    let rows: Vec<&str> = lines.collect();
    let (mut missing, mut spills) = (Vec::new(), Vec::new());
    for ((kernel, constants), families) in variants() {
        let start = format!("| `{kernel}` | {} |", constants.join(" "));
        let Some(row) = rows.iter().find(|line| line.starts_with(&start)) else {
            missing.push(start);
            continue;
        };
        // Cells stand one further to the right than in the head, whose first is cut off.
        let cells: Vec<&str> = row.split(" | ").collect();
        for (compiler, family) in COMPILERS {
            let cell = cells[column(compiler).unwrap_or_else(|| panic!("{TABLE} has no column {compiler}")) + 1];
            let chosen = families.contains(family.name()) || families.contains(Family::UnknownGpu.name());
            if chosen && cell.contains("spills") {
                spills.push(format!("{start} on {compiler}: {cell}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "{TABLE} lacks {} variants, such as {}: node scripts/kernel-table.mjs COMPILER --missing",
        missing.len(),
        missing[0]
    );
    assert!(spills.is_empty(), "a family of devices chooses variants that spill there:\n{}", spills.join("\n"));
}
