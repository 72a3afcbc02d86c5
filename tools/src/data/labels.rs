//! `labels.csv`: a header `file,label`, then one record an image, as RFC 4180 has them.

use std::collections::BTreeMap;
use std::path::Path;

use csv_core::ReadRecordResult;

use super::DataError;
use crate::files;

/// File name to class index, with the line it stands in.
pub type Labels = BTreeMap<String, Label>;

/// Bytes and fields of one record.
const MAX_RECORD: usize = 1 << 16;
const MAX_FIELDS: usize = 1 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    pub class: usize,
    pub line: usize,
}

pub fn read_labels(path: &Path) -> Result<Labels, DataError> {
    let text =
        files::read_text(path).map_err(|reason| DataError::Io { path: path.to_owned(), reason })?;
    let problem =
        |line, problem: String| DataError::Labels { path: path.to_owned(), line, problem };
    let mut records = Records::new(text.trim_start_matches('\u{feff}'));
    let (_, header) =
        records.next().map_err(|(line, reason)| problem(line, reason))?.unwrap_or_default();
    if header.iter().map(|field| field.trim()).ne(["file", "label"]) {
        let header = header.join(",");
        return Err(problem(1, format!("the header is \"{header}\", expected \"file,label\"")));
    }
    let mut labels = Labels::new();
    while let Some((line, fields)) =
        records.next().map_err(|(line, reason)| problem(line, reason))?
    {
        // A line of spaces is a record of one field.
        if fields.iter().all(|field| field.trim().is_empty()) {
            continue;
        }
        let (file, class) = parse(&fields).map_err(|reason| problem(line, reason))?;
        if let Some(earlier) = labels.insert(file.clone(), Label { class, line }) {
            let reason = format!("{file} was already listed in line {}", earlier.line);
            return Err(problem(line, reason));
        }
    }
    Ok(labels)
}

/// The line in which a record begins, and its fields.
type Record = (usize, Vec<String>);
/// A line, and what is wrong with it.
type Fault = (usize, String);

/// The records of a text, each with the line in which it begins; empty lines are none.
struct Records<'t> {
    rest: &'t [u8],
    line: usize,
    reader: csv_core::Reader,
    fields: Vec<u8>,
}

impl<'t> Records<'t> {
    fn new(text: &'t str) -> Self {
        let (reader, fields) = (csv_core::Reader::new(), vec![0; MAX_RECORD]);
        Self { rest: text.as_bytes(), line: 1, reader, fields }
    }

    fn next(&mut self) -> Result<Option<Record>, Fault> {
        let empty = self.rest.iter().take_while(|byte| b"\r\n".contains(byte)).count();
        self.pass(empty);
        if self.rest.is_empty() {
            return Ok(None);
        }
        let line = self.line;
        let mut ends = [0; MAX_FIELDS];
        let (mut written, mut fields) = (0, 0);
        loop {
            let (output, ends) = (&mut self.fields[written..], &mut ends[fields..]);
            let (result, read, more, ended) = self.reader.read_record(self.rest, output, ends);
            self.pass(read);
            (written, fields) = (written + more, fields + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record | ReadRecordResult::End => break,
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err((line, "the record has no end; is a quote open?".to_owned()));
                }
            }
        }
        let starts = std::iter::once(0).chain(ends);
        let field = |(start, end)| String::from_utf8_lossy(&self.fields[start..end]).into_owned();
        Ok(Some((line, starts.zip(ends).take(fields).map(field).collect())))
    }

    fn pass(&mut self, bytes: usize) {
        let (passed, rest) = self.rest.split_at(bytes);
        self.line += passed.iter().filter(|&&byte| byte == b'\n').count();
        self.rest = rest;
    }
}

/// File and class. A name with commas may also stand without quotes: the label is the last field.
fn parse(fields: &[String]) -> Result<(String, usize), String> {
    let Some((label, file @ [_, ..])) = fields.split_last() else {
        return Err(format!("\"{}\" is not of the form FILE,LABEL", fields.join(",")));
    };
    let label = label.trim();
    let class = label
        .parse()
        .map_err(|_| format!("label \"{label}\" is not a class number (0, 1, ...)"))?;
    Ok((file.join(",").trim().to_owned(), class))
}
