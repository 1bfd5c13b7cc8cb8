//! The ops: about a dozen, each with its shape rule (a method of [`Graph`](crate::graph::Graph)), its forward and its backward in one file.
//!
//! ## Writing an op
//! ```text
//! impl Graph { pub fn scale(&mut self, x: ValueId, by: f32) -> ValueId { … self.push_one(Scale { by }, &[x], shape) } }
//! impl Op for Scale {
//!     fn forward(&self, e, x, y) -> Vec<ValueId>   emit dispatches that read e.bind(x[0]) and write e.bind(y[0]); return what the backward needs besides x and y
//!     fn backward(&self, e, x, y, saved)           let Some(dy) = e.grad(y[0]); if let Some(dx) = e.grad_target(x[0]) { emit: dx (= or += as dx.accumulate says) … }
//! }
//! ```
//! A parameter's gradient is written with `e.pieces(param)[i].gradient` (absent when the parameter is frozen) and `e.gradient_mode(param)`.
//! Nothing needs to be freed, ordered or pruned by hand: `plan` derives from the dispatches which values are read and written when.

pub mod attention;
mod compare;
pub mod dora;
mod dropout;
mod embedding;
mod layer_norm;
mod linear;
mod linear_group;
mod lm_head;
mod low_rank;
pub mod matmul;
mod mlp;
mod noise;
mod residual;
mod rms_norm;
mod rope;
mod scale;
mod split;
mod sums;
mod values;
