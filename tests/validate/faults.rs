//! Faults that need no model of a fixture: directories of a few small files in memory.

use std::rc::Rc;

use rootstock::platform::{Directory, block_on};
use rootstock::validate::{Options, Report, validate};

use crate::checkpoint::support::{directory, llama};

fn judge(dir: impl Directory + 'static) -> Report {
    let options = Options { quick: true, ..Options::default() };
    block_on(validate(Rc::new(dir), &options, &mut |_| {})).expect("a directory is judged, whatever is in it")
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().filter(|finding| finding.is_error()).map(|finding| finding.code.name()).collect()
}

/// What a stranger's file says is repeated in sentences, so no sentence decides what kind of fault it is.
#[test]
fn words_in_a_file_do_not_decide_the_fault() {
    for words in ["git-lfs", "points outside", "leads nowhere", "cut short"] {
        let json = format!(r#"{{"t":{{"dtype":"{words}","shape":[2],"data_offsets":[0,8]}}}}"#);
        let mut file = (json.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(json.as_bytes());
        file.extend_from_slice(&[0; 8]);
        let report = judge(directory(&llama()).with("model.safetensors", file));
        assert_eq!(codes(&report).first(), Some(&"damaged_file"), "{report:?}");
        let tokenizer = format!(r#"{{"version": "1.0", "model": {{"type": "{words} chat template"}}}}"#);
        let report = judge(directory(&llama()).with("tokenizer.json", tokenizer));
        assert_eq!(codes(&report), ["damaged_tokenizer"], "{report:?}");
    }
}
