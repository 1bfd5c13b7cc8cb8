//! Identifies base models by a short hash that reads only a few bytes of each tensor.

use half::bf16;
use sha2::{Digest, Sha256};

use crate::checkpoint::ModelSource;
use crate::error::Result;

/// Number of sampled places in each tensor: the beginning, two inner ones, the end.
const PLACES: u64 = 4;
/// Number of elements at each place.
const SAMPLE: u64 = 16;

/// A hash over the model's type, the name and shape of each parameter, and some elements of each, rounded to bf16. A copy of the model in
/// another precision or with other shards usually keeps its fingerprint; a model that was trained further does not.
///
/// # Errors
/// Any error from reading the model.
pub async fn fingerprint(base: &dyn ModelSource) -> Result<String> {
    fingerprint_of(base, |_| true).await
}

/// The same, but samples the elements only of parameters whose index satisfies `counts`.
pub(crate) async fn fingerprint_of(base: &dyn ModelSource, counts: impl Fn(usize) -> bool) -> Result<String> {
    let mut hash = Sha256::new();
    hash.update(base.config().architecture.model_type());
    for (index, param) in base.params().iter().enumerate() {
        // A value head belongs to what is trained, also where all else is frozen.
        if param.in_value_head() {
            continue;
        }
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
