//! The types of what kernels compute on: numbered matrices, shapes, types of weights, activations.

/// An activation (or a gradient, or another temporary of a program).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ValueId(pub(crate) u32);

/// A constant table (RoPE's cosines and sines); the index into the graph's `tables`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u32);

/// Rows and columns of a matrix, without padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Rows (tokens, or output features of a weight).
    pub rows: usize,
    /// Columns (features).
    pub cols: usize,
}

impl Shape {
    /// Elements of four floats from one row to the next.
    pub fn stride4(self) -> u32 {
        self.cols.div_ceil(4) as u32
    }

    /// Floats that the matrix takes, padding included.
    pub fn floats(self) -> usize {
        self.rows * self.cols.div_ceil(4) * 4
    }
}

/// How a parameter's numbers lie in GPU memory. Trainable ones are always f32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WeightType {
    /// 4 bytes a number.
    F32,
    /// 2 bytes a number: the upper half of an f32.
    Bf16,
    /// 2 bytes a number: IEEE half precision.
    F16,
    /// 4 bits a number and a scale for each block of 64: bitsandbytes' NF4.
    Nf4 {
        /// Whether the scales are rounded by its double quantisation.
        double: bool,
    },
    /// 4 bits a number and a scale for each block of 64: bitsandbytes' FP4.
    Fp4 {
        /// Whether the scales are rounded by its double quantisation.
        double: bool,
    },
    /// 8 bits a number and a scale for each row, as bitsandbytes' LLM.int8.
    Int8,
}

impl WeightType {
    /// Whether it is made of blocks with scales, by `quant`, rather than of single numbers.
    pub fn is_packed(self) -> bool {
        !matches!(self, WeightType::F32 | WeightType::Bf16 | WeightType::F16)
    }

    /// A row of a matrix in this type has a multiple of so many numbers.
    pub fn block(self) -> usize {
        match self {
            WeightType::Nf4 { .. } | WeightType::Fp4 { .. } => 64,
            WeightType::F32 | WeightType::Bf16 | WeightType::F16 | WeightType::Int8 => 1,
        }
    }

    /// Bytes of a row of so many numbers: whole blocks, or numbers padded to a multiple of four.
    pub fn row_bytes(self, cols: usize) -> usize {
        let padded = cols.next_multiple_of(4);
        match self {
            WeightType::F32 => 4 * padded,
            WeightType::Bf16 | WeightType::F16 => 2 * padded,
            WeightType::Nf4 { .. } | WeightType::Fp4 { .. } => cols.div_ceil(64) * 36,
            WeightType::Int8 => 4 + padded,
        }
    }

    /// From one row to the next in elements of the kernels' arrays: fours of numbers, or words of blocks.
    pub fn row_stride(self, cols: usize) -> u32 {
        if self.is_packed() { self.row_bytes(cols) as u32 / 4 } else { cols.div_ceil(4) as u32 }
    }
}

/// The nonlinearity of the feed-forward part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Activation {
    /// x · sigmoid(x).
    Silu,
    /// GELU by its tanh approximation (`gelu_pytorch_tanh`, `gelu_new`, `gelu_fast`).
    GeluTanh,
    /// GELU by the error function.
    Gelu,
    /// max(x, 0).
    Relu,
}
