//! Text from files of strangers, made safe to show: what would move a cursor, change colours or turn the direction of reading is
//! written as an escape, so that it cannot forge words of this program.

use std::borrow::Cow;

/// Text with every control character, line ends and tabs excepted, and every control of the direction of reading written as an
/// escape such as `\u{1b}`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |c| acts(c) && !matches!(c, '\n' | '\t'))
}

/// As [`visible`], on one line: a line end is written `\n`, so that a value cannot begin a line of its own.
#[must_use]
pub fn on_one_line(text: &str) -> Cow<'_, str> {
    escaped(text, acts)
}

/// Whether a character does something to what is around it instead of being seen.
fn acts(c: char) -> bool {
    let turns = matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn escaped(text: &str, wanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&wanted) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' if wanted(c) => out.extend(c.escape_default()),
            c if wanted(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_seen_and_the_rest_is_untouched() {
        assert_eq!(visible("a\u{1b}[2J\r\u{9b}31m\u{7f}"), "a\\u{1b}[2J\\r\\u{9b}31m\\u{7f}");
        assert_eq!(visible("one\n\ttwo"), "one\n\ttwo");
        assert_eq!(on_one_line("one\n\ttwo\u{2028}"), "one\\n\\ttwo\\u{2028}");
        assert_eq!(visible("a\u{202e}b\u{2066}"), "a\\u{202e}b\\u{2066}");
        for text in ["", "Grüße, 你好, שלום, 👩‍👩‍👧, C:\\new"] {
            assert!(matches!(on_one_line(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(on_one_line(&on_one_line("\u{1b}\n")), "\\u{1b}\\n", "twice is as once");
    }
}
