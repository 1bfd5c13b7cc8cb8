// dx = rstd * (g - xhat * mean(g * xhat)) with g = dy * (weight_offset + w) and xhat = x * rstd, written or added in place.
// Reads x again instead of a stored xhat; adding into the residual's gradient saves a separate addition and its buffer.
// Two walks along the row by the same lanes as the forward pass; zero padding of dy and x keeps the padding of dx zero.
// also lanes: LANES
// use: shared/norm_gradient.wgsl

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
    for (var i = lane; i < w.end; i += LANES) {
        dx[w.dx + i] = gradient_at(w, i);
    }
}
