//! Decoding: which token comes next.

mod sampling;

pub use sampling::{Sampler, SamplingOptions};
