struct Params {
    /// Rows of dy and of dx.
    m: u32,
    /// Columns of dy that this dispatch reads, rows of W.
    n: u32,
    /// Columns of W and dx in vec4 units (their padding is zero).
    k4: u32,
    /// Columns of x2, rows of W2.
    second: u32,
    /// Row stride of dy in vec4 units.
    dy_stride: u32,
    /// Row stride of W in elements of its array.
    w_stride: u32,
    /// Row stride of x2 in vec4 units.
    x2_stride: u32,
    /// Row stride of W2 in vec4 units.
    w2_stride: u32,
    /// Row stride of dx in vec4 units.
    dx_stride: u32,
    /// First column of dy to read, in vec4 units. The columns after the last one, up to a multiple of four, must be zero.
    dy_column: u32,
    /// First column of dx to write, in vec4 units.
    dx_column: u32,
    /// First row of W to use.
    w_row: u32,
    /// 0: dx is written, 1: dx is added to.
    accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
/// (m, n) gradient of the output.
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
/// (n, k) weight.
@group(0) @binding(2) var<storage, read> w: array<Weight>;
/// (m, second) second input; read if SECOND.
@group(0) @binding(3) var<storage, read> x2: array<vec4<f32>>;
/// (second, k) second weight; read if SECOND.
@group(0) @binding(4) var<storage, read> w2: array<vec4<f32>>;
/// (m, k) gradient of the input.
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;

/// Whether x2·W2 is added.
override SECOND: bool = false;
/// Factor of the products, not of what dx holds: 1, or what scales the low-rank part of a LoRA layer.
override SCALE: f32 = 1.0;
