//! Quoting for a POSIX shell.

/// `word`, quoted so that a shell reads it as one word and expands nothing in it.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@,%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_shell_reads_back_what_was_quoted() {
        for word in ["plain-1.0", "", " ", "it's", "a\"b", "$HOME `id` \\ * ~ ;\n&", "é", "'", "-n"]
        {
            let script = format!("printf '%s' {}", quote(word));
            let output = Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }
}
