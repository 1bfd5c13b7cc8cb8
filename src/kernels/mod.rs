//! The vocabulary of kernels: the modules generated from `shaders/*.wgsl`, the dispatches that run them, and which of them a device gets.
//!
//! Plain data without a device: `gpu` compiles a [`Shader`], `plan` puts [`Dispatch`]es in order, `ops` decide which ones there are.

mod batch;
mod choice;
mod dispatch;
pub mod elementwise;
mod shader;
mod stats;
mod subgroups;
mod tuning;
mod types;

mod generated {
    #![allow(
        missing_docs,
        unused_imports,
        clippy::all,
        clippy::pedantic,
        rustdoc::broken_intra_doc_links,
        reason = "generated; the shaders carry the comments"
    )]
    use super::{Access, Across, Bind, Dispatch, Shader};
    include!(concat!(env!("OUT_DIR"), "/kernels.rs"));
}

pub use batch::{Input, InputLayout};
pub use choice::{TuningChoice, shown};
pub use dispatch::{Bind, Dispatch, Owner, Phase, Resource, When, workgroups};
pub use generated::*;

/// Bytes of the statistics buffer.
pub const STATS_BYTES: u64 = size_of::<Stats>() as u64;
pub use shader::{Access, Across, Shader};
pub use subgroups::Subgroups;
pub use tuning::{DeviceClass, Family, Tuning, Version, row_groups};
pub use types::{Activation, GgmlType, Shape, TableId, ValueId, WeightType};

impl From<WeightType> for Weight {
    fn from(weight_type: WeightType) -> Weight {
        match weight_type {
            WeightType::F32 => Weight::F32,
            WeightType::Bf16 => Weight::Bf16,
            WeightType::F16 => Weight::F16,
            WeightType::Nf4 { double: false } => Weight::Nf4,
            WeightType::Nf4 { double: true } => Weight::Nf4Double,
            WeightType::Fp4 { double: false } => Weight::Fp4,
            WeightType::Fp4 { double: true } => Weight::Fp4Double,
            WeightType::Int8 => Weight::Int8,
            WeightType::Ggml(blocks) => match blocks {
                GgmlType::Q4_0 => Weight::Q40,
                GgmlType::Q4_1 => Weight::Q41,
                GgmlType::Q5_0 => Weight::Q50,
                GgmlType::Q5_1 => Weight::Q51,
                GgmlType::Q8_0 => Weight::Q80,
                GgmlType::Q4K => Weight::Q4K,
                GgmlType::Q5K => Weight::Q5K,
                GgmlType::Q6K => Weight::Q6K,
            },
        }
    }
}

impl From<Plain> for Weight {
    fn from(numbers: Plain) -> Weight {
        match numbers {
            Plain::F32 => Weight::F32,
            Plain::Bf16 => Weight::Bf16,
            Plain::F16 => Weight::F16,
        }
    }
}

/// A weight's type as kernels know it that read plain numbers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Single numbers: such kernels read them.
    Plain(Plain),
    /// Blocks with scales: they are decoded first.
    Packed(Packed),
}

impl From<WeightType> for Numbers {
    fn from(weight_type: WeightType) -> Numbers {
        let packed = match weight_type {
            WeightType::F32 => return Numbers::Plain(Plain::F32),
            WeightType::Bf16 => return Numbers::Plain(Plain::Bf16),
            WeightType::F16 => return Numbers::Plain(Plain::F16),
            WeightType::Nf4 { double: false } => Packed::Nf4,
            WeightType::Nf4 { double: true } => Packed::Nf4Double,
            WeightType::Fp4 { double: false } => Packed::Fp4,
            WeightType::Fp4 { double: true } => Packed::Fp4Double,
            WeightType::Int8 => Packed::Int8,
            WeightType::Ggml(blocks) => match blocks {
                GgmlType::Q4_0 => Packed::Q40,
                GgmlType::Q4_1 => Packed::Q41,
                GgmlType::Q5_0 => Packed::Q50,
                GgmlType::Q5_1 => Packed::Q51,
                GgmlType::Q8_0 => Packed::Q80,
                GgmlType::Q4K => Packed::Q4K,
                GgmlType::Q5K => Packed::Q5K,
                GgmlType::Q6K => Packed::Q6K,
            },
        };
        Numbers::Packed(packed)
    }
}
