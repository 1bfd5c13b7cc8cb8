//! Weights that torch.save wrote, against the safetensors file that holds the same numbers; and pickles that are no weights.

use std::path::PathBuf;
use std::rc::Rc;

use rootstock::checkpoint::{TensorFile, TorchFile};
use rootstock::platform::{Directory, MemoryDirectory, block_on, open_directory};
use rootstock::{Error, Result};

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/validate")
}

fn directory(name: &str) -> Rc<dyn Directory> {
    Rc::new(open_directory(&fixtures().join(name)).expect("the fixture is there"))
}

/// Every tensor of the pickles has the bytes, type and shape of the healthy directory's; how many there were.
fn compare(case: &str, files: &[&str], healthy: &str) -> usize {
    let expected = block_on(TensorFile::open(directory(&format!("healthy/{healthy}")), "model.safetensors")).expect("it opens");
    let mut count = 0;
    for name in files {
        let found = block_on(TorchFile::open(directory(&format!("broken/{case}")), name)).unwrap_or_else(|e| panic!("{case}: {e}"));
        for tensor in found.file.tensors() {
            let name = if tensor.name == "lm_head.weight" && healthy.contains("tied") { "model.embed_tokens.weight" } else { &tensor.name };
            let entry = expected.get(name).unwrap_or_else(|| panic!("{case}: {name} is not in the model"));
            let mut shape = tensor.shape.clone();
            let mut bytes = block_on(found.file.read_bytes(&tensor.name, 0..tensor.elements())).expect("it reads");
            if found.transposed.contains(&tensor.name) {
                let (rows, cols) = (shape[0] as usize, shape[1] as usize);
                bytes =
                    (0..cols).flat_map(|c| (0..rows).map(move |r| 2 * (r * cols + c))).flat_map(|at| [bytes[at], bytes[at + 1]]).collect();
                shape.reverse();
            }
            assert_eq!((tensor.dtype, &shape), (entry.dtype, &entry.shape), "{case}: {name}");
            assert_eq!(bytes, block_on(expected.read_bytes(name, 0..entry.elements())).expect("it reads"), "{case}: {name}");
            count += 1;
        }
    }
    count
}

#[test]
fn torch_files_hold_the_tensors_of_the_safetensors_file() {
    let bin = ["pytorch_model.bin"];
    assert_eq!(compare("18-pickle", &bin, "llama-v5"), 21);
    assert_eq!(compare("18-pickle-legacy", &bin, "llama-v5"), 21);
    assert_eq!(compare("18-pickle-parameters", &bin, "llama-v5"), 21);
    assert_eq!(compare("18-pickle-trainer", &bin, "llama-v5"), 21);
    assert_eq!(compare("18-pickle-f32-tied", &bin, "llama-tied-v5"), 21);
    let shards = ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"];
    assert_eq!(compare("18-pickle-shards", &shards, "llama-v5"), 21);
}

fn open(bytes: Vec<u8>) -> Result<TorchFile> {
    block_on(TorchFile::open(Rc::new(MemoryDirectory::new("m").with("x.bin", bytes)), "x.bin"))
}

fn refusal(bytes: Vec<u8>) -> String {
    match open(bytes) {
        Ok(_) => panic!("it was accepted"),
        Err(Error::File { reason, .. }) => reason,
        Err(other) => other.to_string(),
    }
}

#[test]
fn what_would_run_is_refused_by_its_name() {
    let hostile = block_on(directory("broken/18-pickle-hostile").read("pytorch_model.bin")).expect("it reads");
    let reason = refusal(hostile);
    assert!(reason.contains("wants to call posix.system") && reason.contains("was not run"), "{reason}");
    assert!(!std::path::Path::new("/tmp/rootstock-pickle-ran").exists());
}

#[test]
fn damaged_files_are_refused() {
    for case in ["18-pickle", "18-pickle-legacy"] {
        let whole = block_on(directory(&format!("broken/{case}")).read("pytorch_model.bin")).expect("it reads");
        for keep in [0, 1, 4, 20, 100, 700, whole.len() / 2, whole.len() - 1] {
            let reason = refusal(whole[..keep].to_vec());
            assert!(
                ["cut short", "not a file that torch.save writes"].iter().any(|part| reason.contains(part)),
                "{case}, {keep}: {reason}"
            );
        }
    }
    assert!(refusal(b"PK\x03\x04 and nothing else".to_vec()).contains("cut short or damaged"));
    assert!(refusal(b"version https://git-lfs.github.com/spec/v1\n".to_vec()).contains("git lfs pull"));
}

/// Single bytes changed all over the file: an answer or a refusal, never a panic, and never a tensor outside the file.
#[test]
fn changed_bytes_do_no_harm() {
    for case in ["18-pickle", "18-pickle-legacy"] {
        let whole = block_on(directory(&format!("broken/{case}")).read("pytorch_model.bin")).expect("it reads");
        for at in 0..whole.len() {
            // What matters are the pickle and the archive's directory; of the data, a sample does.
            if at > 6000 && at < whole.len() - 5000 && at % 97 != 0 {
                continue;
            }
            let mut bytes = whole.clone();
            bytes[at] = bytes[at].wrapping_add(1 + (at % 251) as u8);
            if let Ok(found) = open(bytes) {
                for tensor in found.file.tensors() {
                    assert!(tensor.offset + tensor.bytes <= whole.len() as u64, "{case}, byte {at}: {}", tensor.name);
                }
            }
        }
    }
}
