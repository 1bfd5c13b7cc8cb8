//! What a finding says: a sentence, together with its pattern and what was put into it, so that a page says it in another language.

use std::fmt;
use std::ops::Deref;

use crate::error::on_one_line;

/// A sentence that remembers how it was made. It reads as its text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    text: String,
    pattern: Option<&'static str>,
    values: Vec<String>,
}

/// As `format!`, and the result is a [`Said`].
macro_rules! said {
    ($pattern:literal $($values:tt)*) => {
        $crate::validate::said::Said::new($pattern, format_args!($pattern $($values)*))
    };
}
pub(super) use said;

impl Said {
    /// The sentence of a pattern, as `format!` knows them, with its values in place.
    pub(super) fn new(pattern: &'static str, arguments: fmt::Arguments<'_>) -> Said {
        let mut parts = Parts::of(pattern);
        let told = fmt::write(&mut parts, arguments);
        let whole = told.is_ok() && parts.is_whole();
        let values = if whole { parts.values } else { Vec::new() };
        Said { text: parts.text, pattern: whole.then_some(pattern), values }
    }

    /// The sentence.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The sentence before its values were put in; `None` where it comes from elsewhere, such as a library's error.
    pub fn pattern(&self) -> Option<&'static str> {
        self.pattern
    }

    /// What was put in, in the order of the pattern's braces.
    pub fn values(&self) -> &[String] {
        &self.values
    }

    /// Shows text that comes from a stranger's files as one line without characters that act.
    pub(super) fn escape(&mut self) {
        for text in std::iter::once(&mut self.text).chain(&mut self.values) {
            *text = on_one_line(text).into_owned();
        }
    }
}

impl Deref for Said {
    type Target = str;
    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A sentence without values.
impl From<&'static str> for Said {
    fn from(text: &'static str) -> Said {
        Said { text: text.into(), pattern: Some(text), values: Vec::new() }
    }
}

/// A sentence that was made elsewhere.
impl From<String> for Said {
    fn from(text: String) -> Said {
        Said { text, pattern: None, values: Vec::new() }
    }
}

/// The parts of a pattern around its braces; one more than there are values. Some may be empty.
fn fixed_parts(pattern: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '{' | '}' if rest.peek() == Some(&c) => {
                rest.next();
                parts.last_mut().expect("there is one").push(c);
            }
            '{' => {
                rest.by_ref().find(|c| *c == '}');
                parts.push(String::new());
            }
            _ => parts.last_mut().expect("there is one").push(c),
        }
    }
    parts
}

/// Listens while a pattern is written: the formatter hands over each fixed part in one piece, and what comes between is a value.
struct Parts {
    fixed: Vec<String>,
    /// How many fixed parts were met.
    met: usize,
    text: String,
    values: Vec<String>,
}

impl Parts {
    fn of(pattern: &str) -> Parts {
        let fixed = fixed_parts(pattern);
        let values = vec![String::new(); fixed.len() - 1];
        // An empty part is never handed over.
        let met = usize::from(fixed[0].is_empty());
        Parts { fixed, met, text: String::new(), values }
    }

    /// Whether every value is known. Two braces without anything between them hide where one value ends.
    fn is_whole(&self) -> bool {
        let inner = self.fixed.iter().skip(1).take(self.fixed.len().saturating_sub(2));
        let ends = self.fixed.last().is_some_and(String::is_empty) && self.met + 1 == self.fixed.len();
        (self.met == self.fixed.len() || ends) && inner.into_iter().all(|part| !part.is_empty())
    }
}

impl fmt::Write for Parts {
    fn write_str(&mut self, piece: &str) -> fmt::Result {
        self.text.push_str(piece);
        if self.fixed.get(self.met).is_some_and(|part| part == piece && !part.is_empty()) {
            self.met += 1;
        } else if let Some(value) = self.met.checked_sub(1).and_then(|at| self.values.get_mut(at)) {
            value.push_str(piece);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_knows_its_pattern_and_what_was_put_in() {
        let (rows, name) = (7, "a.weight");
        let sentence = said!("{name} has {rows} rows, not {:.2} {{or so}}", 0.5);
        assert_eq!(sentence.as_str(), "a.weight has 7 rows, not 0.50 {or so}");
        assert_eq!(sentence.pattern(), Some("{name} has {rows} rows, not {:.2} {{or so}}"));
        assert_eq!(sentence.values(), ["a.weight", "7", "0.50"]);
        let list = said!("shapes {:?} and {:?}", [1, 2], [3]);
        assert_eq!((list.as_str(), list.values()), ("shapes [1, 2] and [3]", &["[1, 2]".to_string(), "[3]".to_string()][..]));
        let last = said!("the base has {rows}");
        assert_eq!(last.values(), ["7"]);
        assert_eq!(said!("no value").pattern(), Some("no value"));
    }

    #[test]
    fn an_empty_value_is_one_and_values_without_a_border_are_not_guessed() {
        let (none, rows) = ("", 7);
        assert_eq!(said!("it{none} has {rows} rows").values(), ["", "7"]);
        let both = said!("it{none}{rows} rows");
        assert_eq!((both.as_str(), both.pattern()), ("it7 rows", None));
        assert_eq!(Said::from("from a library".to_string()).pattern(), None);
    }
}
