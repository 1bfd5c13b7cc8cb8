//! Activations in 16 bits: every kind of number to the bit.

use rootstock::engine::Half;
use rootstock::graph::{Emit, Op, Shape, ValueId};
use rootstock::kernels::elementwise;

use super::single::{Case, Matrix};
use super::{gpu, profiles};
use crate::reference::Random;

/// y = x, through 16 bits.
#[derive(Debug)]
struct Through(Half);

impl Op for Through {
    fn name(&self) -> &'static str {
        "through"
    }

    fn forward(&self, e: &mut Emit<'_>, x: &[ValueId], y: &[ValueId]) -> Vec<ValueId> {
        let floats = e.shape(x[0]).floats();
        let halves = e.vector(floats / 2);
        let (x, between, y) = (e.bind(x[0]), e.bind(halves), e.bind(y[0]));
        e.run(elementwise::pack(self.0, x, between));
        e.run(elementwise::unpack(self.0, between, y));
        Vec::new()
    }

    fn backward(&self, _e: &mut Emit<'_>, _x: &[ValueId], _y: &[ValueId], _saved: &[ValueId]) {}
}

/// Numbers where rounding is delicate: between two of 16 bits, at the ends of the ranges, subnormal in half precision, and what is no number.
fn delicate() -> Vec<f32> {
    let mut list = vec![0.0, -0.0, 1.0, f32::MAX, f32::INFINITY, f32::NAN, f32::from_bits(0x7f80_0001), f32::from_bits(0x7fff_ffff)];
    list.extend([65_503.0, 65_504.0, 65_519.9, 65_520.0, 1e5, 6.1e-5, 5.9e-5, 5.96e-8, 2.98e-8, 2.99e-8, 1e-9, 6.097_555e-5]);
    // Exactly between two neighbours, with an even and an odd lower one, and just beside that.
    for bits in [0x3f80_8000_u32, 0x3f81_8000, 0x3f80_1000, 0x3f80_3000, 0x3880_1000, 0x387f_f000, 0x7f7f_8000] {
        list.extend([bits - 1, bits, bits + 1].map(f32::from_bits));
    }
    let negative: Vec<f32> = list.iter().map(|x| -x).collect();
    list.extend(negative);
    let mut random = Random::new(77);
    list.extend(random.vector(3000).iter().zip(0..).map(|(x, i)| *x as f32 * 2.0_f32.powi(i % 40 - 28)));
    list
}

#[test]
fn sixteen_bits_are_rounded_to_the_nearest() {
    let gpu = gpu();
    let numbers = delicate();
    // Rows of 7, so that there is padding.
    let rows = numbers.len() / 7;
    let numbers = &numbers[..7 * rows];
    for profile in profiles(&gpu) {
        for half in [Half::Bf16, Half::F16] {
            let case = Case {
                tokens: rows,
                inputs: vec![Matrix::new(7, numbers.iter().map(|x| f64::from(*x)).collect())],
                gradients: vec![Matrix::new(7, vec![0.0; 7 * rows])],
                ..Case::default()
            };
            let out = case.run(&gpu, &profile, |g, x, _| vec![g.push_one(Through(half), x, Shape { rows, cols: 7 })]);
            for (x, got) in numbers.iter().zip(&out.outputs[0]) {
                let want = match half {
                    Half::Bf16 => half::bf16::from_f32(*x).to_f32(),
                    Half::F16 if x.is_nan() => f32::NAN,
                    Half::F16 => half::f16::from_f32(x.clamp(-65_504.0, 65_504.0)).to_f32(),
                };
                let same = got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan());
                assert!(same, "{half:?} of {x:e} ({:#x}) is {got:e} instead of {want:e}", x.to_bits());
            }
        }
    }
}
