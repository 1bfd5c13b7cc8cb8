//! How the elements of a tensor are stored: plain numbers, or blocks of a few scales and small integers. Each is decoded as llama.cpp
//! does; the numbers are equal to those of the `gguf` package of PyPI to the bit (tests/fixtures/gguf).

use std::fmt;

use half::{bf16, f16};

use crate::kernels::GgmlType;
use crate::quant::ggml;

/// The number of elements in a block of the K types.
const QK: usize = 256;

/// How elements are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// f32.
    F32,
    /// f16.
    F16,
    /// bfloat16.
    Bf16,
    /// 32 numbers: a scale, 4 bits each, from -8.
    Q4_0,
    /// 32 numbers: a scale, a minimum, 4 bits each.
    Q4_1,
    /// 32 numbers: a scale, 5 bits each, from -16.
    Q5_0,
    /// 32 numbers: a scale, a minimum, 5 bits each.
    Q5_1,
    /// 32 numbers: a scale, 8 bits each.
    Q8_0,
    /// 256 numbers in 8 groups with a scale and a minimum of 6 bits, 4 bits each.
    Q4K,
    /// 256 numbers in 8 groups with a scale and a minimum of 6 bits, 5 bits each.
    Q5K,
    /// 256 numbers in 16 groups with a scale of 8 bits, 6 bits each.
    Q6K,
}

/// The encodings with their numbers in a file and their names.
const KNOWN: [(Encoding, u32, &str); 11] = [
    (Encoding::F32, 0, "F32"),
    (Encoding::F16, 1, "F16"),
    (Encoding::Bf16, 30, "BF16"),
    (Encoding::Q8_0, 8, "Q8_0"),
    (Encoding::Q4_0, 2, "Q4_0"),
    (Encoding::Q4_1, 3, "Q4_1"),
    (Encoding::Q5_0, 6, "Q5_0"),
    (Encoding::Q5_1, 7, "Q5_1"),
    (Encoding::Q4K, 12, "Q4_K"),
    (Encoding::Q5K, 13, "Q5_K"),
    (Encoding::Q6K, 14, "Q6_K"),
];

/// The names of types that are not read.
const OTHERS: [(u32, &str); 23] = [
    (9, "Q8_1"),
    (10, "Q2_K"),
    (11, "Q3_K"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(KNOWN.iter().find(|(known, ..)| known == self).map_or("", |(.., name)| name))
    }
}

impl Encoding {
    /// The encoding with this number in a file; otherwise the name of what is not read.
    pub(super) fn from_id(id: u32) -> Result<Encoding, String> {
        if let Some((encoding, ..)) = KNOWN.iter().find(|(_, known, _)| *known == id) {
            return Ok(*encoding);
        }
        let other = OTHERS.iter().find(|(other, _)| *other == id);
        Err(other.map_or_else(|| format!("the unknown type {id}"), |(_, name)| (*name).to_string()))
    }

    /// Its number in a file.
    pub(super) fn id(self) -> u32 {
        KNOWN.iter().find(|(known, ..)| *known == self).map_or(0, |(_, id, _)| *id)
    }

    /// All names, for messages.
    pub(super) fn names() -> String {
        KNOWN.map(|(.., name)| name).join(", ")
    }

    /// The number of elements of a block, and its size in bytes.
    pub fn block(self) -> (usize, usize) {
        match (self, self.blocks()) {
            (_, Some(blocks)) => (blocks.block(), ggml::block_bytes(blocks)),
            (Encoding::F32, None) => (1, 4),
            (_, None) => (1, 2),
        }
    }

    /// The blocks as products on the GPU decode them; none for plain numbers.
    pub fn blocks(self) -> Option<GgmlType> {
        match self {
            Encoding::F32 | Encoding::F16 | Encoding::Bf16 => None,
            Encoding::Q4_0 => Some(GgmlType::Q4_0),
            Encoding::Q4_1 => Some(GgmlType::Q4_1),
            Encoding::Q5_0 => Some(GgmlType::Q5_0),
            Encoding::Q5_1 => Some(GgmlType::Q5_1),
            Encoding::Q8_0 => Some(GgmlType::Q8_0),
            Encoding::Q4K => Some(GgmlType::Q4K),
            Encoding::Q5K => Some(GgmlType::Q5K),
            Encoding::Q6K => Some(GgmlType::Q6K),
        }
    }

    /// Decodes whole blocks; what is left of the last one is ignored.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Encoding::F32 => each::<4>(bytes, 1, |b, out| out.push(f32::from_le_bytes(*b))),
            Encoding::F16 => each::<2>(bytes, 1, |b, out| out.push(f16::from_le_bytes(*b).to_f32())),
            Encoding::Bf16 => each::<2>(bytes, 1, |b, out| out.push(bf16::from_le_bytes(*b).to_f32())),
            Encoding::Q4_0 => each::<18>(bytes, 32, |b, out| {
                let d = half_at(b, 0);
                let nibbles = low_then_high(&b[2..]);
                out.extend(nibbles.map(|q| d * f32::from(q as i8 - 8)));
            }),
            Encoding::Q4_1 => each::<20>(bytes, 32, |b, out| {
                let (d, m) = (half_at(b, 0), half_at(b, 2));
                out.extend(low_then_high(&b[4..]).map(|q| d * f32::from(q) + m));
            }),
            Encoding::Q5_0 => each::<22>(bytes, 32, |b, out| {
                let d = half_at(b, 0);
                out.extend(with_fifth_bit(&b[2..6], &b[6..]).map(|q| d * f32::from(q as i8 - 16)));
            }),
            Encoding::Q5_1 => each::<24>(bytes, 32, |b, out| {
                let (d, m) = (half_at(b, 0), half_at(b, 2));
                out.extend(with_fifth_bit(&b[4..8], &b[8..]).map(|q| d * f32::from(q) + m));
            }),
            Encoding::Q8_0 => each::<34>(bytes, 32, |b, out| {
                let d = half_at(b, 0);
                out.extend(b[2..].iter().map(|&q| f32::from(q as i8) * d));
            }),
            Encoding::Q4K => each::<144>(bytes, QK, |b, out| {
                let groups = scales_and_minima(b);
                for (pair, q) in groups.chunks_exact(2).zip(b[16..].chunks_exact(32)) {
                    out.extend(q.iter().map(|&q| pair[0].0 * f32::from(q & 15) - pair[0].1));
                    out.extend(q.iter().map(|&q| pair[1].0 * f32::from(q >> 4) - pair[1].1));
                }
            }),
            Encoding::Q5K => each::<176>(bytes, QK, |b, out| {
                let groups = scales_and_minima(b);
                let high = &b[16..48];
                for (group, (d, m)) in groups.into_iter().enumerate() {
                    let low = &b[48 + group / 2 * 32..][..32];
                    let shift = if group % 2 == 0 { 0 } else { 4 };
                    out.extend(low.iter().zip(high).map(|(&low, &high)| {
                        let q = (low >> shift & 15) | (high >> group & 1) << 4;
                        d * f32::from(q) - m
                    }));
                }
            }),
            Encoding::Q6K => each::<210>(bytes, QK, |b, out| {
                let d = half_at(b, 208);
                for group in 0..8 {
                    // Two halves of 128; each has four groups of 32, whose low bits are in two runs of 32 bytes.
                    let (half, part) = (group / 4, group % 4);
                    let low = &b[half * 64 + part % 2 * 32..][..32];
                    let high = &b[128 + half * 32..][..32];
                    let shift = if part < 2 { 0 } else { 4 };
                    for (at, (&low, &high)) in low.iter().zip(high).enumerate() {
                        let q = (low >> shift & 15) | (high >> (2 * part) & 3) << 4;
                        let scale = b[192 + group * 2 + at / 16] as i8;
                        out.push(d * f32::from(scale) * f32::from(q as i8 - 32));
                    }
                }
            }),
        }
    }
}

impl Encoding {
    /// Encodes numbers, whole blocks of them, in F32, F16, BF16, Q8_0 or Q4_0; the bytes are those of the `gguf` package. Other encodings are
    /// only read, and give nothing.
    ///
    /// # Errors
    /// The first finite number (or block's largest) that becomes infinite.
    pub fn encode(self, values: &[f32]) -> Result<Vec<u8>, f32> {
        let (block, block_bytes) = self.block();
        let mut out = Vec::with_capacity(values.len() / block * block_bytes);
        let half = |value: f32, of: f32| match f16::from_f32(value) {
            rounded if rounded.is_infinite() && value.is_finite() => Err(of),
            rounded => Ok(rounded.to_le_bytes()),
        };
        match self {
            Encoding::F32 => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Encoding::F16 => {
                for value in values {
                    out.extend(half(*value, *value)?);
                }
            }
            Encoding::Bf16 => {
                for value in values {
                    let rounded = bf16::from_f32(*value);
                    if rounded.is_infinite() && value.is_finite() {
                        return Err(*value);
                    }
                    out.extend(rounded.to_le_bytes());
                }
            }
            Encoding::Q8_0 => {
                for values in values.as_chunks::<32>().0 {
                    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
                    let d = largest / 127.0;
                    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
                    out.extend(half(d, largest)?);
                    out.extend(values.iter().map(|value| (value * inverse).round() as i8 as u8));
                }
            }
            Encoding::Q4_0 => {
                for values in values.as_chunks::<32>().0 {
                    // The first of the largest, with its sign.
                    let largest = values.iter().fold(0f32, |largest, &value| if value.abs() > largest.abs() { value } else { largest });
                    let d = largest / -8.0;
                    let inverse = if d == 0.0 { 0.0 } else { 1.0 / d };
                    out.extend(half(d, largest)?);
                    let quantised = |value: f32| ((value * inverse + 8.5) as u8).min(15);
                    let (low, high) = values.split_at(16);
                    out.extend(low.iter().zip(high).map(|(low, high)| quantised(*low) | quantised(*high) << 4));
                }
            }
            _ => {}
        }
        Ok(out)
    }
}

/// Calls `decode` with each block of `N` bytes, which holds `elements` numbers.
fn each<const N: usize>(bytes: &[u8], elements: usize, decode: impl Fn(&[u8; N], &mut Vec<f32>)) -> Vec<f32> {
    let blocks = bytes.as_chunks::<N>().0;
    let mut out = Vec::with_capacity(blocks.len() * elements);
    for block in blocks {
        decode(block, &mut out);
    }
    out
}

fn half_at(block: &[u8], at: usize) -> f32 {
    f16::from_le_bytes([block[at], block[at + 1]]).to_f32()
}

/// The low halves of 16 bytes, then the high ones.
fn low_then_high(bytes: &[u8]) -> impl Iterator<Item = u8> {
    bytes.iter().map(|q| q & 15).chain(bytes.iter().map(|q| q >> 4))
}

/// The same, with the fifth bit of each number from `high`.
fn with_fifth_bit(high: &[u8], low: &[u8]) -> impl Iterator<Item = u8> {
    let bits = u32::from_le_bytes([high[0], high[1], high[2], high[3]]);
    low_then_high(low).enumerate().map(move |(at, q)| q | ((bits >> at & 1) as u8) << 4)
}

/// The scale and the minimum of each of the eight groups of Q4_K and Q5_K: 6 bits each, of which the last four have two bits elsewhere.
fn scales_and_minima(block: &[u8]) -> [(f32, f32); 8] {
    let (d, minimum) = (half_at(block, 0), half_at(block, 2));
    let packed = &block[4..16];
    std::array::from_fn(|group| {
        let (scale, min) = match group {
            0..4 => (packed[group] & 63, packed[group + 4] & 63),
            _ => ((packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4, (packed[group + 4] >> 4) | (packed[group] >> 6) << 4),
        };
        (d * f32::from(scale), minimum * f32::from(min))
    })
}
