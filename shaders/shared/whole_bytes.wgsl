/// The four whole numbers of 8 bits, with signs, of a word.
fn whole_bytes(codes: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(codes << 24u, codes << 16u, codes << 8u, codes)) >> vec4<u32>(24u));
}
