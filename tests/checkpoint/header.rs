//! The safetensors header, malformed in every way we can think of and in ways that proptest thinks of.

use proptest::collection::vec;
use proptest::prelude::*;
use rootstock::checkpoint::Header;

use super::support::safetensors_file;

/// A file with this JSON as its header and `data` bytes of data.
fn file(json: &str, data: usize) -> Vec<u8> {
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(json.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

fn refusal(bytes: &[u8]) -> String {
    Header::parse("w.safetensors", bytes, bytes.len() as u64).expect_err("it was accepted").to_string()
}

#[test]
fn good_headers_are_read() {
    let bytes = safetensors_file(&[("b", &[2, 3], 1.0), ("a", &[4], 2.0), ("empty", &[0, 5], 0.0), ("scalar", &[], 3.0)]);
    let header = Header::parse("w", &bytes, bytes.len() as u64).expect("it is good");
    let mut found: Vec<_> = header.tensors.iter().map(|t| (t.name.as_str(), t.shape.clone(), t.bytes)).collect();
    found.sort();
    let expected = [("a", vec![4], 16), ("b", vec![2, 3], 24), ("empty", vec![0, 5], 0), ("scalar", vec![], 4)];
    assert_eq!(found, expected);
    for tensor in &header.tensors {
        let bytes = &bytes[tensor.offset as usize..(tensor.offset + tensor.bytes) as usize];
        let value = match tensor.name.as_str() {
            "a" => 2.0f32,
            "b" => 1.0,
            _ => 3.0,
        };
        assert!(bytes.chunks(4).all(|b| b == value.to_le_bytes()), "{}", tensor.name);
    }
}

#[test]
fn malformed_headers_are_refused_with_the_reason() {
    let one = |entry: &str| format!("{{\"t\":{entry}}}");
    let good = r#"{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#;
    let huge = "18446744073709551615";
    for (bytes, reason) in [
        (vec![], "the file has only 0 bytes"),
        (vec![1, 0, 0], "the file has only 3 bytes"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n".to_vec(), "git lfs pull"),
        (u64::MAX.to_le_bytes().to_vec(), "not a safetensors file"),
        (1000u64.to_le_bytes().to_vec(), "its header has 1000 bytes, the whole file 8"),
        (file("[]", 0), "header is damaged"),
        (file("{", 0), "header is damaged"),
        (file("{} x", 0), "header is damaged"),
        (file("\u{feff}{}", 0), "header is damaged"),
        (file(&one(r#"{"dtype":"F32","shape":[2]}"#), 8), "missing field `data_offsets`"),
        (file(&one(r#"{"dtype":"F32","shape":[-2],"data_offsets":[0,8]}"#), 8), "header is damaged"),
        (file(&one(r#"{"dtype":"float33","shape":[2],"data_offsets":[0,8]}"#), 8), "t: the dtype float33 is not known"),
        (file(&one(r#"{"dtype":"F32","shape":[2],"data_offsets":[8,0]}"#), 8), "t: its bytes end (0) before they begin (8)"),
        (file(&one(r#"{"dtype":"F32","shape":[3],"data_offsets":[0,8]}"#), 8), "t: the shape [3] in F32 takes 12 bytes, 8 are given"),
        (file(&one(&format!(r#"{{"dtype":"F32","shape":[{huge},{huge}],"data_offsets":[0,8]}}"#)), 8), "is impossible"),
        (file(&one(r#"{"dtype":"F4","shape":[3],"data_offsets":[0,1]}"#), 1), "t: the shape [3] is impossible"),
        (file(&one(good), 5), "t: the file is cut short: 3 bytes of this tensor are missing"),
        (file(&one(good), 13), "5 bytes follow the last tensor"),
        (file(&one(r#"{"dtype":"F32","shape":[1],"data_offsets":[4,8]}"#), 8), "t: its bytes begin at 4 of the data, where 0 was expected"),
        (file(&format!(r#"{{"t":{good},"u":{good}}}"#), 8), "its bytes begin at 0 of the data, where 8 was expected"),
        (file(&format!(r#"{{"t":{good},"t":{}}}"#, good.replace("[0,8]", "[8,16]")), 16), "t: the header lists this tensor twice"),
        (file(r#"{"__metadata__":{"format":1}}"#, 0), "header is damaged"),
    ] {
        let found = refusal(&bytes);
        assert!(found.starts_with("w.safetensors: ") && found.contains(reason), "{found:?} lacks {reason:?}");
    }
}

/// What is accepted has tensors that lie one after the other and fill the file to its end.
fn check(bytes: &[u8]) {
    if let Ok(header) = Header::parse("f", bytes, bytes.len() as u64) {
        let first = header.tensors.first().map_or(bytes.len() as u64, |t| t.offset);
        let end = header.tensors.iter().fold(first, |at, tensor| {
            assert_eq!(tensor.offset, at);
            assert_eq!(tensor.elements() * tensor.dtype.bitsize() as u64, tensor.bytes * 8);
            at + tensor.bytes
        });
        assert_eq!(end, bytes.len() as u64);
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn random_json_never_panics(json in r#"\{("[a-c]":\{"dtype":"(F32|U8|F4|x)","shape":\[([0-9]{1,20}(,[0-9]{1,3})?)?\],"data_offsets":\[[0-9]{1,20},[0-9]{1,2}\]\},?){0,3}\}"#, data in 0usize..100) {
        check(&file(&json, data));
    }

    #[test]
    fn mutations_never_panic(
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes = safetensors_file(&[("b.weight", &[2, 3], 1.0), ("a", &[4], 2.0)]);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check(&bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        check(&bytes);
    }

    /// The parser accepts and refuses what the format's own crate does (which is stricter only about sizes of a whole file).
    #[test]
    fn agrees_with_the_safetensors_crate(at in any::<prop::sample::Index>(), value in any::<u8>()) {
        let mut bytes = safetensors_file(&[("b.weight", &[2, 3], 1.0), ("a", &[4], 2.0)]);
        let at = at.index(bytes.len());
        bytes[at] = value;
        let ours = Header::parse("f", &bytes, bytes.len() as u64);
        let theirs = safetensors::SafeTensors::deserialize(&bytes);
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
    }
}
