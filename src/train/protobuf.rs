//! The fields of a protocol buffer, as far as the messages need them that trackers read.

/// A number in seven bits a byte.
pub(super) fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// A field's number and the kind of what follows (0: a number, 1: 8 bytes, 2: a length and bytes, 5: 4 bytes).
fn key(number: u32, kind: u64) -> Vec<u8> {
    varint(u64::from(number) << 3 | kind)
}

pub(super) fn field_number(number: u32, value: u64) -> Vec<u8> {
    [key(number, 0), varint(value)].concat()
}

pub(super) fn field_f64(number: u32, value: f64) -> Vec<u8> {
    [&key(number, 1)[..], &value.to_le_bytes()].concat()
}

pub(super) fn field_f32(number: u32, value: f32) -> Vec<u8> {
    [&key(number, 5)[..], &value.to_le_bytes()].concat()
}

pub(super) fn field_bytes(number: u32, value: &[u8]) -> Vec<u8> {
    [&key(number, 2)[..], &varint(value.len() as u64), value].concat()
}
