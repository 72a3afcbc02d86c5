//! Text that others wrote - names in files, words of other programs - as it may be printed.
//!
//! What may not be broken: no control character, terminal sequence, or character that changes the
//! direction or the order of others is printed as itself, and nothing is longer than its bound.

use std::borrow::Cow;

/// Characters of a name that are shown.
const NAME: usize = 100;
/// Characters of a word in a line that are shown: a path may be long.
const WORD: usize = 1000;
/// Characters of a line that are shown.
const LINE: usize = 4000;
/// What the tables' headings are made of, if they are.
const STYLES: [&str; 2] = ["\x1b[1m", "\x1b[0m"];

/// Text in which every character is one to be seen, with escapes for all others.
#[must_use]
pub fn escaped(text: &str) -> String {
    escaped_but(text, |_| false)
}

/// A name: escaped, and without its middle if it is long.
#[must_use]
pub fn name(text: &str) -> String {
    escaped(&elided(text, NAME))
}

/// A message of one line: line ends become spaces, everything else is escaped; without the middle of
/// long words, and of the whole if it is long.
#[must_use]
pub fn line(text: &str) -> String {
    let line = text.lines().collect::<Vec<_>>().join(" ");
    let words = line.split(' ').map(|word| elided(word, WORD));
    let line = words.collect::<Vec<_>>().join(" ");
    escaped(&elided(&line, LINE))
}

/// Text of several lines, in which names are escaped already: the last line of defence. `styled` keeps
/// the bold of headings.
pub(super) fn page(text: &str, styled: bool) -> Cow<'_, str> {
    if text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)) {
        return Cow::Borrowed(text);
    }
    if !styled {
        return Cow::Owned(escaped_but(text, |c| c == '\n'));
    }
    let mut page = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\x1b') {
        let (before, from) = rest.split_at(at);
        page.push_str(&escaped_but(before, |c| c == '\n'));
        let style = STYLES.iter().find(|style| from.starts_with(**style));
        page.push_str(style.map_or("\\u{1b}", |style| style));
        rest = &from[style.map_or(1, |style| style.len())..];
    }
    page.push_str(&escaped_but(rest, |c| c == '\n'));
    Cow::Owned(page)
}

/// JSON in which no character outside of ASCII needs care from a terminal: those stand in strings
/// alone, where JSON has escapes for them.
pub(super) fn json(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c == '\n' || is_plain(c);
    if text.chars().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut json = String::with_capacity(text.len());
    for c in text.chars() {
        if plain(c) {
            json.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            json.push_str(&format!("\\u{unit:04x}"));
        }
    }
    Cow::Owned(json)
}

/// Whether a character is printed as itself, behind others.
fn is_plain(c: char) -> bool {
    match c {
        ' '..='~' => true,
        '\0'..='\u{a0}' => false,
        // The standard library knows which characters cannot be seen; a mark joins the one before it.
        _ => ['a', c].iter().collect::<String>().escape_debug().count() == 2,
    }
}

fn escaped_but(text: &str, kept: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match kept(c) || is_plain(c) {
            true => shown.push(c),
            false => shown.extend(c.escape_default()),
        }
    }
    shown
}

/// `text`, or its two ends around three dots.
fn elided(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most || text.char_indices().nth(most).is_none() {
        return Cow::Borrowed(text);
    }
    let (head, tail) = (most - most / 3 - 3, most / 3);
    let head = text.char_indices().nth(head).map_or(text.len(), |(at, _)| at);
    let tail = text.char_indices().rev().nth(tail.saturating_sub(1)).map_or(0, |(at, _)| at);
    Cow::Owned(format!("{}...{}", &text[..head], &text[tail..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends the terminal's title, erases it, C1 control, both ways of bidi, and what hides.
    const HOSTILE: &str =
        "a\x1b]0;x\x07\x1b[2J\u{9b}31m\u{202e}b\u{2066}\u{200b}\r\n\u{feff}\0\x7f";

    fn harmless(text: &str) -> bool {
        text.chars().all(is_plain)
    }

    #[test]
    fn nothing_but_text_is_left_of_a_hostile_name() {
        for shown in [name(HOSTILE), line(HOSTILE), escaped(HOSTILE)] {
            assert!(harmless(&shown) && shown.starts_with("a\\u{1b}]0;x\\u{7}"), "{shown}");
        }
        assert!(page(HOSTILE, true).chars().all(|c| c == '\n' || is_plain(c)));
        assert!(page(HOSTILE, false).chars().all(|c| c == '\n' || is_plain(c)));
    }

    #[test]
    fn names_of_all_scripts_stay_what_they_are() {
        for text in
            ["layer1.0/conv1", "it's \"x\" \\", "größe", "e\u{301}", "レイヤー", "слой", "层_1"]
        {
            assert_eq!(name(text), text);
            assert_eq!(line(text), text);
            assert_eq!(page(text, true), text);
        }
    }

    #[test]
    fn only_bold_stays_on_a_styled_page() {
        let text = "\x1b[1mlayer\x1b[0m µs\n\x1b[31mx";
        assert_eq!(page(text, true), "\x1b[1mlayer\x1b[0m µs\n\\u{1b}[31mx");
        assert!(!page(text, false).contains('\x1b'));
    }

    #[test]
    fn long_text_keeps_its_ends() {
        let long = format!("first{}last", "é".repeat(1 << 20));
        let shown = name(&long);
        assert!(shown.starts_with("first") && shown.ends_with("last"), "{shown}");
        assert_eq!(shown.chars().count(), NAME);
        assert!(line(&format!("m.onnx: {long}: is wrong")).ends_with("last: is wrong"));
        assert!(line(&"ab ".repeat(1 << 20)).chars().count() <= LINE);
        let exact = "x".repeat(NAME);
        assert_eq!(name(&exact), exact);
        // Escapes make text longer, by a bound.
        assert!(line(&"\x1b".repeat(1 << 20)).len() <= 6 * LINE);
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE, "größe", "\u{e0001}"] });
        let text = serde_json::to_string_pretty(&value).unwrap();
        let shown = json(&text);
        assert!(shown.chars().all(|c| c == '\n' || is_plain(c)));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
    }
}
