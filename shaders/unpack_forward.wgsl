// y = W, rows of a packed weight as f32: what products read whose kernels know plain numbers only.
// Saves decoding each weight once for every 16 or 32 rows of a product, in code too long for a processor's caches.
// A thread walks over 64 neighbouring weights, a block of most types.
// permute PACKED: nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// use: shared/wide_{PACKED}.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 64u;

/// Fours of a thread.
const FOURS: u32 = 16u;

struct Params {
    /// Rows to decode.
    rows: u32,
    /// Their columns in vec4 units, also the row stride of y.
    width: u32,
    /// First row of W.
    first_row: u32,
    /// Row stride of W in elements of its array.
    w_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (first_row + rows, cols)
@group(0) @binding(1) var<storage, read> w: array<Weight>;
/// (rows, cols)
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) thread: u32,
) {
    begin(thread);
    let runs = (params.width + FOURS - 1u) / FOURS;
    let run = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + thread;
    if (run >= params.rows * runs) {
        return;
    }
    let row = run / runs;
    let first = run % runs * FOURS;
    let last = min(first + FOURS, params.width);
    let source = (params.first_row + row) * params.w_stride;
    let to = row * params.width;
    for (var k = first; k < last; k += WIDE) {
        let eight = weight8(source, k);
        y[to + k] = eight[0];
        if (WIDE > 1u && k + 1u < last) {
            y[to + k + 1u] = eight[1];
        }
    }
}
