//! 8 bits as bitsandbytes' LLM.int8 keeps weights: each row has its largest magnitude as scale, and each number is rounded to a 127th of that. The
//! numbers are rounded to f16 first, as bitsandbytes does.
//!
//! Packed, a row is the scale as f32, then a byte for each number, padded to a multiple of four with zeros.

use half::f16;
use half::slice::HalfFloatSliceExt;

/// The largest code.
const MOST: f32 = 127.0;

/// Appends a packed row.
pub(super) fn pack_row(row: &[f32], out: &mut Vec<u8>) {
    let mut halves = vec![f16::ZERO; row.len()];
    halves.convert_from_f32_slice(row);
    let mut values = vec![0f32; row.len()];
    halves.convert_to_f32_slice(&mut values);
    let scale = super::largest(&values);
    // As torch divides a number by a tensor.
    let factor = 1.0 / scale * MOST;
    out.extend(scale.to_le_bytes());
    // In a row of zeros each product is none, which becomes 0.
    out.extend(values.iter().map(|value| (value * factor).round_ties_even() as i8 as u8));
    out.extend(std::iter::repeat_n(0, row.len().next_multiple_of(4) - row.len()));
}

/// Appends a row of codes.
pub fn append_row(scale: f32, codes: &[u8], out: &mut Vec<u8>) {
    out.extend(scale.to_le_bytes());
    out.extend(codes);
    out.extend(std::iter::repeat_n(0, codes.len().next_multiple_of(4) - codes.len()));
}

/// Appends the numbers of a packed row.
pub(super) fn unpack_row(row: &[u8], cols: usize, out: &mut Vec<f32>) {
    let [a, b, c, d, codes @ ..] = row else { return };
    let scale = f32::from_le_bytes([*a, *b, *c, *d]);
    out.extend(codes.iter().take(cols).map(|code| f32::from(*code as i8) * scale * (1.0 / MOST)));
}
