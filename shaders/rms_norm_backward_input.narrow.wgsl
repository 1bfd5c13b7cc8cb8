// dx as in rms_norm_backward_input.wgsl, and t = scale * dx·B of the whole row: what an adapter of the map before the norm needs of its output's gradient.
// Saves a dispatch and a walk over dx: its lanes multiply what they write with their rows of B, of at most eight columns.
// The sums of a row's lanes are added in a fixed order, so the same bits every run. One group a row.
// also lanes: LANES, vectors
// use: shared/norm_gradient.wgsl
// use: shared/vector_sums.wgsl

/// Factor of t.
override SCALE: f32 = 1.0;
/// Columns of B and t in vec4 units: 1 or 2 (their padding is zero).
override RANK4: u32 = 2u;

/// (cols, RANK4)
@group(0) @binding(6) var<storage, read> b: array<vec4<f32>>;
/// (rows, RANK4)
@group(0) @binding(7) var<storage, read_write> t: array<vec4<f32>>;

@compute @workgroup_size(LANES * ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = index % LANES;
    let slot = index / LANES;
    let unit = (workgroup.y * workgroups.x + workgroup.x) * ROWS + slot;
    let w = walk(unit, slot, lane);
    var low = vec4<f32>(0.0);
    var high = vec4<f32>(0.0);
    for (var i = lane; i < w.end; i += LANES) {
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
    let sums = vector_sums(slot * LANES + lane, lane, Vectors(low, high));
    if (lane == 0u && unit < params.rows) {
        t[unit * RANK4] = SCALE * sums.low;
        if (RANK4 > 1u) {
            t[unit * RANK4 + 1u] = SCALE * sums.high;
        }
    }
}
