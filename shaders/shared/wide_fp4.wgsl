// FP4 in blocks of 64 with a scale, as bitsandbytes packs it.
// use: shared/fp4.wgsl
// use: shared/values.wgsl
// use: shared/four_bit.wgsl
