// dx[index[first + i]] = dy[i] for the targets of this chunk: the backward pass of gather_rows.
// Only rows of targets are touched: dx has to be filled with zeros once before the first chunk.
// Targets are different rows, so each row of dx has one owner; the lanes of a row copy it together.
// use: shared/step.wgsl

/// Lanes that copy one row together.
override LANES: u32 = 32u;
/// Rows of a workgroup.
override ROWS: u32 = 2u;

struct Params {
    /// Rows of dy.
    rows: u32,
    /// Columns in vec4.
    width: u32,
    /// Row stride of dy in vec4.
    dy_stride: u32,
    /// Row stride of dx in vec4.
    dx_stride: u32,
    /// Target that row 0 of dy belongs to.
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// Row of dx of each target, (targets)
@group(0) @binding(2) var<storage, read> index: array<u32>;
/// (rows, cols)
@group(0) @binding(3) var<storage, read> dy: array<vec4<f32>>;
/// (tokens, cols)
@group(0) @binding(4) var<storage, read_write> dx: array<vec4<f32>>;

@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (workgroup.y * workgroups.x + workgroup.x) * ROWS + local.y;
    if (row >= params.rows || params.first + row >= step.targets) {
        return;
    }
    let source = row * params.dy_stride;
    let to = index[params.first + row] * params.dx_stride;
    for (var i = local.x; i < params.width; i += LANES) {
        dx[to + i] = dy[source + i];
    }
}
