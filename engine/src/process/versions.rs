//! What programs took part.

use std::collections::BTreeMap;

use crate::torch;

/// What made the file, for the report and for the file itself.
pub fn versions() -> BTreeMap<String, String> {
    [
        ("secateur", env!("CARGO_PKG_VERSION").to_owned()),
        ("libtorch", torch::runtime::version()),
        ("protocol", secateur_core::wire::PROTOCOL.to_string()),
    ]
    .map(|(name, version)| (name.to_owned(), version))
    .into()
}
