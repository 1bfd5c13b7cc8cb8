// y = the sum of the parts of a matrix product whose contraction was split, plus bias: the second pass of linear_*.tiled.
// The parts lie one after the other and were written just before: mostly they are still in the cache.
// One owner for each vec4 of y, which adds the parts in their order: the same bits every run.
// use: shared/step.wgsl
// use: shared/accumulate.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 64u;
/// Whether bias is added.
override BIAS: bool = false;

struct Params {
    /// Rows of y.
    rows: u32,
    /// Columns of a part in vec4 units.
    width: u32,
    /// How many parts there are.
    parts: u32,
    /// From one part to the next in vec4 units: rows * width.
    part_stride: u32,
    /// 0: y is written, 1: y is added to, 2: as the step says, see shared/accumulate.wgsl.
    accumulate: u32,
    /// Where the columns of the second y begin, in vec4 units; 0xffffffff without one.
    cut1: u32,
    /// Where the columns of the third y begin.
    cut2: u32,
    /// What to add to row * y_stride + column for an element of the first y, in vec4 units.
    y_first: u32,
    /// Row stride of the first y in vec4 units.
    y_stride: u32,
    /// The same for the second y; a number below zero counts from 2^32.
    y1_first: u32,
    /// Row stride of the second y.
    y1_stride: u32,
    /// The same for the third y.
    y2_first: u32,
    /// Row stride of the third y.
    y2_stride: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// (parts, rows, width)
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
/// (width), padded with zeros; read if BIAS.
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;
/// (rows, width), or up to three matrices that are as wide together.
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (i >= params.rows * params.width) {
        return;
    }
    let row = i / params.width;
    let column = i % params.width;
    var sum = x[i];
    for (var part = 1u; part < params.parts; part++) {
        sum += x[part * params.part_stride + i];
    }
    if (BIAS) {
        sum += bias[column];
    }
    var at = params.y_first + row * params.y_stride + column;
    if (column >= params.cut2) {
        at = params.y2_first + row * params.y2_stride + column;
    } else if (column >= params.cut1) {
        at = params.y1_first + row * params.y1_stride + column;
    }
    if (adds_to_output(params.accumulate)) {
        sum += y[at];
    }
    y[at] = sum;
}
