// dx = rstd * (g - xhat * mean(g * xhat)) with g = dy * (weight_offset + w) and xhat = x * rstd, and for each block of rows the sum of dy * xhat.
// Saves a dispatch, and reading dy and x once more for the weight's gradient, which column_sum makes of the blocks' sums.
// Where dy is a product whose contraction was split, it is added up here, in the order of sum_parts.wgsl.
// For GPUs: a workgroup takes the ROWS rows side by side of its block in turn; a lane has at most four vec4 of the columns, and keeps their sums.
// also lanes: LANES
// use: shared/row_sum.wgsl

/// Whether dy is the sum of several matrices.
override IN_PARTS: bool = false;

struct Params {
    /// Rows of x, dy and dx.
    rows: u32,
    /// Columns.
    cols: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of dy in vec4.
    dy_stride: u32,
    /// Row stride of dx in vec4.
    dx_stride: u32,
    /// Row stride of dw in vec4.
    dw_stride: u32,
    /// Rows of a block, a multiple of ROWS; block b's sums are row b of dw.
    block_rows: u32,
    /// 0 or 1, as in the forward pass.
    weight_offset: f32,
    /// 0: dx is written; 1: it is added to.
    accumulate: u32,
    /// How many matrices dy is the sum of, if IN_PARTS.
    parts: u32,
    /// From one of them to the next in vec4.
    part_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (parts, rows, cols)
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
/// (rows, cols)
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
/// (cols), padded with zeros
@group(0) @binding(3) var<storage, read> weight: array<vec4<f32>>;
/// (rows), from the forward pass
@group(0) @binding(4) var<storage, read> rstd: array<f32>;
/// (rows, cols)
@group(0) @binding(5) var<storage, read_write> dx: array<vec4<f32>>;
/// (blocks, cols)
@group(0) @binding(6) var<storage, read_write> dw: array<vec4<f32>>;

/// The sums of a vec4 of columns, of each lane and row slot.
var<workgroup> slot_sums: array<vec4<f32>, 256>;

/// What a vec4 of a row gives: dy * w * x, and dy * x * rstd.
struct Products {
    mean: vec4<f32>,
    gradient: vec4<f32>,
}

fn dy_at(at: u32) -> vec4<f32> {
    var sum = dy[at];
    if (IN_PARTS) {
        for (var part = 1u; part < params.parts; part++) {
            sum += dy[part * params.part_stride + at];
        }
    }
    return sum;
}

fn products(row: u32, column: u32, end: u32, r: f32) -> Products {
    if (column >= end) {
        return Products(vec4<f32>(0.0), vec4<f32>(0.0));
    }
    let both = dy_at(row * params.dy_stride + column) * x[row * params.x_stride + column];
    return Products(both * (weight[column] + params.weight_offset), both * r);
}

fn write(row: u32, column: u32, end: u32, r: f32, mean: f32) {
    if (column >= end) {
        return;
    }
    let g = dy_at(row * params.dy_stride + column) * (weight[column] + params.weight_offset);
    var value = r * (g - x[row * params.x_stride + column] * (r * mean));
    let at = row * params.dx_stride + column;
    if (params.accumulate == 1u) {
        value += dx[at];
    }
    dx[at] = value;
}

/// Adds the row slots' sums of a vec4 of columns up and writes them. To be called by all threads of the workgroup alike.
fn write_sums(block: u32, lane: u32, slot: u32, column: u32, width: u32, sums: vec4<f32>) {
    workgroupBarrier(); // what an earlier call left has been read
    slot_sums[slot * LANES + lane] = sums;
    workgroupBarrier();
    if (slot == 0u && column < width) {
        var total = vec4<f32>(0.0);
        for (var i = 0u; i < ROWS; i++) {
            total += slot_sums[i * LANES + lane];
        }
        dw[block * params.dw_stride + column] = total;
    }
}

// Dispatch: (blocks over x and y).
@compute @workgroup_size(LANES * ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) index: u32,
) {
    let lane = index % LANES;
    let slot = index / LANES;
    let block = workgroup.y * workgroups.x + workgroup.x;
    let width = (params.cols + 3u) / 4u;
    let i = lane;
    var s0 = vec4<f32>(0.0);
    var s1 = vec4<f32>(0.0);
    var s2 = vec4<f32>(0.0);
    var s3 = vec4<f32>(0.0);
    for (var n = 0u; n < params.block_rows; n += ROWS) {
        let row = block * params.block_rows + n + slot;
        // A thread past the last row takes part in the barriers with nothing to add.
        let end = select(0u, width, row < params.rows);
        let r = rstd[min(row, params.rows - 1u)];
        let p0 = products(row, i, end, r);
        let p1 = products(row, i + LANES, end, r);
        let p2 = products(row, i + 2u * LANES, end, r);
        let p3 = products(row, i + 3u * LANES, end, r);
        s0 += p0.gradient;
        s1 += p1.gradient;
        s2 += p2.gradient;
        s3 += p3.gradient;
        let sum = p0.mean + p1.mean + p2.mean + p3.mean;
        let mean = row_sum(slot, lane, dot(sum, vec4<f32>(1.0))) * r / f32(params.cols);
        write(row, i, end, r, mean);
        write(row, i + LANES, end, r, mean);
        write(row, i + 2u * LANES, end, r, mean);
        write(row, i + 3u * LANES, end, r, mean);
    }
    write_sums(block, lane, slot, i, width, s0);
    if (LANES < width) {
        write_sums(block, lane, slot, i + LANES, width, s1);
    }
    if (2u * LANES < width) {
        write_sums(block, lane, slot, i + 2u * LANES, width, s2);
    }
    if (3u * LANES < width) {
        write_sums(block, lane, slot, i + 3u * LANES, width, s3);
    }
}
