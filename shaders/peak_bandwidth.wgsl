// Copies a large buffer, four floats a thread: `count` elements of 16 bytes are read and as many written.
// Gives the memory bandwidth of the device that the speed of memory-bound kernels is stated against.
// Neighbouring threads and neighbouring workgroups copy neighbouring elements, as the kernels that are compared with it do. No condition: THREADS divides the elements.
struct Params {
    /// Workgroups of a row of them.
    row: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
/// What is copied.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// Where to.
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

override THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let i = (workgroup.y * params.row + workgroup.x) * THREADS + local.x;
    y[i] = x[i];
}
