// cache[position + i] = x[i] for the tokens of this step: appends keys or values to a generation's cache.
// The position comes with the step, so one program serves every token that is generated.
// Filling rows and rows past the cache's end are not written. The lanes of a row copy it together.
// use: shared/step.wgsl

/// Lanes that copy one row together.
override LANES: u32 = 32u;
/// Rows of a workgroup.
override ROWS: u32 = 2u;

struct Params {
    /// Rows of x.
    rows: u32,
    /// Columns in vec4.
    width: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of the cache in vec4.
    cache_stride: u32,
    /// Rows of the cache.
    capacity: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// (rows, cols)
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
/// (capacity, cols)
@group(0) @binding(3) var<storage, read_write> cache: array<vec4<f32>>;

@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (workgroup.y * workgroups.x + workgroup.x) * ROWS + local.y;
    let to_row = step.position + row;
    if (row >= params.rows || row >= step.tokens || to_row >= params.capacity) {
        return;
    }
    for (var i = local.x; i < params.width; i += LANES) {
        cache[to_row * params.cache_stride + i] = x[row * params.x_stride + i];
    }
}
