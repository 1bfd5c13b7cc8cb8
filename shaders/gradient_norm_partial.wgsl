// partials[first + workgroup] = sum of the squares of a stretch of a flat gradient.
// Every range of parameters writes its own stretch of one partials buffer, and gradient_norm_final adds them all up.
// Short chains, then a tree, then partials: the error grows with the chain's length, not with the number of parameters.

/// Threads of a workgroup, a power of two: as few as a subgroup has on CPU devices, where barriers are dear.
override WORKGROUP: u32 = 256u;
/// Elements (vec4) that a thread sums: a workgroup covers WORKGROUP * ITEMS.
override ITEMS: u32 = 16u;

struct Params {
    /// Size of the range in vec4.
    count: u32,
    /// Where this range's partial sums begin; it writes ceil(count / (WORKGROUP * ITEMS)).
    first: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> partials: array<f32>;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let block = workgroup.y * workgroups.x + workgroup.x;
    let first = block * WORKGROUP * ITEMS;
    let end = min(first + WORKGROUP * ITEMS, params.count);
    var squares = vec4<f32>(0.0);
    for (var i = first + local.x; i < end; i += WORKGROUP) {
        let g = gradient[i];
        squares += g * g;
    }
    sums[local.x] = (squares.x + squares.y) + (squares.z + squares.w);
    for (var half = WORKGROUP / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (local.x < half) {
            sums[local.x] += sums[local.x + half];
        }
    }
    // A grid in two dimensions may have workgroups too many: they must not write into the next range's partials.
    if (local.x == 0u && first < params.count) {
        partials[params.first + block] = sums[0];
    }
}
