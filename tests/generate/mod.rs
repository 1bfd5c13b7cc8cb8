//! Decoding.

mod sampling;
