//! The program `rootstock`.

fn main() {}
