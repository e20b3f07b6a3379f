//! Texts of strangers on their way to a terminal, a log or a page.
//!
//! Names, error messages and log lines come out of uploaded files, and a terminal obeys what it is shown: escape sequences
//! move the cursor, rename the window or hide a line, and bidirectional marks let a name read as another one. Here such
//! characters are written as `\u001b`, which is what they are in JSON too, so a JSON text stays the same document. What is
//! printed or kept for somebody to read goes through here; what is computed with does not.
//!
//! A name is stricter than a text: of a record, an attribute, a class or an array it must be plain that it is that name and
//! nothing more. Names with a [`hidden_character`] are refused where they are read, and quoted with all of them written out.

use std::fmt::Write;

/// Characters of a name that are shown.
const LONGEST_NAME: usize = 200;

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

/// The first character of `name` that nobody sees, or that changes how what follows is shown.
pub fn hidden_character(name: &str) -> Option<char> {
    // Nearly every name is plain ASCII, and whole directories of them are checked.
    if name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    name.chars().find(|&character| is_hidden(character))
}

/// A name for a message: [`escaped`], between backticks.
pub fn quoted(name: &str) -> String {
    format!("`{}`", escaped(name))
}

/// A name with all its hidden characters written out, cut where it is longer than a line.
pub fn escaped(name: &str) -> String {
    escaped_within(name, LONGEST_NAME)
}

/// A text that repeats what a stranger wrote: of at most `longest` characters, with all hidden ones written out; what is
/// left out shows as `…`.
pub fn escaped_within(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == longest {
            shown.push('…');
            break;
        }
        if is_hidden(character) {
            write_out(character, &mut shown);
        } else {
            shown.push(character);
        }
    }
    shown
}

fn written_out(text: &str, is_kept: impl Fn(char) -> bool) -> String {
    let mut written = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_kept(letter) || !is_hidden(letter) || is_part_of_writing(letter) {
            written.push(letter);
        } else {
            write_out(letter, &mut written);
        }
    }
    written
}

/// Adds a character as its UTF-16 units, the way JSON spells it: `\u202e`.
fn write_out(character: char, written: &mut String) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        write!(written, "\\u{unit:04x}").expect("a String takes every text");
    }
}

/// Whether nobody sees a character, or a terminal or a text renderer acts on it instead of showing it: controls, Unicode's
/// `Default_Ignorable_Code_Point`, separators of lines and paragraphs, annotations and the empty braille pattern.
fn is_hidden(character: char) -> bool {
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

    #[test]
    fn names_in_any_script_are_plain() {
        for name in ["layer1.0.weight", "модель", "モデル　二", "موديل", "cafe\u{301}", "net (2)", "😀"]
        {
            assert_eq!(hidden_character(name), None, "{name:?}");
        }
    }

    #[test]
    fn characters_that_lie_are_found() {
        for character in
            ['\0', '\n', '\r', '\u{1b}', '\u{7f}', '\u{9b}', '\u{200b}', '\u{200d}', '\u{202e}', '\u{2066}']
                .into_iter()
                .chain(['\u{2028}', '\u{feff}', '\u{ad}', '\u{61c}', '\u{3164}', '\u{e0041}'])
        {
            assert_eq!(hidden_character(&format!("weight{character}x")), Some(character), "{character:?}");
        }
    }

    #[test]
    fn a_name_in_a_message_is_escaped_and_of_bounded_length() {
        assert_eq!(quoted("a\u{202e}b\n"), "`a\\u202eb\\u000a`");
        assert!(quoted(&"long".repeat(1000)).chars().count() < 210);
    }
}
