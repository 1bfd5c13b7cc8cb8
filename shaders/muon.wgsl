// The step of a matrix by Muon: p *= 1 - lr * wd, then p -= lr * scale * o with the orthogonalised direction o.
// Saves nothing but a pass more: it is elementwise.
// After a non-finite loss or norm nothing is touched.
// use: shared/step.wgsl
// use: shared/stats.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 256u;

struct Params {
    /// Size of the matrix (or of its piece) in vec4.
    count: u32,
    /// Where the direction begins in the scratch memory.
    direction: u32,
    /// Weight decay.
    weight_decay: f32,
    /// Multiplies the step's learning rate.
    lr_scale: f32,
    /// Multiplies the direction: 0.2 sqrt(the larger size of the matrix).
    scale: f32,
    /// From one matrix to the next in vec4 units.
    apart: u32,
    /// From one matrix's scratch memory to the next's.
    scratch_apart: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
@group(0) @binding(2) var<storage, read> stats: Stats;
@group(0) @binding(3) var<storage, read> scratch: array<f32>;
@group(0) @binding(4) var<storage, read_write> parameter: array<vec4<f32>>;

// Workgroups: x and y over the matrix, z over the matrices.
@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let i = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (i >= params.count || stats.halt != 0u) {
        return;
    }
    let from_index = workgroup.z * params.scratch_apart + params.direction + 4u * i;
    let direction = vec4<f32>(scratch[from_index], scratch[from_index + 1u], scratch[from_index + 2u], scratch[from_index + 3u]);
    let rate = step.learning_rate * params.lr_scale;
    let at = workgroup.z * params.apart + i;
    parameter[at] = parameter[at] * (1.0 - rate * params.weight_decay) - rate * params.scale * direction;
}
