// FP4 in blocks of 64 with a scale that is quantised to 8 bits, as bitsandbytes does it.
// use: shared/fp4.wgsl
// use: shared/values.wgsl
// use: shared/scale_value.wgsl
// use: shared/double_four_bit.wgsl
