// A number of Adafactor's over a whole matrix: the sum of its rows' factors, or what its update is multiplied by, 1 / max(1, rms / threshold).
// Saves a copy to the host: the kernels that follow read it from the same buffer.
// One workgroup for each matrix and a fixed order, so the same bits every run.
// use: shared/runs.wgsl
// use: shared/total.wgsl

/// Threads of the workgroup, a power of two.
override WORKGROUP: u32 = 256u;
/// Whether the numbers lie in the scratch memory itself.
override OWN: bool = false;

struct Params {
    /// How many numbers of a matrix are added up.
    count: u32,
    /// The first of them.
    from_index: u32,
    /// From those of one matrix to the next's.
    numbers_apart: u32,
    /// Where the result goes.
    to: u32,
    /// From one matrix's scratch memory to the next's.
    scratch_apart: u32,
    /// 1: the result is added to what is there.
    accumulate: u32,
    /// Not 0: numbers of the matrix, and the result is the factor of its update.
    clipped: f32,
    /// The root mean square above which an update is clipped.
    threshold: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// Read if OWN is false.
@group(0) @binding(1) var<storage, read> numbers: array<f32>;
@group(0) @binding(2) var<storage, read_write> scratch: array<f32>;

alias Number = f32;

fn number(i: u32, matrix: u32) -> Number {
    let at = params.from_index + matrix * params.numbers_apart + i;
    if (OWN) {
        return scratch[at];
    }
    return numbers[at];
}

// Workgroups: z over the matrices.
@compute @workgroup_size(WORKGROUP)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>) {
    let sum = total(local.x, sum_in_runs(local.x, params.count, WORKGROUP, group.z));
    if (local.x == 0u) {
        var result = sum;
        if (params.clipped != 0.0) {
            result = 1.0 / max(1.0, sqrt(result / params.clipped) / params.threshold);
        }
        let to = params.to + group.z * params.scratch_apart;
        if (params.accumulate != 0u) {
            result += scratch[to];
        }
        scratch[to] = result;
    }
}
