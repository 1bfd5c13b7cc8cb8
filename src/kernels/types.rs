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
        /// Whether the scales are quantised as well, to 8 bits.
        double: bool,
    },
    /// 4 bits a number and a scale for each block of 64: bitsandbytes' FP4.
    Fp4 {
        /// Whether the scales are quantised as well, to 8 bits.
        double: bool,
    },
    /// 8 bits a number and a scale for each row, as bitsandbytes' LLM.int8.
    Int8,
    /// The blocks of a GGUF file.
    Ggml(GgmlType),
}

/// Bytes of an element of the kernels' arrays where the scales of blocks of 4 bits are quantised as well: a block is two of them, the scales of 16
/// blocks one, and each 256 blocks of a row have one of their own (`quant` says what it holds).
const DOUBLE_ELEMENT: usize = 16;

/// The blocks of GGUF files that products decode: a few scales and whole numbers of few bits. A number is `d · q`, or `d · q + m` where a block
/// has a minimum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GgmlType {
    /// 32 numbers: a scale, 4 bits each, from -8.
    Q4_0,
    /// 32 numbers: a scale, a minimum, 4 bits each.
    Q4_1,
    /// 32 numbers: a scale, 5 bits each, from -16.
    Q5_0,
    /// 32 numbers: a scale, a minimum, 5 bits each.
    Q5_1,
    /// 32 numbers: a scale, 8 bits each.
    Q8_0,
    /// 256 numbers in 8 groups with a scale and a minimum of 6 bits, 4 bits each.
    Q4K,
    /// 256 numbers in 8 groups with a scale and a minimum of 6 bits, 5 bits each.
    Q5K,
    /// 256 numbers in 16 groups with a scale of 8 bits, 6 bits each.
    Q6K,
}

impl GgmlType {
    /// All of them.
    pub const ALL: [GgmlType; 8] =
        [GgmlType::Q4_0, GgmlType::Q4_1, GgmlType::Q5_0, GgmlType::Q5_1, GgmlType::Q8_0, GgmlType::Q4K, GgmlType::Q5K, GgmlType::Q6K];

    /// Its name in llama.cpp and in the `gguf` package.
    pub fn name(self) -> &'static str {
        match self {
            GgmlType::Q4_0 => "Q4_0",
            GgmlType::Q4_1 => "Q4_1",
            GgmlType::Q5_0 => "Q5_0",
            GgmlType::Q5_1 => "Q5_1",
            GgmlType::Q8_0 => "Q8_0",
            GgmlType::Q4K => "Q4_K",
            GgmlType::Q5K => "Q5_K",
            GgmlType::Q6K => "Q6_K",
        }
    }

    /// Numbers of a block.
    pub fn block(self) -> usize {
        match self {
            GgmlType::Q4K | GgmlType::Q5K | GgmlType::Q6K => 256,
            _ => 32,
        }
    }

    /// Numbers that are kept together on the GPU, in whole words: a block, or two of 32 numbers.
    pub fn unit(self) -> usize {
        self.block().max(64)
    }

    /// Words of a unit.
    pub fn unit_words(self) -> usize {
        match self {
            GgmlType::Q4_0 => 9,
            GgmlType::Q4_1 => 10,
            GgmlType::Q5_0 => 11,
            GgmlType::Q5_1 => 12,
            GgmlType::Q8_0 => 17,
            GgmlType::Q4K => 36,
            GgmlType::Q5K => 44,
            GgmlType::Q6K => 53,
        }
    }

    /// Bytes of an element of the kernels' arrays: those of Q4_K and Q5_K bring a block's scales in one load.
    fn element(self) -> usize {
        if matches!(self, GgmlType::Q4K | GgmlType::Q5K) { 16 } else { 4 }
    }
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
            WeightType::Ggml(blocks) => blocks.block(),
            WeightType::F32 | WeightType::Bf16 | WeightType::F16 | WeightType::Int8 => 1,
        }
    }

    /// Bytes of a row of so many numbers: whole blocks, or numbers padded to a multiple of four.
    pub fn row_bytes(self, cols: usize) -> usize {
        let padded = cols.next_multiple_of(4);
        match self {
            WeightType::F32 => 4 * padded,
            WeightType::Bf16 | WeightType::F16 => 2 * padded,
            WeightType::Nf4 { double: false } | WeightType::Fp4 { double: false } => cols.div_ceil(64) * 36,
            WeightType::Nf4 { double: true } | WeightType::Fp4 { double: true } => {
                let blocks = cols.div_ceil(64);
                (2 * blocks + blocks.div_ceil(16) + blocks.div_ceil(256)) * DOUBLE_ELEMENT
            }
            WeightType::Int8 => 4 + padded,
            WeightType::Ggml(blocks) => cols.div_ceil(blocks.unit()) * blocks.unit_words() * 4,
        }
    }

    /// From one row to the next in elements of the kernels' arrays: fours of numbers, or words (of some types four of them) of blocks.
    pub fn row_stride(self, cols: usize) -> u32 {
        match self {
            WeightType::Ggml(blocks) => (self.row_bytes(cols) / blocks.element()) as u32,
            WeightType::Nf4 { double: true } | WeightType::Fp4 { double: true } => (self.row_bytes(cols) / DOUBLE_ELEMENT) as u32,
            packed if packed.is_packed() => self.row_bytes(cols) as u32 / 4,
            _ => cols.div_ceil(4) as u32,
        }
    }

    /// The packed type of this [`name`](WeightType::name).
    pub fn of_name(name: &str) -> Option<WeightType> {
        let four_bits = [false, true].map(|double| [WeightType::Nf4 { double }, WeightType::Fp4 { double }]);
        let own = four_bits.into_iter().flatten().chain([WeightType::Int8]);
        let mut all = own.chain(GgmlType::ALL.map(WeightType::Ggml));
        all.find(|known| known.name() == name)
    }

    /// Its name in messages, and where a directory keeps weights in it.
    pub fn name(self) -> &'static str {
        match self {
            WeightType::F32 => "F32",
            WeightType::Bf16 => "BF16",
            WeightType::F16 => "F16",
            WeightType::Nf4 { double: false } => "NF4",
            WeightType::Nf4 { double: true } => "double-quantised NF4",
            WeightType::Fp4 { double: false } => "FP4",
            WeightType::Fp4 { double: true } => "double-quantised FP4",
            WeightType::Int8 => "LLM.int8",
            WeightType::Ggml(blocks) => blocks.name(),
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
