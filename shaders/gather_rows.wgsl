// y[i] = x[index[first + i]] for the targets of this chunk, zeros in the rows after them.
// The LM head then works on target tokens only, a chunk of them at a time: masked tokens cost nothing.
// The lanes of a row copy it together. scatter_rows is its backward pass.
// use: shared/step.wgsl

/// Lanes that copy one row together.
override LANES: u32 = 32u;
/// Rows of a workgroup.
override ROWS: u32 = 2u;

struct Params {
    /// Rows of y.
    rows: u32,
    /// Columns in vec4.
    width: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of y in vec4.
    y_stride: u32,
    /// Target that goes to row 0 of y.
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// Row of x of each target, (targets)
@group(0) @binding(2) var<storage, read> index: array<u32>;
/// (tokens, cols)
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (workgroup.y * workgroups.x + workgroup.x) * ROWS + local.y;
    if (row >= params.rows) {
        return;
    }
    let to = row * params.y_stride;
    if (params.first + row >= step.targets) {
        for (var i = local.x; i < params.width; i += LANES) {
            y[to + i] = vec4<f32>(0.0);
        }
        return;
    }
    let source = index[params.first + row] * params.x_stride;
    for (var i = local.x; i < params.width; i += LANES) {
        y[to + i] = x[source + i];
    }
}
