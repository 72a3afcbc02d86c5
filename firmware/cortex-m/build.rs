//! Takes the board from its data and the files in flash from the environment.
//!
//! `FIXNET_BOARD` names a folder of `boards/`; its `board.toml` becomes the linker's `memory.x` and
//! the constants of `src/board.rs`, so that no figure is stated twice. `FIXNET_PAYLOAD` is the file
//! with model and inputs that goes into flash; without it the image looks for one in the board's
//! payload memory. `FIXNET_MODEL` is the model of the image `minimal`.

use std::path::{Path, PathBuf};
use std::{env, fs};

use toml::{Table, Value};

fn main() {
    if let Err(message) = configure() {
        println!("cargo::error={message}");
    }
}

fn configure() -> Result<(), String> {
    let out = PathBuf::from(variable("OUT_DIR").ok_or("OUT_DIR is not set: cargo sets it")?);
    let name = variable("FIXNET_BOARD")
        .ok_or("FIXNET_BOARD is not set: name a folder of firmware/boards")?;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../boards").join(&name);
    let path = path.join("board.toml");
    let board = Data::read(&path)?;
    let payload = file("FIXNET_PAYLOAD")?;
    if payload.is_some() {
        println!("cargo::rustc-cfg=payload_in_flash");
    }
    file("FIXNET_MODEL")?;
    write(&out.join("memory.x"), &memory(&board)?)?;
    write(&out.join("board.rs"), &constants(&board, &name, payload.is_some())?)?;
    println!("cargo::rustc-check-cfg=cfg(payload_in_flash)");
    println!("cargo::rustc-check-cfg=cfg(board, values(any()))");
    println!("cargo::rustc-check-cfg=cfg(clock, values(any()))");
    println!("cargo::rustc-cfg=board=\"{name}\"");
    println!("cargo::rustc-cfg=clock=\"{}\"", board.text("clock")?);
    println!("cargo::rustc-link-search={}", out.display());
    println!("cargo::rustc-link-arg-bins=-Tlink.x");
    println!("cargo::rustc-link-arg-bins=--nmagic");
    println!("cargo::rustc-link-arg-bin=fixnet-cortex-m=-Tdefmt.x");
    Ok(())
}

/// Least stack that a board's budget of RAM may leave.
const MIN_STACK: i64 = 4096;

/// The linker's map: below the statics, which get what the budget says, lies the stack, so that one
/// that overflows leaves the RAM, which is a fault, and does not reach the statics.
fn memory(board: &Data) -> Result<String, String> {
    let ((flash, flash_bytes), (ram, ram_bytes)) = (board.region("flash")?, board.region("ram")?);
    let budget = board.number(board.table("budget")?, "ram")?;
    let stack = (ram_bytes - budget) & !7;
    if stack < MIN_STACK {
        let board = board.path.display();
        return Err(format!("{board}: budget.ram leaves {stack} bytes for the stack"));
    }
    let line =
        |name, origin, bytes| format!("{name} : ORIGIN = {origin:#x}, LENGTH = {bytes:#x}\n");
    let flash = line("FLASH", flash, flash_bytes);
    let statics = line("RAM", ram + stack, ram_bytes - stack);
    let stack = line("STACK", ram, stack);
    Ok(format!(
        "MEMORY {{\n{flash}{stack}{statics}}}\n_stack_end = ORIGIN(STACK);\n\
         _stack_start = ORIGIN(STACK) + LENGTH(STACK);\n"
    ))
}

fn constants(board: &Data, name: &str, in_flash: bool) -> Result<String, String> {
    let clock = board.text("clock")?;
    let arena = board.number(board.table("budget")?, "arena")?;
    let mut text = format!("pub const NAME: &str = {name:?};\n");
    text += &format!("pub const CLOCK_SOURCE: &str = {clock:?};\n");
    text += &format!("pub const ARENA_BYTES: usize = {arena};\n");
    match board.region("payload") {
        _ if in_flash => {}
        Ok((origin, bytes)) => {
            text += &format!("pub const PAYLOAD_ORIGIN: usize = {origin:#x};\n");
            text += &format!("pub const PAYLOAD_BYTES: usize = {bytes:#x};\n");
        }
        Err(_) => {
            text += "compile_error!(\"FIXNET_PAYLOAD is not set, and this board has no payload \
                     memory: give the absolute path of a payload file\");\n";
            text += "pub const PAYLOAD_ORIGIN: usize = 16;\npub const PAYLOAD_BYTES: usize = 0;\n";
        }
    }
    Ok(text)
}

/// The table `bare_metal` of a board's data.
struct Data {
    path: PathBuf,
    table: Table,
}

impl Data {
    fn read(path: &Path) -> Result<Self, String> {
        println!("cargo::rerun-if-changed={}", path.display());
        let failed = |reason: &str| format!("{}: {reason}", path.display());
        let text = fs::read_to_string(path).map_err(|e| failed(&e.to_string()))?;
        let mut data: Table = text.parse().map_err(|e: toml::de::Error| failed(e.message()))?;
        match data.remove("bare_metal") {
            Some(Value::Table(table)) => Ok(Self { path: path.to_path_buf(), table }),
            _ => Err(failed("no table [bare_metal]: the board only runs Linux")),
        }
    }

    fn lacks(&self, key: &str) -> String {
        format!("{}: [bare_metal] lacks `{key}`", self.path.display())
    }

    fn text(&self, key: &str) -> Result<&str, String> {
        self.table.get(key).and_then(Value::as_str).ok_or_else(|| self.lacks(key))
    }

    fn table(&self, key: &str) -> Result<&Table, String> {
        self.table.get(key).and_then(Value::as_table).ok_or_else(|| self.lacks(key))
    }

    fn number(&self, table: &Table, key: &str) -> Result<i64, String> {
        table.get(key).and_then(Value::as_integer).ok_or_else(|| self.lacks(key))
    }

    /// Origin and length.
    fn region(&self, key: &str) -> Result<(i64, i64), String> {
        let region = self.table(key)?;
        Ok((self.number(region, "origin")?, self.number(region, "bytes")?))
    }
}

fn variable(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    env::var(name).ok()
}

/// Passes the absolute path of the file that variable `name` gives on to the sources.
fn file(name: &str) -> Result<Option<PathBuf>, String> {
    let Some(file) = variable(name) else { return Ok(None) };
    let path = Path::new(&file).canonicalize().map_err(|e| format!("{name}: {file}: {e}"))?;
    println!("cargo::rerun-if-changed={}", path.display());
    println!("cargo::rustc-env={name}={}", path.display());
    Ok(Some(path))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}
