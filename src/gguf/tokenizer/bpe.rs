//! Byte-level BPE (`tokenizer.ggml.model` is gpt2): tokens and merges are in the file, the way of parting text is named.

use std::borrow::Cow;

use serde_json::{Value as Json, json};

use super::pre::Pre;
use super::{Bpe, Ids, Kind, TokenizerJson, Vocabulary, added, bytes};
use crate::error::Result;

/// tokenizer.json, and whether every text begins with bos.
pub(super) fn tokenizer<'a>(vocabulary: &Vocabulary<'a>) -> Result<(Vec<u8>, bool)> {
    let metadata = vocabulary.metadata;
    let key = "tokenizer.ggml.pre";
    let pre = match metadata.text(key)? {
        Some(name) => Pre::named(name).ok_or_else(|| {
            let reason = format!("is {name}, a way of parting text into words that is not known ({})", Pre::names());
            metadata.error(key, format!("{reason}; take the model's Hugging Face directory"))
        })?,
        None => {
            let reason = "is missing, so the file does not say how text is parted into words; take a file by a newer converter";
            return Err(metadata.error(key, reason));
        }
    };
    let key = "tokenizer.ggml.merges";
    let merges = metadata.texts(key)?.ok_or_else(|| metadata.error(key, "is missing, and a gpt2 tokenizer needs its merges"))?;
    // A space parts the two halves; a half may begin with spaces itself.
    let halves = |merge: &'a str| {
        let at = merge.char_indices().skip(1).find(|(_, c)| *c == ' ')?.0;
        Some((&merge[..at], &merge[at + 1..]))
    };
    let merges =
        merges.iter().map(|text| halves(text).ok_or_else(|| metadata.error(key, format!("has the entry \"{text}\", which is no pair"))));
    let merges = merges.collect::<Result<Vec<_>>>()?;
    let mut vocab = Ids::default();
    let mut extra = Vec::new();
    for (id, token, kind) in vocabulary.used() {
        vocab.list.push((Cow::Borrowed(token), id));
        match kind {
            Kind::Control => extra.push(added(id, token, false, true)),
            Kind::UserDefined => extra.push(added(id, token, false, false)),
            Kind::Normal | Kind::Unknown | Kind::Unused | Kind::Byte => {}
        }
    }
    let adds_bos = metadata.flag("tokenizer.ggml.add_bos_token")?.unwrap_or(pre.adds_bos);
    let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    let post = match vocabulary.frame(adds_bos)? {
        Some(frame) => json!({"type": "Sequence", "processors": [byte_level, frame]}),
        None => byte_level.clone(),
    };
    let tokenizer = TokenizerJson {
        version: "1.0",
        truncation: None,
        padding: None,
        added_tokens: extra,
        normalizer: if pre.composes { json!({"type": "NFC"}) } else { Json::Null },
        pre_tokenizer: pre.json(),
        post_processor: Some(post),
        decoder: byte_level,
        model: Bpe {
            kind: "BPE",
            dropout: None,
            unk_token: None,
            continuing_subword_prefix: None,
            end_of_word_suffix: None,
            fuse_unk: false,
            byte_fallback: false,
            ignore_merges: pre.ignores_merges,
            vocab,
            merges,
        },
    };
    Ok((bytes(metadata, &tokenizer)?, adds_bos))
}
