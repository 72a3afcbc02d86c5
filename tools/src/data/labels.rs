//! `labels.csv`: a header `file,label`, then one line an image.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::DataError;

/// File name to class index, with the line it stands in.
pub type Labels = BTreeMap<String, Label>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    pub class: usize,
    pub line: usize,
}

pub fn read_labels(path: &Path) -> Result<Labels, DataError> {
    let text = fs::read_to_string(path)
        .map_err(|reason| DataError::Io { path: path.to_owned(), reason })?;
    let mut lines = (1..).zip(text.trim_start_matches('\u{feff}').lines());
    let problem =
        |line, problem: String| DataError::Labels { path: path.to_owned(), line, problem };
    let header = lines.next().map_or("", |(_, text)| text.trim());
    if header.replace(' ', "") != "file,label" {
        return Err(problem(1, format!("the header is \"{header}\", expected \"file,label\"")));
    }
    let mut labels = Labels::new();
    for (line, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let (file, class) = parse_line(text).map_err(|reason| problem(line, reason))?;
        if let Some(earlier) = labels.insert(file.to_owned(), Label { class, line }) {
            let reason = format!("{file} was already listed in line {}", earlier.line);
            return Err(problem(line, reason));
        }
    }
    Ok(labels)
}

fn parse_line(text: &str) -> Result<(&str, usize), String> {
    let (file, label) =
        text.rsplit_once(',').ok_or_else(|| format!("\"{text}\" is not of the form FILE,LABEL"))?;
    let label = label.trim();
    let class = label
        .parse()
        .map_err(|_| format!("label \"{label}\" is not a class number (0, 1, ...)"))?;
    Ok((file.trim(), class))
}
