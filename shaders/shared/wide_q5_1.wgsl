// Q5_1 in the blocks of GGUF files.
// use: shared/weight_q5_1.wgsl
