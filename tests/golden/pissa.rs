//! PiSSA against PEFT (tests/fixtures/pissa): the principal part, twenty steps on what is left, and what is shipped.

use rootstock::adapter::config::AdapterConfig;
use rootstock::adapter::initial::NewAdapter;
use rootstock::adapter::pissa::{self, Beginning, Converted, Principal, Residual};
use rootstock::adapter::{Adapter, AdapterFiles, AdapterRole, ResolvedAdapter, fingerprint, write_adapter};
use rootstock::checkpoint::Carry;
use rootstock::engine::{Objective, Shifted};
use rootstock::generate::{Generator, GeneratorOptions};
use rootstock::platform::MemoryDirectory;
use serde_json::json;

use super::*;

/// Two singular value decompositions in f32: rounding over the gap between the last singular value that is kept and the next.
const TOLERANCE_OF_DIRECTIONS: f64 = 1e-4;
const _: () = assert!(TOLERANCE_OF_DIRECTIONS <= 1e-4, "the promise is 1e-4");

/// A configuration from LoraConfig's fields, and what it means.
fn resolved(case: &Case, fields: &Value) -> (AdapterConfig, Rc<ResolvedAdapter>) {
    let mut fields = fields.clone();
    fields["peft_type"] = json!("LORA");
    let config = AdapterConfig::parse("config", fields.to_string().as_bytes()).expect("PEFT took it");
    let resolved = ResolvedAdapter::resolve(&config, case.checkpoint.config(), case.checkpoint.params()).expect("PEFT took it");
    (config, Rc::new(resolved))
}

/// scale · B·A of each target by its module.
async fn products(resolved: &ResolvedAdapter, base: &[ParamDecl], source: &dyn ParamSource) -> Vec<(String, Vec<f32>)> {
    let params = resolved.declarations(base);
    let mut found = Vec::new();
    for (index, target) in resolved.targets.iter().enumerate() {
        let at = |role| params.iter().position(|p| p.role == role).expect("it is declared");
        let (a, b) = (at(AdapterRole::A(index)), at(AdapterRole::B(index)));
        let cols = params[a].decl.cols;
        let (a, b) = (
            source.read_rows(a, 0..target.rank).await.expect("it reads"),
            source.read_rows(b, 0..params[b].decl.rows).await.expect("it reads"),
        );
        let value = |row: &[f32], col: usize| {
            let sum: f64 = row.iter().enumerate().map(|(k, &b)| f64::from(b) * f64::from(a[k * cols + col])).sum();
            (sum * f64::from(target.scale)) as f32
        };
        found.push((target.module.clone(), b.chunks(target.rank).flat_map(|row| (0..cols).map(move |col| value(row, col))).collect()));
    }
    found
}

async fn logits(gpu: &Rc<Gpu>, case: &Case, adapter: &Adapter) -> Vec<f32> {
    let apart = Some((Rc::new(adapter.resolved.clone()), adapter as &dyn ParamSource));
    let mut generator = Generator::load_adapted(gpu.clone(), &case.checkpoint, apart, GeneratorOptions::default()).await.expect("it loads");
    let mut found = Vec::new();
    for index in case.golden["batch"].as_array().expect("a list") {
        let sample = &case.samples[index.as_u64().expect("an index") as usize];
        found.extend(generator.logits(&sample.ids).await.expect("it computes").into_iter().flatten());
    }
    found
}

#[test]
fn pissa_begins_trains_and_ships_what_peft_does() {
    let gpu = gpu();
    let mut failures = Vec::new();
    for name in folders("tests/fixtures/pissa") {
        block_on(async {
            let directory: Rc<dyn Directory> = Rc::new(NativeDirectory::new(format!("tests/fixtures/pissa/{name}")));
            let golden: Value = serde_json::from_slice(&directory.read("golden.json").await.expect("golden.json")).expect("JSON");
            let base = open(golden["base"].as_str().expect("a name")).await;
            let tensors = TensorFile::open(directory.clone(), "golden.safetensors").await.expect("golden.safetensors");
            let (config, resolved) = resolved(&base, &golden["config"]);
            let method = Method::Adapter { resolved: resolved.clone(), loraplus_lr_ratio: 1.0 };
            let case = Case { name: name.clone(), golden, tensors, method, trained: Vec::new(), ..base };
            let model = &case.checkpoint;
            let mut report = Report::default();

            let principal = Principal::of(&resolved, model, None, 0).await.expect("it can be decomposed");
            let params = resolved.declarations(model.params());
            let beginning = Beginning::new(NewAdapter::new(&resolved, model, 0), params.clone(), &principal);
            for (module, found) in products(&resolved, model.params(), &beginning).await {
                let want = case.tensors.read_f32(&format!("principal/{module}"), 0..found.len() as u64).await.expect("it is there");
                report.check("principal part", &module, difference(&found, &want), TOLERANCE_OF_DIRECTIONS);
            }

            let adamw = AdamW { weight_decay: number(&case.golden["train"]["weight_decay"]), ..AdamW::default() };
            let options = EngineOptions {
                method: case.method.clone(),
                gradient_checkpointing: false,
                kept: None,
                sequence: case.sequence(),
                optimizer: Optimizer::AdamW(adamw),
                objective: Objective::default(),
            };
            let mut engine = Engine::load(gpu.clone(), &Residual::new(model, &resolved, &principal), options).await.expect("it loads");
            engine.load_adapter(&beginning).await.expect("it loads");
            steps(&case, &mut engine, &mut report).await;

            let weights = engine.part(Part::Weights);
            let trained = Shifted { source: &weights, by: engine.base_count };
            let out = MemoryDirectory::new("shipped");
            let config = pissa::converted(&config);
            let shipped = ResolvedAdapter::resolve(&config, model.config(), model.params()).expect("twice the rank is possible");
            let fingerprint = fingerprint(model).await.expect("it reads");
            let files = AdapterFiles {
                config: &config,
                resolved: &shipped,
                base: model.params(),
                fingerprint: &fingerprint,
                carry: &Carry::nothing(),
            };
            write_adapter(&out, &files, &Converted { trained: &trained, params, principal: &principal }).await.expect("it is written");
            let ours = Adapter::open(Rc::new(out), model).await.expect("it was just written");
            assert!(ours.notes.is_empty(), "{:?}", ours.notes);
            for (module, found) in products(&ours.resolved, model.params(), &ours).await {
                let want = case.tensors.read_f32(&format!("change/{module}"), 0..found.len() as u64).await.expect("it is there");
                report.check("change", &module, difference(&found, &want), TOLERANCE_AFTER_TRAINING);
            }

            let count = case.tensors.get("logits").expect("logits").elements();
            let want = case.tensors.read_f32("logits", 0..count).await.expect("it reads");
            let theirs = Adapter::open(directory, model).await.expect("what PEFT converted is an adapter");
            report.check("logits of PEFT's adapter", "", difference(&logits(&gpu, &case, &theirs).await, &want), TOLERANCE);
            report.check("logits", "", difference(&logits(&gpu, &case, &ours).await, &want), TOLERANCE_AFTER_TRAINING);
            let worst: Vec<String> = report.worst.iter().map(|(k, v)| format!("{k} {v:.1e}")).collect();
            println!("{name}: {}", worst.join(", "));
            failures.extend(report.failures.into_iter().map(|f| format!("{name}: {f}")));
        });
    }
    assert!(failures.is_empty(), "{} differences from PEFT:\n{}", failures.len(), failures.join("\n"));
}

/// A run begins as its base, also where that is stored in bf16 (what is left is not rounded to it), under DoRA, and with a rank beyond
/// the matrix's own.
#[test]
fn pissa_begins_as_the_base() {
    let gpu = gpu();
    for (name, fields) in [
        ("mistral-sliding", json!({"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "use_dora": true})),
        ("llama-rope-llama3", json!({"r": 25, "lora_alpha": 8, "target_modules": ["k_proj"]})),
    ] {
        block_on(async {
            let case = open(name).await;
            let (model, batch) = (&case.checkpoint, case.batch(&case.golden["batch"]["sequences"]));
            let (_, resolved) = resolved(&case, &fields);
            let principal = Principal::of(&resolved, model, Some(16), 7).await.expect("it can be decomposed");
            let options = |method| EngineOptions {
                method,
                gradient_checkpointing: false,
                kept: None,
                sequence: case.sequence(),
                optimizer: Optimizer::default(),
                objective: Objective::default(),
            };
            let mut base = Engine::load(gpu.clone(), model, options(Method::Inference(None))).await.expect("it loads");
            let method = Method::Adapter { resolved: resolved.clone(), loraplus_lr_ratio: 1.0 };
            let mut run = Engine::load(gpu.clone(), &Residual::new(model, &resolved, &principal), options(method)).await.expect("it loads");
            let params = resolved.declarations(model.params());
            run.load_adapter(&Beginning::new(NewAdapter::new(&resolved, model, 7), params, &principal)).await.expect("it loads");
            let ((found, _), (want, _)) = (run.loss(&batch).await.expect("a loss"), base.loss(&batch).await.expect("a loss"));
            assert!((found - want).abs() <= TOLERANCE * want, "{name}: {found}, the base {want}");
        });
    }
}
