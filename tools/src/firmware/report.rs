//! Reads the lines of a board's report, as `firmware/board` prints them.
//!
//! A console may add lines of its own before the first and after the last; a report that breaks off
//! is an error, with what came last.

use std::str::FromStr;

use thiserror::Error;

/// What a board reported.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoardReport {
    pub board: String,
    pub clock_source: String,
    /// 0 if unknown.
    pub ticks_per_second: u64,
    /// CRC-32 of the model file as the board sees it.
    pub model_crc32: Option<u32>,
    pub arena_bytes: usize,
    /// The typed error of an arena that is one byte short, as Rust prints it.
    pub arena_short: Option<String>,
    /// The typed error of an arena that begins one byte late.
    pub arena_shifted: Option<String>,
    pub inferences: Vec<BoardInference>,
}

/// One input's run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BoardInference {
    /// CRC-32 of the int8 input.
    pub input_crc32: u32,
    pub layers: Vec<BoardLayer>,
    pub logits: Vec<i32>,
    /// CRC-32 of each output, of networks of several outputs or of other kinds.
    pub outputs: Vec<u32>,
    /// The whole inference.
    pub ticks: u64,
    /// Most bytes of stack in use.
    pub stack_bytes: usize,
}

/// One row of the board's latency table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardLayer {
    pub name: String,
    pub kernel: String,
    pub ticks: u64,
    /// CRC-32 of the output, if it was asked for.
    pub crc32: Option<u32>,
}

/// Why there is no report.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ReportError {
    #[error("the board refused what it was given: {reason}")]
    Refused { reason: String },
    #[error("the processor stopped with a fault: {fault}")]
    Fault { fault: String },
    #[error("the image panicked: {message}")]
    Panic { message: String },
    #[error("line `{line}` of the board's report cannot be understood")]
    Unknown { line: String },
    #[error("the board's report breaks off after `{last}`")]
    Incomplete { last: String },
}

impl BoardReport {
    /// Reads a whole report.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn parse(text: &str) -> Result<Self, ReportError> {
        let mut report = Self::default();
        let mut last = "";
        for line in text.lines().map(str::trim_end) {
            if report.board.is_empty() && !line.starts_with("board ") {
                check_end(line)?;
                continue;
            }
            if line == "done" {
                return Ok(report);
            }
            check_end(line)?;
            report.read(line).ok_or_else(|| ReportError::Unknown { line: line.to_string() })?;
            last = line;
        }
        Err(ReportError::Incomplete { last: last.to_string() })
    }

    fn read(&mut self, line: &str) -> Option<()> {
        let (kind, rest) = line.split_once(' ')?;
        match kind {
            "board" => self.board = rest.to_string(),
            "clock" => {
                let (source, ticks) = rest.split_once(' ')?;
                self.clock_source = source.to_string();
                self.ticks_per_second = number(ticks)?;
            }
            "model_crc32" => self.model_crc32 = Some(hex(rest)?),
            "arena_bytes" => self.arena_bytes = number(rest)?,
            "arena_short" => self.arena_short = Some(rest.to_string()),
            "arena_shifted" => self.arena_shifted = Some(rest.to_string()),
            "input" => {
                let input_crc32 = hex(rest)?;
                self.inferences.push(BoardInference { input_crc32, ..Default::default() });
            }
            _ => self.inferences.last_mut()?.read(kind, rest)?,
        }
        Some(())
    }
}

impl BoardInference {
    fn read(&mut self, kind: &str, rest: &str) -> Option<()> {
        match kind {
            "layer" => {
                let layer = layer(rest, self.layers.len())?;
                self.layers.push(layer);
            }
            "logits" => {
                let list = rest.strip_prefix('[')?.strip_suffix(']')?;
                let values = list.split(',').map(str::trim).filter(|value| !value.is_empty());
                self.logits = values.map(|value| value.parse().ok()).collect::<Option<_>>()?;
            }
            "output" => {
                let (index, crc32) = rest.split_once(' ')?;
                (number::<usize>(index)? == self.outputs.len()).then_some(())?;
                self.outputs.push(hex(crc32)?);
            }
            "ticks" => self.ticks = number(rest)?,
            "stack_bytes" => self.stack_bytes = number(rest)?,
            _ => return None,
        }
        Some(())
    }
}

/// `INDEX KERNEL TICKS CRC32|- NAME`; a name may hold spaces.
fn layer(text: &str, expected: usize) -> Option<BoardLayer> {
    let mut words = text.splitn(5, ' ');
    let index: usize = number(words.next()?)?;
    let (kernel, ticks, crc32) = (words.next()?, number(words.next()?)?, words.next()?);
    let crc32 = match crc32 {
        "-" => None,
        digits => Some(hex(digits)?),
    };
    let name = words.next()?.to_string();
    (index == expected).then(|| BoardLayer { name, kernel: kernel.to_string(), ticks, crc32 })
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn hex(text: &str) -> Option<u32> {
    u32::from_str_radix(text, 16).ok()
}

/// The lines that end a report early.
fn check_end(line: &str) -> Result<(), ReportError> {
    match line.split_once(' ') {
        Some(("refused", reason)) => Err(ReportError::Refused { reason: reason.to_string() }),
        Some(("fault", fault)) => Err(ReportError::Fault { fault: fault.to_string() }),
        Some(("panic", message)) => Err(ReportError::Panic { message: message.to_string() }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "boot noise\nboard b\nclock dwt 16000000\nmodel_crc32 0000beef\narena_bytes 99\n\
        input 829c77ee\nlayer 0 conv_generic 12 3aa482f5 conv 1\nlayer 1 logits_generic 3 - fc\n\
        logits [-1, 2]\nticks 15\nstack_bytes 640\ndone\nmore noise\n";

    #[test]
    fn a_report_is_read() {
        let report = BoardReport::parse(REPORT).expect("a report");
        assert_eq!((report.board.as_str(), report.ticks_per_second), ("b", 16_000_000));
        assert_eq!((report.model_crc32, report.arena_bytes), (Some(0xbeef), 99));
        let [inference] = report.inferences.as_slice() else { panic!("one inference") };
        assert_eq!(inference.input_crc32, 0x829c_77ee);
        assert_eq!(inference.logits, [-1, 2]);
        assert_eq!((inference.ticks, inference.stack_bytes), (15, 640));
        let [conv, fc] = inference.layers.as_slice() else { panic!("two layers") };
        assert_eq!((conv.name.as_str(), conv.crc32), ("conv 1", Some(0x3aa4_82f5)));
        assert_eq!((fc.kernel.as_str(), fc.ticks, fc.crc32), ("logits_generic", 3, None));
    }

    #[test]
    fn a_report_that_breaks_off_is_an_error_that_tells_the_last_line() {
        let text = REPORT.replace("done\n", "");
        let cut = text.find("more").expect("noise");
        let error = BoardReport::parse(&text[..cut]).expect_err("incomplete");
        assert_eq!(error, ReportError::Incomplete { last: "stack_bytes 640".into() });
        let nothing = BoardReport::parse("").expect_err("nothing");
        assert_eq!(nothing, ReportError::Incomplete { last: String::new() });
    }

    #[test]
    fn refusals_and_nonsense_are_errors() {
        let refused = BoardReport::parse("board b\nrefused Model(BadMagic)\n");
        assert_eq!(refused, Err(ReportError::Refused { reason: "Model(BadMagic)".into() }));
        for line in ["layer 1 k 0 - n", "layer 0 k x - n", "logits 1, 2", "logits [1, x]", "huh 1"]
        {
            let text = format!("board b\ninput 0\n{line}\ndone\n");
            let unknown = ReportError::Unknown { line: line.into() };
            assert_eq!(BoardReport::parse(&text), Err(unknown));
        }
        let early = BoardReport::parse("board b\nticks 5\ndone\n");
        assert_eq!(early, Err(ReportError::Unknown { line: "ticks 5".into() }));
    }
}
