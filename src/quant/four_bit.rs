//! NF4 and FP4 as bitsandbytes quantises them on its CPU backend: each block of 64 numbers of the matrix, row after row, has its largest magnitude
//! as scale; each number becomes the code whose value is nearest to number / scale.
//!
//! Packed, a block is 36 bytes: the scale as f32, then the codes as bitsandbytes packs them, the first of two in the high half of a byte. With double
//! quantisation the scales are elsewhere ([`super::double`]).

use std::sync::LazyLock;

use super::double::DoubleScales;

/// Numbers that share a scale.
pub const BLOCK: usize = 64;

/// Bytes of a block's codes.
pub(super) const CODE_BYTES: usize = BLOCK / 2;

/// Bytes of a packed block.
const BYTES: usize = 4 + CODE_BYTES;

/// What the codes of NF4 stand for: quantiles of a normal distribution (Dettmers et al., "QLoRA", 2023, appendix E), as bitsandbytes has them.
#[rustfmt::skip]
pub const NF4: [f32; 16] = [
    -1.0, -0.696_192_8, -0.525_073_05, -0.394_917_5, -0.284_441_38, -0.184_773_43, -0.091_050_036, 0.0,
    0.079_580_3, 0.160_930_2, 0.246_112_3, 0.337_915_24, 0.440_709_83, 0.562_617, 0.722_956_84, 1.0,
];

/// What the codes of FP4 stand for: a sign, two bits of exponent, one of fraction, over the largest.
pub const FP4: [f32; 16] = {
    let magnitudes = [0.0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0];
    let mut values = [0.0; 16];
    let mut code = 0;
    while code < 8 {
        values[code] = magnitudes[code] / 12.0;
        values[code + 8] = -magnitudes[code] / 12.0;
        code += 1;
    }
    values
};

/// Parts of the numbers from -1 to 1 that have at most one middle between two values each.
const PARTS: usize = 1024;

/// How numbers between -1 and 1 become codes.
#[derive(Debug)]
pub struct FourBit {
    /// For each part the code below its middle, the code above, and the middle; as many as eleven bits can ask for.
    parts: Box<[(u8, u8, f32); 2 * PARTS]>,
}

impl FourBit {
    /// NF4.
    pub fn nf4() -> &'static FourBit {
        static KNOWN: LazyLock<FourBit> = LazyLock::new(|| FourBit::of(&NF4));
        &KNOWN
    }

    /// FP4.
    pub fn fp4() -> &'static FourBit {
        static KNOWN: LazyLock<FourBit> = LazyLock::new(|| FourBit::of(&FP4));
        &KNOWN
    }

    fn of(values: &[f32; 16]) -> FourBit {
        let mut order: [u8; 16] = std::array::from_fn(|code| code as u8);
        // Zero comes before minus zero, as it has the lower code.
        order.sort_by(|a, b| values[*a as usize].partial_cmp(&values[*b as usize]).unwrap_or(std::cmp::Ordering::Equal));
        let middles: [f32; 15] = std::array::from_fn(|i| (values[order[i] as usize] + values[order[i + 1] as usize]) / 2.0);
        // The part of a number never falls as the number grows: middles in lower parts are below it, those in higher ones above.
        let parts = std::array::from_fn(|at| {
            let rank = middles.iter().filter(|middle| part(**middle) < at).count();
            match middles.get(rank).filter(|middle| part(**middle) == at) {
                Some(middle) => (order[rank], order[rank + 1], *middle),
                None => (order[rank], order[rank], 0.0),
            }
        });
        FourBit { parts: Box::new(parts) }
    }

    /// The scale and the codes of a block.
    pub fn quantise(&self, block: &[f32; BLOCK]) -> (f32, [u8; BLOCK]) {
        let scale = super::largest(block);
        let inverse = 1.0 / scale.max(1e-38);
        let scaled = block.map(|value| (value * inverse).clamp(-1.0, 1.0));
        let codes = scaled.map(|value| {
            let (below, above, middle) = self.parts[part(value)];
            if middle < value { above } else { below }
        });
        (scale, codes)
    }

    /// Appends a row of whole blocks.
    pub(super) fn pack_row(&self, row: &[f32], out: &mut Vec<u8>) {
        for block in row.as_chunks::<BLOCK>().0 {
            let (scale, codes) = self.quantise(block);
            out.extend(scale.to_le_bytes());
            out.extend(codes.as_chunks::<2>().0.iter().map(|[first, second]| first << 4 | second));
        }
    }
}

/// The part of a number from -1 to 1: rounded to a multiple of 2 / [`PARTS`] by an addition after which the lowest bits count those. What is no number
/// is in one of the parts, too.
fn part(value: f32) -> usize {
    const COUNTING: f32 = (3 << 22) as f32;
    let half = (PARTS / 2) as f32;
    ((value * half + (COUNTING + half)).to_bits() as usize) % (2 * PARTS)
}

/// Appends a block of codes that are packed already.
pub fn append_block(scale: f32, codes: &[u8], out: &mut Vec<u8>) {
    out.extend(scale.to_le_bytes());
    out.extend(codes);
}

/// Appends the numbers of a packed row.
pub(super) fn unpack_row(values: &[f32; 16], row: &[u8], out: &mut Vec<f32>) {
    for block in row.as_chunks::<BYTES>().0 {
        unpack_block(values, scale(block), &block[4..], out);
    }
}

/// Appends the numbers of a block.
pub(super) fn unpack_block(values: &[f32; 16], scale: f32, codes: &[u8], out: &mut Vec<f32>) {
    out.extend(codes.iter().flat_map(|codes| [values[(codes >> 4) as usize] * scale, values[(codes & 15) as usize] * scale]));
}

fn scale(block: &[u8; BYTES]) -> f32 {
    f32::from_le_bytes([block[0], block[1], block[2], block[3]])
}

/// Packed rows of so many blocks with their scales quantised as well.
pub(super) fn with_double_scales(packed: &[u8], row_blocks: usize, row_bytes: usize) -> Vec<u8> {
    let blocks = packed.as_chunks::<BYTES>().0;
    let scales = DoubleScales::of(&blocks.iter().map(scale).collect::<Vec<_>>());
    let mut out = Vec::with_capacity(blocks.len() / row_blocks.max(1) * row_bytes);
    let mut codes = Vec::with_capacity(row_blocks * CODE_BYTES);
    for (row, blocks) in blocks.chunks(row_blocks.max(1)).enumerate() {
        codes.clear();
        blocks.iter().for_each(|block| codes.extend(&block[4..]));
        let first = row * row_blocks;
        scales.append_row(first, &scales.codes[first..first + blocks.len()], &codes, &mut out);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In every part there is at most one middle: a number gets the value that is nearest, and in the middle of two the lower one.
    #[test]
    fn the_nearest_value_is_taken() {
        for (quantiser, values) in [(FourBit::nf4(), &NF4), (FourBit::fp4(), &FP4)] {
            let mut sorted = *values;
            sorted.sort_by(f32::total_cmp);
            let middles = sorted.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0);
            let beside = middles.flat_map(|middle| [middle.next_down(), middle, middle.next_up()]);
            for x in beside.chain((-4096..=4096).map(|i| i as f32 / 4096.0)) {
                let mut block = [0.0; BLOCK];
                (block[0], block[1]) = (1.0, x);
                let (scale, codes) = quantiser.quantise(&block);
                let nearest = sorted.windows(2).take_while(|pair| (pair[0] + pair[1]) / 2.0 < x).count();
                assert_eq!((scale, values[codes[1] as usize]), (1.0, sorted[nearest]), "{x}");
            }
        }
    }
}
