//! Conversion between the file's dtypes and f32.

use half::{bf16, f16};
use safetensors::Dtype;

/// transformers' name of a dtype in which weights can be written.
pub fn dtype_name(dtype: Dtype) -> Option<&'static str> {
    match dtype {
        Dtype::F32 => Some("float32"),
        Dtype::F16 => Some("float16"),
        Dtype::BF16 => Some("bfloat16"),
        _ => None,
    }
}

/// Whether weights of this dtype can be read as f32.
pub(super) fn is_readable(dtype: Dtype) -> bool {
    matches!(dtype, Dtype::F64) || dtype_name(dtype).is_some()
}

/// Converts little-endian bytes of F32, F16, BF16 or F64 to f32; other dtypes give an empty result (they are rejected when a file is
/// opened).
pub(super) fn to_f32(dtype: Dtype, bytes: &[u8]) -> Vec<f32> {
    fn each<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        bytes.as_chunks::<N>().0.iter().map(|chunk| number(*chunk)).collect()
    }
    match dtype {
        Dtype::F32 => each(bytes, f32::from_le_bytes),
        Dtype::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        _ => Vec::new(),
    }
}

/// Little-endian bytes as 16-bit words.
pub(super) fn to_u16(bytes: &[u8]) -> Vec<u16> {
    bytes.as_chunks().0.iter().map(|chunk| u16::from_le_bytes(*chunk)).collect()
}

/// What was read as little-endian words of 32 bits, as this machine has them: nothing to do on most.
pub(super) fn from_little_endian(words: &mut [u32]) {
    words.iter_mut().for_each(|word| *word = u32::from_le(*word));
}

/// Little-endian bytes as 32-bit words.
pub(super) fn to_u32(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|chunk| u32::from_le_bytes(*chunk)).collect()
}

/// Rounds f32 to nearest, ties to even, and returns little-endian bytes of `dtype` (F32, F16 or BF16).
///
/// # Errors
/// The first finite number that would become infinite.
pub(super) fn from_f32(dtype: Dtype, values: &[f32]) -> Result<Vec<u8>, f32> {
    let mut bytes = Vec::with_capacity(values.len() * dtype.bitsize() / 8);
    for &value in values {
        let infinite = match dtype {
            Dtype::F16 => {
                let rounded = f16::from_f32(value);
                bytes.extend_from_slice(&rounded.to_le_bytes());
                rounded.is_infinite()
            }
            Dtype::BF16 => {
                let rounded = bf16::from_f32(value);
                bytes.extend_from_slice(&rounded.to_le_bytes());
                rounded.is_infinite()
            }
            _ => {
                bytes.extend_from_slice(&value.to_le_bytes());
                false
            }
        };
        if infinite && value.is_finite() {
            return Err(value);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// bf16 has 8 bits of precision: 1 + 2⁻⁸ lies halfway between 1 and 1 + 2⁻⁷ and goes to the even 1; 1 + 3 · 2⁻⁸ lies halfway
    /// between 1 + 2⁻⁷ and 1 + 2⁻⁶ and goes to the even 1 + 2⁻⁶. The same with 11 bits for f16.
    #[test]
    fn rounds_to_nearest_even() {
        let ulp = |bits: i32| 2f32.powi(-bits);
        for (dtype, bits) in [(Dtype::BF16, 7), (Dtype::F16, 10)] {
            let round = |x: f32| to_f32(dtype, &from_f32(dtype, &[x]).expect("in range"))[0];
            assert_eq!(round(1.0 + ulp(bits + 1)), 1.0);
            assert_eq!(round(1.0 + 3.0 * ulp(bits + 1)), 1.0 + ulp(bits - 1));
            assert_eq!(round(1.0 + ulp(bits + 1) + ulp(20)), 1.0 + ulp(bits));
        }
    }

    #[test]
    fn overflow_is_reported_and_infinity_is_not() {
        assert_eq!(from_f32(Dtype::F16, &[1.0, 65519.0]).map(|b| b.len()), Ok(4));
        assert_eq!(from_f32(Dtype::F16, &[1.0, 65520.0]), Err(65520.0));
        assert_eq!(from_f32(Dtype::BF16, &[f32::MAX]), Err(f32::MAX));
        assert!(from_f32(Dtype::F16, &[f32::INFINITY, f32::NAN]).is_ok());
    }

    #[test]
    fn every_type_reads_back() {
        let values = [0.0, -1.5, 0.25, 1024.0];
        for dtype in [Dtype::F32, Dtype::F16, Dtype::BF16] {
            assert_eq!(to_f32(dtype, &from_f32(dtype, &values).expect("in range")), values);
        }
        let doubles: Vec<u8> = values.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect();
        assert_eq!(to_f32(Dtype::F64, &doubles), values);
    }
}
