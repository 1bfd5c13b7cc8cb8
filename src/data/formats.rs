//! Dataset files: plain text, tables, Parquet and Arrow, and JSON or JSON lines with `text`, alpaca's columns, or conversations. A file is read a piece
//! at a time. Every record is read, or an error names its line.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value as Json;

use super::bytes::Bytes;
use super::layout::{EXPECTED, Layout};
use super::reading::ReadContent;
use super::record::{Content, Record};
use super::scan::{Lines, List, Scanner};
use super::table::{self, Table};
use crate::config::Stage;
use crate::error::{Error, Result};
use crate::platform::{Directory, RowTaker, arrow_rows, is_lfs_pointer, parquet_rows, without_byte_order_mark};

/// What a file's records look like, as far as that is known before it is opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Expected {
    /// As dataset_info.json says; without, the first record decides.
    pub(super) layout: Option<Layout>,
    /// Whether the file has an entry in dataset_info.json, so that fields which that does not name are not read.
    pub(super) registered: bool,
    /// What the records are learned in, if that is known: records that it does not learn from are refused.
    pub(super) stage: Option<Stage>,
}

/// A record that is not read yet: reading is work that several threads can share.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    path: Arc<str>,
    line: usize,
    raw: Raw,
}

#[derive(Debug, Clone)]
enum Raw {
    /// A line of plain text.
    Text(Vec<u8>),
    /// Text that should be a JSON record.
    Json(Vec<u8>, Arc<Layout>),
    /// A row of a table.
    Row(Json, Arc<Layout>),
    /// None of these, and why.
    Fault(String),
}

/// Takes the pieces of a file, and how much of it was read so far (0 to 1); false: no more are wanted.
pub(super) type PieceTaker<'a> = dyn FnMut(Piece, f64) -> Result<bool> + 'a;

/// A record, and the fields with a meaning that are not read.
pub(super) type ReadRecord = (Record, BTreeSet<&'static str>);

impl Piece {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        match &self.raw {
            Raw::Text(bytes) | Raw::Json(bytes, _) => bytes.len(),
            Raw::Row(row, _) => json_bytes(row),
            Raw::Fault(_) => 0,
        }
    }

    /// The record.
    ///
    /// # Errors
    /// [`Error::Line`] saying what is wrong with it.
    pub(super) fn read(self) -> Result<ReadRecord> {
        let Piece { path, line, raw } = self;
        let fault = |reason: String| Error::line(&*path, line, reason);
        let ReadContent { content, unread } = match raw {
            Raw::Text(bytes) => {
                let text = utf8(&bytes).map_err(fault)?.trim_end_matches('\r');
                ReadContent { content: Content::Text(text.to_string()), unread: BTreeSet::new() }
            }
            Raw::Json(bytes, layout) => layout.read(&parse(&path, line, &bytes)?).map_err(fault)?,
            Raw::Row(row, layout) => layout.read(&row).map_err(fault)?,
            Raw::Fault(reason) => return Err(fault(reason)),
        };
        Ok((Record { content, path, line }, unread))
    }
}

/// About how much memory a value takes.
fn json_bytes(value: &Json) -> usize {
    match value {
        Json::String(text) => text.len(),
        Json::Array(items) => items.iter().map(json_bytes).sum(),
        Json::Object(fields) => fields.iter().map(|(name, value)| name.len() + json_bytes(value)).sum(),
        _ => 8,
    }
}

fn utf8(bytes: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(bytes).map_err(|_| "this is not UTF-8 text; save the file as UTF-8".into())
}

fn parse(path: &str, line: usize, bytes: &[u8]) -> Result<Json> {
    utf8(bytes).map_err(|reason| Error::line(path, line, reason))?;
    serde_json::from_slice(bytes)
        .map_err(|e| Error::line(path, line + e.line().saturating_sub(1), format!("this is not valid JSON: {}", without_place(&e))))
}

/// serde_json's message without "at line 1 column 9": the line is of the file, and said elsewhere.
fn without_place(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.split(" at line ").next().unwrap_or_default().to_string()
}

/// The kind of a file, by the end of its name without what says how it is packed.
pub(super) fn kind_of_file(name: &str) -> String {
    let name = name.to_lowercase();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
    name.rsplit('.').next().unwrap_or_default().to_string()
}

/// Whether a file's name is that of a dataset.
pub(super) fn is_dataset_file(name: &str) -> bool {
    matches!(kind_of_file(name).as_str(), "json" | "jsonl" | "txt" | "csv" | "tsv" | "parquet" | "arrow")
}

/// Whether a path in a folder is that of data, and not of what is said about them.
pub(super) fn is_data(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    let hidden = path.starts_with('.') || path.contains("/.");
    // What `datasets` writes beside the data that it saves or computes.
    let beside = matches!(name, "dataset_info.json" | "dataset_infos.json" | "dataset_dict.json")
        || name.starts_with("cache-") && name.ends_with(".arrow");
    is_dataset_file(path) && !hidden && !beside
}

/// Reads a dataset file, which messages call `shown`; returns what the user should be told.
///
/// # Errors
/// [`Error::Dataset`] for a file that holds no record or is of a kind that is not read, [`Error::Line`] where its form is wrong, and
/// what `take` fails with. A record that is wrong is a piece that says so.
pub(super) async fn read_file(
    dir: &dyn Directory,
    name: &str,
    shown: &str,
    expected: &Expected,
    take: &mut PieceTaker<'_>,
) -> Result<Vec<String>> {
    let mut reader = FileReader::new(name, shown, expected)?;
    if is_columnar(&reader.kind) {
        rows_of_file(dir, name, shown, &mut |row, share, record| take(reader.row(row, record)?, share)).await?;
        return reader.finish(take);
    }
    let mut bytes = Bytes::open(dir, name, shown).await?;
    while let Some(chunk) = bytes.next().await? {
        if !reader.push(&chunk, bytes.share(), take)? {
            return Ok(reader.notices);
        }
    }
    reader.finish(take)
}

/// Whether a file of this kind holds columns and not records one after the other.
pub(super) fn is_columnar(kind: &str) -> bool {
    matches!(kind, "parquet" | "arrow")
}

/// Gives the rows of a Parquet or Arrow file to `take`.
///
/// # Errors
/// As [`parquet_rows`]; [`Error::Dataset`] for a file that is packed once more, or only a pointer to one.
pub(super) async fn rows_of_file(dir: &dyn Directory, name: &str, shown: &str, take: &mut RowTaker<'_>) -> Result<()> {
    let lower = name.to_lowercase();
    let is_arrow = lower.ends_with(".arrow");
    if !is_arrow && !lower.ends_with(".parquet") {
        return Err(Error::dataset(shown, "Parquet and Arrow files are not read packed; unpack this one first"));
    }
    let size = dir.size(name).await?.unwrap_or(0);
    if size < 1024 && is_lfs_pointer(&dir.read_range(name, 0..size).await?) {
        return Err(lfs_pointer(shown));
    }
    if is_arrow { arrow_rows(dir, name, shown, take).await } else { parquet_rows(dir, name, shown, take).await }
}

/// Reads the bytes of a dataset file whose name is `path`. Without a layout, the first record decides.
///
/// # Errors
/// [`Error::Line`] for the first broken record, [`Error::Dataset`] for a file that holds none or is of a kind that is not read.
pub fn read_records(path: &str, bytes: &[u8], layout: Option<&Layout>) -> Result<Vec<Record>> {
    let expected = Expected { layout: layout.cloned(), ..Expected::default() };
    let mut records = Vec::new();
    let mut take = |piece: Piece, _: f64| {
        records.push(piece.read()?.0);
        Ok(true)
    };
    let mut reader = FileReader::new(path, path, &expected)?;
    if is_columnar(&reader.kind) {
        return Err(Error::dataset(path, "Parquet and Arrow files are read from a directory only, by `load_datasets`"));
    }
    let bytes = without_byte_order_mark(bytes);
    if is_lfs_pointer(bytes) {
        return Err(lfs_pointer(path));
    }
    reader.push(bytes, 1.0, &mut take)?;
    reader.finish(&mut take)?;
    Ok(records)
}

/// A file of which bytes come piece by piece.
struct FileReader<'a> {
    path: Arc<str>,
    kind: String,
    expected: &'a Expected,
    cutter: Option<Cutter>,
    layout: Option<Arc<Layout>>,
    count: usize,
    notices: Vec<String>,
}

/// What cuts the bytes into records; known from the file's first bytes.
enum Cutter {
    Text(Scanner),
    Json(Scanner),
    Table(Box<Table>),
}

impl<'a> FileReader<'a> {
    fn new(name: &str, shown: &str, expected: &'a Expected) -> Result<FileReader<'a>> {
        let kind = kind_of_file(name);
        if matches!(kind.as_str(), "xlsx" | "zip" | "7z" | "rar" | "bz2" | "xz") {
            return Err(Error::dataset(shown, format!(".{kind} files are not read; convert it to JSON lines (.jsonl)")));
        }
        Ok(FileReader { path: shown.into(), kind, expected, cutter: None, layout: None, count: 0, notices: Vec::new() })
    }

    /// Takes the next bytes, never none; false: enough records were taken.
    fn push(&mut self, bytes: &[u8], share: f64, take: &mut PieceTaker<'_>) -> Result<bool> {
        let mut cutter = match self.cutter.take() {
            Some(cutter) => cutter,
            None => self.cutter(bytes)?,
        };
        let more = self.cut(&mut cutter, bytes, share, take);
        self.cutter = Some(cutter);
        more
    }

    /// The end of the file; returns what the user should be told.
    fn finish(mut self, take: &mut PieceTaker<'_>) -> Result<Vec<String>> {
        let path = self.path.clone();
        match self.cutter.take() {
            Some(Cutter::Text(lines)) => lines.finish(&path, &mut |line, text| take(self.piece(line, Raw::Text(text)), 1.0))?,
            Some(Cutter::Json(scanner)) => scanner.finish(&path, &mut |line, text| take(self.json_piece(line, text)?, 1.0))?,
            Some(mut table @ Cutter::Table(_)) => self.cut(&mut table, &[], 1.0, take).map(drop)?,
            None => {}
        }
        if self.count == 0 {
            return Err(Error::dataset(&*path, format!("the file holds no record; expected lines such as {EXPECTED}")));
        }
        Ok(self.notices)
    }

    fn cutter(&mut self, beginning: &[u8]) -> Result<Cutter> {
        let usual = match self.kind.as_str() {
            // One sample per line, as LLaMA-Factory reads .txt files; longer documents go into JSON lines with `text`.
            "txt" => return Ok(Cutter::Text(Scanner::Lines(Lines::default()))),
            "csv" => b',',
            "tsv" => b'\t',
            kind => {
                let first = beginning.trim_ascii_start();
                if let Some(reason) = one_object(kind, first) {
                    return Err(Error::line(&*self.path, 1, reason));
                }
                let list = first.starts_with(b"[");
                return Ok(Cutter::Json(if list { Scanner::List(List::default()) } else { Scanner::Lines(Lines::default()) }));
            }
        };
        let delimiter = table::delimiter(usual, beginning);
        if delimiter != usual {
            let name = if delimiter == b';' {
                "semicolons"
            } else if delimiter == b'\t' {
                "tabs"
            } else {
                "commas"
            };
            self.notices.push(format!("{}: its cells are parted by {name}", self.path));
        }
        Ok(Cutter::Table(Box::new(Table::new(delimiter))))
    }

    fn cut(&mut self, cutter: &mut Cutter, bytes: &[u8], share: f64, take: &mut PieceTaker<'_>) -> Result<bool> {
        let path = self.path.clone();
        match cutter {
            Cutter::Text(lines) => lines.push(&path, bytes, &mut |line, text| take(self.piece(line, Raw::Text(text)), share)),
            Cutter::Json(scanner) => scanner.push(&path, bytes, &mut |line, text| take(self.json_piece(line, text)?, share)),
            Cutter::Table(table) => table.push(&path, bytes, &mut |line, row| {
                let piece = match row {
                    Ok(row) => self.row(line, row)?,
                    Err(reason) => self.piece(line, Raw::Fault(reason)),
                };
                take(piece, share)
            }),
        }
    }

    /// The file's layout, told by its first record.
    fn layout(&mut self, line: usize, record: &Json) -> Result<Arc<Layout>> {
        if let Some(layout) = &self.layout {
            return Ok(layout.clone());
        }
        let layout = match &self.expected.layout {
            Some(layout) => layout.clone(),
            None if !record.is_object() => {
                let found = super::layout::kind_of(record);
                return Err(Error::line(&*self.path, line, format!("found {found}, expected a record such as {EXPECTED}")));
            }
            None => {
                let layout = Layout::detect(record).map_err(|reason| Error::line(&*self.path, line, reason))?;
                if self.expected.registered { layout.without_unmapped() } else { layout }
            }
        };
        if let Some(stage) = self.expected.stage {
            layout.answers().check_stage(stage).map_err(|reason| Error::line(&*self.path, line, reason))?;
        }
        Ok(self.layout.insert(Arc::new(layout)).clone())
    }

    /// A record that was read already.
    fn row(&mut self, line: usize, record: Json) -> Result<Piece> {
        let layout = self.layout(line, &record)?;
        Ok(self.piece(line, Raw::Row(record, layout)))
    }

    fn piece(&mut self, line: usize, raw: Raw) -> Piece {
        self.count += 1;
        Piece { path: self.path.clone(), line, raw }
    }

    fn json_piece(&mut self, line: usize, text: Vec<u8>) -> Result<Piece> {
        let raw = match &self.layout {
            Some(layout) => Raw::Json(text, layout.clone()),
            None => match parse(&self.path, line, &text) {
                Ok(json) => {
                    let layout = self.layout(line, &json)?;
                    Raw::Row(json, layout)
                }
                // The form is told by the first record that is JSON.
                Err(Error::Line { line, reason, .. }) => return Ok(self.piece(line, Raw::Fault(reason))),
                Err(other) => return Err(other),
            },
        };
        Ok(self.piece(line, raw))
    }
}

/// A pointer that git-lfs left in a file's place.
pub(super) fn lfs_pointer(path: &str) -> Error {
    Error::dataset(path, "this is a git-lfs pointer, not the file; run `git lfs pull` where it came from")
}

/// Why a file is one JSON object over several lines and not one on each line, if it is.
fn one_object(kind: &str, beginning: &[u8]) -> Option<String> {
    let first = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
    let several_lines = first == b"{"
        || kind == "json"
            && beginning.contains(&b'\n')
            && serde_json::from_slice::<serde::de::IgnoredAny>(first).is_err_and(|e| e.is_eof());
    if !beginning.starts_with(b"{") || !several_lines {
        return None;
    }
    // {"data": [{…
    let text = String::from_utf8_lossy(beginning);
    let name = text[1..].trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')).and_then(|(name, rest)| {
        let list = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('[')?;
        list.trim_start().starts_with('{').then_some(name)
    });
    Some(match name {
        Some(name) if !matches!(name, "messages" | "conversations" | "conversation") => {
            format!("the records stand in \"{name}\"; write the list itself into the file: [{{…}}, {{…}}]")
        }
        _ => "the file is one JSON object over several lines; expected a list of records [{…}, {…}], or one record on each line (.jsonl)"
            .into(),
    })
}
