//! Weights in few bits: matrices packed as bitsandbytes does, in blocks or rows that have a scale each, and unpacked again; the blocks of GGUF files,
//! which are only taken over ([`ggml`]). The kernels decode what is packed here (`shaders/shared/weight_*.wgsl`); [`docs/quantization.md`] says what is equal to bitsandbytes and what is not.
//!
//! [`docs/quantization.md`]: https://github.com/rootstock-ai/rootstock/blob/main/docs/quantization.md

mod double;
mod dynamic_map;
mod four_bit;
pub mod ggml;
mod int8;

pub use double::{DoubleScales, GROUP};
pub use dynamic_map::dynamic_map;
pub use four_bit::{BLOCK, FP4, FourBit, NF4, append_block};
pub use int8::append_row;

use crate::kernels::WeightType;
use crate::platform::in_parallel;

/// Packs a matrix that comes in runs of whole rows.
#[derive(Debug)]
pub struct Packer {
    weight_type: WeightType,
    cols: usize,
    bytes: Vec<u8>,
}

/// Numbers that a processor core packs at a time.
const PORTION: usize = 1 << 16;

impl Packer {
    /// A matrix of so many rows and columns, which are a multiple of the type's [`block`](WeightType::block).
    pub fn new(weight_type: WeightType, rows: usize, cols: usize) -> Packer {
        debug_assert!(weight_type.is_packed() && cols.is_multiple_of(weight_type.block()), "{weight_type:?} of {cols} columns");
        Packer { weight_type, cols, bytes: Vec::with_capacity(rows * weight_type.row_bytes(cols)) }
    }

    /// Packs the next rows, on all processor cores where there are threads. Nothing is packed into the blocks of GGUF files, which come from there.
    pub fn push(&mut self, values: &[f32]) {
        let (cols, weight_type) = (self.cols.max(1), self.weight_type);
        let portions: Vec<&[f32]> = values.chunks((PORTION / cols).max(1) * cols).collect();
        let packed = in_parallel(portions, |portion| {
            let mut bytes = Vec::with_capacity(portion.len() / cols * weight_type.row_bytes(cols));
            portion.chunks_exact(cols).for_each(|row| pack_row(weight_type, row, &mut bytes));
            bytes
        });
        packed.iter().for_each(|bytes| self.bytes.extend(bytes));
    }

    /// The packed rows, [`row_bytes`](WeightType::row_bytes) each.
    pub fn finish(self) -> Vec<u8> {
        match self.weight_type {
            WeightType::Nf4 { double: true } | WeightType::Fp4 { double: true } => {
                four_bit::with_double_scales(&self.bytes, self.cols / BLOCK, self.weight_type.row_bytes(self.cols))
            }
            _ => self.bytes,
        }
    }
}

/// Appends a packed row, with scales in f32.
fn pack_row(weight_type: WeightType, row: &[f32], out: &mut Vec<u8>) {
    match weight_type {
        WeightType::Nf4 { .. } => FourBit::nf4().pack_row(row, out),
        WeightType::Fp4 { .. } => FourBit::fp4().pack_row(row, out),
        WeightType::Int8 => int8::pack_row(row, out),
        WeightType::F32 | WeightType::Bf16 | WeightType::F16 | WeightType::Ggml(_) => {}
    }
}

/// Appends the numbers that a packed row stands for, as the kernels decode it.
pub fn unpack_row(weight_type: WeightType, row: &[u8], cols: usize, out: &mut Vec<f32>) {
    match weight_type {
        WeightType::Nf4 { double: false } => four_bit::unpack_row(&NF4, row, out),
        WeightType::Nf4 { double: true } => double::unpack_row(&NF4, row, out),
        WeightType::Fp4 { double: false } => four_bit::unpack_row(&FP4, row, out),
        WeightType::Fp4 { double: true } => double::unpack_row(&FP4, row, out),
        WeightType::Int8 => int8::unpack_row(row, cols, out),
        WeightType::Ggml(blocks) => ggml::unpack_row(blocks, row, cols, out),
        WeightType::F32 | WeightType::Bf16 | WeightType::F16 => {}
    }
}

/// The largest magnitude; a number that is none is the largest, so that it does not disappear.
fn largest(values: &[f32]) -> f32 {
    // Without their signs floats are ordered as their bits are, those of what is no number last; as whole numbers many are compared at once.
    let bits = values.iter().map(|value| value.to_bits() & 0x7fff_ffff).fold(0, u32::max);
    f32::from_bits(bits)
}
