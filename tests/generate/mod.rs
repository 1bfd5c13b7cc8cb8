//! Decoding.

mod answer;
pub(crate) mod chain;
mod logits;
mod sampling;
mod similarity;

/// Index of the largest, the first of equals.
fn likeliest(logits: &[f32]) -> u32 {
    let best = logits.iter().enumerate().fold((0, f32::NEG_INFINITY), |best, (i, x)| if *x > best.1 { (i, *x) } else { best });
    best.0 as u32
}
