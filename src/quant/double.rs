//! Double quantisation (Dettmers et al., "QLoRA", 2023): the scales of a matrix less their mean, quantised to 8 bits themselves, in groups of 256
//! with a scale each.
//!
//! The kernels read the scales as they are decoded from that, in f32, so that a product loads no more for it.

use super::dynamic_map;

/// Scales that share a scale.
pub const GROUP: usize = 256;

/// The quantised scales of a matrix.
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

    /// Writes the scales that the codes stand for.
    pub fn decode(&self, scales: &mut [f32]) {
        let map = dynamic_map(true);
        for ((scales, codes), group) in scales.chunks_mut(GROUP).zip(self.codes.chunks(GROUP)).zip(&self.groups) {
            for (scale, code) in scales.iter_mut().zip(codes) {
                *scale = map[*code as usize] * group + self.offset;
            }
        }
    }
}

/// The code of the value nearest to x; in the middle of two the lower one.
fn nearest(middles: &[f32], x: f32) -> u8 {
    middles.partition_point(|middle| *middle < x) as u8
}
