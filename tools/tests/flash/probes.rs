//! Microcontrollers, behind a stand-in for `probe-rs`.

use std::fs;
use std::path::Path;
use std::process::Command;

use fixnet::format::CRC32;
use fixnet::{KernelSet, Model};
use tempfile::TempDir;

use super::{flash, model_bytes, refusal, run, smoke, stderr, stdout, success, text, write_script};

const BOARD: &str = "nucleo-f446re";

/// What a board reports for the small network, with `error` added to its first logit.
pub fn report(board: &str, error: i32) -> String {
    let bytes = model_bytes();
    let model = Model::new_checked(&bytes).unwrap();
    let host = smoke().host;
    let mut text = format!(
        "board {board}\nclock dwt 16000000\nmodel_crc32 {:08x}\narena_bytes {}\ninput {:08x}\n",
        CRC32.checksum(&bytes),
        model.required(KernelSet::GENERIC).arena(),
        host.input_crc32
    );
    for (step, crc32) in model.steps().zip(&host.checksums) {
        let kernel = KernelSet::GENERIC.kernel_name(&step.operator);
        let (index, name) = (step.index, step.layer.name);
        text.push_str(&format!("layer {index} {kernel} 160 {crc32:08x} {name}\n"));
    }
    let mut logits = host.logits;
    logits[0] += error;
    text.push_str(&format!("logits {logits:?}\nticks 16000\nstack_bytes 640\ndone\n"));
    text
}

/// A folder with a stand-in `probe-rs` that logs its arguments and runs `script`, and an image.
struct Probe(TempDir);

impl Probe {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let script = format!("echo \"$*\" >>'{}'\n{script}", text(&log));
        write_script(&folder.path().join("probe-rs"), &script);
        fs::write(folder.path().join("image.elf"), "an image").unwrap();
        Self(folder)
    }

    fn at(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn flash(&self, args: &[&str]) -> Command {
        let image = self.at("image.elf");
        let mut command = flash(BOARD, &["--kernel", text(&image)]);
        let path = std::env::var("PATH").unwrap();
        command.args(args).env("PATH", format!("{}:{path}", text(self.0.path())));
        command
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }
}

#[test]
fn an_image_is_downloaded_and_started() {
    let probe = Probe::new("");
    let shown = success(&mut probe.flash(&[]));
    assert!(shown.contains("flashed STM32F446RETx"), "{shown}");
    let log = probe.log();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    let image = probe.at("image.elf");
    let download = |part: &str| assert!(lines[0].contains(part), "{log}");
    ["download ", "--chip STM32F446RETx", text(&image)].iter().for_each(|part| download(part));
    assert!(lines[1].starts_with("reset ") && lines[1].contains("--chip STM32F446RETx"), "{log}");
}

#[test]
fn the_report_over_rtt_is_shown_and_checked() {
    let probe =
        Probe::new("echo 'Finished in 1s' >&2; cat \"$(dirname \"$0\")/report\"; exec sleep 600");
    fs::write(probe.at("report"), report(BOARD, 0)).unwrap();
    let shown = success(&mut probe.flash(&["--monitor"]));
    assert!(probe.log().starts_with("run "), "{}", probe.log());
    for part in ["conv1", "whole run", "stack 640 B", "equal this machine's"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let json = success(&mut probe.flash(&["--monitor", "--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["equals_host"], true);

    fs::write(probe.at("report"), report(BOARD, -1)).unwrap();
    let output = run(&mut probe.flash(&["--monitor"]));
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("not this machine's"), "{}", stderr(&output));
    assert!(stdout(&output).contains("DIFFER FROM"), "{}", stdout(&output));
}

#[test]
fn a_board_that_runs_another_model_is_told() {
    let probe = Probe::new("cat \"$(dirname \"$0\")/report\"");
    let line = format!("model_crc32 {:08x}", CRC32.checksum(&model_bytes()));
    fs::write(probe.at("report"), report(BOARD, 0).replace(&line, "model_crc32 00000001")).unwrap();
    let line = refusal(&mut probe.flash(&["--monitor"]));
    assert!(line.contains("another model"), "{line}");
}

#[test]
fn a_missing_probe_is_said_in_probe_rs_own_words() {
    let probe = Probe::new("echo '   Error: No connected probes were found.' >&2; exit 1");
    for args in [&[][..], &["--monitor"]] {
        let line = refusal(&mut probe.flash(args));
        assert_eq!(line, "error: probe-rs: No connected probes were found.");
    }
}

#[test]
fn a_board_that_hangs_is_given_up() {
    let probe = Probe::new("echo 'board x'; exec sleep 600");
    let line = refusal(&mut probe.flash(&["--monitor", "--time-limit", "1"]));
    assert!(line.contains("1 s") && line.contains("board x"), "{line}");
}

#[test]
fn without_probe_rs_the_remedy_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.elf");
    fs::write(&image, "an image").unwrap();
    let mut command = flash(BOARD, &["--kernel", text(&image)]);
    let line = refusal(command.env("PATH", folder.path()));
    assert!(line.contains("cargo install probe-rs-tools"), "{line}");
}

#[test]
fn a_dry_run_prints_the_commands_and_runs_none() {
    let probe = Probe::new("");
    let shown = success(&mut probe.flash(&["--dry-run"]));
    assert!(shown.contains("would run probe-rs download"), "{shown}");
    let shown = success(&mut flash(BOARD, &["--dry-run", "--monitor"]));
    assert!(shown.contains("would build") && shown.contains("probe-rs run"), "{shown}");
    assert_eq!(probe.log(), "");
    assert!(Path::new(&probe.at("image.elf")).exists());
}

/// Terminal sequences, and names without end.
#[test]
fn what_a_board_or_a_program_says_is_printed_as_text() {
    let escape = "\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}";
    let plain = |output: &std::process::Output| {
        let text = format!("{}{}", stdout(output), stderr(output));
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert!(!text.contains('\u{202e}'), "{text:?}");
        assert!(text.lines().all(|line| line.chars().count() < 30_000), "a line has no end");
    };
    let says = format!("echo 'Error: {escape} no probe' >&2; exit 1");
    plain(&run(&mut Probe::new(&says).flash(&[])));
    plain(&run(&mut Probe::new(&format!("echo '{escape}'; exit 1")).flash(&["--monitor"])));
    let long = "n".repeat(1 << 20);
    let hostile = report(BOARD, 1).replacen("layer 0 ", &format!("layer 0 {escape}{long}"), 1);
    for text_of_board in [hostile.clone(), hostile.replace("done\n", &format!("panic {escape}\n"))]
    {
        let probe = Probe::new("cat \"$(dirname \"$0\")/report\"");
        fs::write(probe.at("report"), text_of_board).unwrap();
        for args in [&["--monitor"][..], &["--monitor", "--json"]] {
            let output = run(&mut probe.flash(args));
            assert_ne!(output.status.code(), Some(0));
            if args.len() == 1 {
                plain(&output);
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for code in [1, 255] {
        write_script(
            &folder.path().join("ssh"),
            &format!("echo '{escape} refused' >&2; exit {code}"),
        );
        let mut command = super::flash("jetson-nano", &["--host", "user@board"]);
        let path = std::env::var("PATH").unwrap();
        let output = run(command.env("PATH", format!("{}:{path}", text(folder.path()))));
        plain(&output);
        assert_eq!(output.status.code(), Some(2));
    }
}
