//! A model whose answers are known: after each token it is sure of one other. Attention and feed-forward write zeros, the embedding is
//! the identity, and the head is the chain. With a real tokenizer and chat template this shows whole answers, character by character.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use async_trait::async_trait;
use rootstock::Result;
use rootstock::checkpoint::{Carry, Checkpoint, Dtype, ParamSource, WriteOptions, write_checkpoint};
use rootstock::data::{Message, Tokenizer};
use rootstock::generate::{AnswerOptions, FinishReason, Generator, GeneratorOptions, SamplingOptions, chat_prompt, stop_ids, text_prompt};
use rootstock::model::{ModelConfig, ParamDecl, params};
use rootstock::platform::{MemoryDirectory, NativeDirectory, OutputDirectory, block_on};

use crate::kernels::gpu;

/// The vocabulary of the byte-level tokenizer fixture.
const VOCABULARY: usize = 307;
const CONFIG: &str = r#"{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 307, "hidden_size": 308,
    "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 11, "num_key_value_heads": 1, "head_dim": 28,
    "max_position_embeddings": 96, "tie_word_embeddings": false, "bos_token_id": 2, "eos_token_id": 0, "pad_token_id": 0}"#;

struct Chain {
    params: Vec<ParamDecl>,
    next: BTreeMap<u32, u32>,
}

#[async_trait(?Send)]
impl ParamSource for Chain {
    async fn read_rows(&self, param: usize, rows: Range<usize>) -> Result<Vec<f32>> {
        let p = &self.params[param];
        let number = |row: usize, col: usize| match p.name.as_str() {
            name if name.contains("norm") => 1.0,
            "model.embed_tokens.weight" => f32::from(row == col),
            "lm_head.weight" => f32::from(self.next.get(&(col as u32)) == Some(&(row as u32))),
            _ => 0.0,
        };
        Ok(rows.flat_map(|row| (0..p.cols).map(move |col| (row, col))).map(|(row, col)| number(row, col)).collect())
    }
}

/// Writes the model that says `answers` after their first tokens: each is a list of ids, followed one by the other.
pub(crate) async fn write_chain(out: &dyn OutputDirectory, chains: &[Vec<u32>]) {
    let config = ModelConfig::parse("config.json", CONFIG.as_bytes()).expect("a configuration");
    let params = params(&config);
    let next = chains.iter().flat_map(|ids| ids.windows(2).map(|pair| (pair[0], pair[1]))).collect();
    let carry = Carry::load(&NativeDirectory::new("tests/fixtures/tokenizer/byte-level")).await.expect("a tokenizer");
    let source = Chain { params: params.clone(), next };
    let options = WriteOptions { dtype: Dtype::BF16, ..WriteOptions::default() };
    write_checkpoint(out, &options, &config, &params, &source, &carry).await.expect("a checkpoint");
}

pub(crate) async fn byte_level() -> Tokenizer {
    Tokenizer::load(&NativeDirectory::new("tests/fixtures/tokenizer/byte-level")).await.expect("a tokenizer")
}

/// The chain that answers any question in chat with `text`: from the end of the header over the text to the end of the turn.
pub(crate) fn reply(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let header = chat_prompt(tokenizer, &[Message::new("user", "?")]).expect("a prompt");
    let mut ids = vec![*header.last().expect("a header")];
    ids.extend(tokenizer.encode(text, false).expect("tokens"));
    ids.extend(tokenizer.token_to_id("<|im_end|>"));
    let mut once = ids.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), ids.len(), "a chain has each token once: {ids:?}");
    ids
}

struct Said {
    pieces: Vec<String>,
    tokens: Vec<u32>,
    finish: Option<FinishReason>,
}

async fn say(generator: &mut Generator, tokenizer: &Tokenizer, prompt: &[u32], max_new_tokens: usize) -> Said {
    let sampling = SamplingOptions { greedy: true, ..SamplingOptions::default() };
    let options = AnswerOptions { sampling, max_new_tokens, stop_ids: stop_ids(generator.config(), tokenizer) };
    let mut text = generator.answer(prompt, options).await.expect("an answer").text(tokenizer, true);
    let mut pieces = Vec::new();
    while let Some(piece) = text.next_text().await.expect("text") {
        pieces.extend(Some(piece).filter(|piece| !piece.is_empty()));
    }
    Said { pieces, tokens: text.answer().tokens().to_vec(), finish: text.answer().finish_reason() }
}

#[test]
fn a_chat_answer_streams_in_whole_characters_and_ends_with_its_turn() {
    block_on(async {
        let tokenizer = byte_level().await;
        let directory = MemoryDirectory::new("chain");
        let answer = "aé€🎉 b";
        write_chain(&directory, &[reply(&tokenizer, answer)]).await;
        let checkpoint = Checkpoint::open(Rc::new(directory)).await.expect("a checkpoint");
        let mut generator = Generator::load(gpu(), &checkpoint, GeneratorOptions::default()).await.expect("a generator");
        assert_eq!(generator.context(), 96);

        let prompt =
            chat_prompt(&tokenizer, &[Message::new("system", "Be brief."), Message::new("user", "How are you?")]).expect("a prompt");
        let said = say(&mut generator, &tokenizer, &prompt, 60).await;
        assert_eq!(said.pieces.concat(), answer);
        assert_eq!(said.finish, Some(FinishReason::Stop));
        assert!(said.tokens.len() > said.pieces.len(), "some characters take several tokens: {:?}", said.pieces);
        assert!(said.pieces.iter().all(|piece| !piece.contains('\u{fffd}')), "{:?}", said.pieces);

        // Cut within the three bytes of €: what is there is shown as what it is, at the end.
        let until = tokenizer.encode("aé€", false).expect("tokens").len() - 1;
        let said = say(&mut generator, &tokenizer, &prompt, until).await;
        assert_eq!(said.finish, Some(FinishReason::Length));
        assert_eq!((said.tokens.len(), said.pieces.concat().trim_end_matches('\u{fffd}')), (until, "aé"));
    });
}

#[test]
fn the_template_the_tokenizer_and_the_configuration_say_where_to_stop() {
    block_on(async {
        let tokenizer = byte_level().await;
        let config = ModelConfig::parse("config.json", CONFIG.as_bytes()).expect("a configuration");
        // 0 from config.json, 1 from the tokenizer and from the template.
        assert_eq!(stop_ids(&config, &tokenizer).into_iter().collect::<Vec<_>>(), [0, 1]);
        assert!(config.vocab_size == VOCABULARY && tokenizer.vocab_size() == VOCABULARY);

        // A template whose end of turn no file names.
        let mut directory = MemoryDirectory::new("other");
        for name in ["tokenizer.json", "tokenizer_config.json"] {
            directory = directory.with(name, std::fs::read(format!("tests/fixtures/tokenizer/byte-level/{name}")).expect("committed"));
        }
        let template = "{% for m in messages %}{{ m.content + '<|im_start|>\\n' }}{% endfor %}";
        let tokenizer = Tokenizer::load(&directory.with("chat_template.jinja", template)).await.expect("a tokenizer");
        assert_eq!(stop_ids(&config, &tokenizer).into_iter().collect::<Vec<_>>(), [0, 1, 2]);
    });
}

#[test]
fn plain_text_goes_on_without_a_template_and_an_empty_prompt_begins_one() {
    block_on(async {
        let tokenizer = byte_level().await;
        let directory = MemoryDirectory::new("chain");
        let garden = tokenizer.encode(" garden in it", false).expect("tokens");
        let begin: Vec<u32> = std::iter::once(2).chain(garden.clone()).chain([0]).collect();
        write_chain(&directory, &[begin]).await;
        let checkpoint = Checkpoint::open(Rc::new(directory)).await.expect("a checkpoint");
        let mut generator = Generator::load(gpu(), &checkpoint, GeneratorOptions::default()).await.expect("a generator");
        let prompt = text_prompt(&tokenizer, "The garden").expect("a prompt");
        let said = say(&mut generator, &tokenizer, &prompt, 60).await;
        assert_eq!((said.pieces.concat().as_str(), said.finish), (" in it", Some(FinishReason::Stop)));
        let said = say(&mut generator, &tokenizer, &text_prompt(&tokenizer, "").expect("a prompt"), 60).await;
        assert_eq!((said.pieces.concat().as_str(), said.finish), (" garden in it", Some(FinishReason::Stop)));
    });
}
