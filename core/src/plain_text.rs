//! Texts of strangers on their way to a terminal, a log or a page.
//!
//! Names, error messages and log lines come out of uploaded files, and a terminal obeys what it is shown: escape sequences
//! move the cursor, rename the window or hide a line, and bidirectional marks let a name read as another one. Here such
//! characters are written as `\u001b`, which is what they are in JSON too, so a JSON text stays the same document. What is
//! printed or kept for somebody to read goes through here; what is computed with does not.

use std::fmt::Write;

/// A text as one line: control characters, line breaks among them, and marks that change how others are shown are written out.
pub fn line(text: &str) -> String {
    written_out(text, |_| false)
}

/// The same, of at most `longest` characters; what is left out shows as `…`.
pub fn line_within(text: &str, longest: usize) -> String {
    let line = line(text);
    match line.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// A text of several lines: as [`line()`], with its line breaks and tabs.
pub fn lines(text: &str) -> String {
    written_out(text, |letter| matches!(letter, '\n' | '\t'))
}

fn written_out(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut written = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_kept(letter) || !is_hidden(letter) || is_part_of_writing(letter) {
            written.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                write!(written, "\\u{unit:04x}").expect("a String takes every text");
            }
        }
    }
    written
}

/// Whether nobody sees a character, or a terminal or a text renderer acts on it instead of showing it: controls, Unicode's
/// `Default_Ignorable_Code_Point`, separators of lines and paragraphs, annotations and the empty braille pattern.
pub(crate) fn is_hidden(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{34f}'
                | '\u{61c}'
                | '\u{115f}'..='\u{1160}'
                | '\u{17b4}'..='\u{17b5}'
                | '\u{180b}'..='\u{180f}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{2800}'
                | '\u{3164}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{ffa0}'
                | '\u{fff0}'..='\u{fffb}'
                | '\u{1bca0}'..='\u{1bca3}'
                | '\u{1d173}'..='\u{1d17a}'
                | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Characters without a shape of their own that words and pictures are written with: joiners, and the forms of emoji.
fn is_part_of_writing(character: char) -> bool {
    matches!(character, '\u{200c}' | '\u{200d}' | '\u{fe0e}' | '\u{fe0f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown_instead() {
        let title = "\u{1b}]0;owned\u{7}conv1\u{1b}[2K\r";
        assert_eq!(line(title), "\\u001b]0;owned\\u0007conv1\\u001b[2K\\u000d");
        assert_eq!(line("a\u{9b}31mb"), "a\\u009b31mb", "the one-byte form of ESC [ too");
        assert_eq!(line("user\u{202e}tp.txet\u{2066}"), "user\\u202etp.txet\\u2066");
        assert_eq!(line("tag\u{e0041}"), "tag\\udb40\\udc41");
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["layer1.0.conv1", "größte Schicht", "層・一", "שכבה", "👩‍🔬", "a `b` \"c\" \\u001b"]
        {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn only_a_text_of_several_lines_keeps_its_line_breaks() {
        assert_eq!(line("one\n\ttwo"), "one\\u000a\\u0009two");
        assert_eq!(lines("one\n\ttwo\r\n"), "one\n\ttwo\\u000d\n");
    }

    #[test]
    fn a_json_text_stays_the_same_document() {
        let value = serde_json::json!({"name": "user\u{202e}tp\u{9b}\u{e0041}"});
        let written = lines(&serde_json::to_string_pretty(&value).unwrap());
        assert!(!written.contains('\u{202e}'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&written).unwrap(), value);
    }

    #[test]
    fn what_is_too_long_ends_in_an_ellipsis() {
        assert_eq!(line_within("äöü", 3), "äöü");
        assert_eq!(line_within("äöüß", 3), "äöü…");
    }
}
