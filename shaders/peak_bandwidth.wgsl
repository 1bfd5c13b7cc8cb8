// Copies a large buffer, four floats a thread and round: `count` elements of 16 bytes are read and as many written.
// Gives the memory bandwidth of the adapter that the speed of memory-bound kernels is stated against.
// Neighbouring threads copy neighbouring elements and stride over the whole grid, so that each access is as wide as the adapter can make it.
struct Params {
    /// Elements of 16 bytes to copy.
    count: u32,
    /// Threads of the whole dispatch.
    threads: u32,
}
@group(0) @binding(0) var<uniform> params: Params;
/// What is copied.
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// Where to.
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

override THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    for (var i = id.x; i < params.count; i += params.threads) {
        y[i] = x[i];
    }
}
