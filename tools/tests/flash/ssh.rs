//! Deployment to a real `sshd` on the loopback interface, with a user's key, and everything that can go
//! wrong on the way. The program is this machine's own `fixnet`, which has the board's commands.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{
    fixnet, flash, have, model_bytes, names, refusal, run, smoke, stderr, stdout, success, text,
};

const BOARD: &str = "raspberry-pi-4";
/// What a shell would stumble over.
const MODEL: &str = "my model's \"best\" $HOME `x`.fxn";

/// An ssh server of the test's own.
struct Server {
    folder: TempDir,
    port: u16,
    process: Child,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Server {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for key in ["host_key", "key", "other_key"] {
            let args = ["-q", "-t", "ed25519", "-N", "", "-C", key, "-f", text(&at(key))]
                .map(str::to_owned);
            success(Command::new("ssh-keygen").args(args));
        }
        fs::copy(at("key.pub"), at("authorized_keys")).unwrap();
        let port = free_port();
        let host_key = fs::read_to_string(at("host_key.pub")).unwrap();
        fs::write(at("known_hosts"), format!("[127.0.0.1]:{port} {host_key}")).unwrap();
        let config = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {0}/host_key\nPidFile none\n\
             AuthorizedKeysFile {0}/authorized_keys\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n",
            text(folder.path())
        );
        fs::write(at("sshd_config"), config).unwrap();
        // Where the server confines itself, if it starts as root.
        let _ = fs::create_dir_all("/run/sshd");
        let log = fs::File::create(at("log")).unwrap();
        let process = Command::new("/usr/sbin/sshd")
            .args(["-D", "-e", "-f", text(&at("sshd_config"))])
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sshd starts");
        let mut server = Self { folder, port, process };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let started = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.process.try_wait().unwrap();
            let log = fs::read_to_string(self.at("log")).unwrap_or_default();
            assert!(ended.is_none(), "sshd ended: {log}");
            assert!(started.elapsed() < Duration::from_secs(60), "sshd does not answer: {log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn board(&self) -> PathBuf {
        self.at("it's the board's \"folder\"")
    }

    fn deploy(&self, model: &Path, program: &Path, args: &[&str]) -> Command {
        let mut command = fixnet(&["flash", "--board", BOARD]);
        command.arg(model).arg("--program").arg(program).args(args);
        command.args(["--remote-dir", text(&self.board())]);
        ssh_options(&mut command, self.port, &self.at("key"), &self.at("known_hosts"));
        command
    }

    /// Files of the deployment, but for the model.
    fn deployed(&self) -> Vec<String> {
        names(&self.board())
    }
}

fn ssh_options(command: &mut Command, port: u16, key: &Path, known_hosts: &Path) {
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--identity", text(key)]);
    command.args(["--ssh-option", &format!("UserKnownHostsFile={}", text(known_hosts))]);
    command.args(["--ssh-option", "IdentitiesOnly=yes", "--ssh-option", "IdentityAgent=none"]);
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// This machine's program, without what only debuggers read.
fn host_program(folder: &Path) -> PathBuf {
    let path = folder.join("fixnet");
    fs::copy(env!("CARGO_BIN_EXE_fixnet"), &path).unwrap();
    path
}

/// A program of this machine that prints what the file beside the source holds, and ends with `code`.
fn c_program(folder: &Path, body: &str) -> PathBuf {
    let (source, program) = (folder.join("program.c"), folder.join("program"));
    let code = format!("#include <stdio.h>\n#include <unistd.h>\nint main(void) {{ {body} }}\n");
    fs::write(&source, code).unwrap();
    success(Command::new("cc").arg("-o").arg(&program).arg(&source));
    program
}

#[test]
fn program_model_and_unit_arrive_and_the_boards_logits_are_checked() {
    if !have("flash", "deployment over ssh") {
        return;
    }
    let server = Server::start();
    let model = server.at(MODEL);
    fs::write(&model, &*model_bytes()).unwrap();
    let program = host_program(server.folder.path());
    let shown = success(&mut server.deploy(&model, &program, &[]));
    assert!(shown.contains("the board's logits equal this machine's"), "{shown}");
    assert_eq!(server.deployed(), ["fixnet-board", "fixnet.service", "models", "self-test.png"]);
    let board = server.board();
    assert!(fs::read(board.join("fixnet-board")).unwrap() == fs::read(&program).unwrap());
    assert_eq!(fs::read(board.join("models").join(MODEL)).unwrap(), *model_bytes());
    assert_eq!(fs::read(board.join("self-test.png")).unwrap(), smoke().file);
    let unit = fs::read_to_string(board.join("fixnet.service")).unwrap();
    assert!(unit.contains(r#"my model's \"best\" $$HOME `x`.fxn""#), "{unit}");
    if !Path::new("/run/systemd/system").exists() {
        assert!(shown.contains("was not installed") && shown.contains("systemd"), "{shown}");
    }
    // What is there is replaced, and the board's table shown.
    fs::write(board.join("fixnet-board"), "old").unwrap();
    let shown = success(&mut server.deploy(&model, &program, &["--monitor"]));
    for part in ["conv1", "whole run", "127.0.0.1", "equal this machine's"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(fs::read(board.join("fixnet-board")).unwrap() == fs::read(&program).unwrap());
    let json = success(&mut server.deploy(&model, &program, &["--json"]));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["equals_host"], &json["emulated"]), (&true.into(), &false.into()));
}

#[test]
fn wrong_answers_leave_the_board_as_it_was() {
    if !have("flash", "wrong answers over ssh") {
        return;
    }
    let server = Server::start();
    let board = server.board();
    fs::create_dir_all(&board).unwrap();
    fs::write(board.join("fixnet-board"), "old").unwrap();
    let kept = || {
        assert_eq!(server.deployed(), ["fixnet-board"]);
        assert_eq!(fs::read(board.join("fixnet-board")).unwrap(), b"old");
    };
    let deploy = |body: &str, args: &[&str]| {
        let program = c_program(server.folder.path(), body);
        run(&mut server.deploy(super::model(), &program, args))
    };
    let answer = wrong_answer().replace('"', "\\\"");
    let output = deploy(&format!("puts(\"{answer}\"); return 0;"), &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("not this machine's"), "{}", stderr(&output));
    assert!(!stdout(&output).contains("equal this machine's"));
    kept();
    // Which of the two clocks ends a program that hangs, the board's or this machine's, is chance.
    for (body, args, parts) in [
        ("puts(\"hello\"); return 0;", &[][..], &["the program's answer"][..]),
        (
            "fputs(\"error: no luck\\n\", stderr); return 2;",
            &[],
            &["the smoke run failed: error: no luck"],
        ),
        (
            "for (;;) pause();",
            &["--time-limit", "5"],
            &["did not end within", "the time limit of 5 s is over"],
        ),
    ] {
        let output = deploy(body, args);
        let text = stderr(&output);
        assert_eq!((output.status.code(), text.lines().count()), (Some(2), 1), "{text}");
        assert!(parts.iter().any(|part| text.contains(part)), "{parts:?}: {text}");
        kept();
    }
}

/// What `run --json` prints, with another logit.
fn wrong_answer() -> String {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("image.png");
    fs::write(&image, smoke().file).unwrap();
    let mut command = fixnet(&["run", "--json", "--checksums"]);
    let json = success(command.arg(super::model()).arg(&image));
    let mut json: serde_json::Value = serde_json::from_str(&json).unwrap();
    json["logits"][0] = (json["logits"][0].as_i64().unwrap() + 1).into();
    json.to_string()
}

#[test]
fn a_key_that_the_board_does_not_know_is_an_error() {
    if !have("flash", "a wrong key of ssh") {
        return;
    }
    let server = Server::start();
    let mut command = flash(BOARD, &["--program", env!("CARGO_BIN_EXE_fixnet")]);
    ssh_options(&mut command, server.port, &server.at("other_key"), &server.at("known_hosts"));
    let line = refusal(&mut command);
    assert!(line.contains("Permission denied") && line.contains("ssh-copy-id"), "{line}");
    // And a board whose key nobody has accepted.
    let mut command = flash(BOARD, &["--program", env!("CARGO_BIN_EXE_fixnet")]);
    ssh_options(&mut command, server.port, &server.at("key"), &server.at("no_hosts"));
    let line = refusal(&mut command);
    assert!(line.contains("Host key verification failed"), "{line}");
}

#[test]
fn refused_and_hung_connections_are_errors_in_time() {
    if !have("flash", "connections of ssh that fail") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (key, hosts) = (folder.path().join("key"), folder.path().join("hosts"));
    let connect = |port: u16, args: &[&str]| {
        let mut command = flash(BOARD, &["--program", env!("CARGO_BIN_EXE_fixnet")]);
        ssh_options(&mut command, port, &key, &hosts);
        refusal(command.args(args))
    };
    let line = connect(free_port(), &[]);
    assert!(line.contains("Connection refused") && line.contains("--port"), "{line}");
    // Accepts connections and says nothing.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let line = connect(listener.local_addr().unwrap().port(), &["--time-limit", "2"]);
    assert!(line.contains("127.0.0.1") && line.contains("2 s"), "{line}");
}

#[test]
fn a_program_for_another_processor_is_refused() {
    if !have("flash", "a wrong program over ssh") {
        return;
    }
    let server = Server::start();
    let wrong = server.at("wrong");
    let mut bytes = fs::read(env!("CARGO_BIN_EXE_fixnet")).unwrap();
    let (machine, name) = match cfg!(target_arch = "aarch64") {
        true => (62, "X86_64"),
        false => (183, "Aarch64"),
    };
    bytes[18..20].copy_from_slice(&u16::to_le_bytes(machine));
    fs::write(&wrong, bytes).unwrap();
    let line = refusal(&mut server.deploy(super::model(), &wrong, &[]));
    assert!(line.contains("wrong") && line.contains(name), "{line}");
    assert!(!server.board().exists());
}

#[test]
fn options_cannot_be_smuggled_into_the_host() {
    let folder = tempfile::tempdir().unwrap();
    let touched = folder.path().join("touched");
    let host = format!("-oProxyCommand=touch {}", text(&touched));
    let args = [format!("--host={host}"), "--program".into(), env!("CARGO_BIN_EXE_fixnet").into()];
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    refusal(&mut flash(BOARD, &args));
    assert!(!touched.exists());
}

#[test]
fn a_dry_run_does_not_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let shown = success(&mut flash(BOARD, &["--host", "127.0.0.1", "--port", &port, "--dry-run"]));
    for part in ["would build", "armv7", "models/narrow.fxn", "would run", "unit"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(listener.accept().is_err());
}
