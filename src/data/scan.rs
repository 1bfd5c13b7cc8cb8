//! Files cut into the texts of their records as their bytes come, so that a file of any size is read in bounded memory.

use crate::error::{Error, Result};

/// The longest record that is read, in bytes.
const MAX_RECORD: usize = 64 << 20;

/// Takes the text of a record and its first line; false: no more are wanted.
pub(super) type Taker<'a> = dyn FnMut(usize, Vec<u8>) -> Result<bool> + 'a;

/// What a file's bytes are cut at.
#[derive(Debug)]
pub(super) enum Scanner {
    /// Records are lines.
    Lines(Lines),
    /// Records are the items of one JSON list.
    List(List),
}

impl Scanner {
    /// Takes the next bytes of the file; false: enough records were taken.
    ///
    /// # Errors
    /// What the taker fails with, and text in a list's place that is none.
    pub(super) fn push(&mut self, path: &str, bytes: &[u8], take: &mut Taker<'_>) -> Result<bool> {
        match self {
            Scanner::Lines(lines) => lines.push(path, bytes, take),
            Scanner::List(list) => list.push(path, bytes, take),
        }
    }

    /// The end of the file.
    ///
    /// # Errors
    /// As `push`; a list that is not closed.
    pub(super) fn finish(self, path: &str, take: &mut Taker<'_>) -> Result<()> {
        match self {
            Scanner::Lines(lines) if lines.partial.is_empty() => Ok(()),
            Scanner::Lines(lines) => take(lines.line, lines.partial).map(drop),
            Scanner::List(list) if list.state == State::Closed => Ok(()),
            Scanner::List(list) => Err(Error::line(path, list.line, "the JSON list is not closed: the file seems to be cut off")),
        }
    }
}

/// Lines, without those that are blank.
#[derive(Debug)]
pub(super) struct Lines {
    line: usize,
    partial: Vec<u8>,
}

impl Default for Lines {
    fn default() -> Self {
        Lines { line: 1, partial: Vec::new() }
    }
}

impl Lines {
    fn push(&mut self, path: &str, mut bytes: &[u8], take: &mut Taker<'_>) -> Result<bool> {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            keep(path, self.line, &mut self.partial, &bytes[..end])?;
            let line = std::mem::take(&mut self.partial);
            if !line.trim_ascii().is_empty() && !take(self.line, line)? {
                return Ok(false);
            }
            self.line += 1;
            bytes = &bytes[end + 1..];
        }
        keep(path, self.line, &mut self.partial, bytes)?;
        Ok(true)
    }
}

fn keep(path: &str, line: usize, partial: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    if partial.len() + bytes.len() > MAX_RECORD {
        let most = MAX_RECORD >> 20;
        return Err(Error::line(path, line, format!("a record begins here that has more than {most} MiB; make several records of it")));
    }
    partial.extend_from_slice(bytes);
    Ok(())
}

/// The items of a JSON list. Only its outermost structure is looked at; the items are parsed later.
#[derive(Debug)]
pub(super) struct List {
    line: usize,
    state: State,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// The line where the present item began, and its bytes so far.
    item: Option<(usize, Vec<u8>)>,
}

impl Default for List {
    fn default() -> Self {
        List { line: 1, state: State::Before, depth: 0, in_string: false, escaped: false, item: None }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Before,
    Inside,
    Closed,
}

impl List {
    fn push(&mut self, path: &str, bytes: &[u8], take: &mut Taker<'_>) -> Result<bool> {
        // Where in `bytes` the part of the present item begins that was not kept yet.
        let mut from = 0;
        for (i, &byte) in bytes.iter().enumerate() {
            self.line += usize::from(byte == b'\n');
            if self.in_string {
                self.in_string = self.escaped || byte != b'"';
                self.escaped = byte == b'\\' && !self.escaped;
                continue;
            }
            match self.state {
                State::Inside => {}
                State::Before if byte == b'[' => {
                    self.state = State::Inside;
                    continue;
                }
                State::Before => continue,
                State::Closed if byte.is_ascii_whitespace() => continue,
                State::Closed => return Err(Error::line(path, self.line, "the JSON list ends here, but text follows")),
            }
            let at_top = self.depth == 0;
            if at_top && (byte == b',' || byte == b']') {
                if let Some((line, mut text)) = self.item.take() {
                    keep(path, line, &mut text, &bytes[from..i])?;
                    if !take(line, text)? {
                        return Ok(false);
                    }
                }
                if byte == b']' {
                    self.state = State::Closed;
                }
                continue;
            }
            if self.item.is_none() && !byte.is_ascii_whitespace() {
                self.item = Some((self.line, Vec::new()));
                from = i;
            }
            match byte {
                b'"' => self.in_string = true,
                b'[' | b'{' => self.depth += 1,
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
        }
        if let Some((line, text)) = &mut self.item {
            keep(path, *line, text, &bytes[from..])?;
        }
        Ok(true)
    }
}
