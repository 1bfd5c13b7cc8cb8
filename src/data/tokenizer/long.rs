//! Long texts in pieces. The tokenizers library takes some 160 bytes for each byte of a text, so a text of 50 MB is tokenised in windows that
//! overlap, and is cut where a word begins in both: the same tokens as at once.

use tokenizers::Encoding;

use super::{MAX_AT_ONCE, Tokenizer, encode_fault, guarded};
use crate::error::{Error, Result};

/// A text of more bytes is cut.
pub(super) const WINDOW: usize = 1 << 20;
/// How many bytes two windows share.
const OVERLAP: usize = 1 << 15;

/// Token ids of a text, nothing added.
///
/// # Errors
/// When the tokenizer cannot express the text, or does not part it into words, so that a text above [`MAX_AT_ONCE`] cannot be cut.
pub(super) fn encode(tokenizer: &Tokenizer, text: &str) -> Result<Vec<u32>> {
    if let Some(ids) = in_windows(tokenizer, text, WINDOW, OVERLAP)? {
        return Ok(ids);
    }
    if text.len() <= MAX_AT_ONCE {
        return Ok(encoding(tokenizer, text)?.get_ids().to_vec());
    }
    let reason = format!(
        "this text has {} bytes; the tokenizer does not part texts into words, so that one of more than {} MiB cannot be tokenised in \
         pieces; make several records of it",
        text.len(),
        MAX_AT_ONCE >> 20
    );
    Err(Error::config("tokenizer.json", "pre_tokenizer", reason))
}

/// `None` where two windows have no word in common that they part in the same way.
fn in_windows(tokenizer: &Tokenizer, text: &str, window: usize, overlap: usize) -> Result<Option<Vec<u32>>> {
    let mut ids = Vec::with_capacity(text.len() / 4);
    let mut start = 0;
    let mut end = text.floor_char_boundary(window);
    let mut current = encoding(tokenizer, &text[..end])?;
    let mut first = 0; // the token of this window that is the first not yet taken
    while end < text.len() {
        let next_start = text.floor_char_boundary(end - overlap);
        let next_end = text.floor_char_boundary(next_start + window);
        let next = encoding(tokenizer, &text[next_start..next_end])?;
        // Words near the end of one window or the beginning of the other may be parts of longer ones.
        let inner = next_start + overlap / 4..end - overlap / 4;
        let Some((here, there)) = common_word(&current, start, &next, next_start, &inner) else { return Ok(None) };
        ids.extend_from_slice(&current.get_ids()[first.min(here)..here]);
        (start, end, current, first) = (next_start, next_end, next, there);
    }
    ids.extend_from_slice(&current.get_ids()[first..]);
    Ok(Some(ids))
}

fn encoding(tokenizer: &Tokenizer, text: &str) -> Result<Encoding> {
    guarded(|| tokenizer.inner.encode(text, false)).map_err(encode_fault)
}

/// The tokens of two windows that begin the same word, as far as the windows agree from there on.
fn common_word(a: &Encoding, a_start: usize, b: &Encoding, b_start: usize, inner: &std::ops::Range<usize>) -> Option<(usize, usize)> {
    let words = words_of(a, a_start, inner);
    let others: std::collections::HashMap<usize, usize> = words_of(b, b_start, inner).into_iter().collect();
    let common: Vec<(usize, usize)> = words.into_iter().filter_map(|(at, i)| Some((i, *others.get(&at)?))).collect();
    let (first, last) = (*common.first()?, *common.last()?);
    let same = first != last && a.get_ids()[first.0..last.0] == b.get_ids()[first.1..last.1];
    same.then_some(first)
}

/// Where words begin within a range of the text, each with its first token.
fn words_of(encoding: &Encoding, start: usize, inner: &std::ops::Range<usize>) -> Vec<(usize, usize)> {
    let words = encoding.get_word_ids();
    let begins = |i: usize| i > 0 && (words[i].is_none() || words[i] != words[i - 1]);
    let at = |i: usize| start + encoding.get_offsets()[i].0;
    (0..encoding.len()).filter(|i| begins(*i) && inner.contains(&at(*i))).map(|i| (at(i), i)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::{NativeDirectory, block_on};
    use crate::random::Random;

    #[test]
    fn a_text_in_windows_has_the_tokens_of_the_whole() {
        for name in ["byte-level", "byte-level-gpt2", "sentencepiece"] {
            let tokenizer =
                block_on(Tokenizer::load(&NativeDirectory::new(format!("tests/fixtures/tokenizer/{name}")))).expect("the fixture");
            let random = &mut Random::new(7, 0);
            let words = ["the", " tree", "  ", "\n", "\n\n", "don't", " 1234", "é", "園", "🌳", " grafts", "...", "\t", "<|im_end|>", "a"];
            let mut cut = 0;
            for _ in 0..40 {
                let text: String = (0..600).map(|_| words[random.below(words.len() as u64) as usize]).collect();
                let whole = tokenizer.encode(&text, false).expect("any text");
                // Where it cannot be cut it says so; where it is cut the tokens are the same.
                if let Some(ids) = in_windows(&tokenizer, &text, 500, 160).expect("any text") {
                    assert_eq!(ids, whole, "{name}: {text:?}");
                    cut += 1;
                }
            }
            println!("{name}: {cut} of 40");
            assert!(cut == 40 || name == "sentencepiece", "{name}: {cut}");
        }
    }
}
