//! What a recipe's `quantization_bit` means for a model.

use std::collections::BTreeMap;

use crate::checkpoint::ModelSource;
use crate::config::{Quantization, QuantizationType};
use crate::engine::Method;
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

/// What to tell of a base that is quantised, of which some or all is trained.
pub(super) fn notices(quantization: Quantization, method: &Method, base: &dyn ModelSource) -> Vec<String> {
    let Some(wanted) = quantised_type(quantization) else { return stored_notices(method, base) };
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

/// What to tell of a base that is stored in blocks of few bits.
fn stored_notices(method: &Method, base: &dyn ModelSource) -> Vec<String> {
    let mut types: BTreeMap<&'static str, usize> = BTreeMap::new();
    for kept in base.params().iter().filter_map(|param| base.kept(param)) {
        *types.entry(kept.name()).or_default() += 1;
    }
    let Some(count) = Some(types.values().sum::<usize>()).filter(|count| *count > 0) else { return Vec::new() };
    if matches!(method, Method::Full) {
        return vec![format!(
            "{count} of the base's matrices are stored in few bits; training starts from what they decode to, in f32: what was lost stays lost, and \
             the result is as large as the unquantised model"
        )];
    }
    let list: Vec<String> = types.into_iter().map(|(name, count)| format!("{count} in {name}")).collect();
    vec![format!(
        "{count} of the base's matrices are kept in the blocks that they are stored in ({}), unless they are trained; dequantize: true decodes them to \
         f32 instead",
        list.join(", ")
    )]
}
