//! What the program writes: words to stderr, results to stdout. A closed pipe is not an error.
//!
//! Everything but [`print_painted`] and an answer that goes into a file is shown with control characters escaped: parts of it
//! come from files of strangers.

use std::borrow::Cow;
use std::io::{ErrorKind, IsTerminal, Write, stderr, stdout};

use rootstock::error::{on_one_line, visible};
use rootstock::{Error, Result};
use serde::Serialize;

/// Writes remarks to stderr.
#[derive(Debug, Clone, Copy)]
pub(super) struct Console {
    quiet: bool,
}

impl Console {
    pub(super) fn new(quiet: bool) -> Self {
        Console { quiet }
    }

    /// A remark, unless `--quiet`.
    pub(super) fn say(self, text: &str) {
        if !self.quiet {
            say(text);
        }
    }

    /// Remarks of the library.
    pub(super) fn notes(self, notes: &[String]) {
        for note in notes {
            self.say(&format!("note: {}", on_one_line(note)));
        }
    }

    /// A line that the next one replaces, on a terminal.
    pub(super) fn replace(self, text: &str) {
        let _ = write!(stderr(), "\r\x1b[K{}", on_one_line(text)).and_then(|()| stderr().flush());
    }

    /// Whether stderr is a terminal.
    pub(super) fn is_interactive(self) -> bool {
        !self.quiet && stderr().is_terminal()
    }
}

/// Whether stdout shows colours. <https://no-color.org>
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    coloured: bool,
}

impl Style {
    pub(super) fn of_stdout() -> Style {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Style { coloured: stdout().is_terminal() && !refused }
    }

    pub(super) fn is_coloured(self) -> bool {
        self.coloured
    }

    pub(super) fn paint(self, code: &str, text: &str) -> String {
        if self.coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }
}

/// A line on stderr.
pub(super) fn say(text: &str) {
    let _ = writeln!(stderr(), "{}", visible(text));
}

/// An error on stderr, in one sentence.
pub(super) fn error(text: &str) {
    say(&format!("error: {text}"));
}

/// Lines on stdout.
///
/// # Errors
/// When stdout cannot be written, for example on a full disk.
pub(super) fn print(text: &str) -> Result<()> {
    print_painted(&visible(text))
}

/// Lines on stdout with escape sequences of this program's own; what they quote was escaped by the caller.
///
/// # Errors
/// As [`print`].
pub(super) fn print_painted(text: &str) -> Result<()> {
    put(&format!("{text}\n")).map(|_| ()) // whoever closed it has seen enough
}

/// A part of a model's answer on stdout, flushed at once; false when stdout was closed. A terminal gets control characters
/// escaped, a file or a program the text as it is.
///
/// # Errors
/// As [`print`].
pub(super) fn print_answer(text: &str) -> Result<bool> {
    let text = if stdout().is_terminal() { visible(text) } else { Cow::Borrowed(text) };
    put(&text)
}

fn put(text: &str) -> Result<bool> {
    let mut out = stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(e) if e.kind() == ErrorKind::StorageFull => Err(Error::NoSpace { path: "the standard output".into() }),
        Err(e) => Err(Error::file("the standard output", e.to_string())),
    }
}

/// One JSON document on stdout.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|e| Error::file("the standard output", e.to_string()))?;
    print_painted(&json_for_terminals(&text))
}

/// An object on one line of stdout, named by its event.
///
/// # Errors
/// As [`print`].
pub(super) fn print_event(event: &str, content: &impl Serialize) -> Result<()> {
    #[derive(Serialize)]
    struct Line<'a, T> {
        event: &'a str,
        #[serde(flatten)]
        content: &'a T,
    }
    let text = serde_json::to_string(&Line { event, content }).map_err(|e| Error::file("the standard output", e.to_string()))?;
    print_painted(&json_for_terminals(&text))
}

/// The same JSON with what [`visible`] escapes as JSON's own escapes: serde_json leaves DEL, the C1 controls and those of the
/// direction of reading as they are. They stand in strings only.
pub(super) fn json_for_terminals(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match visible(c.encode_utf8(&mut [0; 4])) {
            Cow::Borrowed(_) => out.push(c),
            // All of them are below U+10000.
            Cow::Owned(_) => out.push_str(&format!("\\u{:04x}", u32::from(c))),
        }
    }
    out
}

/// Columns, each as wide as its widest cell; the first flush left, the others too. A cell stays on its line.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<Cow<'_, str>>> = rows.iter().map(|row| row.iter().map(|cell| on_one_line(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<Cow<'_, str>>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 sample`, `1,234 samples`.
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{} {what}{}", thousands(n as u64), if n == 1 { "" } else { "s" })
}

/// Seconds as `3.2 s` or `1:05:09`.
pub(super) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let s = seconds.round() as u64;
    if s < 3600 { format!("{}:{:02} min", s / 60, s % 60) } else { format!("{}:{:02}:{:02} h", s / 3600, s / 60 % 60, s % 60) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        let of = [(0, "0"), (999, "999"), (1000, "1,000"), (1_234_567, "1,234,567")];
        for (n, text) in of {
            assert_eq!(thousands(n), text);
        }
        assert_eq!(count(1, "sample"), "1 sample");
        assert_eq!(duration(65.2), "1:05 min");
        assert_eq!(duration(3661.0), "1:01:01 h");
    }

    #[test]
    fn columns_line_up() {
        let row = |a: &str, b: &str| vec![a.to_string(), b.to_string()];
        assert_eq!(table(&[row("a", "x"), row("bcd", "y")]), "a    x\nbcd  y");
        assert_eq!(table(&[row("a\nready", "\u{1b}[2J")]), "a\\nready  \\u{1b}[2J");
    }

    #[test]
    fn json_stays_json() {
        let value = ["a\u{1b}b\u{7f}c\u{9b}d\u{202e}e\n", "plain"];
        let text = json_for_terminals(&serde_json::to_string(&value).expect("it is plain data"));
        assert_eq!(text, r#"["a\u001bb\u007fc\u009bd\u202ee\n","plain"]"#);
        assert_eq!(serde_json::from_str::<[String; 2]>(&text).expect("it is JSON"), value);
    }
}
