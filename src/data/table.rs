//! Tables of text (.csv, .tsv), row by row as their bytes come.

use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use serde_json::Value as Json;

use crate::error::{Error, Result};

/// The longest row, in bytes.
const MAX_ROW: usize = 64 << 20;

/// Takes a row as a record of texts, and its first line; false: no more are wanted.
pub(super) type RowTaker<'a> = dyn FnMut(usize, Result<Json, String>) -> Result<bool> + 'a;

/// A table whose first row names the columns. An empty cell is no field.
pub(super) struct Table {
    reader: Reader,
    columns: Option<Vec<String>>,
    /// The present row: its cells one after the other, and where each ends.
    cells: Vec<u8>,
    ends: Vec<usize>,
    /// How much of both is filled.
    filled: (usize, usize),
    line: usize,
}

/// What parts the cells of a table: what is usual for its kind of file, unless the first line has none of it but semicolons or tabs.
pub(super) fn delimiter(usual: u8, beginning: &[u8]) -> u8 {
    let first = beginning.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if first.contains(&usual) {
        return usual;
    }
    [b';', b'\t', b','].into_iter().find(|other| first.contains(other)).unwrap_or(usual)
}

/// The names of a table's columns, by its first row; none for an empty table. `usual` parts the cells of its kind of file.
///
/// # Errors
/// A first row that cannot be read.
pub(super) fn column_names(path: &str, usual: u8, bytes: &[u8]) -> Result<Vec<String>> {
    let mut table = Table::new(delimiter(usual, bytes));
    // A row after the first ends the reading.
    table.push(path, bytes, &mut |_, _| Ok(false))?;
    if table.columns.is_none() {
        table.push(path, &[], &mut |_, _| Ok(false))?;
    }
    Ok(table.columns.unwrap_or_default())
}

impl Table {
    pub(super) fn new(delimiter: u8) -> Table {
        let reader = ReaderBuilder::new().delimiter(delimiter).build();
        Table { reader, columns: None, cells: vec![0; 4096], ends: vec![0; 32], filled: (0, 0), line: 1 }
    }

    /// Takes the next bytes of the file, none at its end; false: enough rows were taken.
    ///
    /// # Errors
    /// What the taker fails with; a row that is too long.
    pub(super) fn push(&mut self, path: &str, mut bytes: &[u8], take: &mut RowTaker<'_>) -> Result<bool> {
        let at_end = bytes.is_empty();
        loop {
            let (cells, ends) = (&mut self.cells[self.filled.0..], &mut self.ends[self.filled.1..]);
            let (result, read, written, ended) = self.reader.read_record(bytes, cells, ends);
            bytes = &bytes[read..];
            self.filled = (self.filled.0 + written, self.filled.1 + ended);
            match result {
                ReadRecordResult::InputEmpty if at_end => {}
                ReadRecordResult::InputEmpty => return Ok(true),
                ReadRecordResult::OutputFull if self.cells.len() >= MAX_ROW => {
                    let reason = "a row begins here that has more than 64 MiB; is a quote not closed?";
                    return Err(Error::line(path, self.line, reason));
                }
                ReadRecordResult::OutputFull => self.cells.resize(self.cells.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => {
                    let row = self.row();
                    let line = std::mem::replace(&mut self.line, self.reader.line() as usize);
                    self.filled = (0, 0);
                    if !self.give(path, line, row, take)? {
                        return Ok(false);
                    }
                }
                ReadRecordResult::End => return Ok(true),
            }
        }
    }

    fn row(&self) -> Result<Vec<String>, String> {
        let mut from = 0;
        let mut row = Vec::with_capacity(self.filled.1);
        for end in &self.ends[..self.filled.1] {
            let cell = std::str::from_utf8(&self.cells[from..*end]).map_err(|_| "this is not UTF-8 text; save the file as UTF-8")?;
            row.push(cell.to_string());
            from = *end;
        }
        Ok(row)
    }

    fn give(&mut self, path: &str, line: usize, row: Result<Vec<String>, String>, take: &mut RowTaker<'_>) -> Result<bool> {
        let Some(columns) = &self.columns else {
            let row = row.map_err(|reason| Error::line(path, line, reason))?;
            self.columns = Some(row.into_iter().map(|column| column.trim().to_string()).collect());
            return Ok(true);
        };
        let record = row.and_then(|row| {
            if row.len() != columns.len() {
                return Err(format!(
                    "this row has {} cells, the first row names {} columns; put text that holds commas into quotes",
                    row.len(),
                    columns.len()
                ));
            }
            let cells = columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty());
            Ok(Json::Object(cells.map(|(column, cell)| (column.clone(), Json::from(cell))).collect()))
        });
        take(line, record)
    }
}
