/// A boundary between the parts that the fractions of the map are the middles of, in units of 2^-30: 0.1 + 0.9 x / 64, rounded as torch.linspace rounds it,
/// which counts the upper half from its end.
fn boundary(x: u32) -> f32 {
    return f32(select(0x6666668u, 0x6666680u, x >= 32u) + 0xe66666u * x);
}

/// Magnitude 1 to 127 of bitsandbytes' map of 8 bits with a dynamic exponent, ascending, to the bit (`dynamic_map` in src/quant): magnitude 2^e + i is
/// 10^(e - 6) times the middle of part i of 2^e.
fn magnitude(index: u32) -> f32 {
    let bits = bitcast<u32>(f32(index));
    let e = (bits >> 23u) - 127u;
    let x = (bits & 0x7fffffu) >> 17u;
    let low = select(select(1e-6, 1e-5, e >= 1u), select(1e-4, 1e-3, e >= 3u), e >= 2u);
    let high = select(select(1e-2, 1e-1, e >= 5u), 1.0, e >= 6u);
    let middle = (boundary(x) + boundary(x + (64u >> (e & 7u)))) * 4.656612873077393e-10;
    return middle * select(low, high, e >= 4u);
}

/// What the code of a scale stands for: a sign, and which magnitude; the two codes of magnitude 0 are 0 and 1.
fn coded(code: u32, magnitude: f32) -> f32 {
    let signed = bitcast<f32>(bitcast<u32>(magnitude) | ((code & 128u) << 24u));
    return select(signed, select(0.0, 1.0, code == 128u), (code & 127u) == 0u);
}
