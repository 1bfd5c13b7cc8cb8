//! Every encoding against the `gguf` package of PyPI, bit for bit.

use std::rc::Rc;

use rootstock::checkpoint::TensorFile;
use rootstock::gguf::Encoding;
use rootstock::platform::{NativeDirectory, block_on};

use super::FIXTURES;

fn blocks() -> TensorFile {
    block_on(TensorFile::open(Rc::new(NativeDirectory::new(FIXTURES)), "blocks.safetensors")).expect("the fixture is there")
}

fn bytes(file: &TensorFile, tensor: &str) -> Vec<u8> {
    let elements = file.get(tensor).unwrap_or_else(|| panic!("no {tensor}")).elements();
    block_on(file.read_bytes(tensor, 0..elements)).expect("it reads")
}

fn numbers(file: &TensorFile, tensor: &str) -> Vec<f32> {
    let elements = file.get(tensor).unwrap_or_else(|| panic!("no {tensor}")).elements();
    block_on(file.read_f32(tensor, 0..elements)).expect("it reads")
}

const QUANTISED: [(&str, Encoding); 8] = [
    ("Q4_0", Encoding::Q4_0),
    ("Q4_1", Encoding::Q4_1),
    ("Q5_0", Encoding::Q5_0),
    ("Q5_1", Encoding::Q5_1),
    ("Q8_0", Encoding::Q8_0),
    ("Q4_K", Encoding::Q4K),
    ("Q5_K", Encoding::Q5K),
    ("Q6_K", Encoding::Q6K),
];

#[test]
fn blocks_decode_to_the_numbers_of_the_gguf_package() {
    let file = blocks();
    for (name, encoding) in QUANTISED {
        let expected = numbers(&file, &format!("{name}.numbers"));
        let found = encoding.decode(&bytes(&file, &format!("{name}.bytes")));
        assert_eq!(found.len(), expected.len(), "{name}");
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&expected), "{name}");
    }
}

#[test]
fn numbers_encode_to_the_blocks_of_the_gguf_package() {
    let file = blocks();
    let numbers = numbers(&file, "numbers");
    for (name, encoding) in [("F16", Encoding::F16), ("BF16", Encoding::Bf16), ("Q8_0", Encoding::Q8_0), ("Q4_0", Encoding::Q4_0)] {
        assert_eq!(encoding.encode(&numbers), Ok(bytes(&file, &format!("{name}.written"))), "{name}");
    }
    assert_eq!(Encoding::F16.encode(&[1.0, 1e6]), Err(1e6));
    assert_eq!(Encoding::Q8_0.encode(&[1e9; 32]), Err(1e9));
}
