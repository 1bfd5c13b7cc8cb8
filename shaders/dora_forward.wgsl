// y = z * magnitude * inverse (+ bias): each output of a DoRA layer gets its trained length.
// z, the product with the directions before that, is kept for the gradient of the magnitudes.
// Element-wise, one vec4 a thread.

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;
/// Whether bias is added.
override BIAS: bool = false;

struct Params {
    /// Size of z and y in vec4: rows * stride.
    count: u32,
    /// Row stride of z and y in vec4.
    stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, cols)
@group(0) @binding(1) var<storage, read> z: array<vec4<f32>>;
/// (cols)
@group(0) @binding(2) var<storage, read> magnitude: array<vec4<f32>>;
/// (cols) 1 / length of each row of W + s * B * A.
@group(0) @binding(3) var<storage, read> inverse: array<vec4<f32>>;
/// (cols); read if BIAS.
@group(0) @binding(4) var<storage, read> bias: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

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
    var value = z[i] * magnitude[column] * inverse[column];
    if (BIAS) {
        value += bias[column];
    }
    y[i] = value;
}
