//! `fixnet-decode IMAGE < FRAMES`: defmt frames as lines of text.
//!
//! A program of its own: in whatever links the decoder, the JSON library keeps numbers in another way. Bytes
//! that are no frame are an error, since boards are checked by these lines.

use std::io::{ErrorKind, Read, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use defmt_decoder::{DecodeError, Table};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run() -> anyhow::Result<()> {
    let Some(path) = std::env::args_os().nth(1) else {
        bail!("usage: fixnet-decode IMAGE < FRAMES")
    };
    let elf = std::fs::read(&path).with_context(|| path.display().to_string())?;
    let table = Table::parse(&elf)
        .with_context(|| path.display().to_string())?
        .with_context(|| format!("{}: the image has no defmt logs", path.display()))?;
    let mut decoder = table.new_stream_decoder();
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut buffer = [0; 4096];
    loop {
        let count = match input.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error).context("standard input"),
        };
        decoder.received(buffer.get(..count).unwrap_or_default());
        loop {
            match decoder.decode() {
                Ok(frame) => writeln!(output, "{}", frame.display_message())?,
                Err(DecodeError::UnexpectedEof) => break,
                Err(DecodeError::Malformed) => bail!("a frame is damaged"),
            }
        }
        output.flush()?;
    }
}
