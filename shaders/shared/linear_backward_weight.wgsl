struct Params {
    /// Rows of dy and of x that are summed over.
    m: u32,
    /// Columns of dy that this dispatch reads, rows of dW.
    n: u32,
    /// Columns of x and dW in vec4 units (their padding is zero).
    k4: u32,
    /// Row stride of dy in vec4 units.
    dy_stride: u32,
    /// Row stride of x in vec4 units.
    x_stride: u32,
    /// Row stride of dW in vec4 units.
    dw_stride: u32,
    /// First row of dy and of x to use.
    row: u32,
    /// First column of dy to read, in vec4 units.
    dy_column: u32,
    /// First column of x to read, in vec4 units.
    x_column: u32,
    /// Columns of x that count, where dW is written transposed.
    columns: u32,
    /// 0: dW is written, 1: dW is added to, 2: as the step says, see shared/accumulate.wgsl.
    accumulate: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// (m, n) gradient of the output.
@group(0) @binding(2) var<storage, read> dy: array<vec4<f32>>;
/// (m, k) input.
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
/// (n, k) gradient of the weight.
@group(0) @binding(4) var<storage, read_write> dw: array<vec4<f32>>;
