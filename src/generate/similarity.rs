//! How much an answer is like the expected one: ROUGE-1, -2, -L and BLEU-4, each from 0 to 100, as LLaMA-Factory computes them.
//!
//! LLaMA-Factory cuts texts into words by jieba, scores them by rouge_chinese, and takes NLTK's BLEU over characters. Here jieba's rules
//! for everything but Chinese are kept; Chinese, which it cuts by a dictionary of 350,000 words, is cut into its characters.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use fancy_regex::Regex;
use serde::Serialize;

/// What an answer scores.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Similarity {
    /// BLEU over characters, n-grams up to four, NIST's smoothing.
    #[serde(rename = "bleu-4")]
    pub bleu_4: f64,
    /// F1 of the sets of words.
    #[serde(rename = "rouge-1")]
    pub rouge_1: f64,
    /// F1 of the sets of pairs of words.
    #[serde(rename = "rouge-2")]
    pub rouge_2: f64,
    /// F1 of the longest common subsequence of words.
    #[serde(rename = "rouge-l")]
    pub rouge_l: f64,
}

/// Compares answers with the expected ones; holds the patterns that texts are cut by.
#[derive(Debug)]
pub struct Judge {
    /// Ends of sentences, and what follows them.
    ends: [Regex; 4],
    /// Words within letters, digits and the marks that may stand in a word.
    words: Regex,
}

impl Default for Judge {
    fn default() -> Self {
        let pattern = |text: &str| Regex::new(text).expect("the patterns are constants; a test compiles them");
        Judge {
            ends: [r"([。！？?])([^”’])", r"(\.{6})([^”’])", r"(…{2})([^”’])", r"([。！？?][”’])([^，。！？?])"].map(pattern),
            words: pattern(r"[a-zA-Z0-9]+(?:\.[0-9]+)?%?"),
        }
    }
}

impl Judge {
    /// Scores one answer.
    pub fn score(&self, answer: &str, expected: &str) -> Similarity {
        let mut similarity = Similarity { bleu_4: hundred(bleu(answer, expected)), ..Similarity::default() };
        let (answer, expected) = (self.joined(answer), self.joined(expected));
        if answer.trim().is_empty() || expected.trim().is_empty() {
            return similarity;
        }
        let (answer, expected) = (self.sentences(&answer), self.sentences(&expected));
        let n_grams = |n: usize| {
            let (got, want) = (n_grams(&answer, n), n_grams(&expected, n));
            let (got, want): (HashSet<_>, HashSet<_>) = (got.into_keys().collect(), want.into_keys().collect());
            f1(got.intersection(&want).count(), got.len(), want.len())
        };
        similarity.rouge_1 = hundred(n_grams(1));
        similarity.rouge_2 = hundred(n_grams(2));
        similarity.rouge_l = hundred(f1(common_subsequence(&expected, &answer), answer.len(), expected.len()));
        similarity
    }

    /// The mean of several scores.
    pub fn mean(scores: &[Similarity]) -> Similarity {
        let mean = |of: fn(&Similarity) -> f64| scores.iter().map(of).sum::<f64>() / scores.len().max(1) as f64;
        Similarity { bleu_4: mean(|s| s.bleu_4), rouge_1: mean(|s| s.rouge_1), rouge_2: mean(|s| s.rouge_2), rouge_l: mean(|s| s.rouge_l) }
    }

    /// The words of a text, with a space between two.
    fn joined(&self, text: &str) -> String {
        let mut words: Vec<String> = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let run = rest.find(|c: char| is_of_word(c) != is_of_word(first)).unwrap_or(rest.len());
            let (part, after) = rest.split_at(run);
            match is_of_word(first) {
                true => self.cut(part, &mut words),
                false => words.extend(part.replace("\r\n", "\n").chars().map(String::from)),
            }
            rest = after;
        }
        words.join(" ")
    }

    /// Cuts a run of letters, digits, marks and Chinese characters.
    fn cut(&self, part: &str, words: &mut Vec<String>) {
        let (mut rest, mut plain) = (part, String::new());
        while let Some(first) = rest.chars().next() {
            let known = DICTIONARY.iter().find(|word| rest.starts_with(**word));
            let length = match known {
                Some(word) => word.len(),
                None if is_chinese(first) => first.len_utf8(),
                None => {
                    plain.push(first);
                    rest = &rest[first.len_utf8()..];
                    continue;
                }
            };
            self.cut_plain(&std::mem::take(&mut plain), words);
            words.push(rest[..length].to_string());
            rest = &rest[length..];
        }
        self.cut_plain(&plain, words);
    }

    /// Words and what stands between them.
    fn cut_plain(&self, text: &str, words: &mut Vec<String>) {
        let mut end = 0;
        for word in self.words.find_iter(text).filter_map(Result::ok) {
            words.extend((end < word.start()).then(|| text[end..word.start()].to_string()));
            words.push(word.as_str().to_string());
            end = word.end();
        }
        words.extend((end < text.len()).then(|| text[end..].to_string()));
    }

    /// The words by sentences, one after the other. A sentence of nothing but spaces counts as an empty word, as in rouge_chinese.
    fn sentences(&self, joined: &str) -> Vec<String> {
        let mut text = joined.to_string();
        for end in &self.ends {
            text = end.replace_all(&text, "$1\n$2").into_owned();
        }
        let sentences = text.trim_end().split('\n').filter(|sentence| !sentence.is_empty());
        let words = sentences.flat_map(|sentence| {
            let words: Vec<String> = sentence.split_whitespace().map(String::from).collect();
            if words.is_empty() { vec![String::new()] } else { words }
        });
        words.collect()
    }
}

/// The words of jieba's dictionary that hold no Chinese.
const DICTIONARY: [&str; 5] = ["AT&T", "c#", "C#", "c++", "C++"];

fn is_chinese(c: char) -> bool {
    ('\u{4e00}'..='\u{9fd5}').contains(&c)
}

/// Whether jieba looks for words here.
fn is_of_word(c: char) -> bool {
    is_chinese(c) || c.is_ascii_alphanumeric() || "+#&._%-".contains(c)
}

/// To four digits, as LLaMA-Factory rounds each score.
fn hundred(score: f64) -> f64 {
    (score * 1e6).round() / 1e4
}

/// rouge_chinese's F1, which keeps off a division by zero.
fn f1(common: usize, got: usize, expected: usize) -> f64 {
    let share = |of: usize| if of == 0 { 0.0 } else { common as f64 / of as f64 };
    let (precision, recall) = (share(got), share(expected));
    2.0 * (precision * recall / (precision + recall + 1e-8))
}

fn n_grams<T: Eq + Hash>(items: &[T], n: usize) -> HashMap<&[T], usize> {
    let mut counts = HashMap::new();
    for gram in items.windows(n) {
        *counts.entry(gram).or_insert(0) += 1;
    }
    counts
}

/// Length of the longest common subsequence.
fn common_subsequence<T: PartialEq>(a: &[T], b: &[T]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

/// NLTK's `sentence_bleu` over characters with `SmoothingFunction().method3`.
fn bleu(answer: &str, expected: &str) -> f64 {
    let (answer, expected): (Vec<char>, Vec<char>) = (answer.chars().collect(), expected.chars().collect());
    let mut halvings = 0;
    let mut logarithms = 0.0;
    for n in 1..=4 {
        let (got, want) = (n_grams(&answer, n), n_grams(&expected, n));
        let common: usize = got.iter().map(|(gram, count)| (*count).min(want.get(gram).copied().unwrap_or(0))).sum();
        let all = got.values().sum::<usize>().max(1) as f64;
        if common == 0 && n == 1 {
            return 0.0;
        }
        let precision = if common > 0 {
            common as f64 / all
        } else {
            halvings += 1;
            1.0 / (f64::from(1u32 << halvings) * all)
        };
        logarithms += 0.25 * precision.ln();
    }
    let brevity = if answer.len() > expected.len() { 1.0 } else { (1.0 - expected.len() as f64 / answer.len() as f64).exp() };
    brevity * logarithms.exp()
}
