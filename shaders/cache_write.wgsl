// cache[position + i] = x[i] for the keys and the values of this step: appends them to a generation's caches.
// The position comes with the step, so one program serves every token that is generated.
// Filling rows and rows past the caches' end are not written. The lanes of a row copy it together.
// use: shared/step.wgsl

/// Lanes that copy one row together.
override LANES: u32 = 32u;
/// Rows of a workgroup.
override ROWS: u32 = 2u;

struct Params {
    /// Rows of k and v.
    rows: u32,
    /// Columns in vec4.
    width: u32,
    /// Row stride of k in vec4.
    k_stride: u32,
    /// Row stride of v in vec4.
    v_stride: u32,
    /// Row stride of the caches in vec4.
    cache_stride: u32,
    /// Rows of the caches.
    capacity: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// (rows, cols)
@group(0) @binding(2) var<storage, read> k: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(3) var<storage, read> v: array<vec4<f32>>;
/// (capacity, cols)
@group(0) @binding(4) var<storage, read_write> key_cache: array<vec4<f32>>;
/// (capacity, cols)
@group(0) @binding(5) var<storage, read_write> value_cache: array<vec4<f32>>;

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
        key_cache[to_row * params.cache_stride + i] = k[row * params.k_stride + i];
        value_cache[to_row * params.cache_stride + i] = v[row * params.v_stride + i];
    }
}
