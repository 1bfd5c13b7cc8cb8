//! The blocks of GGUF files as the kernels read them: the same scales and whole numbers, moved so that a unit of blocks is whole words and the numbers
//! of neighbouring columns are neighbours. Nothing is rounded: unpacked, they are the numbers that the file's blocks decode to.
//!
//! A unit in words (w: low half first; numbers of n bits from the lowest bits up, in the order of the columns):
//!
//! | type | numbers | words |
//! |---|---|---|
//! | Q4_0 | 64 | 1: two scales (f16); 8: 4 bits each |
//! | Q4_1 | 64 | 2: scale and minimum of each block; 8: 4 bits each |
//! | Q5_0 | 64 | 1: two scales; 2: the fifth bits; 8: the lower four |
//! | Q5_1 | 64 | 2: scale and minimum of each block; 2: the fifth bits; 8: the lower four |
//! | Q8_0 | 64 | 1: two scales; 16: 8 bits each |
//! | Q4_K | 256 | 1: scale and minimum of all; 1: low four bits of 8 scales; 1: of 8 minima; 1: the two high bits of both; 32: 4 bits each |
//! | Q5_K | 256 | 4 as Q4_K; 8: the fifth bits; 32: the lower four |
//! | Q6_K | 256 | 1: the scale of all; 4: 16 scales; 16: the two high bits; 32: the lower four |

use half::f16;

use crate::kernels::GgmlType;

/// Bytes of a block in a file.
pub fn block_bytes(blocks: GgmlType) -> usize {
    match blocks {
        GgmlType::Q4_0 => 18,
        GgmlType::Q4_1 => 20,
        GgmlType::Q5_0 => 22,
        GgmlType::Q5_1 => 24,
        GgmlType::Q8_0 => 34,
        GgmlType::Q4K => 144,
        GgmlType::Q5K => 176,
        GgmlType::Q6K => 210,
    }
}

/// Appends a row of a file's blocks as the kernels read it. A last unit that is not whole is filled up with zeros.
pub fn pack_row(blocks: GgmlType, row: &[u8], out: &mut Vec<u8>) {
    let mut words = vec![0u32; blocks.unit_words()];
    for unit in row.chunks(blocks.unit() / blocks.block() * block_bytes(blocks)) {
        words.fill(0);
        pack_unit(blocks, unit, &mut words);
        out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    }
}

/// Where the parts of a unit begin, in words.
struct Parts {
    /// The bits above the lower four.
    high: usize,
    /// The lower four bits; the bytes of Q8_0.
    low: usize,
}

fn parts(blocks: GgmlType) -> Parts {
    let (high, low) = match blocks {
        GgmlType::Q4_0 | GgmlType::Q8_0 => (1, 1),
        GgmlType::Q4_1 => (2, 2),
        GgmlType::Q5_0 => (1, 3),
        GgmlType::Q5_1 => (2, 4),
        GgmlType::Q4K => (4, 4),
        GgmlType::Q5K => (4, 12),
        GgmlType::Q6K => (5, 21),
    };
    Parts { high, low }
}

/// Sets a number of `bits` bits among those from word `first` on.
fn set(words: &mut [u32], first: usize, bits: usize, at: usize, value: u8) {
    words[first + at * bits / 32] |= u32::from(value) << (at * bits % 32);
}

/// The number of `bits` bits there.
fn get(words: &[u32], first: usize, bits: usize, at: usize) -> u8 {
    (words[first + at * bits / 32] >> (at * bits % 32)) as u8 & ((1u16 << bits) - 1) as u8
}

fn half_bits(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn pack_unit(blocks: GgmlType, unit: &[u8], words: &mut [u32]) {
    let Parts { high, low } = parts(blocks);
    match blocks {
        GgmlType::Q4K | GgmlType::Q5K => {
            words[0] = half_bits(unit, 0) | half_bits(unit, 2) << 16;
            for group in 0..8 {
                let (scale, minimum) = scale_and_minimum(&unit[4..16], group);
                set(words, 1, 4, group, scale & 15);
                set(words, 2, 4, group, minimum & 15);
                set(words, 3, 2, group, scale >> 4);
                set(words, 3, 2, 8 + group, minimum >> 4);
            }
            let (fifth, codes) = unit[16..].split_at(if blocks == GgmlType::Q5K { 32 } else { 0 });
            for at in 0..256 {
                let (pair, half, lane) = (at / 64, at / 32 % 2, at % 32);
                set(words, low, 4, at, codes[pair * 32 + lane] >> (4 * half) & 15);
                if let Some(bits) = fifth.get(lane) {
                    set(words, high, 1, at, bits >> (at / 32) & 1);
                }
            }
        }
        GgmlType::Q6K => {
            words[0] = half_bits(unit, 208);
            for at in 0..256 {
                // Two halves of 128; each has four groups of 32, whose low bits are in two runs of 32 bytes.
                let (half, part, lane) = (at / 128, at / 32 % 4, at % 32);
                set(words, low, 4, at, unit[half * 64 + part % 2 * 32 + lane] >> (part / 2 * 4) & 15);
                set(words, high, 2, at, unit[128 + half * 32 + lane] >> (2 * part) & 3);
            }
            for at in 0..16 {
                set(words, 1, 8, at, unit[192 + at]);
            }
        }
        _ => {
            for (which, block) in unit.chunks_exact(block_bytes(blocks)).enumerate() {
                pack_32(blocks, which, block, words, high, low);
            }
        }
    }
}

/// One of the two blocks of 32 numbers of a unit.
fn pack_32(blocks: GgmlType, which: usize, block: &[u8], words: &mut [u32], high: usize, low: usize) {
    let has_minimum = matches!(blocks, GgmlType::Q4_1 | GgmlType::Q5_1);
    let codes = match has_minimum {
        true => {
            words[which] = half_bits(block, 0) | half_bits(block, 2) << 16;
            &block[4..]
        }
        false => {
            words[0] |= half_bits(block, 0) << (16 * which);
            &block[2..]
        }
    };
    if blocks == GgmlType::Q8_0 {
        codes.iter().enumerate().for_each(|(at, code)| set(words, low, 8, 32 * which + at, *code));
        return;
    }
    let codes = match blocks {
        GgmlType::Q5_0 | GgmlType::Q5_1 => {
            words[high + which] = u32::from_le_bytes([codes[0], codes[1], codes[2], codes[3]]);
            &codes[4..]
        }
        _ => codes,
    };
    for (at, code) in codes.iter().enumerate() {
        set(words, low, 4, 32 * which + at, code & 15);
        set(words, low, 4, 32 * which + 16 + at, code >> 4);
    }
}

/// The 6 bits each of a group's scale and minimum in a file's block: of the last four groups, two bits are elsewhere.
fn scale_and_minimum(packed: &[u8], group: usize) -> (u8, u8) {
    match group {
        0..4 => (packed[group] & 63, packed[group + 4] & 63),
        _ => ((packed[group + 4] & 15) | (packed[group - 4] >> 6) << 4, (packed[group + 4] >> 4) | (packed[group] >> 6) << 4),
    }
}

/// Appends the numbers of a packed row.
pub(super) fn unpack_row(blocks: GgmlType, row: &[u8], cols: usize, out: &mut Vec<f32>) {
    let end = out.len() + cols;
    for unit in row.chunks_exact(blocks.unit_words() * 4) {
        let words: Vec<u32> = unit.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word)).collect();
        out.extend((0..blocks.unit()).map(|at| number(blocks, &words, at)));
    }
    out.truncate(end);
}

/// A number of a packed unit, in the arithmetic of the `gguf` package.
fn number(blocks: GgmlType, words: &[u32], at: usize) -> f32 {
    let Parts { high, low } = parts(blocks);
    let half = |bits: u32| f16::from_bits(bits as u16).to_f32();
    let (lower, fifth) = (|| get(words, low, 4, at), || get(words, high, 1, at) << 4);
    let scale = || half(words[0] >> (16 * (at / 32)));
    let with_minimum = |code: u8| half(words[at / 32]) * f32::from(code) + half(words[at / 32] >> 16);
    match blocks {
        GgmlType::Q4_0 => scale() * f32::from(lower() as i8 - 8),
        GgmlType::Q4_1 => with_minimum(lower()),
        GgmlType::Q5_0 => scale() * f32::from((lower() | fifth()) as i8 - 16),
        GgmlType::Q5_1 => with_minimum(lower() | fifth()),
        GgmlType::Q8_0 => f32::from(get(words, low, 8, at) as i8) * scale(),
        GgmlType::Q4K | GgmlType::Q5K => {
            let group = at / 32;
            let scale = get(words, 1, 4, group) | get(words, 3, 2, group) << 4;
            let minimum = get(words, 2, 4, group) | get(words, 3, 2, 8 + group) << 4;
            let code = if blocks == GgmlType::Q5K { lower() | fifth() } else { lower() };
            half(words[0]) * f32::from(scale) * f32::from(code) - half(words[0] >> 16) * f32::from(minimum)
        }
        GgmlType::Q6K => {
            let code = lower() | get(words, high, 2, at) << 4;
            half(words[0]) * f32::from(get(words, 1, 8, at / 16) as i8) * f32::from(code as i8 - 32)
        }
    }
}
