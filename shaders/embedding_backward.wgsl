// dW[id] += scale * sum of dx over the tokens with that id, for every id of the micro-batch; also for position tables.
// The host sorts tokens into buckets, one an id, so each row of dW has one owner: no atomics, no walk over the vocabulary.
// Rows without a bucket are not touched: dW has to hold zeros or earlier gradients.
// use: shared/step.wgsl

/// Lanes that share one bucket, each with its own columns.
override LANES: u32 = 32u;
/// Buckets of a workgroup.
override ROWS: u32 = 2u;
/// Whether the buckets are positions, of which the micro-step has step.position_buckets, and not token ids.
override POSITIONS: bool = false;

struct Params {
    /// Columns in vec4.
    width: u32,
    /// Row stride of dx in vec4.
    dx_stride: u32,
    /// Row stride of dW in vec4.
    dw_stride: u32,
    /// First row that the bound stretch of dW holds.
    first_row: u32,
    /// Rows of the bound stretch.
    dw_rows: u32,
    /// Multiplies dx.
    scale: f32,
    /// The row that gets no gradient; larger than every row when there is none.
    padding: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> step: Step;
/// Row of dW that a bucket belongs to, (buckets)
@group(0) @binding(2) var<storage, read> bucket_ids: array<u32>;
/// First token of a bucket in bucket_tokens; one entry more than buckets, (buckets + 1)
@group(0) @binding(3) var<storage, read> bucket_offsets: array<u32>;
/// Rows of dx, bucket after bucket, (tokens)
@group(0) @binding(4) var<storage, read> bucket_tokens: array<u32>;
/// (tokens, cols)
@group(0) @binding(5) var<storage, read> dx: array<vec4<f32>>;
/// (dw_rows, cols)
@group(0) @binding(6) var<storage, read_write> dw: array<vec4<f32>>;

@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let bucket = (workgroup.y * workgroups.x + workgroup.x) * ROWS + local.y;
    if (bucket >= select(step.buckets, step.position_buckets, POSITIONS)) {
        return;
    }
    let id = bucket_ids[bucket];
    // Ids below the stretch wrap around to large numbers.
    let row = id - params.first_row;
    if (row >= params.dw_rows || id == params.padding) {
        return;
    }
    let begin = bucket_offsets[bucket];
    let end = bucket_offsets[bucket + 1u];
    for (var i = local.x; i < params.width; i += LANES) {
        var sum = vec4<f32>(0.0);
        for (var t = begin; t < end; t++) {
            sum += dx[bucket_tokens[t] * params.dx_stride + i];
        }
        dw[row * params.dw_stride + i] += sum * params.scale;
    }
}
