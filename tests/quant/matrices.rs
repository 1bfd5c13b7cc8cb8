//! Matrices quantised here are bitsandbytes' to the bit (scripts/fixtures/make_quantised.py).

use rootstock::graph::WeightType;
use rootstock::quant::{BLOCK, DoubleScales, FP4, FourBit, GROUP, NF4, Packer, dynamic_map, unpack_row};
use safetensors::SafeTensors;

use crate::reference::Random;

const SHAPES: [(usize, usize); 4] = [(1, 64), (6, 128), (48, 64), (96, 256)];

/// Rounds to a type.
type Round = fn(f32) -> f32;

/// How the numbers were stored.
const DTYPES: [(&str, Round); 3] =
    [("f32", |v| v), ("f16", |v| half::f16::from_f32(v).to_f32()), ("bf16", |v| half::bf16::from_f32(v).to_f32())];

/// The script's matrix.
fn matrix(rows: usize, cols: usize, round: Round, seed: u64) -> Vec<f32> {
    let mut w: Vec<f32> = Random::new(seed).vector(rows * cols).into_iter().map(|v| v as f32 * 0.05).collect();
    for (row, numbers) in w.chunks_exact_mut(cols).enumerate() {
        numbers.iter_mut().for_each(|v| *v *= (1 + row % 5) as f32);
    }
    if rows > 2 {
        w[cols..cols + 64].fill(0.0);
        let step = (0.5f32 - -0.5f32) / 63.0;
        for i in 0..64 {
            // As torch.linspace counts: the upper half from the end.
            w[2 * cols + i] = if i < 32 { step.mul_add(i as f32, -0.5) } else { (-step).mul_add((63 - i) as f32, 0.5) };
        }
        w[2 * cols] = 1.0;
    }
    w.into_iter().map(round).collect()
}

struct Fixture(Vec<u8>);

impl Fixture {
    fn read() -> Fixture {
        Fixture(std::fs::read("tests/fixtures/quantised/matrices.safetensors").expect("the fixture is there"))
    }

    fn bytes(&self, name: &str) -> Option<Vec<u8>> {
        let file = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        file.tensor(name).ok().map(|tensor| tensor.data().to_vec())
    }

    fn floats(&self, name: &str) -> Vec<f32> {
        let bytes = self.bytes(name).unwrap_or_else(|| panic!("{name} is in the fixture"));
        bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
    }
}

/// Every matrix of the fixture with its name.
fn each(mut check: impl FnMut(&str, usize, usize, &[f32])) {
    let mut seed = 300;
    for (dtype, round) in DTYPES {
        for (rows, cols) in SHAPES {
            seed += 1;
            check(&format!("{dtype}.{rows}x{cols}"), rows, cols, &matrix(rows, cols, round, seed));
        }
    }
}

fn packed(weight_type: WeightType, rows: usize, cols: usize, w: &[f32]) -> Vec<u8> {
    let mut packer = Packer::new(weight_type, rows, cols);
    // In runs of several sizes, as a file is read.
    let (first, rest) = w.split_at(rows / 3 * cols);
    packer.push(first);
    packer.push(rest);
    packer.finish()
}

/// Scales and codes of packed blocks.
fn blocks(packed: &[u8]) -> (Vec<f32>, Vec<u8>) {
    let blocks = packed.as_chunks::<36>().0;
    let scales = blocks.iter().map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    (scales, blocks.iter().flat_map(|b| b[4..].to_vec()).collect())
}

#[test]
fn tables_are_bitsandbytes() {
    let fixture = Fixture::read();
    assert_eq!(fixture.floats("nf4"), NF4);
    assert_eq!(fixture.floats("fp4"), FP4);
    assert_eq!(fixture.floats("map"), dynamic_map(true));
}

#[test]
fn four_bits_are_bitsandbytes_to_the_bit() {
    let fixture = Fixture::read();
    each(|name, rows, cols, w| {
        for (kind, weight_type) in [("nf4", WeightType::Nf4 { double: false }), ("fp4", WeightType::Fp4 { double: false })] {
            let bytes = packed(weight_type, rows, cols, w);
            let (scales, codes) = blocks(&bytes);
            assert_eq!(Some(&codes), fixture.bytes(&format!("{name}.{kind}")).as_ref(), "codes of {name} in {kind}");
            assert_eq!(scales, fixture.floats(&format!("{name}.{kind}.absmax")), "scales of {name} in {kind}");
            if fixture.bytes(&format!("{name}.{kind}.values")).is_some() {
                let mut unpacked = Vec::new();
                bytes.chunks(weight_type.row_bytes(cols)).for_each(|row| unpack_row(weight_type, row, cols, &mut unpacked));
                assert!(unpacked == fixture.floats(&format!("{name}.{kind}.values")), "values of {name} in {kind}");
            }
        }
    });
}

#[test]
fn double_quantisation_is_bitsandbytes_to_the_bit() {
    let fixture = Fixture::read();
    let (mut equal, mut all) = (0, 0);
    each(|name, rows, cols, w| {
        for (kind, plain, double) in [
            ("nf4", WeightType::Nf4 { double: false }, WeightType::Nf4 { double: true }),
            ("fp4", WeightType::Fp4 { double: false }, WeightType::Fp4 { double: true }),
        ] {
            let (scales, codes) = blocks(&packed(plain, rows, cols, w));
            let name = format!("{name}.{kind}.double");
            let offset = fixture.floats(&format!("{name}.offset"))[0];
            let ours = DoubleScales::around(&scales, offset);
            assert_eq!(Some(&ours.codes), fixture.bytes(&name).as_ref(), "codes of {name}");
            // Of a group that is not whole and all equal, bitsandbytes' scale is the smallest number that it divides by.
            let groups: Vec<f32> =
                fixture.floats(&format!("{name}.groups")).into_iter().map(|g| if g == 1e-38 { 0.0 } else { g }).collect();
            assert_eq!(ours.groups, groups, "groups of {name}");
            // torch adds the scales up in f32.
            let mean = DoubleScales::of(&scales).offset;
            assert!((mean - offset).abs() <= 2.0 * f32::EPSILON * offset.abs(), "{name}: {mean} for {offset}");
            all += 1;
            if mean == offset {
                equal += 1;
                let decoded = ours.decode();
                assert_eq!(decoded, fixture.floats(&format!("{name}.absmax")), "scales of {name}");
                // What is packed decodes to the same numbers as their codes with these scales.
                let values = if kind == "nf4" { NF4 } else { FP4 };
                let numbers = decoded.iter().zip(codes.chunks(BLOCK / 2)).flat_map(|(scale, codes)| {
                    codes.iter().flat_map(move |pair| [pair >> 4, pair & 15].map(|code| values[code as usize] * scale))
                });
                let mut unpacked = Vec::new();
                packed(double, rows, cols, w).chunks(double.row_bytes(cols)).for_each(|row| unpack_row(double, row, cols, &mut unpacked));
                assert!(unpacked.into_iter().eq(numbers), "numbers of {name}");
            }
        }
    });
    assert!(equal * 2 > all, "of {all} means {equal} are torch's to the bit");
}

#[test]
fn eight_bits_are_bitsandbytes_to_the_bit() {
    let fixture = Fixture::read();
    each(|name, rows, cols, w| {
        let bytes = packed(WeightType::Int8, rows, cols, w);
        let (mut scales, mut codes): (Vec<f32>, Vec<u8>) = (Vec::new(), Vec::new());
        for row in bytes.chunks(WeightType::Int8.row_bytes(cols)) {
            scales.push(f32::from_le_bytes([row[0], row[1], row[2], row[3]]));
            codes.extend(&row[4..]);
        }
        let theirs = fixture.bytes(&format!("{name}.int8")).expect("it is in the fixture");
        let different = codes.iter().zip(&theirs).position(|(a, b)| a != b);
        assert_eq!(different.map(|i| (i, w[i], codes[i], theirs[i])), None, "codes of {name}");
        assert_eq!(scales, fixture.floats(&format!("{name}.int8.absmax")), "scales of {name}");
    });
}

#[test]
fn what_is_no_number_does_not_disappear() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut w = vec![0.5f32; 64];
        w[7] = bad;
        for weight_type in
            [WeightType::Nf4 { double: false }, WeightType::Nf4 { double: true }, WeightType::Fp4 { double: false }, WeightType::Int8]
        {
            let bytes = packed(weight_type, 1, 64, &w);
            let mut unpacked = Vec::new();
            unpack_row(weight_type, &bytes, 64, &mut unpacked);
            assert!(unpacked.iter().any(|v| !v.is_finite()), "{bad} in {weight_type:?} became {unpacked:?}");
        }
    }
}

#[test]
fn sizes_are_those_that_are_counted() {
    assert_eq!((BLOCK, GROUP), (64, 256));
    // Of 2048 numbers with quantised scales 67 units of 16 bytes: 4.19 bits each, and 4.5 with scales in f32.
    let (double, plain) = (WeightType::Nf4 { double: true }, WeightType::Nf4 { double: false });
    assert_eq!((double.row_bytes(2048), plain.row_bytes(2048)), (67 * 16, 32 * 36));
    for (weight_type, bytes) in [(double, 64), (WeightType::Fp4 { double: false }, 36), (WeightType::Int8, 68)] {
        assert_eq!(weight_type.row_bytes(64), bytes);
        assert_eq!(packed(weight_type, 3, 64, &[1.0; 192]).len(), 3 * bytes);
    }
    assert_eq!(FourBit::nf4().quantise(&[0.0; 64]), (0.0, [7; 64]));
}
