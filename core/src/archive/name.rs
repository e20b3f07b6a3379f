//! Names that print as what they are.
//!
//! Names of records, attributes, classes and arrays come from the upload and end in errors, logs, reports and on terminals.
//! A line break, a control sequence, a mark that turns the direction of writing or a letter without a shape would let a name
//! pretend to be another one, or to be more than a name. Such names are refused where they are read, and shown escaped.

use crate::plain_text::is_hidden;

/// The first character of `name` that nobody sees, or that changes how what follows is shown.
pub(crate) fn hidden_character(name: &str) -> Option<char> {
    // Nearly every name is plain ASCII, and whole directories of them are checked.
    if name.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        return None;
    }
    name.chars().find(|&character| is_hidden(character))
}

/// A name for a message: [`escaped`], between backticks.
pub(crate) fn quoted(name: &str) -> String {
    format!("`{}`", escaped(name))
}

/// A name with its hidden characters written out, cut where it is longer than a line.
pub(crate) fn escaped(name: &str) -> String {
    escaped_within(name, 200)
}

/// A text that repeats what a stranger wrote, with its hidden characters written out and at most `longest` characters.
pub(crate) fn escaped_within(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == longest {
            shown.push('…');
            break;
        }
        if is_hidden(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(quoted("a\u{202e}b\n"), "`a\\u{202e}b\\n`");
        assert!(quoted(&"long".repeat(1000)).chars().count() < 210);
    }
}
