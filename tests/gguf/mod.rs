//! GGUF files: those of llama.cpp's own converter (scripts/fixtures/make_gguf.py), blocks as the `gguf` package of PyPI decodes them, and
//! files that lie.

mod blocks;
mod encoding;
mod hostile;
mod open;
mod write;

const FIXTURES: &str = "tests/fixtures/gguf";
