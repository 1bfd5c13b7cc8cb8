// Q5_0 in the blocks of GGUF files.
// use: shared/weight_q5_0.wgsl
