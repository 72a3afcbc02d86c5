//! The keys of all JSON stand in `docs/json.md`.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::{fixnet, fixture, json, model, narrow, pictures, text};

/// The page's sections, by command.
fn section(command: &str) -> String {
    let page = format!("{}/../docs/json.md", env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(page).unwrap();
    let start =
        page.find(&format!("\n## {command}\n")).unwrap_or_else(|| panic!("no section {command}"));
    let section = &page[start + 4..];
    section[..section.find("\n## ").unwrap_or(section.len())].to_owned()
}

/// All keys of a value, but for those that are names of other things.
fn keys(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        Value::Object(object) => {
            for (key, value) in object {
                found.insert(key.clone());
                match (key.as_str(), value) {
                    ("against", Value::Object(runtimes)) => {
                        runtimes.values().for_each(|value| keys(value, found));
                    }
                    _ => keys(value, found),
                }
            }
        }
        _ => {}
    }
}

fn assert_documented(command: &str, also: &[&str], values: &[Value]) {
    let mut found = BTreeSet::new();
    values.iter().for_each(|value| keys(value, &mut found));
    assert!(!found.is_empty(), "{command}");
    let text: String = [&[command][..], also].concat().into_iter().map(section).collect();
    for key in found {
        let documented =
            [format!("`{key}`"), format!("`.{key}`"), format!("].{key}`"), format!("`{key}[].")];
        assert!(
            documented.iter().any(|k| text.contains(k)),
            "{command}: {key} is not in docs/json.md"
        );
    }
}

#[test]
fn every_key_of_every_command_is_documented() {
    let folder = pictures(2);
    let at = |name: &str| text(&folder.path().join(name));
    let (narrow, file, image) = (narrow(), text(model()), at("0.png"));
    fs::write(at("labels.csv"), "file,label\n0.png,1\n1.png,2\n").unwrap();
    let images = text(folder.path());
    let with_parts = at("parts.fxn");
    let made = json(&["make-model", "resnet8", "--out", &at("m.onnx"), "--json"]);
    fs::rename(at("m.onnx"), at("m.txt")).unwrap();
    let few = ["--calib-limit", "1", "--limit", "1", "--json", "--out"];
    let quantize = |model: &str, more: &[&str], out: &str| {
        json(&[&["quantize", model], more, &few[..], &[out]].concat())
    };
    let quantized = quantize(&narrow, &["--images", &images], &at("x.fxn.txt"));
    let split = quantize(&fixture("keras-resnet"), &["--fallback", "tract"], &with_parts);
    fs::rename(with_parts, at("parts.txt")).unwrap();
    let compare = json(&["compare", &narrow, &file, "--images", &images, "--json"]);
    let runs = [
        json(&["run", &file, &image, "--checksums", "--json"]),
        json(&["run", &file, &image, &image, "--json"]),
        json(&["run", &file, &image, "--json", "--backend", "tract", "--model", &narrow]),
    ];
    let bench = ["bench", &file, "--runs", "2", "--against", "tract", "--model", &narrow, "--json"];
    let pack = ["pack", &file, "--target", "x86-64-avx2", "--out", &at("p.txt"), "--json"];
    let (inspect, pack) = (json(&["inspect", &file, "--json"]), json(&pack));
    assert_documented("make-model", &[], &[made]);
    let images = ["make-images", "--count", "1", "--size", "8", "--out", &at("images"), "--json"];
    let images_made = json(&images);
    fs::remove_dir_all(at("images")).unwrap();
    assert_documented("make-images", &[], &[images_made]);
    assert_documented("quantize", &["inspect", "compare"], &[quantized, split]);
    assert_documented("compare", &[], &[compare]);
    assert_documented("run", &[], &runs);
    assert_documented("bench", &["run"], &[json(&bench)]);
    assert_documented("inspect", &[], &[inspect, pack]);
    let checks = ["option-a-torchscript", "keras-resnet", "bottleneck-torchscript-dynamic"];
    let checks = checks.map(|name| json(&["check", &fixture(name), "--json"]));
    assert_documented("check", &[], &checks);
    let boards = [json(&["boards", "--json"]), json(&["boards", "--json", &file])];
    assert_documented("boards", &[], &boards);
    assert_documented("fetch", &[], &[json(&["fetch", "--json"])]);
    let flash = |args: &[&str]| {
        let output = fixnet(&[&["flash", "--dry-run", "--json", &file], args].concat());
        let output = { output }.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let flashed = [
        flash(&["--board", "nucleo-f446re"]),
        flash(&["--board", "jetson-nano", "--host", "user@nowhere.invalid"]),
    ];
    assert_documented("flash", &[], &flashed);
}

/// Every flag `--json` there is, so that no command goes without.
#[test]
fn every_command_takes_json() {
    let help = fixnet(&["--help"]).output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.take_while(|line| !line.is_empty());
    let commands = commands.filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let commands: Vec<&str> = commands.filter(|&command| command != "help").collect();
    assert!(commands.len() >= 12, "{commands:?}");
    for command in commands {
        let help = fixnet(&[command, "--help"]).output().unwrap();
        assert!(String::from_utf8(help.stdout).unwrap().contains("--json"), "{command}");
        section(command.strip_prefix("pack").map_or(command, |_| "inspect"));
    }
}
