// A number of Adafactor's over a whole matrix: the sum of its rows' factors, or what its update is multiplied by, 1 / max(1, rms / threshold).
// Saves a copy to the host: the kernels that follow read it from the same buffer.
// One workgroup and a fixed order, so the same bits every run. To be dispatched as one workgroup.

/// Threads of the workgroup, a power of two.
override WORKGROUP: u32 = 256u;

struct Params {
    /// How many numbers are added up.
    count: u32,
    /// The first of them.
    from_index: u32,
    /// Where the result goes.
    to: u32,
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

/// Whether the numbers lie in the scratch memory itself.
override OWN: bool = false;

var<workgroup> sums: array<f32, WORKGROUP>;

fn number(i: u32) -> f32 {
    if (OWN) {
        return scratch[params.from_index + i];
    }
    return numbers[params.from_index + i];
}

@compute @workgroup_size(WORKGROUP)
fn main(@builtin(local_invocation_id) local: vec3<u32>) {
    // Each thread sums its share in runs of 32, so that no chain of additions is long.
    var sum = 0.0;
    for (var run = local.x; run < params.count; run += WORKGROUP * 32u) {
        var part = 0.0;
        for (var i = run; i < min(run + WORKGROUP * 32u, params.count); i += WORKGROUP) {
            part += number(i);
        }
        sum += part;
    }
    sums[local.x] = sum;
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (local.x < half) {
            sums[local.x] += sums[local.x + half];
        }
    }
    if (local.x == 0u) {
        var result = sums[0];
        if (params.clipped != 0.0) {
            result = 1.0 / max(1.0, sqrt(result / params.clipped) / params.threshold);
        }
        if (params.accumulate != 0u) {
            result += scratch[params.to];
        }
        scratch[params.to] = result;
    }
}
