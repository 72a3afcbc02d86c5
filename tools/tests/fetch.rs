//! Downloads from a server on the loopback interface: what is verified, and what stays on disk.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::thread;

use sha2::{Digest, Sha256};
use tempfile::TempDir;
use tools::zoo::Zoo;
use tools::zoo::fetch::{FetchError, Fetched, fetch, unpack};

/// Serves one answer and gives its address.
fn serve_once(status: &'static str, length: usize, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let request = BufReader::new(stream.try_clone().unwrap());
        let end = request.lines().map_while(Result::ok).position(|line| line.is_empty());
        assert!(end.is_some());
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(&body);
    });
    format!("http://{address}/model.onnx")
}

fn serve(body: &[u8]) -> String {
    serve_once("200 OK", body.len(), body.to_vec())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// A folder with a zoo of one entry that expects `promised`.
fn zoo_for(url: &str, promised: &[u8]) -> (TempDir, Zoo) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("zoo.toml");
    let digest = sha256(promised);
    let size = promised.len();
    let text = format!(
        "[[entry]]\nname = \"m\"\ntask = \"t\"\nfile = \"model.onnx\"\nurl = \"{url}\"\n\
         sha256 = \"{digest}\"\nsize = {size}\nchecksum_source = \"this test\"\nverified = true\n"
    );
    fs::write(&path, text).unwrap();
    let zoo = Zoo::open(Some(&path)).unwrap();
    fs::remove_file(path).unwrap();
    (dir, zoo)
}

fn get(zoo: &Zoo, folder: &Path) -> Result<Fetched, FetchError> {
    let agent = ureq::Agent::config_builder().proxy(None).build().into();
    fetch(&agent, zoo.get("m").unwrap(), folder)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_verified_file_gets_its_name_and_is_not_fetched_again() {
    let (dir, zoo) = zoo_for(&serve(b"weights"), b"weights");
    let fetched = get(&zoo, dir.path()).unwrap();
    assert!(!fetched.present);
    assert_eq!(fs::read(&fetched.path).unwrap(), b"weights");
    assert_eq!(files(dir.path()), [dir.path().join("model.onnx")]);
    assert!(get(&zoo, dir.path()).unwrap().present);
}

#[test]
fn a_wrong_digest_names_both_and_leaves_nothing() {
    let (dir, zoo) = zoo_for(&serve(b"forgery"), b"weights");
    let message = get(&zoo, dir.path()).unwrap_err().to_string();
    assert!(message.contains(&sha256(b"weights")), "{message}");
    assert!(message.contains(&sha256(b"forgery")), "{message}");
    assert!(files(dir.path()).is_empty());
}

#[test]
fn an_existing_file_survives_a_bad_download() {
    let (dir, zoo) = zoo_for(&serve(b"forgery"), b"weights");
    let path = dir.path().join("model.onnx");
    fs::write(&path, "mine").unwrap();
    get(&zoo, dir.path()).unwrap_err();
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn more_and_fewer_bytes_than_promised_are_refused() {
    let (dir, zoo) = zoo_for(&serve(b"weights and more"), b"weights");
    assert!(matches!(get(&zoo, dir.path()), Err(FetchError::TooLarge { limit: 7, .. })));
    let (short, zoo) = zoo_for(&serve(b"weigh"), b"weights");
    assert!(matches!(get(&zoo, short.path()), Err(FetchError::WrongSize { found: 5, .. })));
    let cut = serve_once("200 OK", 7, b"weigh".to_vec());
    let (broken, zoo) = zoo_for(&cut, b"weights");
    assert!(matches!(get(&zoo, broken.path()), Err(FetchError::Network { .. })));
    for folder in [dir, short, broken] {
        assert!(files(folder.path()).is_empty());
    }
}

#[test]
fn without_a_network_one_line_says_what_to_do() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/model.onnx", unused.local_addr().unwrap());
    drop(unused);
    let missing = serve_once("404 Not Found", 0, Vec::new());
    for url in [url, missing] {
        let (dir, zoo) = zoo_for(&url, b"weights");
        let message = get(&zoo, dir.path()).unwrap_err().to_string();
        assert!(message.starts_with(&url) && !message.contains('\n'), "{message}");
        let place = dir.path().join("model.onnx").display().to_string();
        assert!(message.contains(&format!("put it at {place}")), "{message}");
        assert!(files(dir.path()).is_empty());
    }
}

#[test]
fn entries_without_a_download_say_how_to_get_them() {
    let zoo = Zoo::open(None).unwrap();
    let fetch_named = |name| {
        let agent = ureq::Agent::new_with_defaults();
        fetch(&agent, zoo.get(name).unwrap(), Path::new("unused")).unwrap_err().to_string()
    };
    let export = fetch_named("torchvision-resnet18");
    assert!(export.contains("import torch, torchvision; torch.onnx.export("), "{export}");
    assert!(fetch_named("imagenet").contains("--preset imagenet"));
}

fn archive(folder: &Path, files: &[(&str, &[u8])]) -> PathBuf {
    let path = folder.join("data.tar.gz");
    let gzip = flate2::write::GzEncoder::new(fs::File::create(&path).unwrap(), Default::default());
    let mut tar = tar::Builder::new(gzip);
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap();
    path
}

#[test]
fn only_the_wanted_files_are_unpacked_and_flat() {
    let dir = tempfile::tempdir().unwrap();
    let files = [("a/b/2.bin", b"two".as_slice()), ("a/1.bin", b"one"), ("a/readme.html", b"")];
    let path = archive(dir.path(), &files);
    let out = dir.path().join("out");
    let unpacked = unpack(&path, "bin", &out).unwrap();
    assert_eq!(unpacked, [out.join("1.bin"), out.join("2.bin")]);
    assert_eq!(fs::read(out.join("2.bin")).unwrap(), b"two");
}

#[test]
fn hostile_and_damaged_archives_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("out");
    let refuse = |path: &Path, expected: &str| {
        let message = unpack(path, "bin", &out).unwrap_err().to_string();
        assert!(message.contains(expected) && !message.contains('\n'), "{message}");
        assert!(files(&out).is_empty());
    };
    for name in ["../evil.bin", "/evil.bin", "a/../../evil.bin"] {
        refuse(&archive(dir.path(), &[(name, b"x")]), "unsafe path");
    }
    refuse(&archive(dir.path(), &[("a.txt", b"x")]), "no .bin file");
    let path = archive(dir.path(), &[("a.bin", &[7; 5000])]);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refuse(&path, "data.tar.gz");
    assert!(!dir.path().join("evil.bin").exists());
}

#[test]
fn the_command_lists_entries_and_refuses_unknown_ones_with_code_2() {
    let fixnet = || assert_cmd::Command::cargo_bin("fixnet").unwrap();
    let listing = fixnet().arg("fetch").assert().success();
    let text = String::from_utf8(listing.get_output().stdout.clone()).unwrap();
    for name in ["resnet18-v1-7", "resnet34-v1-7", "cifar10"] {
        assert!(text.contains(name), "{text}");
    }
    let unknown = fixnet().args(["fetch", "resnet19"]).assert().code(2);
    let message = String::from_utf8(unknown.get_output().stderr.clone()).unwrap();
    assert!(message.starts_with("error: no zoo entry \"resnet19\""), "{message}");
    assert_eq!(message.lines().count(), 1);
}

/// A download that never comes to its end is ended by a signal: by that signal, and nothing is left.
#[cfg(unix)]
mod signals {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, Stdio};
    use std::time::Duration;

    use super::*;

    /// Serves a part of what it announces, and then nothing, to everybody who asks.
    fn serve_a_part() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let mut open = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n";
                let _ =
                    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&[7; 9999]));
                open.push(stream);
            }
        });
        format!("http://{address}/model.onnx")
    }

    /// `fixnet fetch` on its way, with a part of the file on the disk.
    fn on_its_way(before: &str) -> (TempDir, Child) {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let zoo = folder.path().join("zoo.toml");
        let url = serve_a_part();
        let entry = format!(
            "[[entry]]\nname = \"m\"\ntask = \"t\"\nfile = \"model.onnx\"\nurl = \"{url}\"\n"
        );
        fs::write(&zoo, entry).unwrap();
        let script = format!("{before} exec \"$@\"");
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_fixnet"), "fetch", "m", "--out"]);
        command.arg(&out).arg("--zoo").arg(&zoo).stdout(Stdio::null()).stderr(Stdio::null());
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        let mut child = command.spawn().unwrap();
        let begun = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() > 0);
        while !(out.is_dir() && files(&out).iter().any(begun)) {
            assert_eq!(child.try_wait().unwrap(), None, "it ended before");
            thread::sleep(Duration::from_millis(10));
        }
        (folder, child)
    }

    fn send(signal: &str, child: &Child) {
        let id = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &id]).status().unwrap().success());
    }

    /// Whether this process ignores a signal, as Linux says in proc(5).
    fn is_ignored(number: i32) -> bool {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask >> (number - 1) & 1 == 1)
    }

    #[test]
    fn a_signal_ends_the_program_and_takes_its_temporary_files() {
        for (signal, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
            if is_ignored(number) {
                // What starts tests in the background, as nohup does, may have them ignore it.
                println!("NOT RUN: SIG{signal} is ignored here, and with it by every child");
                continue;
            }
            let (folder, mut child) = on_its_way("");
            send(signal, &child);
            assert_eq!(child.wait().unwrap().signal(), Some(number), "{signal}");
            assert!(files(&folder.path().join("out")).is_empty(), "{signal}");
        }
    }

    #[test]
    fn an_ignored_signal_stays_ignored_and_the_next_run_sweeps_what_a_kill_leaves() {
        let (folder, mut child) = on_its_way("trap '' HUP INT;");
        let out = folder.path().join("out");
        send("HUP", &child);
        send("INT", &child);
        thread::sleep(Duration::from_millis(200));
        assert_eq!(child.try_wait().unwrap(), None);
        send("KILL", &child);
        child.wait().unwrap();
        assert_eq!(files(&out).len(), 1);
        let (dir, zoo) = zoo_for(&serve(b"weights"), b"weights");
        drop(dir);
        get(&zoo, &out).unwrap();
        assert_eq!(files(&out), [out.join("model.onnx")]);
    }
}
