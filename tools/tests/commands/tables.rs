//! Tables fit the terminal, and look the same wherever there is none.

use std::process::Command;

use crate::{fixnet, fixture, model, narrow, pictures, quantize_args, text};

/// Every command that prints a table.
fn printers(folder: &std::path::Path) -> Vec<Vec<String>> {
    let (narrow, file, image) = (narrow(), text(model()), text(&folder.join("0.png")));
    let commands: [&[&str]; 8] = [
        &["check", &fixture("keras-resnet")],
        &["compare", &narrow, &file, "--limit", "2"],
        &["run", &file, &image, "--checksums"],
        &["inspect", &file],
        &["bench", &file, "--runs", "1"],
        &["boards"],
        &["boards", &file],
        &["fetch"],
    ];
    let own = commands.iter().map(|args| args.iter().map(|&arg| arg.to_owned()).collect());
    own.chain([quantize_args(&folder.join("x.fxn"))]).collect()
}

/// Lines of tables: each heading, the line below, and the rows.
fn table_lines(text: &str) -> Vec<&str> {
    let lines: Vec<&str> = text.lines().collect();
    let is_rule = |line: &str| !line.is_empty() && line.chars().all(|c| c == '─');
    let mut found = Vec::new();
    for at in (0..lines.len()).filter(|&at| is_rule(lines[at])) {
        found.push(lines[at - 1]);
        let rows = lines[at..].iter().take_while(|line| !line.is_empty() && !line.starts_with('('));
        found.extend(rows.take_while(|line| !line.contains(" = ")));
    }
    found
}

#[test]
fn tables_fit_as_many_columns_as_there_are() {
    let folder = pictures(1);
    for args in printers(folder.path()) {
        for columns in [60, 80, 100] {
            let output = fixnet(&args).env("COLUMNS", columns.to_string()).output().unwrap();
            assert!(output.status.code() < Some(2), "{args:?}");
            let text = String::from_utf8(output.stdout).unwrap();
            let lines = table_lines(&text);
            assert!(lines.len() > 2, "{args:?}: no table in\n{text}");
            for line in lines {
                let width = line.chars().count();
                assert!(width <= columns, "{args:?}: {width} of {columns}: {line}");
            }
        }
    }
}

#[test]
fn without_a_terminal_tables_are_whole_and_plain() {
    let folder = pictures(1);
    for args in printers(folder.path()) {
        let output = fixnet(&args).env_remove("COLUMNS").env("TERM", "xterm").output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(
            !text.contains("not shown") && !text.contains('…') && !text.contains('\x1b'),
            "{text}"
        );
    }
}

/// On a terminal of 80 columns headings are bold, unless that is not wanted.
#[test]
fn a_terminal_gets_bold_headings_if_it_can_show_them() {
    let shown = |setting: &str| {
        let program = assert_cmd::cargo::cargo_bin("fixnet");
        let line = format!("stty cols 80; env {setting} {} fetch", program.display());
        let mut script = Command::new("script");
        script
            .args(["-q", "-e", "-c", &line, "/dev/null"])
            .env("TERM", "xterm")
            .env_remove("NO_COLOR");
        script.env_remove("COLUMNS").output().ok().filter(|output| output.status.success())
    };
    let Some(output) = shown("TERM=xterm") else {
        return crate::common::tell("NOT RUN on a terminal: there is no `script` (util-linux)");
    };
    let bold = String::from_utf8_lossy(&output.stdout);
    assert!(bold.contains("\x1b[1mname"), "{bold}");
    let plain = bold.replace("\x1b[1m", "").replace("\x1b[0m", "");
    assert!(!plain.contains('\x1b'), "{plain}");
    assert!(plain.lines().all(|line| line.trim_end().chars().count() <= 80), "{plain}");
    for setting in ["NO_COLOR=1", "TERM=dumb"] {
        let output = shown(setting).expect("it ran before");
        let text = String::from_utf8_lossy(&output.stdout);
        let lines = text.lines().map(str::trim_end);
        assert!(lines.eq(plain.lines().map(str::trim_end)), "{setting}: {text}");
    }
}
