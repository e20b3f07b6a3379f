//! The digest of a piece, as its client says it. SHA-256 is ours; SHA-1 every server of tus has to know, and against accidents it is as good.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest;

use crate::digest::{Hasher, Sha256};

/// What a piece must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checksum {
    Sha1([u8; 20]),
    Sha256(Sha256),
}

impl Checksum {
    /// Names of the algorithms, as tus lists them.
    pub const ALGORITHMS: &str = "sha1,sha256";

    /// The name of an algorithm, a space and a digest in base64.
    pub fn parse(text: &str) -> Option<Self> {
        let (algorithm, digest) = text.split_once(' ')?;
        match algorithm {
            "sha1" => STANDARD.decode(digest.trim()).ok()?.try_into().ok().map(Self::Sha1),
            "sha256" => Sha256::from_base64(digest.trim()).map(Self::Sha256),
            _ => None,
        }
    }

    pub(super) fn start(self) -> Check {
        match self {
            Self::Sha1(expected) => Check::Sha1(expected, sha1::Sha1::default()),
            Self::Sha256(expected) => Check::Sha256(expected, Hasher::default()),
        }
    }
}

/// A piece that is looked at as it comes.
pub(super) enum Check {
    Sha1([u8; 20], sha1::Sha1),
    Sha256(Sha256, Hasher),
}

impl Check {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha1(_, hasher) => hasher.update(bytes),
            Self::Sha256(_, hasher) => hasher.update(bytes),
        }
    }

    /// Whether the piece had its digest.
    pub(super) fn holds(self) -> bool {
        match self {
            Self::Sha1(expected, hasher) => hasher.finalize() == expected,
            Self::Sha256(expected, hasher) => hasher.finish() == expected,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_holds_only_with_its_own_digest_by_either_algorithm() {
        // Of "abc", from FIPS 180-4.
        for text in ["sha1 qZk+NkcGgWq6PiVxeFDCbJzQ2J0=", "sha256 ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0="] {
            let holds = |piece: &[u8]| {
                let mut check = Checksum::parse(text).expect("it is one").start();
                piece.chunks(2).for_each(|bytes| check.update(bytes));
                check.holds()
            };
            assert!(holds(b"abc") && !holds(b"abd") && !holds(b""), "{text}");
        }
        assert_eq!(Checksum::parse("md5 kAFQmDzST7DWlj99KOF/cg=="), None);
        assert_eq!(Checksum::parse("sha1 AAAA"), None);
    }
}
