//! What a recipe's `quantization_bit` means for a model.

use crate::checkpoint::ModelSource;
use crate::config::{Quantization, QuantizationType};
use crate::graph::WeightType;
use crate::model::ParamKind;

/// How linear maps are kept, where not as they are stored.
pub fn quantised_type(quantization: Quantization) -> Option<WeightType> {
    let double = quantization.double;
    match (quantization.bits?, quantization.kind) {
        (4, QuantizationType::Nf4) => Some(WeightType::Nf4 { double }),
        (4, QuantizationType::Fp4) => Some(WeightType::Fp4 { double }),
        _ => Some(WeightType::Int8),
    }
}

/// What to tell of a base that is quantised.
pub(super) fn notices(quantization: Quantization, base: &dyn ModelSource) -> Vec<String> {
    let Some(wanted) = quantised_type(quantization) else { return Vec::new() };
    let maps = || base.params().iter().filter(|param| param.kind == ParamKind::Linear);
    let left: Vec<_> = maps().filter(|param| base.kept(param).is_none()).collect();
    let (all, bits) = (maps().count(), if wanted == WeightType::Int8 { 8 } else { 4 });
    let mut notices = Vec::new();
    if left.len() < all {
        notices.push(format!(
            "{} of the base's linear maps are kept in {bits} bits, embeddings and output head as they are stored; the adapter learns beside the \
             rounded weights, and `rootstock merge` adds it to the original ones (docs/quantization.md says what that changes)",
            if left.is_empty() { "all".to_string() } else { (all - left.len()).to_string() }
        ));
    }
    if let Some(first) = left.first() {
        notices.push(format!(
            "quantization_bit: {} of {all} linear maps stay as they are stored, because blocks have {} numbers and their rows are no whole \
             blocks ({} has rows of {})",
            left.len(),
            wanted.block(),
            first.name,
            first.cols
        ));
    }
    notices
}
