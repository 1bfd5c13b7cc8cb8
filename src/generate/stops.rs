//! Words that end an answer, in text that comes piece by piece.

/// Looks for stop words in a text that grows, and holds back what may be the beginning of one.
#[derive(Debug, Clone, Default)]
pub struct Stops {
    words: Vec<String>,
    /// Text that was not given on: the longest end that a word begins with.
    held: String,
    found: bool,
}

impl Stops {
    /// Empty words are no words.
    pub fn new(words: impl IntoIterator<Item = String>) -> Stops {
        Stops { words: words.into_iter().filter(|word| !word.is_empty()).collect(), ..Stops::default() }
    }

    /// Takes the next piece; gives the text that is certain to stand before any stop word.
    pub fn push(&mut self, piece: &str) -> String {
        if self.found {
            return String::new();
        }
        self.held.push_str(piece);
        // The word that is whole first, and of several that end together the longest: only that does not depend on the pieces.
        let ends = self.words.iter().filter_map(|word| self.held.find(word.as_str()).map(|at| (at + word.len(), at)));
        if let Some((_, at)) = ends.min() {
            self.found = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let keep = beginning_at_end(&self.held, &self.words);
        let rest = self.held.split_off(self.held.len() - keep);
        std::mem::replace(&mut self.held, rest)
    }

    /// Whether a stop word came: the answer has ended.
    pub fn found(&self) -> bool {
        self.found
    }

    /// What is held back, when no more text comes.
    pub fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

/// The length of the longest end of a text that one of the words begins with, in bytes.
pub(super) fn beginning_at_end(text: &str, words: &[impl AsRef<str>]) -> usize {
    let of = |word: &str| {
        let cuts = word.char_indices().map(|(at, _)| at).skip(1).filter(|at| *at <= text.len());
        cuts.filter(|at| text.ends_with(&word[..*at])).max().unwrap_or(0)
    };
    words.iter().map(|word| of(word.as_ref())).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn through(words: &[&str], pieces: &[&str]) -> (String, bool) {
        let mut stops = Stops::new(words.iter().map(ToString::to_string));
        let mut text = String::new();
        for piece in pieces {
            text += &stops.push(piece);
        }
        text += &stops.finish();
        (text, stops.found())
    }

    #[test]
    fn a_word_ends_the_text_wherever_it_is_cut() {
        assert_eq!(through(&["\n\n"], &["a\n", "\nb"]), ("a".into(), true));
        assert_eq!(through(&["END", "ND"], &["the E", "N", "D."]), ("the ".into(), true));
        assert_eq!(through(&["a", "üaü"], &["üa", "ü"]), ("ü".into(), true));
        assert_eq!(through(&["a", "üaü"], &["üaü"]), ("ü".into(), true));
        assert_eq!(through(&["END"], &["the E", "N", "ough"]), ("the ENough".into(), false));
        assert_eq!(through(&["END"], &["the EN"]), ("the EN".into(), false));
        assert_eq!(through(&["", "ü"], &["f", "ü", "r"]), ("f".into(), true));
        assert_eq!(through(&[], &["a", "b"]), ("ab".into(), false));
    }

    proptest! {
        /// However the text is cut into pieces, what comes out is what stands before the stop word that ends first.
        #[test]
        fn pieces_do_not_matter(pieces in proptest::collection::vec("[abü]{0,4}", 0..8), words in proptest::collection::vec("[abü]{1,3}", 0..3)) {
            let whole = pieces.concat();
            let first = words.iter().filter_map(|word| whole.find(word.as_str()).map(|at| (at + word.len(), at))).min().map(|(_, at)| at);
            let (words, pieces): (Vec<&str>, Vec<&str>) = (words.iter().map(String::as_str).collect(), pieces.iter().map(String::as_str).collect());
            prop_assert_eq!(through(&words, &pieces), (whole[..first.unwrap_or(whole.len())].to_string(), first.is_some()));
        }
    }
}
