//! The blocks of GGUF files, taken over for the kernels: they stand for the numbers that the `gguf` package decodes, to the bit.

use half::f16;
use rootstock::gguf::Encoding;
use rootstock::graph::WeightType;
use rootstock::kernels::GgmlType;
use rootstock::quant::{ggml, unpack_row};

use crate::reference::Random;

const ENCODINGS: [(GgmlType, Encoding); 8] = [
    (GgmlType::Q4_0, Encoding::Q4_0),
    (GgmlType::Q4_1, Encoding::Q4_1),
    (GgmlType::Q5_0, Encoding::Q5_0),
    (GgmlType::Q5_1, Encoding::Q5_1),
    (GgmlType::Q8_0, Encoding::Q8_0),
    (GgmlType::Q4K, Encoding::Q4K),
    (GgmlType::Q5K, Encoding::Q5K),
    (GgmlType::Q6K, Encoding::Q6K),
];

/// Where the halves of a block are: scale and minimum.
fn halves(blocks: GgmlType) -> &'static [usize] {
    match blocks {
        GgmlType::Q4_0 | GgmlType::Q5_0 | GgmlType::Q8_0 => &[0],
        GgmlType::Q4_1 | GgmlType::Q5_1 | GgmlType::Q4K | GgmlType::Q5K => &[0, 2],
        GgmlType::Q6K => &[208],
    }
}

/// So many blocks of random numbers of any code, as a file holds them. Scales have both signs; in some blocks they are zero or subnormal halves.
pub(crate) fn random_blocks(random: &mut Random, blocks: GgmlType, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for at in 0..count {
        let mut block: Vec<u8> = (0..ggml::block_bytes(blocks)).map(|_| (random.number() * 128.0).floor() as i8 as u8).collect();
        for place in halves(blocks) {
            let scale = match at % 7 {
                3 => 0.0,
                5 => 3e-5 * random.number(),
                _ => 0.01 * random.number(),
            };
            block[*place..place + 2].copy_from_slice(&f16::from_f64(scale).to_le_bytes());
        }
        out.extend(block);
    }
    out
}

#[test]
fn rows_of_blocks_are_the_numbers_that_the_file_decodes_to() {
    let mut random = Random::new(71);
    for (blocks, encoding) in ENCODINGS {
        assert_eq!(encoding.blocks(), Some(blocks));
        assert_eq!(encoding.block(), (blocks.block(), ggml::block_bytes(blocks)), "{encoding}");
        for count in [1, 2, 3, 8] {
            let file = random_blocks(&mut random, blocks, count);
            let (mut packed, mut unpacked) = (Vec::new(), Vec::new());
            ggml::pack_row(blocks, &file, &mut packed);
            let weight_type = WeightType::Ggml(blocks);
            let cols = count * blocks.block();
            assert_eq!(packed.len(), weight_type.row_bytes(cols), "{encoding}, {count} blocks");
            unpack_row(weight_type, &packed, cols, &mut unpacked);
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&unpacked), bits(&encoding.decode(&file)), "{encoding}, {count} blocks");
        }
    }
}

/// The types keep their size, but for six bits: those are a little longer, so that a block is whole words.
#[test]
fn blocks_take_no_more_memory_than_in_the_file() {
    for blocks in GgmlType::ALL {
        let (here, there) = (WeightType::Ggml(blocks).row_bytes(256), 256 / blocks.block() * ggml::block_bytes(blocks));
        assert_eq!(here, there.next_multiple_of(4), "{}", blocks.name());
        assert_eq!(WeightType::of_name(blocks.name()), Some(WeightType::Ggml(blocks)));
    }
}
