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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightType {
    /// 4 bytes a number.
    F32,
    /// 2 bytes a number: the upper half of an f32.
    Bf16,
    /// 2 bytes a number: IEEE half precision.
    F16,
}

impl WeightType {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            WeightType::F32 => 4,
            WeightType::Bf16 | WeightType::F16 => 2,
        }
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
