//! The golden fixtures, written by transformers: every directory opens, every tensor is declared and read right.

use rootstock::model::{Architecture, Layout};
use rootstock::platform::block_on;
use safetensors::SafeTensors;

use super::support::{golden_directory, golden_names, open_golden, read, read_json};

/// Names, shapes and decay groups against what transformers reports (golden.safetensors holds a gradient for each parameter).
#[test]
fn declarations_are_transformers_parameters() {
    for case in golden_names() {
        let checkpoint = open_golden(&case);
        let dir = golden_directory(&case);
        let bytes = read(&dir, "golden.safetensors");
        let golden = SafeTensors::deserialize(&bytes).expect("the fixture is good");
        let mut expected: Vec<(String, Vec<usize>)> =
            golden.iter().filter_map(|(name, view)| Some((name.strip_prefix("grad/")?.to_string(), view.shape().to_vec()))).collect();
        expected.sort();
        let mut found: Vec<_> = checkpoint.params().iter().map(|p| (p.name.clone(), p.stored_shape())).collect();
        found.sort();
        assert_eq!(found, expected, "{case}");

        let decayed = read_json(&dir, "golden.json")["train"]["decayed"].clone();
        let mut expected: Vec<&str> = decayed.as_array().expect("a list").iter().map(|name| name.as_str().expect("names")).collect();
        expected.sort_unstable();
        let mut found: Vec<_> = checkpoint.params().iter().filter(|p| p.decays()).map(|p| p.name.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, expected, "{case}");
    }
}

/// Values against the `safetensors` crate's view of the same files.
#[test]
fn values_are_those_of_the_files() {
    for case in golden_names() {
        let checkpoint = open_golden(&case);
        let dir = golden_directory(&case);
        let entries = block_on(rootstock::platform::Directory::list(&dir)).expect("it can be listed");
        let files: Vec<Vec<u8>> = entries
            .iter()
            .filter(|e| e.name.starts_with("model") && e.name.ends_with(".safetensors"))
            .map(|e| read(&dir, &e.name))
            .collect();
        let views: Vec<_> = files.iter().map(|bytes| SafeTensors::deserialize(bytes).expect("good")).collect();
        for param in checkpoint.params() {
            let view = views.iter().find_map(|v| v.tensor(&param.name).ok()).expect("it is in one of them");
            let stored: Vec<f32> = match view.dtype() {
                safetensors::Dtype::F32 => view.data().chunks(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
                safetensors::Dtype::BF16 => {
                    view.data().chunks(2).map(|b| f32::from_bits(u32::from(u16::from_le_bytes([b[0], b[1]])) << 16)).collect()
                }
                safetensors::Dtype::F16 => view.data().chunks(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect(),
                other => panic!("{other}"),
            };
            let expected: Vec<f32> = match param.layout {
                Layout::AsStored => stored,
                Layout::Transposed => (0..param.rows)
                    .flat_map(|row| (0..param.cols).map(move |col| (row, col)))
                    .map(|(row, col)| stored[col * param.rows + row])
                    .collect(),
            };
            let found = block_on(checkpoint.read_rows(param, 0..param.rows)).expect("it reads");
            assert_eq!(found, expected, "{case}: {}", param.name);
            assert_eq!(checkpoint.stored_dtype(param), Ok(view.dtype()));
        }
    }
}

/// Frozen weights are taken as the bits that are stored.
#[test]
fn half_precision_is_read_as_stored() {
    let checkpoint = open_golden("mistral-sliding");
    let param = &checkpoint.params()[0];
    let bits = block_on(checkpoint.read_rows_half(param, 1..3)).expect("it is stored in bf16");
    let values = block_on(checkpoint.read_rows(param, 1..3)).expect("it reads");
    assert_eq!(bits.len(), 2 * param.cols);
    assert!(bits.iter().zip(values).all(|(bits, value)| f32::from_bits(u32::from(*bits) << 16) == value));

    let full = open_golden("llama");
    let error = block_on(full.read_rows_half(&full.params()[0], 0..1)).expect_err("it is stored in f32");
    assert_eq!(error.to_string(), "model.safetensors: model.embed_tokens.weight: is stored in F32, not in half precision");
}

#[test]
fn every_architecture_has_a_fixture() {
    let found: Vec<_> = golden_names().iter().map(|case| open_golden(case).config().architecture).collect();
    for architecture in Architecture::all() {
        assert!(found.contains(&architecture), "{architecture:?}");
    }
}
