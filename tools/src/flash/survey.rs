//! Asks a Linux board over ssh what it is: processor, user, free space, systemd, and whether commands may
//! run as root.

use super::shell::quote;

/// Begins each line of the answer, unlike what the shell's start-up files may print.
pub(super) const MARK: &str = "fixnet:";

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Survey {
    /// `uname -m`.
    pub machine: String,
    /// Bits of a program's word: 32 on a 64-bit kernel that serves a 32-bit system.
    pub word_bits: u32,
    pub user: String,
    /// The folder to deploy to, absolute.
    pub folder: String,
    /// Bytes that may be written there.
    pub free_bytes: u64,
    pub administrator: Administrator,
    pub systemd: Systemd,
}

/// How commands run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Administrator {
    /// The user is root.
    Root,
    /// By `sudo`, without a password.
    Sudo,
    No,
}

/// Whether a board has systemd.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Systemd {
    Running,
    /// Installed, but something else started this system, a container's program for instance.
    NotRunning,
    Absent,
}

impl Survey {
    /// The Rust target of programs for this board, if there is one.
    #[must_use]
    pub fn target(&self) -> Option<&'static str> {
        match (self.machine.as_str(), self.word_bits) {
            ("aarch64" | "arm64", 64) => Some("aarch64-unknown-linux-gnu"),
            ("aarch64" | "arm64" | "armv7l" | "armv8l", 32) => {
                Some("armv7-unknown-linux-gnueabihf")
            }
            ("x86_64", 64) => Some("x86_64-unknown-linux-gnu"),
            _ => None,
        }
    }
}

/// The script that the board runs; `folder` is where to deploy, relative to the user's home.
pub(super) fn script(folder: &str) -> String {
    format!(
        "d={folder}; case $d in /*) ;; *) d=$HOME/$d ;; esac; p=$d; \
         while [ ! -d \"$p\" ]; do p=$(dirname \"$p\"); done; \
         m() {{ printf '{MARK}%s=%s\\n' \"$1\" \"$2\"; }}; \
         m machine \"$(uname -m)\"; m word_bits \"$(getconf LONG_BIT 2>/dev/null)\"; \
         m user \"$(id -un)\"; m folder \"$d\"; m free \"$(df -Pk \"$p\" | tail -n 1)\"; \
         if [ \"$(id -u)\" = 0 ]; then m root Root; \
         elif sudo -n true >/dev/null 2>&1; then m root Sudo; else m root No; fi; \
         if ! command -v systemctl >/dev/null 2>&1; then m systemd Absent; \
         elif [ -d /run/systemd/system ]; then m systemd Running; \
         else m systemd NotRunning; fi",
        folder = quote(folder),
    )
}

/// What follows [`MARK`] in each line that begins with it.
pub(super) fn marked(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.strip_prefix(MARK))
}

/// Reads what [`script`] printed.
pub(super) fn read(text: &str) -> Option<Survey> {
    let field = |name: &str| {
        let mut fields = marked(text).filter_map(|line| line.split_once('='));
        fields.find(|(key, _)| *key == name).map(|(_, value)| value.trim())
    };
    let machine = field("machine")?.to_string();
    // Systems without getconf are their kernel's.
    let natural = if machine.contains("64") { 64 } else { 32 };
    // Device, blocks, used, available, "12%", mount point: both ends may hold spaces.
    let words: Vec<&str> = field("free")?.split_whitespace().collect();
    let percent = words.iter().rposition(|word| word.ends_with('%'))?;
    let free: u64 = words.get(percent.checked_sub(1)?)?.parse().ok()?;
    Some(Survey {
        word_bits: field("word_bits")?.parse().unwrap_or(natural),
        machine,
        user: field("user")?.to_string(),
        folder: field("folder")?.to_string(),
        free_bytes: free.saturating_mul(1024),
        administrator: match field("root")? {
            "Root" => Administrator::Root,
            "Sudo" => Administrator::Sudo,
            _ => Administrator::No,
        },
        systemd: match field("systemd")? {
            "Running" => Systemd::Running,
            "NotRunning" => Systemd::NotRunning,
            _ => Systemd::Absent,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_survey_of_this_machine_can_be_read() {
        let output = Command::new("sh").args(["-c", &script("a b/c'd")]).output().unwrap();
        let text = format!("welcome!\n{}", String::from_utf8(output.stdout).unwrap());
        let survey = read(&text).expect("a survey");
        assert!(survey.folder.ends_with("/a b/c'd") && survey.folder.starts_with('/'));
        assert!(survey.free_bytes > 0 && !survey.machine.is_empty());
        assert_eq!(read("fixnet:machine=x\n"), None);
    }

    #[test]
    fn a_64_bit_kernel_under_a_32_bit_system_gets_a_32_bit_program() {
        let text = |machine: &str, bits: &str| {
            format!(
                "{MARK}machine={machine}\n{MARK}word_bits={bits}\n{MARK}user=pi\n{MARK}folder=/f\n\
                 {MARK}free=/dev/my disk 9 1 8 12% /\n{MARK}root=No\n{MARK}systemd=Running\n"
            )
        };
        let target = |machine, bits| {
            let survey = read(&text(machine, bits)).expect("a survey");
            assert_eq!(survey.free_bytes, 8 * 1024);
            survey.target()
        };
        assert_eq!(target("aarch64", "64"), Some("aarch64-unknown-linux-gnu"));
        assert_eq!(target("aarch64", ""), Some("aarch64-unknown-linux-gnu"));
        assert_eq!(target("aarch64", "32"), Some("armv7-unknown-linux-gnueabihf"));
        assert_eq!(target("armv7l", "32"), Some("armv7-unknown-linux-gnueabihf"));
        // Raspberry Pi 1 and Zero: an ARMv7 program would be an illegal instruction.
        assert_eq!(target("armv6l", "32"), None);
        assert_eq!(target("riscv64", "64"), None);
    }
}
