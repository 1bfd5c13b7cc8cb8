//! Rootstock fine-tunes small language models with WebGPU.
