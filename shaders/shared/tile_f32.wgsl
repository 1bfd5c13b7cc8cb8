/// Four numbers of a tile in workgroup memory.
alias Tile = vec4<f32>;

/// What becomes of four numbers on their way into a tile.
fn to_tile(x: vec4<f32>) -> Tile {
    return x;
}

/// And back.
fn of_tile(x: Tile) -> vec4<f32> {
    return x;
}

/// What gradients are multiplied by on their way into a tile, where the loss has this scale.
fn gradient_scale(loss_scale: f32) -> f32 {
    return 1.0;
}

/// What their products are multiplied by.
fn gradient_unscale(loss_scale: f32) -> f32 {
    return 1.0;
}
