//! Telling bases apart: a short text that two different models do not share, made from little of their bytes.

use half::bf16;
use sha2::{Digest, Sha256};

use crate::checkpoint::ModelSource;
use crate::error::Result;

/// Places in each tensor that are looked at: beginning, two inner ones, end.
const PLACES: u64 = 4;
/// Numbers at each place.
const SAMPLE: u64 = 16;

/// A hash over the model's type, the name and shape of each parameter, and some numbers of each, rounded to bf16: a copy of
/// the model in another precision or in other shards mostly keeps its fingerprint, a model that was trained on does not.
///
/// # Errors
/// What reading the model fails with.
pub async fn fingerprint(base: &dyn ModelSource) -> Result<String> {
    fingerprint_of(base, |_| true).await
}

/// The same with the numbers of those parameters only whose indices `counts` takes.
pub(crate) async fn fingerprint_of(base: &dyn ModelSource, counts: impl Fn(usize) -> bool) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(base.config().architecture.model_type());
    for (index, param) in base.params().iter().enumerate() {
        hash.update(format!("\n{} {} {} ", param.name, param.rows, param.cols));
        if !counts(index) {
            continue;
        }
        let last = param.elements().saturating_sub(SAMPLE);
        for place in 0..PLACES {
            let first = last * place / (PLACES - 1);
            let values = base.read_stored(index, first..(first + SAMPLE).min(param.elements())).await?;
            for value in values {
                hash.update(bf16::from_f32(value).to_le_bytes());
            }
        }
    }
    let digest = hash.finalize();
    Ok(digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect())
}
