//! The systemd unit that a board gets: at every boot one image through the model, its classes, times
//! and checksums in the journal (`journalctl -u fixnet`).

use std::fmt::Write;

/// The unit's file name.
pub const NAME: &str = "fixnet.service";

/// Who runs the unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum User {
    /// A user that systemd makes up, for files that root owns.
    Dynamic,
    /// The owner of the files: never root for what others may replace.
    Named(String),
}

/// The unit's text; the paths are the board's.
#[must_use]
pub fn text(program: &str, flags: &[String], model: &str, image: &str, user: &User) -> String {
    let user = match user {
        User::Dynamic => "DynamicUser=yes".to_string(),
        User::Named(name) => format!("User={name}"),
    };
    let [program, model, image] = [program, model, image].map(quote);
    let flags: String = flags.iter().map(|flag| format!(" {}", quote(flag))).collect();
    format!(
        "[Unit]\n\
         Description=fixnet self-test: one image through the model, told in the journal\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         {user}\n\
         NoNewPrivileges=yes\n\
         ExecStart={program} run --checksums{flags} {model} {image}\n\
         \n\
         [Install]\n\
         WantedBy=multi-user.target\n"
    )
}

/// One word of a command line, by the rules of systemd.service(5) and systemd.syntax(7): quotes,
/// C escapes, and `%` and `$` doubled.
fn quote(word: &str) -> String {
    let mut quoted = String::from("\"");
    for char in word.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '%' | '$' => quoted.extend([char, char]),
            control if control.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_meaning() {
        assert_eq!(quote("/opt/a b"), r#""/opt/a b""#);
        assert_eq!(quote("5% \"of\" $x\\y\n"), r#""5%% \"of\" $$x\\y\x0a""#);
    }

    #[test]
    fn the_unit_runs_the_model_as_the_owner() {
        let text = text("/p", &[], "/m.fxn", "/i.png", &User::Named("pi".into()));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines.contains(&r#"ExecStart="/p" run --checksums "/m.fxn" "/i.png""#), "{text}");
        let flags = ["--crop".to_string(), "32".to_string()];
        let flagged = super::text("/p", &flags, "/m.fxn", "/i.png", &User::Dynamic);
        assert!(flagged.contains(r#"run --checksums "--crop" "32" "/m.fxn""#), "{flagged}");
        assert!(lines.contains(&"User=pi") && lines.contains(&"WantedBy=multi-user.target"));
    }
}
