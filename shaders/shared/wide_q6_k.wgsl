// Q6_K in the blocks of GGUF files.
// use: shared/weight_q6_k.wgsl
