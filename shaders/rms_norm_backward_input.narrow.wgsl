// dx as in rms_norm_backward_input.wgsl, and t = scale * dx·B of the whole row: what an adapter of the map before the norm needs of its output's gradient.
// Saves a dispatch and a walk over dx: its lanes multiply what they write with their rows of B, of at most eight columns.
// The sums of a row's lanes are added as a tree, in a fixed order, so the same bits every run. One group a row.
// use: shared/norm_gradient.wgsl

/// Factor of t.
override SCALE: f32 = 1.0;
/// Columns of B and t in vec4 units: 1 or 2 (their padding is zero).
override RANK4: u32 = 2u;

/// (cols, RANK4)
@group(0) @binding(6) var<storage, read> b: array<vec4<f32>>;
/// (rows, RANK4)
@group(0) @binding(7) var<storage, read_write> t: array<vec4<f32>>;

/// For each thread its sums of the first four columns, then of the others.
var<workgroup> lane_vectors: array<vec4<f32>, 512>;

@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let unit = (workgroup.y * workgroups.x + workgroup.x) * ROWS + local.y;
    let w = walk(unit, local.y, local.x);
    var low = vec4<f32>(0.0);
    var high = vec4<f32>(0.0);
    for (var i = local.x; i < w.end; i += LANES) {
        let value = gradient_at(w, i);
        dx[w.dx + i] = value;
        for (var c = 0u; c < 4u; c++) {
            // Past the last column value is zero.
            let at = min(4u * i + c, params.cols - 1u) * RANK4;
            low += value[c] * b[at];
            if (RANK4 > 1u) {
                high += value[c] * b[at + 1u];
            }
        }
    }
    let own = local.y * LANES + local.x;
    lane_vectors[own] = low;
    lane_vectors[own + 256u] = high;
    for (var half = LANES / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if (local.x < half) {
            lane_vectors[own] += lane_vectors[own + half];
            if (RANK4 > 1u) {
                lane_vectors[own + 256u] += lane_vectors[own + 256u + half];
            }
        }
    }
    if (local.x == 0u && unit < params.rows) {
        t[unit * RANK4] = SCALE * lane_vectors[own];
        if (RANK4 > 1u) {
            t[unit * RANK4 + 1u] = SCALE * lane_vectors[own + 256u];
        }
    }
}
