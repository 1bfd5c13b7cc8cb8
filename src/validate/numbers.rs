//! Checks the weights themselves in one streaming pass: NaN and infinity, all-zero matrices, absurd magnitudes. Works on the bits,
//! which is faster than a disk reads.

use std::collections::{BTreeMap, BTreeSet};

use super::code::Code;
use super::options::Progress;
use super::report::Finding;
use super::said::{Said, said};
use super::view::View;
use crate::checkpoint::{Dtype, TensorEntry};
use crate::error::Result;
use crate::model::{ModelConfig, ParamKind, params};

/// Bytes read per chunk.
const PIECE: u64 = 8 << 20;
/// Maximum number of tensors named in a message for each fault; the rest is counted.
const NAMED: usize = 6;
/// No weight of a working model is larger: f16 activations end at 65,504, and trained norms reach hundreds.
const ABSURD: f32 = 1e6;

/// Statistics of a tensor.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Seen {
    nan: u64,
    infinite: u64,
    /// Largest finite magnitude.
    largest: f32,
}

impl Seen {
    fn is_zero(self) -> bool {
        self.nan == 0 && self.infinite == 0 && self.largest == 0.0
    }

    /// Scans 16-bit floats with this exponent mask. The fast path only tracks the largest bits.
    fn half(&mut self, bytes: &[u8], exponent: u16, value: impl Fn(u16) -> f32) {
        let words = bytes.as_chunks::<2>().0;
        let magnitude = |word: &[u8; 2]| u16::from_le_bytes(*word) & 0x7fff;
        let largest = words.iter().map(magnitude).fold(0, u16::max);
        let mut finite = largest;
        if largest >= exponent {
            self.nan += words.iter().filter(|word| magnitude(word) > exponent).count() as u64;
            self.infinite += words.iter().filter(|word| magnitude(word) == exponent).count() as u64;
            finite = words.iter().map(magnitude).filter(|bits| *bits < exponent).fold(0, u16::max);
        }
        self.largest = self.largest.max(value(finite));
    }

    fn single(&mut self, bytes: &[u8]) {
        const EXPONENT: u32 = 0x7f80_0000;
        let words = bytes.as_chunks::<4>().0;
        let magnitude = |word: &[u8; 4]| u32::from_le_bytes(*word) & 0x7fff_ffff;
        let largest = words.iter().map(magnitude).fold(0, u32::max);
        let mut finite = largest;
        if largest >= EXPONENT {
            self.nan += words.iter().filter(|word| magnitude(word) > EXPONENT).count() as u64;
            self.infinite += words.iter().filter(|word| magnitude(word) == EXPONENT).count() as u64;
            finite = words.iter().map(magnitude).filter(|bits| *bits < EXPONENT).fold(0, u32::max);
        }
        self.largest = self.largest.max(f32::from_bits(finite));
    }

    fn add(&mut self, dtype: Dtype, bytes: &[u8]) {
        match dtype {
            Dtype::BF16 => self.half(bytes, 0x7f80, |bits| half::bf16::from_bits(bits).to_f32()),
            Dtype::F16 => self.half(bytes, 0x7c00, |bits| half::f16::from_bits(bits).to_f32()),
            Dtype::F32 => self.single(bytes),
            Dtype::F64 => {
                for value in bytes.as_chunks::<8>().0.iter().map(|word| f64::from_le_bytes(*word)) {
                    self.nan += u64::from(value.is_nan());
                    self.infinite += u64::from(value.is_infinite());
                    if value.is_finite() {
                        self.largest = self.largest.max(value.abs() as f32);
                    }
                }
            }
            _ => {}
        }
    }
}

/// Reads all weights once.
///
/// # Errors
/// When a file that was just opened can no longer be read.
pub(super) async fn scan(
    view: &View,
    config: &ModelConfig,
    findings: &mut Vec<Finding>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<()> {
    let matrices: BTreeSet<String> = params(config)
        .into_iter()
        .filter(|param| matches!(param.kind, ParamKind::Linear | ParamKind::Embedding | ParamKind::Head))
        .map(|param| param.name)
        .collect();
    // An all-zero norm zeroes its layer's output, except in gemma, which adds one to it.
    let is_norm = |name: &str| config.norm_weight_offset == 0.0 && name.contains("norm") && name.ends_with(".weight");
    // Stored tensors to read, with their names after all renaming (the first one if several share a stored tensor).
    let tensors = view.tensors.iter().rev();
    let stored: BTreeMap<(usize, &str), &str> =
        tensors.flat_map(|tensor| tensor.origins().into_iter().map(move |origin| (origin, tensor.name.as_str()))).collect();
    let total = stored.keys().filter_map(|(file, name)| view.files.get(*file)?.get(name)).map(|entry| entry.bytes).sum();
    let mut done = 0;
    let (mut not_finite, mut zero, mut absurd): (Vec<Finding>, Vec<Finding>, Vec<Finding>) = Default::default();
    for (index, file) in view.files.iter().enumerate() {
        for entry in file.tensors().iter().filter(|entry| stored.contains_key(&(index, entry.name.as_str()))) {
            let mut seen = Seen::default();
            let width = (entry.dtype.bitsize() as u64 / 8).max(1);
            let mut at = 0;
            while at < entry.elements() {
                let range = at..(at + PIECE / width).min(entry.elements());
                let bytes = file.read_bytes(&entry.name, range.clone()).await?;
                seen.add(entry.dtype, &bytes);
                at = range.end;
                done += bytes.len() as u64;
                progress(Progress { what: "reading the weights", done, total });
            }
            let name = stored.get(&(index, entry.name.as_str())).copied().unwrap_or(&entry.name);
            let finding = |code, message: Said| Finding::new(code, message).file(file.name()).tensor(&entry.name);
            if seen.nan + seen.infinite > 0 {
                not_finite.push(finding(Code::NotFinite, describe(seen, entry)));
            } else if seen.is_zero() && (matrices.contains(name) || is_norm(name)) {
                let message = said!(
                    "all {} numbers are zero: this tensor was never loaded or never gathered when the model was saved. Other tools load it \
                     without a word; save the model again",
                    entry.elements()
                );
                zero.push(finding(Code::AllZero, message));
            } else if seen.largest > ABSURD {
                let message = said!(
                    "holds numbers up to {:e}, which no trained model has: the run was about to diverge; compare with an earlier checkpoint",
                    seen.largest
                );
                absurd.push(finding(Code::Outliers, message));
            }
        }
    }
    for (list, what) in [(not_finite, "hold NaN or infinite numbers"), (zero, "are all zero"), (absurd, "hold numbers of absurd size")] {
        let (count, code) = (list.len(), list.first().map(|finding| finding.code));
        findings.extend(list.into_iter().take(NAMED));
        if let Some(code) = code.filter(|_| count > NAMED) {
            findings.push(Finding::new(code, said!("{} more tensors {what}", count - NAMED)));
        }
    }
    Ok(())
}

fn describe(seen: Seen, entry: &TensorEntry) -> Said {
    let count = |n: u64, what: &str| match n {
        0 => None,
        1 => Some(format!("1 {what}")),
        n => Some(format!("{n} {what}s")),
    };
    let what: Vec<String> = [count(seen.nan, "NaN"), count(seen.infinite, "infinite number")].into_iter().flatten().collect();
    said!(
        "{} among {} numbers: the training run diverged, or the file is damaged. Other tools load it without a word and compute NaN; take an \
         earlier checkpoint",
        what.join(" and "),
        entry.elements()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(dtype: Dtype, bytes: &[u8]) -> Seen {
        let mut seen = Seen::default();
        seen.add(dtype, bytes);
        seen
    }

    /// Checks each type against the same statistics computed element by element.
    #[test]
    fn every_type_sees_the_same() {
        let values = [0.5f32, f32::NAN, -3.0, f32::INFINITY, f32::NEG_INFINITY, 0.0, -f32::NAN];
        let expected = Seen { nan: 2, infinite: 2, largest: 3.0 };
        let of = |f: &dyn Fn(f32) -> Vec<u8>| values.iter().flat_map(|v| f(*v)).collect::<Vec<u8>>();
        assert_eq!(seen(Dtype::F32, &of(&|v| v.to_le_bytes().to_vec())), expected);
        assert_eq!(seen(Dtype::F64, &of(&|v| f64::from(v).to_le_bytes().to_vec())), expected);
        assert_eq!(seen(Dtype::F16, &of(&|v| half::f16::from_f32(v).to_le_bytes().to_vec())), expected);
        assert_eq!(seen(Dtype::BF16, &of(&|v| half::bf16::from_f32(v).to_le_bytes().to_vec())), expected);
        let zeros = seen(Dtype::BF16, &[0, 0, 0, 0x80]);
        assert!(zeros.is_zero(), "minus zero is zero");
        assert!(!seen(Dtype::F32, &1e-40f32.to_le_bytes()).is_zero(), "subnormal numbers are numbers");
    }
}
