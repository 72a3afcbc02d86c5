//! Boards as data: `firmware/boards/<name>/board.toml`, one folder a board.
//!
//! What may not be broken: a figure of a board is stated there and nowhere else; image builds, the
//! emulator, flashing and the check of budgets all read it from here.

mod fit;

use std::path::{Path, PathBuf};

use fixnet::KernelFamily;
use fixnet::format::Target;
use serde::Deserialize;
use thiserror::Error;

pub use fit::{
    BareMetalFit, Fit, FitError, LinuxFit, Place, check_float_nodes, fit, fit_bare_metal, fit_linux,
};

/// A board.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// The folder's name.
    #[serde(skip)]
    pub name: String,
    pub description: String,
    pub chip: String,
    /// The processor core, as Arm names it.
    pub core: String,
    /// The best kernels that it has instructions for.
    #[serde(deserialize_with = "family")]
    pub kernels: KernelFamily,
    pub bare_metal: Option<BareMetal>,
    pub linux: Option<Linux>,
    pub qemu: Option<Qemu>,
    pub probe_rs: Option<ProbeRs>,
    pub sd_card: Option<SdCard>,
}

/// Kernels by their name.
fn family<'de, D: serde::Deserializer<'de>>(data: D) -> Result<KernelFamily, D::Error> {
    let name = String::deserialize(data)?;
    KernelFamily::from_name(&name).ok_or_else(|| {
        let known = KernelFamily::ALL.map(KernelFamily::name).join(", ");
        serde::de::Error::custom(format!("kernels {name:?} are none of {known}"))
    })
}

/// What a board without an operating system runs.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BareMetal {
    pub image: Image,
    /// Rust target.
    pub target: String,
    /// Where the image lies, for images that the linker places in flash.
    pub flash: Option<Region>,
    pub ram: Option<Region>,
    /// Memory for a model and inputs outside of the image.
    pub payload: Option<Region>,
    pub clock: ClockSource,
    pub budget: BareMetalBudget,
}

/// A crate of the firmware workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Image {
    CortexM,
    Raspi,
}

impl Image {
    /// The crate's name, which is also the name of its program.
    #[must_use]
    pub const fn package(self) -> &'static str {
        match self {
            Self::CortexM => "fixnet-cortex-m",
            Self::Raspi => "fixnet-raspi",
        }
    }
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    pub origin: u64,
    pub bytes: usize,
}

/// What a layer's time is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockSource {
    /// The cycle counter of the Data Watchpoint and Trace unit.
    Dwt,
    /// Timer 0 of Arm's Cortex-M System Design Kit.
    CmsdkTimer,
    /// The counter of the AArch64 generic timer.
    GenericTimer,
}

/// Bytes that may be used.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BareMetalBudget {
    /// Code, constants and a model in flash.
    pub flash: Option<usize>,
    /// The image without model and logging.
    pub code: Option<usize>,
    /// Statics with the arena, without the stack.
    pub ram: Option<usize>,
    /// What the image lends to inference.
    pub arena: usize,
}

/// A board that runs Linux.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linux {
    /// Rust targets that it can run, the preferred one first.
    pub targets: Vec<String>,
    pub budget: LinuxBudget,
    pub qemu: Option<LinuxQemu>,
}

/// How QEMU's user mode emulates a board that runs Linux.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinuxQemu {
    /// The processor core, or the newest with the same instructions that QEMU knows.
    pub cpu: String,
}

/// Bytes that may be used.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinuxBudget {
    /// Program and model.
    pub disk: usize,
    /// Model and arena.
    pub ram: usize,
}

/// How QEMU emulates a board.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Qemu {
    pub machine: String,
    /// Of the board's clock source.
    pub ticks_per_second: u64,
    /// Guest instructions of one tick under `-icount shift=0`.
    pub instructions_per_tick: u64,
}

/// What QEMU emulates of a board.
#[derive(Debug, Clone, Copy)]
pub enum Emulator<'a> {
    /// The machine, which runs an image.
    Machine(&'a Qemu),
    /// A processor of this name, which runs the program for Linux.
    Processor(&'a str),
}

/// How probe-rs names a chip.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbeRs {
    pub chip: String,
}

/// What a bootable card holds beside kernel and payload.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SdCard {
    /// Files of the GPU firmware, which are not part of fixnet.
    pub firmware: Vec<String>,
    /// Lines of `config.txt`.
    pub config: Vec<String>,
}

/// Why a board's data cannot be had.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BoardError {
    #[error("there is no board `{name}`; there are {known}")]
    Unknown { name: String, known: String },
    #[error("{path}: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    #[error("board {board} does not run without an operating system; it runs Linux")]
    NotBareMetal { board: String },
    #[error("board {board} does not run Linux; it runs an image of its own")]
    NotLinux { board: String },
    #[error("QEMU does not emulate board {board}; {known} are emulated")]
    NotEmulated { board: String, known: String },
}

/// Where boards are looked for, for the help of commands.
pub const FIRMWARE_HELP: &str = "Boards, and the sources of what runs on them, are read from the folder `firmware` of fixnet's \
     sources: the one that the variable FIXNET_FIRMWARE names, else the one that this program was built \
     beside.";

/// What to do where that folder is not there.
pub(crate) fn firmware_remedy() -> &'static str {
    match std::env::var_os("FIXNET_FIRMWARE") {
        Some(_) => "FIXNET_FIRMWARE must name the folder `firmware` of fixnet's sources",
        None => {
            "this is where the program was built; \
             set FIXNET_FIRMWARE to the folder `firmware` of fixnet's sources"
        }
    }
}

/// The folder of the firmware's sources: `FIXNET_FIRMWARE`, else where these tools were built.
#[must_use]
pub fn firmware_folder() -> PathBuf {
    match std::env::var_os("FIXNET_FIRMWARE") {
        Some(folder) => folder.into(),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware"),
    }
}

impl Board {
    /// The kernels that its core has instructions for, the best first.
    pub fn families(&self) -> impl Iterator<Item = KernelFamily> {
        self.kernels.line()
    }

    /// The kernels that run a file packed for `target`, the best ones; `None` if none do.
    #[must_use]
    pub fn kernels(&self, target: Target) -> Option<KernelFamily> {
        self.families().find(|family| family.runs(target))
    }

    /// Reads a board's data.
    ///
    /// # Errors
    /// [`BoardError::Unknown`] with the names that there are, or [`BoardError::Unreadable`].
    pub fn load(name: &str) -> Result<Self, BoardError> {
        let known = Self::names()?;
        if !known.iter().any(|board| board == name) {
            return Err(BoardError::Unknown { name: name.to_string(), known: known.join(", ") });
        }
        let path = firmware_folder().join("boards").join(name).join("board.toml");
        let unreadable = |reason: String| BoardError::Unreadable { path: path.clone(), reason };
        let text = crate::files::read_text(&path).map_err(|e| unreadable(e.to_string()))?;
        Self::parse(name, &text).map_err(unreadable)
    }

    /// A board from the text of its `board.toml`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(name: &str, text: &str) -> Result<Self, String> {
        let board: Self = toml::from_str(text).map_err(|error| error.message().to_string())?;
        Ok(Self { name: name.to_string(), ..board })
    }

    /// The names of all boards, sorted.
    ///
    /// # Errors
    /// [`BoardError::Unreadable`] if the firmware's sources are not there.
    pub fn names() -> Result<Vec<String>, BoardError> {
        let folder = firmware_folder().join("boards");
        let unreadable = |e: std::io::Error| BoardError::Unreadable {
            path: folder.clone(),
            reason: format!("{e}; {}", firmware_remedy()),
        };
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.path().join("board.toml").is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// All boards, by name.
    ///
    /// # Errors
    /// [`BoardError::Unreadable`].
    pub fn all() -> Result<Vec<Self>, BoardError> {
        Self::names()?.iter().map(|name| Self::load(name)).collect()
    }

    /// What the board runs without an operating system.
    ///
    /// # Errors
    /// [`BoardError::NotBareMetal`].
    pub fn require_bare_metal(&self) -> Result<&BareMetal, BoardError> {
        let board = || self.name.clone();
        self.bare_metal.as_ref().ok_or_else(|| BoardError::NotBareMetal { board: board() })
    }

    /// What the board runs under Linux.
    ///
    /// # Errors
    /// [`BoardError::NotLinux`].
    pub fn require_linux(&self) -> Result<&Linux, BoardError> {
        self.linux.as_ref().ok_or_else(|| BoardError::NotLinux { board: self.name.clone() })
    }

    /// The machine that QEMU emulates.
    ///
    /// # Errors
    /// [`BoardError::NotEmulated`] with the boards that are.
    pub fn require_qemu(&self) -> Result<&Qemu, BoardError> {
        match self.emulator()? {
            Emulator::Machine(qemu) => Ok(qemu),
            Emulator::Processor(_) => Err(self.not_emulated()?),
        }
    }

    /// How QEMU emulates the board.
    ///
    /// # Errors
    /// [`BoardError::NotEmulated`] with the boards that are.
    pub fn emulator(&self) -> Result<Emulator<'_>, BoardError> {
        let linux = self.linux.as_ref().and_then(|linux| linux.qemu.as_ref());
        match (&self.qemu, linux) {
            (Some(qemu), _) => Ok(Emulator::Machine(qemu)),
            (None, Some(qemu)) => Ok(Emulator::Processor(&qemu.cpu)),
            (None, None) => Err(self.not_emulated()?),
        }
    }

    /// The name of what QEMU emulates, a machine or a processor, if it does.
    #[must_use]
    pub fn emulated_as(&self) -> Option<&str> {
        let linux = || Some(self.linux.as_ref()?.qemu.as_ref()?.cpu.as_str());
        self.qemu.as_ref().map(|qemu| qemu.machine.as_str()).or_else(linux)
    }

    fn not_emulated(&self) -> Result<BoardError, BoardError> {
        let emulated = Self::all()?.into_iter().filter(|board| board.emulated_as().is_some());
        let known: Vec<String> = emulated.map(|board| board.name).collect();
        Ok(BoardError::NotEmulated { board: self.name.clone(), known: known.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_can_be_read_and_runs_something() {
        let boards = Board::all().expect("the boards' data");
        for name in [
            "graviton3",
            "jetson-nano",
            "jetson-orin",
            "nucleo-f446re",
            "qemu-mps2-an385",
            "qemu-mps2-an386",
            "qemu-mps2-an500",
            "qemu-mps2-an505",
            "qemu-raspi3b",
            "raspberry-pi-3",
            "raspberry-pi-4",
            "raspberry-pi-5",
            "stm32h743",
        ] {
            assert!(boards.iter().any(|board| board.name == name), "{name}");
        }
        for board in boards {
            assert!(board.bare_metal.is_some() || board.linux.is_some(), "{}", board.name);
        }
    }

    #[test]
    fn budgets_lie_within_the_memory() {
        for board in Board::all().expect("the boards' data") {
            let Some(bare_metal) = &board.bare_metal else { continue };
            let budget = &bare_metal.budget;
            for (region, budget) in [(bare_metal.flash, budget.flash), (bare_metal.ram, budget.ram)]
            {
                assert_eq!(region.is_some(), budget.is_some(), "{}", board.name);
                let (Some(region), Some(budget)) = (region, budget) else { continue };
                assert!(budget <= region.bytes, "{}: {budget} of {}", board.name, region.bytes);
            }
            if let Some(ram) = budget.ram {
                assert!(budget.arena < ram, "{}", board.name);
            }
        }
    }

    #[test]
    fn an_unknown_board_is_answered_with_the_known_ones() {
        let error = Board::load("pdp-11").expect_err("no such board").to_string();
        assert!(error.starts_with("there is no board `pdp-11`; there are graviton3, "), "{error}");
        assert!(Board::load("../boards/jetson-nano").is_err(), "a path is no name");
    }
}
