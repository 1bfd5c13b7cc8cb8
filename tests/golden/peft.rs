//! Adapters against PEFT: loss, every gradient, twenty optimiser steps from a stored adapter, the base frozen as it is stored.

use rootstock::adapter::config::AdapterConfig;
use rootstock::adapter::targets::ResolvedAdapter;

use super::*;

/// An adapter's file in compute layout, as a source.
struct Stored {
    file: TensorFile,
    params: Vec<ParamDecl>,
}

#[async_trait::async_trait(?Send)]
impl ParamSource for Stored {
    async fn read_rows(&self, param: usize, rows: std::ops::Range<usize>) -> rootstock::Result<Vec<f32>> {
        let d = &self.params[param];
        let whole = in_compute_layout(&self.file, &d.name, d).await;
        Ok(whole[rows.start * d.cols..rows.end * d.cols].to_vec())
    }
}

/// The case with its base, and the adapter that it starts from.
async fn open_adapter(name: &str) -> (Case, Stored) {
    let directory: Rc<dyn Directory> = Rc::new(NativeDirectory::new(format!("tests/fixtures/peft/{name}")));
    let golden: Value = serde_json::from_slice(&directory.read("golden.json").await.expect("golden.json")).expect("JSON");
    let base = open(golden["base"].as_str().expect("a name")).await;
    let bytes = directory.read("adapter_config.json").await.expect("adapter_config.json");
    let config = AdapterConfig::parse("adapter_config.json", &bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
    let resolved =
        ResolvedAdapter::resolve(&config, base.checkpoint.config(), base.checkpoint.params()).unwrap_or_else(|e| panic!("{name}: {e}"));
    let trained: Vec<ParamDecl> = resolved.declarations(base.checkpoint.params()).into_iter().map(|p| p.decl).collect();
    let ratio = golden["train"]["loraplus_lr_ratio"].as_f64().unwrap_or(1.0) as f32;
    let method = Method::Adapter { resolved: Rc::new(resolved), loraplus_lr_ratio: ratio };
    let tensors = TensorFile::open(directory.clone(), "golden.safetensors").await.expect("golden.safetensors");
    let file = TensorFile::open(directory, "adapter_model.safetensors").await.expect("adapter_model.safetensors");
    let first = base.checkpoint.params().len();
    let stored = Stored { file, params: trained.clone() };
    (Case { name: name.into(), golden, tensors, method, trained, first, ..base }, stored)
}

fn run_adapters(gpu: Rc<Gpu>, gradient_checkpointing: bool) {
    println!("adapter: {}", gpu.profile().name);
    let mut failures = Vec::new();
    for name in folders("tests/fixtures/peft") {
        block_on(async {
            let (case, stored) = open_adapter(&name).await;
            let mut report = Report::default();
            for twenty_steps in [false, true] {
                let mut engine = case.engine(gpu.clone(), gradient_checkpointing).await;
                engine.load_adapter(&stored).await.expect("an adapter");
                if twenty_steps {
                    steps(&case, &mut engine, &mut report).await;
                } else {
                    loss_and_gradients(&case, &mut engine, &mut report).await;
                }
            }
            let worst: Vec<String> = report.worst.iter().map(|(k, v)| format!("{k} {v:.1e}")).collect();
            println!("{name}: {}", worst.join(", "));
            failures.extend(report.failures.into_iter().map(|f| format!("{name}: {f}")));
        });
    }
    assert!(failures.is_empty(), "{} differences from PEFT:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn loss_gradients_and_twenty_steps_equal_peft() {
    run_adapters(gpu(), false);
}

#[test]
fn recomputation_changes_nothing() {
    run_adapters(gpu(), true);
}

/// Embeddings, heads and whatever else is larger than 20 KiB cut by rows; B is then used a stretch at a time.
#[test]
fn matrices_cut_by_rows_change_nothing() {
    let choice = DeviceChoice { largest_binding: Some(20 << 10), ..DeviceChoice::default() };
    run_adapters(Rc::new(block_on(Gpu::open(&choice)).expect("an adapter")), false);
}

/// The kernels that a browser gets on the same machine.
#[test]
fn kernels_without_subgroups_change_nothing() {
    let choice = DeviceChoice { without_subgroups: true, ..DeviceChoice::default() };
    run_adapters(Rc::new(block_on(Gpu::open(&choice)).expect("an adapter")), false);
}
