// inverse[i] = 1 / |W[i] + scale * B[i] * A|, the length of each output row: DoRA divides by it (Liu et al., "DoRA", 2024, eq. 5).
// A row of B * A is made four numbers at a time and never stored; once an optimiser step costs rank/tokens of a product with W.
// One row a thread: no sums across threads, the same order of additions everywhere.
// permute WEIGHT: f32 bf16 f16 nf4 nf4_double fp4 fp4_double int8 q4_0 q4_1 q5_0 q5_1 q8_0 q4_k q5_k q6_k
// use: shared/weight_{WEIGHT}.wgsl

/// Threads of a workgroup.
override WORKGROUP: u32 = 64u;

struct Params {
    /// Rows of the bound stretch of W.
    rows: u32,
    /// Columns of W and A in vec4.
    k4: u32,
    /// Row stride of W in elements of its array.
    w_stride: u32,
    /// Row stride of A in vec4.
    a_stride: u32,
    /// Row stride of B in vec4.
    b_stride: u32,
    /// Rank.
    rank: u32,
    /// Factor of B * A.
    scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, k)
@group(0) @binding(1) var<storage, read> w: array<Weight>;
/// (rank, k)
@group(0) @binding(2) var<storage, read> a: array<vec4<f32>>;
/// (rows, rank)
@group(0) @binding(3) var<storage, read> b: array<vec4<f32>>;
/// (rows)
@group(0) @binding(4) var<storage, read_write> inverse: array<f32>;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (workgroup.y * workgroups.x + workgroup.x) * WORKGROUP + local.x;
    if (row >= params.rows) {
        return;
    }
    var squares = vec4<f32>(0.0);
    for (var i = 0u; i < params.k4; i++) {
        var change = vec4<f32>(0.0);
        for (var r = 0u; r < params.rank; r++) {
            change += b[row * params.b_stride + r / 4u][r % 4u] * a[r * params.a_stride + i];
        }
        let value = weight4(row * params.w_stride, i) + params.scale * change;
        squares += value * value;
    }
    // A row of zeros has no direction; its product is zero whatever stands here.
    inverse[row] = inverseSqrt(max(squares.x + squares.y + squares.z + squares.w, 1e-30));
}
