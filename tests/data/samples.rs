//! Samples: what is learned and what is only read, to the token.

use proptest::prelude::*;
use rootstock::config::Stage;
use rootstock::data::{Content, Encoding, IGNORE, Message, Record, Sample, Tokenizer, encode_records, share_length};
use rootstock::platform::{MemoryDirectory, block_on};

use super::{FIXTURES, fixture, tokenizer};

/// The turns' ends in the templates of other models than the fixtures' tokenizers are of.
const ENDS_OF_TURN: [&str; 3] = ["<end_of_turn>", "<|end|>", "<|eot_id|>"];

/// A fixture's tokenizer with another chat template, and with its end of turn as a special token.
pub(super) fn with_template(name: &str, template: &str) -> Tokenizer {
    let mut config = fixture(&format!("{name}/tokenizer_config.json"));
    let first = tokenizer(name).largest_id() + 1;
    for (i, token) in ENDS_OF_TURN.iter().enumerate() {
        config["added_tokens_decoder"][format!("{}", first + i as u32)] = serde_json::json!({"content": token, "special": true});
    }
    let dir = MemoryDirectory::new("model")
        .with("chat_template.jinja", template)
        .with("tokenizer_config.json", config.to_string())
        .with("tokenizer.json", std::fs::read(format!("{FIXTURES}/{name}/tokenizer.json")).expect("committed"));
    block_on(Tokenizer::load(&dir)).expect("the fixture loads")
}

pub(super) fn template_file(name: &str) -> String {
    std::fs::read_to_string(format!("{FIXTURES}/templates/{name}.jinja")).expect("committed")
}

fn record(content: Content, line: usize) -> Record {
    Record { content, path: "d.jsonl".into(), line }
}

fn conversation(messages: &[Message]) -> Record {
    record(Content::Conversation(messages.to_vec().into()), 1)
}

fn texts(texts: &[&str]) -> Vec<Record> {
    texts.iter().enumerate().map(|(i, text)| record(Content::Text(text.to_string()), i + 1)).collect()
}

fn sft(cutoff_len: usize) -> Encoding {
    Encoding::scoring(cutoff_len)
}

fn pt(cutoff_len: usize, packing: bool) -> Encoding {
    Encoding { stage: Stage::Pt, packing, ..Encoding::scoring(cutoff_len) }
}

/// The conversations of the fixture that can be trained on.
fn conversations() -> Vec<(String, Vec<Message>)> {
    let all = fixture("conversations.json");
    ["trained", "thinking", "unicode"]
        .iter()
        .map(|name| (name.to_string(), serde_json::from_value(all["conversations"][name].clone()).expect("messages")))
        .collect()
}

/// The runs of learned tokens: (first, one past the last).
fn learned(sample: &Sample) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for (i, label) in sample.labels.iter().enumerate() {
        if *label == IGNORE {
            continue;
        }
        assert_eq!(*label, sample.ids[i] as i32);
        match runs.last_mut() {
            Some((_, end)) if *end == i => *end = i + 1,
            _ => runs.push((i, i + 1)),
        }
    }
    runs
}

/// What the model sees before each answer must be, token for token, what it will see when it is used.
#[track_caller]
fn check_prompts(tokenizer: &Tokenizer, messages: &[Message], samples: &[Sample]) -> Vec<String> {
    let mut prompts: Vec<Vec<u32>> = Vec::new();
    for (k, message) in messages.iter().enumerate() {
        if message.role == "assistant" {
            let prompt = tokenizer.template().render(&messages[..k], true).expect("the template takes it");
            prompts.push(tokenizer.encode(&prompt, false).expect("any text can be encoded"));
        }
    }
    let mut answers = vec![None; prompts.len()];
    for sample in samples {
        for (start, end) in learned(sample) {
            let place = prompts.iter().position(|prompt| sample.ids[..start] == *prompt);
            let Some(place) = place else { panic!("{:?} is nobody's prompt", tokenizer.decode(&sample.ids[..start], false)) };
            assert!(answers[place].is_none(), "answer {} is learned twice", place + 1);
            answers[place] = Some(tokenizer.decode(&sample.ids[start..end], false).expect("ids decode"));
        }
    }
    answers.into_iter().map(|answer| answer.expect("each answer is learned")).collect()
}

#[test]
fn masks_equal_those_of_transformers() {
    let tokenizer = with_template("byte-level", &template_file("chatml_generation"));
    let mut compared = 0;
    for case in fixture("masks.json").as_array().expect("a list") {
        let name = case["conversation"].as_str().expect("a name");
        let Some((_, messages)) = conversations().into_iter().find(|(n, _)| n == name) else { continue };
        let ids: Vec<u32> = serde_json::from_value(case["ids"].clone()).expect("ids");
        let mask: Vec<u32> = serde_json::from_value(case["assistant_masks"].clone()).expect("a mask");
        let encoded = encode_records("d", &[conversation(&messages)], &tokenizer, &sft(4096)).expect("fine");
        assert_eq!(encoded.samples.len(), 1, "{name}");
        let sample = &encoded.samples[0];
        // What follows the last answer is neither learned nor seen by anything learned: it is left out.
        let last = mask.iter().rposition(|&m| m == 1).expect("an answer") + 1;
        assert_eq!(sample.ids, ids[..last], "{name}");
        let labels: Vec<i32> = ids.iter().zip(&mask).map(|(&id, &m)| if m == 1 { id as i32 } else { IGNORE }).collect();
        assert_eq!(sample.labels, labels[..last], "{name}");
        compared += 1;
    }
    assert_eq!(compared, 3);
}

#[test]
fn each_answer_follows_the_very_tokens_of_its_prompt() {
    for name in ["chatml", "qwen", "llama3", "gemma", "mistral", "phi3", "chatml_generation"] {
        let tokenizer = with_template("byte-level", &template_file(name));
        for (conversation_name, messages) in conversations() {
            let encoded = encode_records("d", &[conversation(&messages)], &tokenizer, &sft(4096)).expect("the template takes it");
            let answers = check_prompts(&tokenizer, &messages, &encoded.samples);
            let wanted = messages.iter().filter(|m| m.role == "assistant").map(|m| m.content.trim().to_string());
            for (answer, wanted) in answers.iter().zip(wanted) {
                let thought = wanted.rsplit("</think>").next().unwrap_or_default().trim().to_string();
                assert!(answer.contains(&thought), "{name}, {conversation_name}: {answer:?} lacks {thought:?}");
                assert!(!answer.contains("user") && !answer.contains("assistant"), "{name}: a header leaked into {answer:?}");
                assert!(!answer.ends_with('\n'), "{name}: {answer:?} goes on after its end of turn");
            }
        }
    }
}

#[test]
fn a_template_that_rewrites_earlier_turns_gets_a_sequence_per_answer() {
    let tokenizer = with_template("byte-level", &template_file("qwen"));
    let (_, messages) = conversations().swap_remove(1);
    let encoded = encode_records("d", &[conversation(&messages)], &tokenizer, &sft(4096)).expect("fine");
    assert_eq!(encoded.samples.len(), 2, "the first answer's thinking is cut out of the second's prompt");
    let answers = check_prompts(&tokenizer, &messages, &encoded.samples);
    assert_eq!(answers[0], "<think>\nTwo and two.\n</think>\n\n4<|im_end|>");
    let only_last = Encoding { mask_history: true, ..sft(4096) };
    let encoded = encode_records("d", &[conversation(&messages)], &tokenizer, &only_last).expect("fine");
    assert_eq!(encoded.samples.len(), 1);
}

#[test]
fn a_system_message_that_moves_stays_with_its_prompt() {
    // mistral's template puts the system message before the last question, and leaves it out once that is answered.
    let tokenizer = with_template("byte-level", &template_file("mistral"));
    let messages = [Message::new("system", "Be brief."), Message::new("user", "Which?"), Message::new("assistant", "The pear.")];
    let encoded = encode_records("d", &[conversation(&messages)], &tokenizer, &sft(4096)).expect("fine");
    assert_eq!(check_prompts(&tokenizer, &messages, &encoded.samples), [" The pear.<|im_end|>"]);
}

#[test]
fn a_header_that_promises_more_than_the_answer_has_is_split_where_they_part() {
    let source = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}\
                  {% if add_generation_prompt %}{{ '<|im_start|>assistant\n<think>\n' }}{% endif %}";
    let tokenizer = with_template("byte-level", source);
    let messages = [Message::new("user", "Which?"), Message::new("assistant", "The pear.")];
    let encoded = encode_records("d", &[conversation(&messages)], &tokenizer, &sft(4096)).expect("fine");
    let sample = &encoded.samples[0];
    let (start, end) = learned(sample)[0];
    assert_eq!(tokenizer.decode(&sample.ids[start..end], false), Ok("The pear.<|im_end|>".into()));
}

#[test]
fn tokens_that_would_join_prompt_and_answer_are_kept_apart() {
    // "A: " + "The": the whole text has " The" as one token, but the prompt alone ends with the space.
    let source = "{% for m in messages %}{{ 'Q: ' + m.content + '\n' if m.role == 'user' else 'A: ' + m.content + '\n' }}{% endfor %}\
                  {% if add_generation_prompt %}{{ 'A: ' }}{% endif %}";
    for name in ["byte-level", "byte-level-gpt2", "sentencepiece"] {
        let tokenizer = with_template(name, source);
        for answer in ["the garden", "\nthe garden", "trees"] {
            let messages = [Message::new("user", "the garden?"), Message::new("assistant", answer)];
            let encoded = encode_records("d", &[conversation(&messages)], &tokenizer, &sft(4096)).expect("fine");
            let answers = check_prompts(&tokenizer, &messages, &encoded.samples);
            let ids = &encoded.samples[0].ids;
            let (eos, text) = (tokenizer.eos().expect("it has one"), format!("Q: the garden?\nA: {answer}\n"));
            assert_eq!(ids.last(), Some(&eos), "a template without an end of turn gets one, so that the model stops");
            assert_eq!(tokenizer.decode(&ids[..ids.len() - 1], false), Ok(text), "{name}: {answer:?} became {answers:?}");
        }
    }
}

#[test]
fn without_a_template_plain_words_are_used_and_said() {
    for name in ["byte-level-gpt2", "sentencepiece"] {
        let tokenizer = tokenizer(name);
        let (_, messages) = conversations().swap_remove(0);
        let encoded = encode_records("d", &[conversation(&messages)], &tokenizer, &sft(4096)).expect("fine");
        let answers = check_prompts(&tokenizer, &messages, &encoded.samples);
        let eos = tokenizer.id_to_token(tokenizer.eos().expect("it has one")).expect("it is in the vocabulary");
        assert!(answers.iter().all(|answer| answer.ends_with(&eos)), "{answers:?}");
        assert!(encoded.notices[0].contains("has no chat template"), "{:?}", encoded.notices);
    }
}

#[test]
fn prompts_and_history_are_learned_or_not_as_asked() {
    let tokenizer = with_template("byte-level", &template_file("chatml_generation"));
    let (_, messages) = conversations().swap_remove(0);
    let sample = |how: Encoding| encode_records("d", &[conversation(&messages)], &tokenizer, &how).expect("fine").samples.remove(0);
    let plain = sample(sft(4096));
    assert_eq!(learned(&plain).len(), 2);
    let all = sample(Encoding { train_on_prompt: true, ..sft(4096) });
    assert_eq!((learned(&all), all.targets()), (vec![(0, all.ids.len())], all.ids.len() - 1));
    let last = sample(Encoding { mask_history: true, ..sft(4096) });
    assert_eq!(last.ids, plain.ids);
    assert_eq!(learned(&last), learned(&plain)[1..]);
}

#[test]
fn a_text_is_its_tokens_and_eos() {
    for name in ["byte-level", "sentencepiece"] {
        let tokenizer = tokenizer(name);
        let encoded = encode_records("d", &texts(&["the garden"]), &tokenizer, &sft(4096)).expect("fine");
        let mut ids = tokenizer.encode("the garden", true).expect("fine");
        ids.push(tokenizer.eos().expect("it has one"));
        let sample = &encoded.samples[0];
        assert_eq!(sample.ids, ids, "{name}");
        assert_eq!(sample.targets(), ids.len() - 1, "every token but the first is a target");
    }
}

#[test]
fn cutoff_len_is_shared_as_in_llamafactory() {
    for (source, target, cutoff, expected) in [
        (3000, 300, 1000, (700, 300)),
        (100, 3000, 1000, (100, 900)),
        (2000, 1000, 1000, (667, 333)),
        (10, 20, 1000, (10, 20)),
        (0, 5, 3, (0, 3)),
        (700, 700, 1023, (512, 511)),
        (5, 1, 1, (1, 0)),
    ] {
        assert_eq!(share_length(source, target, cutoff), expected, "{source} and {target} in {cutoff}");
    }
    let tokenizer = tokenizer("byte-level");
    let long = [Message::new("user", "why ".repeat(60)), Message::new("assistant", "so ".repeat(60))];
    let short = [Message::new("user", "Why?"), Message::new("assistant", "So.")];
    let records = [conversation(&long), conversation(&short)];
    let encoded = encode_records("d", &records, &tokenizer, &sft(40)).expect("fine");
    assert_eq!((encoded.truncated, encoded.dropped, encoded.samples[0].ids.len()), (1, 0, 40));
    assert!(encoded.samples[0].targets() > 10, "prompt and answer are both there");
    assert!(encoded.notices[0].contains("1 of 2 records are longer than cutoff_len (40)"), "{:?}", encoded.notices);
    // With history masked, the last turn is fitted first.
    let history = [&long[..], &short[..]].concat();
    let how = Encoding { mask_history: true, ..sft(60) };
    let sample = encode_records("d", &[conversation(&history)], &tokenizer, &how).expect("fine").samples.remove(0);
    let (start, end) = learned(&sample)[0];
    assert_eq!(tokenizer.decode(&sample.ids[start..end], false), Ok("So.<|im_end|>".into()));
    assert_eq!((end, sample.ids.len()), (60, 60));
    // Nothing of an answer left: dropped and said; nothing left at all: an error.
    let huge = [Message::new("user", "why ".repeat(900)), Message::new("assistant", "so so so so so")];
    let encoded = encode_records("d", &[conversation(&huge), conversation(&short)], &tokenizer, &sft(8)).expect("fine");
    assert_eq!(encoded.dropped, 1);
    let error = encode_records("d", &[conversation(&huge)], &tokenizer, &sft(2)).expect_err("nothing left").to_string();
    assert!(error.starts_with("d: none of the 1 records leaves a token to learn"), "{error}");
}

#[test]
fn pretraining_cuts_blocks_and_drops_the_remainder() {
    let tokenizer = tokenizer("byte-level");
    let stream: Vec<u32> = ["the garden", "trees bear apples", "x"]
        .iter()
        .flat_map(|text| [tokenizer.encode(text, false).expect("fine"), vec![tokenizer.eos().expect("it has one")]].concat())
        .collect();
    let records = texts(&["the garden", "trees bear apples", "x"]);
    let encoded = encode_records("d", &records, &tokenizer, &pt(5, true)).expect("fine");
    let blocks: Vec<Vec<u32>> = stream.chunks_exact(5).map(<[u32]>::to_vec).collect();
    assert_eq!(encoded.samples.iter().map(|s| s.ids.clone()).collect::<Vec<_>>(), blocks);
    assert_eq!(encoded.remainder, stream.len() % 5);
    assert!(encoded.samples.iter().all(|s| s.targets() == 4));
    let short = encode_records("d", &records, &tokenizer, &pt(4096, true)).expect("fine");
    assert_eq!((short.samples.len(), &short.samples[0].ids), (1, &stream));
    assert!(short.notices[0].contains("one short block"), "{:?}", short.notices);
    let apart = encode_records("d", &records, &tokenizer, &pt(4096, false)).expect("fine");
    assert_eq!(apart.samples.len(), 3);
    let error =
        encode_records("d", &[conversation(&[Message::new("user", "q"), Message::new("assistant", "a")])], &tokenizer, &pt(8, true));
    assert!(error.expect_err("a conversation").to_string().starts_with("d.jsonl, line 1: stage pt learns plain text"));
    // A tokenizer that begins texts with bos: each block does, as in LLaMA-Factory.
    let llama = super::tokenizer("sentencepiece");
    let encoded = encode_records("d", &records, &llama, &pt(5, true)).expect("fine");
    assert!(encoded.samples.iter().all(|s| Some(s.ids[0]) == llama.bos()));
}

#[test]
fn a_refused_conversation_is_named_with_its_line() {
    let tokenizer = with_template("byte-level", "{{ raise_exception('no system messages here') }}");
    let bad = record(Content::Conversation(vec![Message::new("user", "q"), Message::new("assistant", "a")].into()), 7);
    let error = encode_records("d", &[bad], &tokenizer, &sft(64)).expect_err("refused").to_string();
    assert_eq!(error, "d.jsonl, line 7: the chat template refuses this conversation: no system messages here");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn packing_keeps_every_token_within_the_cutoff(lengths in prop::collection::vec(1usize..40, 1..40), cutoff in 40usize..90, neat in any::<bool>()) {
        let tokenizer = tokenizer("byte-level");
        let records: Vec<Record> = lengths.iter().map(|n| record(Content::Text("a".repeat(*n)), 1)).collect();
        let alone = encode_records("d", &records, &tokenizer, &sft(cutoff)).expect("fine");
        let how = Encoding { packing: true, neat_packing: neat, ..sft(cutoff) };
        let packed = encode_records("d", &records, &tokenizer, &how).expect("fine");
        prop_assert_eq!(packed.tokens(), alone.tokens());
        prop_assert!(packed.samples.iter().all(|s| s.ids.len() <= cutoff));
        prop_assert!(packed.samples.iter().all(|s| s.ends.last() == Some(&s.ids.len()) && s.ends.is_sorted()));
        let sequences: usize = packed.samples.iter().map(|s| s.ends.len()).sum();
        prop_assert_eq!(sequences, if neat { alone.samples.len() } else { packed.samples.len() });
        // Greedy: no two packs could have been one.
        let mut sizes: Vec<usize> = packed.samples.iter().map(|s| s.ids.len()).collect();
        sizes.sort_unstable();
        prop_assert!(sizes.len() < 2 || sizes[0] + sizes[1] > cutoff);
    }

    #[test]
    fn any_conversation_keeps_prompts_exact(turns in prop::collection::vec(("[a-z ?\n]{1,12}", "[a-zé🌳 .\n]{0,12}[a-z]"), 1..4), which in 0usize..6) {
        let name = ["chatml", "qwen", "llama3", "gemma", "mistral", "phi3"][which];
        let tokenizer = with_template("byte-level", &template_file(name));
        let messages: Vec<Message> = turns.iter().flat_map(|(q, a)| [Message::new("user", q), Message::new("assistant", a)]).collect();
        let encoded = encode_records("d", &[conversation(&messages)], &tokenizer, &sft(4096)).expect("fine");
        check_prompts(&tokenizer, &messages, &encoded.samples);
    }

    #[test]
    fn sharing_never_exceeds_the_budget(source in 0usize..5000, target in 0usize..5000, budget in 1usize..5000) {
        let (s, t) = share_length(source, target, budget);
        prop_assert!(s <= source && t <= target && s + t <= budget);
        prop_assert!(source + target > budget || (s, t) == (source, target));
    }
}
