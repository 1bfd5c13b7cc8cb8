//! Adapters that run: apart from their base, and added to it, against PEFT's logits.

use rootstock::adapter::{Adapted, Merged};
use rootstock::generate::{Generator, GeneratorOptions};
use rootstock::platform::{Directory, NativeDirectory, block_on};
use serde_json::Value;

use super::support::{CASES, case, open};

/// Largest error of a logit over the largest one; PEFT in f32 differs from itself in f64 by up to 3e-6, an adapter moves logits by more
/// than 5e-2.
const TOLERANCE: f64 = 2e-5;
const _: () = assert!(TOLERANCE <= 1e-4);

#[test]
fn apart_and_merged_compute_what_peft_computes() {
    let gpu = crate::kernels::gpu();
    for name in CASES {
        let case = case(name);
        let adapters = [open(case.directory.clone(), &case.base).expect("it opens")];
        block_on(async {
            let json = |dir: &dyn Directory, file: &str| {
                let bytes = block_on(dir.read(file)).expect("it is there");
                serde_json::from_slice::<Value>(&bytes).expect("JSON")
            };
            let golden = json(&*case.directory, "golden.json");
            let base = NativeDirectory::new(format!("tests/fixtures/golden/{}", golden["base"].as_str().expect("a name")));
            let pool = &json(&base, "golden.json")["sequences"];
            let ids: Vec<Vec<u32>> = golden["batch"]["sequences"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|i| serde_json::from_value(pool[i.as_u64().expect("an index") as usize]["input_ids"].clone()).expect("ids"))
                .collect();
            let elements = case.golden.get("logits").expect("logits").elements();
            let expected = case.golden.read_f32("logits", 0..elements).await.expect("it reads");
            let merged = Merged::new(&case.base, &adapters).expect("one goes alone");
            let adapted = Adapted::new(&case.base, &adapters).expect("one goes alone");
            assert!(adapted.apart().is_some(), "{name}");
            let options = GeneratorOptions::default();
            let apart = Generator::load_adapted(gpu.clone(), adapted.model(), adapted.apart(), options).await.expect("it loads");
            let added = Generator::load(gpu.clone(), &merged, options).await.expect("it loads");
            for (what, mut generator) in [("apart", apart), ("merged", added)] {
                let mut found = Vec::new();
                for ids in &ids {
                    found.extend(generator.logits(ids).await.expect("it computes").into_iter().flatten());
                }
                assert_eq!(found.len(), expected.len(), "{name}");
                let largest = expected.iter().fold(0f64, |m, x| m.max(f64::from(x.abs())));
                let error = found.iter().zip(&expected).map(|(a, b)| f64::from((a - b).abs())).fold(0f64, f64::max) / largest;
                println!("{name} {what}: {error:.1e}");
                assert!(error < TOLERANCE, "{name} {what}: {error:e}");
            }
        });
    }
}
