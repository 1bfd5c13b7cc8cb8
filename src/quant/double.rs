//! Double quantisation (Dettmers et al., "QLoRA", 2023): the scales of a matrix less their mean, quantised to 8 bits themselves, in groups of 256
//! with a scale each.
//!
//! Packed, a row is segments of up to 256 blocks of 64 numbers, so that it can be read without the others. A segment, in units of 16 bytes:
//!
//! | units | hold |
//! |---|---|
//! | 1 | the mean of all scales, f32; how many blocks of the first one's group lie before it, u32; the scales of that group and of the next, f32 |
//! | for each 16 blocks: 1 | a byte for each block's scale: a sign, and which of 127 magnitudes of the map, from 1; magnitude 0 is 0, or 1.0 with the sign |
//! | and 2 a block | the codes of 4 bits as bitsandbytes packs them |
//!
//! A last unit of scales is filled up with zeros.

use std::sync::LazyLock;

use super::dynamic_map;
use super::four_bit::CODE_BYTES;

/// Scales that share a scale.
pub const GROUP: usize = 256;

/// Bytes of a unit; scales of a unit.
const UNIT: usize = 16;

/// The map's code of the number 0, below which the negative ones are.
const ZERO: u8 = 127;

/// The sign of a packed scale.
const SIGN: u8 = 128;

/// The quantised scales of a matrix, or of some of its blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct DoubleScales {
    /// A code for each scale.
    pub codes: Vec<u8>,
    /// A scale for each group.
    pub groups: Vec<f32>,
    /// What is added to all.
    pub offset: f32,
}

impl DoubleScales {
    /// Quantises scales. Their mean is taken in f64; torch's own order of additions, which differs by device, may give a neighbouring f32.
    pub fn of(scales: &[f32]) -> DoubleScales {
        let sum: f64 = scales.iter().map(|scale| f64::from(*scale)).sum();
        DoubleScales::around(scales, (sum / scales.len().max(1) as f64) as f32)
    }

    /// Quantises scales less this offset.
    pub fn around(scales: &[f32], offset: f32) -> DoubleScales {
        let map = dynamic_map(true);
        let middles: Vec<f32> = map.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0).collect();
        let (mut codes, mut groups) = (Vec::with_capacity(scales.len()), Vec::new());
        for group in scales.chunks(GROUP) {
            let rest: Vec<f32> = group.iter().map(|scale| scale - offset).collect();
            let largest = super::largest(&rest);
            let inverse = 1.0 / largest.max(1e-38);
            groups.push(largest);
            codes.extend(rest.iter().map(|value| nearest(&middles, (value * inverse).clamp(-1.0, 1.0))));
        }
        DoubleScales { codes, groups, offset }
    }

    /// The scales that the codes stand for.
    pub fn decode(&self) -> Vec<f32> {
        let map = dynamic_map(true);
        let value = |(at, code): (usize, &u8)| map[*code as usize] * self.groups[at / GROUP] + self.offset;
        self.codes.iter().enumerate().map(value).collect()
    }

    /// Appends a packed row: blocks of the matrix from this one on. `scales` are the codes of their scales, `codes` those of their numbers, as
    /// bitsandbytes packs them; `self` has the groups of the whole matrix.
    pub fn append_row(&self, first_block: usize, scales: &[u8], codes: &[u8], out: &mut Vec<u8>) {
        let segments = scales.chunks(GROUP).zip(codes.chunks(GROUP * CODE_BYTES));
        for (segment, (scales, codes)) in segments.enumerate() {
            let block = first_block + segment * GROUP;
            let group = |next: usize| self.groups.get(block / GROUP + next).copied().unwrap_or(0.0).to_bits();
            for word in [self.offset.to_bits(), (block % GROUP) as u32, group(0), group(1)] {
                out.extend(word.to_le_bytes());
            }
            for (scales, codes) in scales.chunks(UNIT).zip(codes.chunks(UNIT * CODE_BYTES)) {
                let mut unit = [0u8; UNIT];
                unit.iter_mut().zip(scales).for_each(|(to, code)| *to = with_sign(*code));
                out.extend(unit);
                out.extend(codes);
            }
        }
    }
}

/// The code of the value nearest to x; in the middle of two the lower one.
fn nearest(middles: &[f32], x: f32) -> u8 {
    middles.partition_point(|middle| *middle < x) as u8
}

/// A code of the map as it is packed.
fn with_sign(code: u8) -> u8 {
    match code {
        u8::MAX => SIGN,
        ZERO.. => code - ZERO,
        _ => SIGN | (ZERO - code),
    }
}

/// What packed codes of scales stand for.
static PACKED_MAP: LazyLock<[f32; 256]> = LazyLock::new(|| {
    let mut packed = [0.0; 256];
    (0..=u8::MAX).zip(dynamic_map(true)).for_each(|(code, value)| packed[with_sign(code) as usize] = value);
    packed
});

/// Appends the numbers of a packed row.
pub(super) fn unpack_row(values: &[f32; 16], row: &[u8], out: &mut Vec<f32>) {
    for segment in row.chunks((1 + GROUP / UNIT) * UNIT + GROUP * CODE_BYTES) {
        let Some((head, rest)) = segment.split_first_chunk::<UNIT>() else { return };
        let words = head.as_chunks::<4>().0;
        let [offset, groups @ ..] = [words[0], words[2], words[3]].map(f32::from_le_bytes);
        let before = u32::from_le_bytes(words[1]) as usize;
        for (at, unit) in rest.chunks(UNIT + UNIT * CODE_BYTES).enumerate() {
            let (scales, codes) = unit.split_at(UNIT.min(unit.len()));
            for (block, (scale, codes)) in scales.iter().zip(codes.chunks(CODE_BYTES)).enumerate() {
                let group = groups[usize::from(before + UNIT * at + block >= GROUP)];
                super::four_bit::unpack_block(values, PACKED_MAP[*scale as usize] * group + offset, codes, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_of_the_map_has_one_of_its_own() {
        let mut packed: Vec<u8> = (0..=u8::MAX).map(with_sign).collect();
        packed.sort_unstable();
        assert!(packed.into_iter().eq(0..=u8::MAX));
        assert_eq!((PACKED_MAP[0], PACKED_MAP[SIGN as usize]), (0.0, 1.0));
    }

    /// Rows that begin and end within groups, and wider ones than a group.
    #[test]
    fn rows_are_what_the_whole_decodes_to() {
        for (rows, blocks) in [(1, 1), (40, 9), (9, 96), (3, 256), (3, 300), (2, 777)] {
            let scales: Vec<f32> = (0..rows * blocks).map(|i| 0.01 + (i * 37 % 101) as f32 * 1e-3).collect();
            let double = DoubleScales::of(&scales);
            let codes: Vec<u8> = (0..rows * blocks * CODE_BYTES).map(|i| (i * 7 % 251) as u8).collect();
            let (mut packed, mut unpacked, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
            for row in 0..rows {
                let of = row * blocks..(row + 1) * blocks;
                double.append_row(of.start, &double.codes[of.clone()], &codes[of.start * CODE_BYTES..of.end * CODE_BYTES], &mut packed);
            }
            let row_bytes = crate::kernels::WeightType::Nf4 { double: true }.row_bytes(blocks * 64);
            assert_eq!(packed.len(), rows * row_bytes, "{rows} rows of {blocks} blocks");
            packed.chunks(row_bytes).for_each(|row| unpack_row(&super::super::NF4, row, &mut unpacked));
            for (scale, codes) in double.decode().into_iter().zip(codes.chunks(CODE_BYTES)) {
                super::super::four_bit::unpack_block(&super::super::NF4, scale, codes, &mut wanted);
            }
            assert!(unpacked == wanted, "{rows} rows of {blocks} blocks");
        }
    }
}
