// dz = dy * magnitude * inverse, and what each row adds to the magnitudes' gradient, dy * z * inverse, whose columns are summed next.
// The length is a constant in the gradient (Liu et al., "DoRA", 2024, section 4.3), so dz is the whole gradient of the product.
// Element-wise, one vec4 a thread.

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of the matrices in vec4: rows * stride.
    count: u32,
    /// Row stride in vec4.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(2) var<storage, read> z: array<vec4<f32>>;
/// (cols)
@group(0) @binding(3) var<storage, read> magnitude: array<vec4<f32>>;
/// (cols)
@group(0) @binding(4) var<storage, read> inverse: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(5) var<storage, read_write> dz: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(6) var<storage, read_write> dmagnitude: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (i >= params.count) {
        return;
    }
    let column = i % params.stride;
    let grad = dy[i] * inverse[column];
    dz[i] = grad * magnitude[column];
    dmagnitude[i] = grad * z[i];
}
