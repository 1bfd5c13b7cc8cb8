// Runs chains of fused multiply-adds and nothing else: THREADS x repeats x 192 FMAs a workgroup.
// Gives the arithmetic peak of the device that the speed of every other kernel is stated against.
// Twelve independent scalar chains hide the latency of an FMA and still fit the registers of a CPU device, where 16 chains spill and show a quarter of the peak; a loop over fewer FMAs shows half of it.
struct Params {
    /// Rounds of 192 FMAs that each thread does.
    repeats: u32,
    /// Factor of every FMA; below 1, so that the chains stay finite.
    factor: f32,
    /// Summand of every FMA.
    summand: f32,
}
@group(0) @binding(0) var<uniform> params: Params;
/// One float a thread: the sum of its chains, so that no compiler may leave them out.
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

override THREADS: u32 = 64u;

@compute @workgroup_size(THREADS)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let f = params.factor;
    let s = params.summand;
    let start = f32(id.x & 255u);
    var a = start;
    var b = start + 1.0;
    var c = start + 2.0;
    var d = start + 3.0;
    var e = start + 4.0;
    var g = start + 5.0;
    var h = start + 6.0;
    var i = start + 7.0;
    var j = start + 8.0;
    var k = start + 9.0;
    var l = start + 10.0;
    var m = start + 11.0;
    for (var round = 0u; round < params.repeats; round++) {
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
        a = fma(a, f, s); b = fma(b, f, s); c = fma(c, f, s); d = fma(d, f, s);
        e = fma(e, f, s); g = fma(g, f, s); h = fma(h, f, s); i = fma(i, f, s);
        j = fma(j, f, s); k = fma(k, f, s); l = fma(l, f, s); m = fma(m, f, s);
    }
    if (id.x < arrayLength(&sums)) {
        sums[id.x] = ((a + b) + (c + d)) + ((e + g) + (h + i)) + ((j + k) + (l + m));
    }
}
