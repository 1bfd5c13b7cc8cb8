//! Decoding with a cache of keys and values.
//!
//! A [`Generator`] holds a model on the GPU, opened for this or shared with a training run. [`Generator::answer`] computes a prompt in
//! chunks and gives an [`Answer`], from which the caller pulls token after token (or piece after piece of text), so that it can show
//! each at once and stop whenever it likes. One row of logits comes back from the GPU for each token; a [`Sampler`] chooses from it.

mod answer;
mod calls;
mod generator;
mod sampling;
mod similarity;
mod stops;

pub use answer::{Answer, AnswerOptions, FinishReason, TextAnswer, chat_prompt, request_prompt, stop_ids, text_prompt};
pub use calls::CallReader;
pub(crate) use generator::surprise;
pub use generator::{Generator, GeneratorOptions, context_limit, estimate_reading, estimate_sharing};
pub use sampling::{Sampler, SamplingOptions};
pub use similarity::{Judge, Similarity};
pub use stops::Stops;
