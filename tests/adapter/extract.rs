//! Extracting an adapter from two models, against what is known of their difference.

use std::rc::Rc;

use rootstock::adapter::{Adapter, AdapterFiles, Merged, Rank, extract, fingerprint, write_adapter};
use rootstock::checkpoint::{Carry, Checkpoint, Dtype, ModelSource, ParamSource, WriteOptions, write_checkpoint};
use rootstock::model::ParamDecl;
use rootstock::platform::{MemoryDirectory, block_on};
use rootstock::random::Random;

use super::support::{base, case, open};

fn write(source: &dyn ModelSource) -> Checkpoint {
    block_on(async {
        let (out, options) = (MemoryDirectory::new("tuned"), WriteOptions { dtype: Dtype::F32, max_shard_size: u64::MAX });
        write_checkpoint(&out, &options, source.config(), source.params(), source, &Carry::nothing()).await.expect("it can be written");
        Checkpoint::open(Rc::new(out)).await.expect("it is a model")
    })
}

fn extracted(base: &Checkpoint, tuned: &Checkpoint, rank: Rank) -> (Adapter, rootstock::adapter::Extracted) {
    block_on(async {
        let found = extract(base, tuned, rank, &mut |_| {}).await.expect("it can be extracted");
        let (out, carry) = (MemoryDirectory::new("adapter"), Carry::nothing());
        let fingerprint = fingerprint(base).await.expect("it reads");
        let files = AdapterFiles {
            config: &found.config,
            resolved: &found.resolved,
            base: base.params(),
            fingerprint: &fingerprint,
            carry: &carry,
        };
        write_adapter(&out, &files, &found).await.expect("it can be written");
        (Adapter::open(Rc::new(out), base).await.expect("it opens"), found)
    })
}

/// The largest difference between two models' numbers, over the largest change from the base.
fn distance(base: &Checkpoint, one: &dyn ModelSource, other: &Checkpoint) -> f32 {
    block_on(async {
        let (mut error, mut change) = (0f32, 0f32);
        for (index, param) in one.params().iter().enumerate() {
            let find = |model: &Checkpoint| -> ParamDecl {
                let same = model.params().iter().find(|p| p.name == param.name);
                same.unwrap_or(&model.params()[0]).clone() // a tied head is the embedding
            };
            let a = one.read_rows(index, 0..param.rows).await.expect("it reads");
            let b = other.read_rows(&find(other), 0..param.rows).await.expect("it reads");
            let w = base.read_rows(&find(base), 0..param.rows).await.expect("it reads");
            for ((a, b), w) in a.iter().zip(&b).zip(&w) {
                error = error.max((a - b).abs());
                change = change.max((b - w).abs());
            }
        }
        error / change
    })
}

/// An adapter merged into its base and extracted again is the same change, at the adapter's ranks.
#[test]
fn a_merged_adapter_comes_back() {
    for name in ["llama-rslora-patterns", "phi3", "gpt2", "qwen3-embedding", "llama-modules-to-save"] {
        let case = case(name);
        let adapter = open(case.directory.clone(), &case.base).expect("it opens");
        let adapters = [adapter];
        let tuned = write(&Merged::new(&case.base, &adapters).expect("good"));
        let (again, found) = extracted(&case.base, &tuned, Rank::Energy(0.999_999));
        assert!(found.energy > 0.999 && found.lost.is_empty(), "{name}: {} {:?}", found.energy, found.lost);
        for target in &again.resolved.targets {
            let before = adapters[0].resolved.targets.iter().find(|t| t.module == target.module);
            assert!(before.is_some_and(|t| target.rank <= t.rank), "{name}: {} has rank {}", target.module, target.rank);
        }
        let again = [again];
        let error = distance(&case.base, &Merged::new(&case.base, &again).expect("good"), &tuned);
        assert!(error < 2e-3, "{name}: {error:e}");
    }
}

/// A model whose every parameter differs from the base's, exactly representable.
struct Changed<'a>(&'a Checkpoint);

#[async_trait::async_trait(?Send)]
impl ParamSource for Changed<'_> {
    async fn read_rows(&self, param: usize, rows: std::ops::Range<usize>) -> rootstock::Result<Vec<f32>> {
        let decl = &self.0.params()[param];
        let first = rows.start * decl.cols;
        let values = self.0.read_rows(decl, rows).await?;
        let noise = |at: usize| (Random::new(at as u64, param as u64).unit() - 0.5) as f32;
        Ok(values.iter().enumerate().map(|(at, w)| w + 0.1 * noise(first + at)).collect())
    }
}

impl ModelSource for Changed<'_> {
    fn label(&self) -> String {
        "changed".into()
    }
    fn config(&self) -> &rootstock::model::ModelConfig {
        self.0.config()
    }
    fn params(&self) -> &[ParamDecl] {
        self.0.params()
    }
    fn dtype(&self, _: &ParamDecl) -> Dtype {
        Dtype::F32
    }
}

/// Changes of full rank: an adapter that kept all of it would be larger than the model, and PEFT loads none that adapts nothing.
#[test]
fn a_full_change_that_is_to_be_kept_whole_is_no_adapter() {
    for name in ["llama-tied-bias", "gpt2", "qwen3", "gemma3"] {
        let base = base(name);
        let tuned = write(&Changed(&base));
        let found = block_on(extract(&base, &tuned, Rank::Energy(1.0), &mut |_| {})).err().expect("it is refused").to_string();
        assert!(found.contains("no matrix has a change of a rank so low"), "{name}: {found}");
    }
}

/// At a low rank the report says what is kept and what has no place; the adapter holds exactly that much.
#[test]
fn the_energy_is_what_it_says() {
    let base = base("llama-tied-bias");
    let tuned = write(&Changed(&base));
    let (adapter, found) = extracted(&base, &tuned, Rank::Fixed(4));
    assert!(found.lost.iter().any(|name| name == "model.layers.0.self_attn.q_proj.bias"), "{:?}", found.lost);
    let q = found.modules.iter().find(|m| m.module == "model.layers.0.self_attn.q_proj").expect("it changed");
    assert!(q.rank == 4 && q.energy < 0.6, "{q:?}");
    let norm = found.modules.iter().find(|m| m.module == "model.norm").expect("it changed");
    assert_eq!((norm.rank, norm.energy), (0, 1.0));
    // The energy of q_proj, measured on what the adapter gives.
    let adapters = [adapter];
    let merged = Merged::new(&base, &adapters).expect("good");
    let at = merged.params().iter().position(|p| p.name == "model.layers.0.self_attn.q_proj.weight").expect("it is there");
    let measured = block_on(async {
        let rows = 0..merged.params()[at].rows;
        let ours = merged.read_rows(at, rows.clone()).await.expect("it reads");
        let theirs = tuned.read_rows(&tuned.params()[at], rows.clone()).await.expect("it reads");
        let before = base.read_rows(&base.params()[at], rows).await.expect("it reads");
        let squares = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>();
        1.0 - squares(&ours, &theirs) / squares(&theirs, &before)
    });
    assert!((measured - q.energy).abs() < 1e-4, "{measured} {}", q.energy);
}

#[test]
fn what_cannot_be_extracted_is_said() {
    let refusal = |one: &Checkpoint, other: &Checkpoint| {
        block_on(extract(one, other, Rank::Fixed(4), &mut |_| {})).err().expect("it is refused").to_string()
    };
    let llama = base("llama");
    assert!(refusal(&llama, &base("llama")).contains("nothing to extract"));
    assert!(refusal(&llama, &base("qwen3")).contains("the tuned model is a qwen3, the base a llama"));
    let found = refusal(&llama, &base("llama-tied-bias"));
    assert!(found.contains("give the model that it was trained from"), "{found}");
}
