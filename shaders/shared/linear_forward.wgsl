struct Params {
    /// Rows of x and of y.
    m: u32,
    /// Columns of y that this dispatch writes, rows of W.
    n: u32,
    /// Columns of x and W in vec4 units (their padding is zero).
    k4: u32,
    /// Columns of x2 and W2 in vec4 units (their padding is zero).
    second4: u32,
    /// Row stride of x in vec4 units.
    x_stride: u32,
    /// Row stride of W in elements of its array.
    w_stride: u32,
    /// Row stride of x2 in vec4 units.
    x2_stride: u32,
    /// Row stride of W2 in vec4 units.
    w2_stride: u32,
    /// Row stride of y in vec4 units.
    y_stride: u32,
    /// First column of x to read, in vec4 units.
    x_column: u32,
    /// First column of y to write, in vec4 units.
    y_column: u32,
    /// 0: y is written, 1: y is added to.
    accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
/// (m, k) input.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// (n, k) weight.
@group(0) @binding(2) var<storage, read> w: array<Weight>;
/// (n) bias, padded with zeros to a multiple of four; read if BIAS.
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
/// (m, second) second input; read if SECOND.
@group(0) @binding(4) var<storage, read> x2: array<vec4<f32>>;
/// (n, second) second weight; read if SECOND.
@group(0) @binding(5) var<storage, read> w2: array<vec4<f32>>;
/// (m, n) output.
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

/// Whether bias is added.
override BIAS: bool = false;
/// Whether x2·W2ᵀ is added.
override SECOND: bool = false;
/// Factor of the products, not of the bias: 1, or what scales the low-rank part of a LoRA layer.
override SCALE: f32 = 1.0;
