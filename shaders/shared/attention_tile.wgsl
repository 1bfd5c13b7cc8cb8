/// A tile of 32 owned rows times 64 others for 128 threads, thread (x, y) = (thread % 16, thread / 16) holding the rows 4 y + 0..3.
/// In products it holds the others x + 16 * 0..3; in sums the four floats 4 x + 0..3 of a slice of 64.
struct Tile {
    row0: vec4<f32>,
    row1: vec4<f32>,
    row2: vec4<f32>,
    row3: vec4<f32>,
}

/// Threads of a workgroup.
const TILE_THREADS: u32 = 128u;
/// Rows (or keys) that a workgroup owns.
const OWNED: u32 = 32u;
/// Others that a tile holds.
const TILE_OTHERS: u32 = 64u;
/// vec4 of each row that one step of the products covers.
const TILE_DEPTH: u32 = 4u;
/// 64 others and two more, so that the threads that store one row's vec4s hit different banks.
const OTHERS_PITCH: u32 = 66u;

/// Owned rows: TILE_DEPTH vec4 of each, row after row. Between products it carries what a row's 16 threads must tell each other.
var<workgroup> owned: array<vec4<f32>, 128>;
/// In products: OTHERS_PITCH vec4 for each depth. In sums: 16 of the others, 16 vec4 of each.
var<workgroup> others: array<vec4<f32>, 264>;
/// Weights of the sums: 16 vec4 for each owned row, number x holding the others x + 16 * 0..3.
var<workgroup> weights: array<vec4<f32>, 512>;

fn zero_tile() -> Tile {
    return Tile(vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0), vec4<f32>(0.0));
}

/// Adds the dot products of the staged vec4s.
fn add_products(tile: Tile, x: u32, y: u32) -> Tile {
    var t = tile;
    for (var c = 0u; c < TILE_DEPTH; c++) {
        let column = c * OTHERS_PITCH + x;
        let b = transpose(mat4x4<f32>(others[column], others[column + 16u], others[column + 32u], others[column + 48u]));
        let row = 4u * y * TILE_DEPTH + c;
        t.row0 = madd(b, owned[row], t.row0);
        t.row1 = madd(b, owned[row + TILE_DEPTH], t.row1);
        t.row2 = madd(b, owned[row + 2u * TILE_DEPTH], t.row2);
        t.row3 = madd(b, owned[row + 3u * TILE_DEPTH], t.row3);
    }
    return t;
}

/// The 16 others staged in part 0..3 of the sums: slot s holds number 4 * part + s / 4 + 16 * (s % 4).
fn summed_other(part: u32, slot: u32) -> u32 {
    return 4u * part + slot / 4u + 16u * (slot % 4u);
}

/// Adds the staged others, weighted.
fn add_weighted(tile: Tile, part: u32, x: u32, y: u32) -> Tile {
    var t = tile;
    for (var n = 0u; n < 4u; n++) {
        let slot = 4u * n * 16u + x;
        let b = mat4x4<f32>(others[slot], others[slot + 16u], others[slot + 32u], others[slot + 48u]);
        let row = 4u * y * 16u + 4u * part + n;
        t.row0 = madd(b, weights[row], t.row0);
        t.row1 = madd(b, weights[row + 16u], t.row1);
        t.row2 = madd(b, weights[row + 32u], t.row2);
        t.row3 = madd(b, weights[row + 48u], t.row3);
    }
    return t;
}

/// Makes a tile of products the weights of the sums.
fn store_weights(tile: Tile, x: u32, y: u32) {
    let row = 4u * y * 16u + x;
    weights[row] = tile.row0;
    weights[row + 16u] = tile.row1;
    weights[row + 32u] = tile.row2;
    weights[row + 48u] = tile.row3;
}
