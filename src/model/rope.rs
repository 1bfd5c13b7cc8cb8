//! Rotary position embedding: the angles for each position, as transformers computes them.
//!
//! The first `rotary_dim` features of a head are rotated in pairs (i, i + rotary_dim / 2) by position · `inv_freq[i]`, where
//! `inv_freq[i]` = θ^(−2i / rotary_dim) (Su et al., RoFormer, arXiv:2104.09864), modified by a scaling method if the context was extended.
//! Formulas: transformers 5, `modeling_rope_utils.py`. As in transformers, the frequencies, the angles and the tables are f32; powers,
//! logarithms, sines and cosines are evaluated in f64 and rounded once, so that every platform computes the same bits.

use std::f64::consts::PI;

/// A rotary position embedding.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Base θ.
    pub theta: f64,
    /// How the frequencies are scaled to extend the context.
    pub kind: RopeKind,
    /// The number of features of a head that are rotated, an even number; the others are unchanged.
    pub rotary_dim: usize,
}

/// The methods of context extension, by transformers' `rope_type`.
#[derive(Debug, Clone, PartialEq)]
pub enum RopeKind {
    /// No scaling.
    Default,
    /// Every frequency divided by `factor` (position interpolation, arXiv:2306.15595).
    Linear {
        /// The ratio of the extended to the original context length.
        factor: f64,
    },
    /// Llama 3.1: low frequencies are divided, high ones kept, and those between interpolated.
    Llama3 {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Wavelengths above original / `low_freq_factor` are low frequencies.
        low_freq_factor: f64,
        /// Wavelengths below original / `high_freq_factor` are high frequencies.
        high_freq_factor: f64,
        /// Context length before the extension.
        original_max_position_embeddings: usize,
    },
    /// YaRN (arXiv:2309.00071): a linear ramp over the dimensions, and scaled cosines and sines.
    Yarn {
        /// Divisor of the interpolated frequencies.
        factor: f64,
        /// Factor on cosines and sines.
        attention_factor: f64,
        /// Dimensions that complete more rotations than this over the original context are kept.
        beta_fast: f64,
        /// Dimensions that complete fewer rotations than this are interpolated.
        beta_slow: f64,
        /// Whether the ends of the ramp are rounded outwards to whole dimensions.
        truncate: bool,
        /// Context length before the extension.
        original_max_position_embeddings: usize,
    },
    /// LongRoPE (arXiv:2402.13753): one divisor for each dimension, with one set for sequences within the original context and another for
    /// longer ones.
    LongRope {
        /// Divisors for sequences within the original context.
        short_factor: Vec<f64>,
        /// Divisors for longer sequences.
        long_factor: Vec<f64>,
        /// Factor on cosines and sines.
        attention_factor: f64,
        /// Context length before the extension.
        original_max_position_embeddings: usize,
    },
}

impl Rope {
    /// The rotations of the positions 0..`positions`: for each position, `rotary_dim / 2` pairs (cos, sin), in row-major order.
    ///
    /// `sequence` is the length of the longest sequence in the batch, by which LongRoPE chooses its factors.
    pub fn table(&self, positions: usize, sequence: usize) -> Vec<f32> {
        let inv_freq = self.inv_freq(sequence);
        let scale = self.attention_factor() as f32;
        let mut table = Vec::with_capacity(positions * self.rotary_dim);
        for position in 0..positions {
            for &inv_freq in &inv_freq {
                let angle = f64::from(position as f32 * inv_freq);
                table.push(angle.cos() as f32 * scale);
                table.push(angle.sin() as f32 * scale);
            }
        }
        table
    }

    /// Factor on cosines and sines.
    pub fn attention_factor(&self) -> f64 {
        match self.kind {
            RopeKind::Yarn { attention_factor, .. } | RopeKind::LongRope { attention_factor, .. } => attention_factor,
            RopeKind::Default | RopeKind::Linear { .. } | RopeKind::Llama3 { .. } => 1.0,
        }
    }

    /// The angle per position of each feature pair, in f32.
    pub fn inv_freq(&self, sequence: usize) -> Vec<f32> {
        let dim = self.rotary_dim;
        // θ^(2i/d); the exponent is first rounded to f32, as in torch.
        let powers = (0..dim / 2).map(|i| {
            let exponent = (2 * i) as f32 / dim as f32;
            f64::from(self.theta as f32).powf(f64::from(exponent)) as f32
        });
        match &self.kind {
            RopeKind::Default => powers.map(|p| 1.0 / p).collect(),
            RopeKind::Linear { factor } => powers.map(|p| (1.0 / p) / *factor as f32).collect(),
            RopeKind::Llama3 { factor, low_freq_factor, high_freq_factor, original_max_position_embeddings } => {
                let original = *original_max_position_embeddings as f64;
                let (factor, low) = (*factor as f32, *low_freq_factor as f32);
                let (low_wavelength, high_wavelength) = ((original / low_freq_factor) as f32, (original / high_freq_factor) as f32);
                powers
                    .map(|p| {
                        let inv_freq = 1.0 / p;
                        let wavelength = (1.0 / inv_freq) * (2.0 * PI) as f32;
                        if wavelength > low_wavelength {
                            inv_freq / factor
                        } else if wavelength < high_wavelength {
                            inv_freq
                        } else {
                            let smooth = ((1.0 / wavelength) * original as f32 - low) / (high_freq_factor - low_freq_factor) as f32;
                            (1.0 - smooth) * inv_freq / factor + smooth * inv_freq
                        }
                    })
                    .collect()
            }
            RopeKind::Yarn { factor, beta_fast, beta_slow, truncate, original_max_position_embeddings, .. } => {
                // The dimension that completes `rotations` rotations over the original context.
                let original = *original_max_position_embeddings as f64;
                let dimension = |rotations: f64| dim as f64 * (original / (rotations * 2.0 * PI)).ln() / (2.0 * self.theta.ln());
                let (mut low, mut high) = (dimension(*beta_fast), dimension(*beta_slow));
                if *truncate {
                    (low, high) = (low.floor(), high.ceil());
                }
                let (low, mut high) = (low.max(0.0), high.min(dim as f64 - 1.0));
                if low == high {
                    high += 0.001; // as transformers: no division by zero
                }
                powers
                    .enumerate()
                    .map(|(i, p)| {
                        let ramp = ((i as f32 - low as f32) / (high - low) as f32).clamp(0.0, 1.0);
                        let kept = 1.0 - ramp;
                        (1.0 / (*factor as f32 * p)) * (1.0 - kept) + (1.0 / p) * kept
                    })
                    .collect()
            }
            RopeKind::LongRope { short_factor, long_factor, original_max_position_embeddings, .. } => {
                let factors = if sequence > *original_max_position_embeddings { long_factor } else { short_factor };
                powers.zip(factors).map(|(p, factor)| 1.0 / (*factor as f32 * p)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rope(kind: RopeKind, rotary_dim: usize) -> Rope {
        Rope { theta: 10000.0, kind, rotary_dim }
    }

    /// θ = 10⁴ and four features: frequencies 1 and 10000^(−1/2) = 0.01.
    #[test]
    fn default_by_hand() {
        let rope = rope(RopeKind::Default, 4);
        assert_eq!(rope.inv_freq(8), [1.0, 0.01]);
        let table = rope.table(3, 3);
        assert_eq!(table.len(), 3 * 4);
        assert_eq!(table[..4], [1.0, 0.0, 1.0, 0.0]);
        let expected = [2f64.cos(), 2f64.sin(), f64::from(0.02f32).cos(), f64::from(0.02f32).sin()];
        assert_eq!(table[8..], expected.map(|x| x as f32));
    }

    #[test]
    fn linear_divides_every_frequency() {
        assert_eq!(rope(RopeKind::Linear { factor: 4.0 }, 4).inv_freq(8), [0.25, 0.0025]);
    }

    /// Original context 64, factors 1 and 4: wavelengths up to 16 stay, from 64 on they are divided by 8. Of the frequencies
    /// 1, 0.1, 0.01, 0.001 the wavelengths are 6.28 (kept), 62.8 (between), 628 and 6283 (divided).
    #[test]
    fn llama3_by_hand() {
        let kind = RopeKind::Llama3 { factor: 8.0, low_freq_factor: 1.0, high_freq_factor: 4.0, original_max_position_embeddings: 64 };
        let found = rope(kind, 8).inv_freq(8);
        let smooth = (64.0 / (2.0 * PI / 0.1) - 1.0) / 3.0;
        let between = (1.0 - smooth) * 0.1 / 8.0 + smooth * 0.1;
        for (found, expected) in found.iter().zip([1.0, between, 0.01 / 8.0, 0.001 / 8.0]) {
            assert!((f64::from(*found) / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        }
    }

    #[test]
    fn longrope_chooses_by_sequence_and_scales_the_table() {
        let kind = RopeKind::LongRope {
            short_factor: vec![1.0, 2.0],
            long_factor: vec![4.0, 8.0],
            attention_factor: 1.5,
            original_max_position_embeddings: 16,
        };
        let rope = rope(kind, 4);
        assert_eq!(rope.inv_freq(16), [1.0, 0.005]);
        assert_eq!(rope.inv_freq(17), [0.25, 0.00125]);
        assert_eq!(rope.table(1, 1), [1.5, 0.0, 1.5, 0.0]);
    }

    /// Original context 2π · 100, so that dimension(r) = 4 · ln(100 / r) / ln(10⁴) in units of features: with beta 100 and 1
    /// the ramp goes from feature 0 to 2 of the pairs 0 to 3.
    #[test]
    fn yarn_ramps_between_kept_and_divided() {
        let kind = RopeKind::Yarn {
            factor: 4.0,
            attention_factor: 1.25,
            beta_fast: 100.0,
            beta_slow: 1.0,
            truncate: true,
            original_max_position_embeddings: 628,
        };
        let found = rope(kind, 8).inv_freq(8);
        // dimension(100) = 8 · ln(0.9995) / (2 · 9.21) = −0.0002, rounded down and clamped to 0; dimension(1) = 1.9998, up to 2.
        for (found, expected) in found.iter().zip([1.0, 0.5 * 0.1 + 0.5 * 0.1 / 4.0, 0.01 / 4.0, 0.001 / 4.0]) {
            assert!((f64::from(*found) / expected - 1.0).abs() < 1e-6, "{found} {expected}");
        }
    }
}
