/// A tile of 32 rows times 64 keys, thread (x, y) = (thread % 16, thread / 16) holding the rows ROWS y + 0..ROWS. In products it holds the
/// keys 4 x + 0..3, in averages the four floats 4 x + 0..3 of a slice of 64.
struct Tile {
    /// The first four rows, a row in each column.
    a: mat4x4<f32>,
    /// The other four, where ROWS is 8.
    b: mat4x4<f32>,
}

/// Rows of a thread: 8, or 4 where registers are few.
override ROWS: u32 = 8u;
/// Threads of a workgroup: 512 / ROWS.
override THREADS: u32 = 64u;

/// Rows that a workgroup owns.
const OWNED: u32 = 32u;
/// Keys of a tile.
const KEYS: u32 = 64u;
/// Keys whose values are in workgroup memory at a time.
const PART: u32 = 16u;
/// vec4 of each row and key that one step of the products covers.
const DEPTH: u32 = 8u;

/// In products: DEPTH vec4 of each key, then of each row. In averages: 16 vec4 of weights for each row, then 16 vec4 of each of 16 keys.
/// Between them what a row's 16 threads tell each other. What would hit the same bank is moved by an exclusive or.
var<workgroup> staged: array<vec4<f32>, 768>;

/// Where the second part begins.
const SECOND: u32 = 512u;

/// Place of vec4 c of key n: four neighbouring keys lie 16 apart, so that neighbouring threads read neighbouring elements.
fn key_place(n: u32, c: u32) -> u32 {
    return c * KEYS + (((n % 4u) * 16u + n / 4u) ^ c);
}

/// Place of vec4 c of a row in products.
fn row_place(row: u32, c: u32) -> u32 {
    return SECOND + row * DEPTH + (c ^ (row / ROWS));
}

/// Place of a row's weights of the keys 4 c + 0..3.
fn weight_place(row: u32, c: u32) -> u32 {
    return row * 16u + (c ^ (row / ROWS));
}

fn zero_tile() -> Tile {
    return Tile(mat4x4<f32>(), mat4x4<f32>());
}

/// Adds the dot products of the staged vec4s.
fn add_products(tile: Tile, x: u32, y: u32) -> Tile {
    var t = tile;
    for (var c = 0u; c < DEPTH; c++) {
        let key = c * KEYS;
        let k = transpose(mat4x4<f32>(staged[key + (x ^ c)], staged[key + 16u + (x ^ c)], staged[key + 32u + (x ^ c)], staged[key + 48u + (x ^ c)]));
        let row = row_place(ROWS * y, c);
        t.a = mat4x4<f32>(madd(k, staged[row], t.a[0]), madd(k, staged[row + 8u], t.a[1]), madd(k, staged[row + 16u], t.a[2]), madd(k, staged[row + 24u], t.a[3]));
        if (ROWS == 8u) {
            t.b = mat4x4<f32>(madd(k, staged[row + 32u], t.b[0]), madd(k, staged[row + 40u], t.b[1]), madd(k, staged[row + 48u], t.b[2]), madd(k, staged[row + 56u], t.b[3]));
        }
    }
    return t;
}

/// Adds the staged keys' vec4s, weighted: part 0..3 of the tile's keys.
fn add_weighted(tile: Tile, part: u32, x: u32, y: u32) -> Tile {
    var t = tile;
    for (var c = 0u; c < PART / 4u; c++) {
        let key = SECOND + 64u * c + x;
        let v = mat4x4<f32>(staged[key], staged[key + 16u], staged[key + 32u], staged[key + 48u]);
        let row = weight_place(ROWS * y, 4u * part + c);
        t.a = mat4x4<f32>(madd(v, staged[row], t.a[0]), madd(v, staged[row + 16u], t.a[1]), madd(v, staged[row + 32u], t.a[2]), madd(v, staged[row + 48u], t.a[3]));
        if (ROWS == 8u) {
            t.b = mat4x4<f32>(madd(v, staged[row + 64u], t.b[0]), madd(v, staged[row + 80u], t.b[1]), madd(v, staged[row + 96u], t.b[2]), madd(v, staged[row + 112u], t.b[3]));
        }
    }
    return t;
}

/// Makes a tile of products the weights of the averages.
fn store_weights(tile: Tile, x: u32, y: u32) {
    let row = weight_place(ROWS * y, x);
    staged[row] = tile.a[0];
    staged[row + 16u] = tile.a[1];
    staged[row + 32u] = tile.a[2];
    staged[row + 48u] = tile.a[3];
    if (ROWS == 8u) {
        staged[row + 64u] = tile.b[0];
        staged[row + 80u] = tile.b[1];
        staged[row + 96u] = tile.b[2];
        staged[row + 112u] = tile.b[3];
    }
}

/// Every row times its factor.
fn scaled(t: Tile, a: vec4<f32>, b: vec4<f32>) -> Tile {
    return Tile(
        mat4x4<f32>(t.a[0] * a.x, t.a[1] * a.y, t.a[2] * a.z, t.a[3] * a.w),
        mat4x4<f32>(t.b[0] * b.x, t.b[1] * b.y, t.b[2] * b.z, t.b[3] * b.w));
}
