// y[:, y_first ..] = x[:, x_first ..] for `cols` columns: splits fused projections and joins their gradients.
// A copy, so that the kernels after it need not know that their input was a part of something wider.
// A thread owns whole vec4s of y. Columns on vec4 borders (the usual case) are one load and one store.

/// Lanes that copy one row together.
override LANES: u32 = 32u;
/// Rows of a workgroup.
override ROWS: u32 = 2u;

struct Params {
    /// Rows of x and y.
    rows: u32,
    /// Columns to copy.
    cols: u32,
    /// First column in x.
    x_first: u32,
    /// First column in y.
    y_first: u32,
    /// All columns of y: what follows them is padding, written as zeros by the copy that ends there.
    y_cols: u32,
    /// Row stride of x in vec4.
    x_stride: u32,
    /// Row stride of y in vec4.
    y_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
/// (rows, at least x_first + cols)
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
/// (rows, y_cols)
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

/// Copies the part of one vec4 that is not on a border of four columns in x and y alike.
fn copy_shifted(row: u32, column4: u32) {
    let at = row * params.y_stride + column4;
    var value = y[at];
    for (var c = 0u; c < 4u; c++) {
        let column = column4 * 4u + c;
        if (column >= params.y_first && column < params.y_first + params.cols) {
            let source = column - params.y_first + params.x_first;
            value[c] = x[row * params.x_stride + source / 4u][source % 4u];
        } else if (column >= params.y_cols) {
            value[c] = 0.0;
        }
    }
    y[at] = value;
}

@compute @workgroup_size(LANES, ROWS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) local: vec3<u32>,
) {
    let row = (workgroup.y * workgroups.x + workgroup.x) * ROWS + local.y;
    if (row >= params.rows) {
        return;
    }
    // The vec4s of a row of y that hold a copied column.
    let first = params.y_first / 4u;
    let width = (params.y_first + params.cols + 3u) / 4u - first;
    if ((params.x_first | params.y_first | params.cols) % 4u != 0u) {
        for (var i = local.x; i < width; i += LANES) {
            copy_shifted(row, first + i);
        }
        return;
    }
    let source = row * params.x_stride + params.x_first / 4u;
    let to = row * params.y_stride + first;
    for (var i = local.x; i < width; i += LANES) {
        y[to + i] = x[source + i];
    }
}
