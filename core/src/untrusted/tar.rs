//! A strict reader of tar archives, as GNU tar, Python's `tarfile` and WebDataset write them.
//!
//! [`Reader::next`] gives the members one by one, folders passed over; between two calls the reader gives the content of the last one.
//! Read are POSIX headers with GNU's long names and the records `path` and `size` of pax. Links, devices and sparse files are
//! refused, since what they are depends on who unpacks them, and so are names that are absolute or have `..`. What is held is one
//! header and one name.

use std::io::{self, Read};

use crate::plain_text::{hidden_character, quoted};

/// Bytes of a header; contents are padded to a multiple.
const BLOCK: u64 = 512;
/// Bytes of a long name or of the pax records of one member.
const LONGEST_RECORDS: u64 = 64 << 10;
const LONGEST_NAME: usize = 1024;

/// Bytes that come one after the other and of which some are not wanted.
pub(crate) trait Stream: Read {
    /// Goes on behind `count` bytes, which may lie past the end of the stream.
    fn pass(&mut self, count: u64) -> io::Result<()>;
}

/// A regular file of the archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Relative, without `.` and `..`.
    pub name: String,
    /// Where its bytes start in the archive.
    pub offset: u64,
    pub size: u64,
}

/// Why an archive was not read: a clause in lower case, without a full stop, and the member at fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TarError {
    pub detail: String,
    pub member: Option<String>,
}

/// An archive that is read from front to back.
pub(crate) struct Reader<S> {
    stream: S,
    position: u64,
    /// Bytes of the last member that were not read.
    unread: u64,
    padding: u64,
}

/// What the headers before that of a member say of it.
#[derive(Default)]
struct Extension {
    name: Option<Vec<u8>>,
    size: Option<u64>,
}

fn damaged(what: impl Into<String>) -> TarError {
    TarError { detail: what.into(), member: None }
}

fn unreadable(error: &io::Error) -> TarError {
    damaged(format!("it could not be read: {error}"))
}

/// Whether a file begins as a tar archive does, with a header whose sum is right.
pub(crate) fn is_header(block: &[u8]) -> bool {
    block.first_chunk::<512>().is_some_and(|header| header[0] != 0 && has_right_sum(header))
}

impl<S: Stream> Reader<S> {
    /// An archive that begins where the stream is.
    pub(crate) fn new(stream: S) -> Self {
        Self { stream, position: 0, unread: 0, padding: 0 }
    }

    /// What is behind the part that was read.
    pub(crate) fn into_stream(self) -> S {
        self.stream
    }

    /// The next regular file; `None` behind the last one.
    pub(crate) fn next(&mut self) -> Result<Option<Member>, TarError> {
        let mut extension = Extension::default();
        let mut is_announced = false;
        loop {
            self.pass(self.unread + self.padding)?;
            (self.unread, self.padding) = (0, 0);
            let Some(header) = self.header()? else {
                return if is_announced {
                    Err(damaged("it ends behind the records of a member that is missing"))
                } else {
                    Ok(None)
                };
            };
            let size = match extension.size {
                Some(size) => size,
                None => number(&header[124..136]).ok_or_else(|| damaged("the size of a member is no number"))?,
            };
            let padded = size.checked_next_multiple_of(BLOCK).filter(|padded| *padded < 1 << 62);
            let padded = padded.ok_or_else(|| damaged(format!("a member has {size} bytes, which no file has")))?;
            match header[156] {
                b'L' => {
                    extension.name = Some(without_end(&self.records(size)?).to_vec());
                    is_announced = true;
                }
                b'x' => {
                    is_announced = true;
                    let records = self.records(size)?;
                    extension.read_pax(&records)?;
                }
                // Records for all members that follow: comments and the like.
                b'g' => drop(self.records(size)?),
                b'5' => {
                    is_announced = false;
                    (self.unread, self.padding) = (0, 0);
                    extension = Extension::default();
                }
                0 | b'0' | b'7' => {
                    let raw = extension.name.take().unwrap_or_else(|| header_name(&header));
                    if raw.ends_with(b"/") {
                        // A folder, as archives older than POSIX have it.
                        self.unread = size;
                        self.padding = padded - size;
                        extension = Extension::default();
                        is_announced = false;
                        continue;
                    }
                    let name = member_name(&raw)?;
                    (self.unread, self.padding) = (size, padded - size);
                    return Ok(Some(Member { name, offset: self.position, size }));
                }
                kind => {
                    let raw = extension.name.take().unwrap_or_else(|| header_name(&header));
                    let what = match kind {
                        b'1' | b'2' => "is a link",
                        b'3' | b'4' | b'6' => "is a device or a pipe",
                        b'S' => "is a sparse file",
                        _ => "is of an unknown kind",
                    };
                    let member = quoted(&String::from_utf8_lossy(&raw));
                    return Err(TarError {
                        detail: format!("{member} {what}; regular files and folders are read"),
                        member: None,
                    });
                }
            }
        }
    }

    fn pass(&mut self, count: u64) -> Result<(), TarError> {
        self.position += count;
        if count > 0 { self.stream.pass(count).map_err(|error| unreadable(&error)) } else { Ok(()) }
    }

    /// `None` at the end: an empty block, or the end of the file.
    fn header(&mut self) -> Result<Option<[u8; BLOCK as usize]>, TarError> {
        let mut header = [0; BLOCK as usize];
        let mut filled = 0;
        while filled < header.len() {
            match self.stream.read(&mut header[filled..]).map_err(|error| unreadable(&error))? {
                0 => break,
                count => filled += count,
            }
        }
        if filled == 0 || header.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        if filled < header.len() {
            return Err(damaged(format!("it ends inside a header, {filled} bytes behind byte {}", self.position)));
        }
        if !has_right_sum(&header) {
            return Err(damaged(format!("the header at byte {} has a wrong sum", self.position)));
        }
        self.position += BLOCK;
        Ok(Some(header))
    }

    fn records(&mut self, size: u64) -> Result<Vec<u8>, TarError> {
        if size > LONGEST_RECORDS {
            return Err(damaged(format!(
                "the records before a member have {size} bytes; at most {LONGEST_RECORDS} are read"
            )));
        }
        (self.unread, self.padding) = (size, size.next_multiple_of(BLOCK) - size);
        let mut records = Vec::new();
        self.read_to_end(&mut records).map_err(|error| unreadable(&error))?;
        Ok(records)
    }
}

impl<S: Stream> Read for Reader<S> {
    /// Reads on in the last member; an archive that ends before it does is an error.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.unread).unwrap_or(usize::MAX));
        let count = self.stream.read(&mut buffer[..wanted])?;
        if count == 0 && wanted > 0 {
            return Err(io::Error::other(format!("the archive ends {} bytes before its member does", self.unread)));
        }
        self.unread -= count as u64;
        self.position += count as u64;
        Ok(count)
    }
}

impl Extension {
    /// Lines `LENGTH KEY=VALUE`, each with its own length in front.
    fn read_pax(&mut self, records: &[u8]) -> Result<(), TarError> {
        let wrong = || damaged("the pax records before a member are damaged");
        let mut rest = records;
        while !rest.is_empty() {
            let space = rest.iter().position(|&byte| byte == b' ').ok_or_else(wrong)?;
            let length: usize = digits(&rest[..space]).ok_or_else(wrong)?;
            let record = rest.get(space + 1..length).ok_or_else(wrong)?;
            let record = record.strip_suffix(b"\n").ok_or_else(wrong)?;
            let equals = record.iter().position(|&byte| byte == b'=').ok_or_else(wrong)?;
            let (key, value) = (&record[..equals], &record[equals + 1..]);
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"size" => self.size = Some(digits(value).ok_or_else(wrong)?),
                key if key.starts_with(b"GNU.sparse") => return Err(damaged("a member is a sparse file")),
                _ => {}
            }
            rest = &rest[length..];
        }
        Ok(())
    }
}

fn digits<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// Octal digits, or GNU's binary form for what has too many of them.
fn number(field: &[u8]) -> Option<u64> {
    if field[0] == 0x80 {
        let (high, low) = field[1..].split_at(field.len().checked_sub(9)?);
        return high.iter().all(|&byte| byte == 0).then(|| low.iter().fold(0, |sum, &byte| sum << 8 | u64::from(byte)));
    }
    let text = std::str::from_utf8(field).ok()?.trim_matches(|c| c == ' ' || c == '\0');
    if text.is_empty() { Some(0) } else { u64::from_str_radix(text, 8).ok() }
}

fn has_right_sum(header: &[u8; BLOCK as usize]) -> bool {
    let sum: u64 =
        header.iter().enumerate().map(|(at, &byte)| if (148..156).contains(&at) { 32 } else { u64::from(byte) }).sum();
    number(&header[148..156]) == Some(sum)
}

fn without_end(bytes: &[u8]) -> &[u8] {
    bytes.iter().position(|&byte| byte == 0).map_or(bytes, |end| &bytes[..end])
}

fn header_name(header: &[u8; BLOCK as usize]) -> Vec<u8> {
    let name = without_end(&header[..100]);
    // Old GNU headers have times where POSIX has the start of a long name.
    let prefix = if &header[257..263] == b"ustar\0" { without_end(&header[345..500]) } else { &[] };
    if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
}

fn member_name(raw: &[u8]) -> Result<String, TarError> {
    let Ok(name) = std::str::from_utf8(raw) else {
        let start = &raw[..raw.len().min(LONGEST_NAME)];
        return Err(damaged(format!("the name `{}` is not UTF-8", start.escape_ascii())));
    };
    let refused = |reason: String| Err(damaged(format!("the name {} {reason}", quoted(name))));
    if name.len() > LONGEST_NAME {
        return refused(format!("has {} bytes; at most {LONGEST_NAME} are read", name.len()));
    }
    if let Some(character) = hidden_character(name) {
        return refused(format!("has the character U+{:04X}, which is not shown", u32::from(character)));
    }
    if name.starts_with('/') {
        return refused("is absolute".to_owned());
    }
    // `tar -C folder .` writes `./a/b`.
    let parts: Vec<&str> = name.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.is_empty() || parts.contains(&"..") {
        return refused("has a `..` part or none at all".to_owned());
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes<'a>(&'a [u8]);

    impl Read for Bytes<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(buffer)
        }
    }

    impl Stream for Bytes<'_> {
        fn pass(&mut self, count: u64) -> io::Result<()> {
            self.0 = self.0.get(count as usize..).unwrap_or_default();
            Ok(())
        }
    }

    fn header(name: &str, kind: u8, size: &str) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..124 + size.len()].copy_from_slice(size.as_bytes());
        header[156] = kind;
        header[257..263].copy_from_slice(b"ustar\0");
        header[148..156].fill(b' ');
        let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        header
    }

    fn first(bytes: &[u8]) -> Result<Option<Member>, TarError> {
        Reader::new(Bytes(bytes)).next()
    }

    #[test]
    fn a_long_name_comes_from_the_records_before_the_member() {
        let name = format!("{}/a.png", "folder".repeat(30));
        let mut records = format!("{name}\0").into_bytes();
        let size = format!("{:o}", records.len());
        records.resize(512, 0);
        let gnu = [header("././@LongLink", b'L', &size), records, header("cut off", b'0', "0")].concat();
        assert_eq!(first(&gnu).unwrap().unwrap().name, name);

        let record = format!("{} path={name}\n", 6 + name.len() + 4);
        let size = format!("{:o}", record.len());
        let mut records = record.into_bytes();
        records.resize(512, 0);
        let pax = [header("PaxHeader", b'x', &size), records, header("cut off", b'0', "0")].concat();
        assert_eq!(first(&pax).unwrap().unwrap().name, name);
    }

    #[test]
    fn names_that_lead_out_and_links_are_refused() {
        for (name, kind, said) in [
            ("../a", b'0', "`..` part"),
            ("/etc/passwd", b'0', "is absolute"),
            ("a", b'2', "is a link"),
            ("a", b'3', "is a device"),
            ("a\u{202e}b", b'0', "U+202E"),
        ] {
            let error = first(&header(name, kind, "0")).unwrap_err();
            assert!(error.detail.contains(said), "{name}: {}", error.detail);
        }
    }

    #[test]
    fn a_content_that_is_cut_off_is_an_error() {
        let archive = [header("a.bin", b'0', "10"), vec![7; 5]].concat();
        let mut reader = Reader::new(Bytes(&archive));
        assert_eq!(reader.next().unwrap().unwrap().size, 8);
        let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("ends 3 bytes before"), "{error}");
    }

    #[test]
    fn sizes_are_octal_or_binary() {
        assert_eq!(number(b"00000001750\0"), Some(1000));
        assert_eq!(number(&[0x80, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0]), Some(2 << 32));
        assert_eq!(number(b"12x"), None);
        // The sum has a field of eight bytes, which is no place for binary.
        assert_eq!(number(&[0x80; 8]), None);
    }
}
