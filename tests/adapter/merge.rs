//! Merging against PEFT's merge_and_unload: the same bytes, in f32, bf16 and f16.

use std::rc::Rc;

use rootstock::adapter::{Adapter, Merged};
use rootstock::checkpoint::{Carry, Checkpoint, Dtype, ModelSource, ParamSource, WriteOptions, write_checkpoint};
use rootstock::platform::{MemoryDirectory, block_on};

use super::support::{CASES, base, case, open};

/// DoRA divides by a norm over a row: torch sums it in another order in f32, here it is summed in f64. A few units in the last place.
const DORA_TOLERANCE: f32 = 1e-6;
const _: () = assert!(DORA_TOLERANCE <= 1e-5);

/// The directory that merging writes.
fn merged(base: &Checkpoint, adapters: &[Adapter], dtype: Option<Dtype>) -> Checkpoint {
    block_on(async {
        let merged = Merged::new(base, adapters).expect("they go together");
        let dtype = dtype.unwrap_or(merged.base_dtype());
        let (out, options) = (MemoryDirectory::new("merged"), WriteOptions { dtype, max_shard_size: 20_000 });
        write_checkpoint(&out, &options, merged.config(), merged.params(), &merged, &Carry::nothing()).await.expect("it can be written");
        Checkpoint::open(Rc::new(out)).await.expect("it is a model")
    })
}

#[test]
fn merging_gives_pefts_bytes() {
    for name in CASES {
        let case = case(name);
        let adapter = open(case.directory.clone(), &case.base).expect("it opens");
        let dora = adapter.resolved.use_dora;
        let result = merged(&case.base, &[adapter], None);
        let mut changed = 0;
        for param in result.params() {
            let found = block_on(result.read_stored(param, 0..param.elements())).expect("it reads");
            let key = format!("merged/{}", param.name);
            let Some(golden) = case.golden.get(&key) else {
                // Not changed by PEFT: the base's.
                let original = case.base.params().iter().find(|p| p.name == param.name);
                let original = original.or(case.base.params().first()).expect("a head that was untied is the embedding");
                let expected = block_on(case.base.read_stored(original, 0..param.elements())).expect("it reads");
                assert!(found == expected, "{name}: {} was changed", param.name);
                continue;
            };
            changed += 1;
            assert_eq!(golden.dtype, result.stored_dtype(param).expect("it is there"), "{name}: {}", param.name);
            let expected = block_on(case.golden.read_f32(&key, 0..param.elements())).expect("it reads");
            let different = found.iter().zip(&expected).filter(|(a, b)| a.to_bits() != b.to_bits()).count();
            let largest = found.iter().zip(&expected).map(|(a, b)| (a - b).abs() / b.abs().max(0.1)).fold(0f32, f32::max);
            if dora {
                assert!(largest <= DORA_TOLERANCE, "{name}: {}: {largest:e}", param.name);
            } else {
                assert_eq!(different, 0, "{name}: {}: of {} numbers, up to {largest:e}", param.name, expected.len());
            }
        }
        let all = case.golden.tensors().iter().filter(|t| t.name.starts_with("merged/")).count();
        assert_eq!(changed, all, "{name}");
    }
}

/// PEFT counts the delta twice where embedding and head are one. Here the head gets a tensor of its own, and the flag says so.
#[test]
fn a_tied_head_is_untied() {
    let tied = base("llama-tied-bias");
    let embedding = &tied.params()[0];
    let (vocab, hidden) = (embedding.rows, embedding.cols);
    for (module, changed, kept) in
        [("embed_tokens", "model.embed_tokens.weight", "lm_head.weight"), ("lm_head", "lm_head.weight", "model.embed_tokens.weight")]
    {
        let adapter = adapter_on(&tied, module, 2, 3.0);
        let result = merged(&tied, &[adapter], Some(Dtype::F32));
        assert!(!result.config().tie_word_embeddings);
        let of = |name: &str| {
            let param = result.params().iter().find(|p| p.name == name).expect("it is there").clone();
            block_on(result.read_rows(&param, 0..vocab)).expect("it reads")
        };
        let original = block_on(tied.read_rows(embedding, 0..vocab)).expect("it reads");
        assert_eq!(of(kept), original, "{module}");
        // Every element of A is 1, of B 0.5; rank 2, scale 3/2: 1.5 · (0.5 + 0.5).
        let expected: Vec<f32> = original.iter().map(|w| w + 1.5).collect();
        assert_eq!(of(changed), expected, "{module}");
        assert_eq!(of(changed).len(), vocab * hidden);
    }
}

/// An adapter with all of A one and all of B a half.
fn adapter_on(base: &Checkpoint, module: &str, rank: usize, alpha: f64) -> Adapter {
    use rootstock::adapter::{AdapterConfig, AdapterFiles, ResolvedAdapter, TargetModules, write_adapter};
    struct Constant(Vec<(f32, usize)>);
    #[async_trait::async_trait(?Send)]
    impl ParamSource for Constant {
        async fn read_rows(&self, param: usize, rows: std::ops::Range<usize>) -> rootstock::Result<Vec<f32>> {
            Ok(vec![self.0[param].0; rows.len() * self.0[param].1])
        }
    }
    let target_modules = Some(TargetModules::Names(vec![module.into()]));
    let config = AdapterConfig { r: rank, lora_alpha: alpha, target_modules, ..AdapterConfig::default() };
    let resolved = ResolvedAdapter::resolve(&config, base.config(), base.params()).expect("it resolves");
    let params = resolved.declarations(base.params());
    let values = params.iter().map(|p| (if p.decl.name.contains("_A") { 1.0 } else { 0.5 }, p.decl.cols)).collect();
    let out = MemoryDirectory::new("adapter");
    block_on(async {
        let carry = Carry::nothing();
        let files = AdapterFiles { config: &config, resolved: &resolved, base: base.params(), fingerprint: "", carry: &carry };
        write_adapter(&out, &files, &Constant(values)).await.expect("it can be written");
    });
    open(Rc::new(out), base).expect("it opens")
}

/// Adapters add up one after the other; what cannot be combined is said.
#[test]
fn several_adapters() {
    let case = case("llama");
    let (one, other) = (adapter_on(&case.base, "q_proj", 2, 2.0), open(case.directory.clone(), &case.base).expect("it opens"));
    let both = merged(&case.base, &[one.clone(), other.clone()], None);
    let first = merged(&case.base, std::slice::from_ref(&one), None);
    let q = both.params().iter().find(|p| p.name.ends_with("0.self_attn.q_proj.weight")).expect("it has one");
    let second = merged(&first, &[open(case.directory.clone(), &first).expect("it opens")], None);
    let (a, b) = block_on(async {
        (both.read_rows(q, 0..q.rows).await.expect("it reads"), second.read_rows(q, 0..q.rows).await.expect("it reads"))
    });
    assert_eq!(a, b);

    // DoRA rescales what it finds: the same as merging one after the other, and the order counts.
    let dora = super::support::case("llama-dora");
    let rescaling = || open(dora.directory.clone(), &dora.base).expect("it opens");
    let plain = || adapter_on(&dora.base, "q_proj", 2, 0.5);
    for (first, second) in [(plain(), rescaling()), (rescaling(), plain())] {
        let at_once = merged(&dora.base, &[first.clone(), second.clone()], Some(Dtype::F32));
        let step = merged(&dora.base, &[first], Some(Dtype::F32));
        let by_steps = merged(&step, &[second], Some(Dtype::F32));
        block_on(async {
            for (a, b) in at_once.params().iter().zip(by_steps.params()) {
                let (x, y) =
                    (at_once.read_rows(a, 0..a.rows).await.expect("it reads"), by_steps.read_rows(b, 0..b.rows).await.expect("it reads"));
                assert!(x == y, "{}", a.name);
            }
        });
    }
    let saved = super::support::case("llama-modules-to-save");
    let whole = open(saved.directory.clone(), &saved.base).expect("it opens");
    let found = Merged::new(&saved.base, &[whole, adapter_on(&saved.base, "lm_head", 1, 1.0)]).err().expect("refused").to_string();
    assert!(found.contains("both change lm_head.weight"), "{found}");
}

/// What is too large for the type asked for is an error, not an infinity.
#[test]
fn overflow_is_said() {
    let llama = base("llama-rope-llama3");
    let adapter = adapter_on(&llama, "q_proj", 1, 1e9);
    let found = block_on(async {
        let adapters = [adapter];
        let merged = Merged::new(&llama, &adapters).expect("good");
        let options = WriteOptions { dtype: Dtype::F16, max_shard_size: u64::MAX };
        let out = MemoryDirectory::new("out");
        write_checkpoint(&out, &options, merged.config(), merged.params(), &merged, &Carry::nothing()).await
    });
    let found = found.expect_err("it cannot be written").to_string();
    assert!(found.contains("too large for F16; write bfloat16 or float32"), "{found}");
}
