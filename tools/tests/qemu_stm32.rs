//! The image for the Nucleo-F446RE on an emulated relative of its chip.
//!
//! QEMU has no STM32F446; the STM32F405 has the same memory map, ports and clock gates, and QEMU logs
//! accesses to what it does not emulate of them. Its cycle counter stands still. Needs what
//! `firmware/setup.sh` finds or installs; `FIXNET_NO_QEMU=1` leaves these tests out.

mod common;

use std::fs;
use std::process::Command;
use std::time::Duration;

use common::boards::{Network, host_results, wanted};
use fixnet::KernelSet;
use object::{Object, ObjectSection};
use tools::boards::Board;
use tools::firmware::{BoardReport, Console, build, console_text};
use tools::process::run_limited;

const BOARD: &str = "nucleo-f446re";
/// A machine with an STM32F405.
const RELATIVE: &str = "netduinoplus2";
/// A run takes seconds; a guest that hangs must not hang the tests.
const TIME_LIMIT: Duration = Duration::from_secs(180);

#[test]
fn the_image_for_an_stm32f446_drives_its_led_and_gives_the_bytes_of_the_host() {
    if !wanted(BOARD) {
        return;
    }
    let network = Network::bundled(1);
    let (exit_code, report, log) = Stm32::build(&network).run();
    assert_eq!(exit_code, Some(0), "{report}");
    let report = BoardReport::parse(&report).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!((report.clock_source.as_str(), report.ticks_per_second), ("dwt", 16_000_000));
    let model = network.model();
    let (_, checksums, logits) = host_results(&model, &network.inputs[0], KernelSet::REFERENCE);
    let layers = report.inferences[0].layers.iter();
    assert_eq!(layers.filter_map(|layer| layer.crc32).collect::<Vec<_>>(), checksums);
    assert_eq!(report.inferences[0].logits, logits);

    let writes = |prefix: &str| -> Vec<&str> {
        log.lines().filter_map(|line| line.strip_prefix(prefix)?.strip_suffix(')')).collect()
    };
    // AHB1ENR, MODER and BSRR of RM0390: clock for port A, pin 5 an output, set and reset.
    let write = "unimplemented device write (size 4, offset";
    assert_eq!(writes(&format!("RCC: {write} 0x030, value ")), ["0x00000001"]);
    assert_eq!(writes(&format!("GPIOA: {write} 0x000, value ")), ["0x00000400"]);
    let pulses = ["0x00000020", "0x00200000"].repeat(model.step_count());
    assert_eq!(writes(&format!("GPIOA: {write} 0x018, value ")), pulses);
}

#[test]
fn a_stack_that_overflows_on_an_stm32f446_is_a_fault() {
    if !wanted(BOARD) {
        return;
    }
    let mut stm32 = Stm32::build(&Network::bundled(1));
    let ram = stm32.board.bare_metal.as_ref().expect("a Cortex-M board").ram.expect("RAM");
    // The first word of the vector table is where the stack starts: leave less than `main` takes.
    let start = u32::try_from(ram.origin).expect("an address of 32 bits") + 64;
    let table = {
        let elf = object::File::parse(stm32.elf.as_slice()).expect("an ELF file");
        let section = elf.section_by_name(".vector_table").expect("a vector table");
        section.file_range().expect("in the file").0 as usize
    };
    stm32.elf[table..table + 4].copy_from_slice(&start.to_le_bytes());
    let (exit_code, report, log) = stm32.run();
    assert_eq!((exit_code, report.trim_end()), (Some(3), "fault stack overflow"), "{log}");
}

/// The image for the Nucleo-F446RE.
struct Stm32 {
    board: Board,
    elf: Vec<u8>,
}

impl Stm32 {
    fn build(network: &Network) -> Self {
        let board = Board::load(BOARD).expect("the board's data");
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let (elf, payload) = (scratch.path().join("image.elf"), scratch.path().join("payload"));
        fs::write(&payload, network.payload()).expect("a writable folder");
        build(&board, Some(&payload), Console::Emulator, &elf).unwrap_or_else(|e| panic!("{e}"));
        let elf = fs::read(elf).expect("the image that was built");
        Self { board, elf }
    }

    /// Exit code, report, and QEMU's log.
    fn run(&self) -> (Option<i32>, String, String) {
        let scratch = tempfile::tempdir().expect("a temporary folder");
        let (elf, console) = (scratch.path().join("image.elf"), scratch.path().join("console"));
        fs::write(&elf, &self.elf).expect("a writable folder");
        let mut qemu = Command::new("qemu-system-arm");
        qemu.args([
            "-machine", RELATIVE, "-display", "none", "-monitor", "none", "-serial", "none",
        ])
        .args(["-semihosting-config", "enable=on,target=native", "-d", "unimp", "-kernel"])
        .arg(&elf);
        let output = run_limited(qemu, TIME_LIMIT).unwrap_or_else(|e| panic!("{e}"));
        fs::write(&console, &output.stdout).expect("a writable folder");
        let report = console_text(&elf, &console).unwrap_or_else(|e| panic!("{e}"));
        (output.status.code(), report, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}
