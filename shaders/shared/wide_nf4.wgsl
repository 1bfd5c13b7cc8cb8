// NF4 in blocks of 64 with a scale, as bitsandbytes packs it.
// use: shared/values_nf4.wgsl
// use: shared/four_bit.wgsl
