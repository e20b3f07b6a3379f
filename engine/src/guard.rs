//! Layers of the guard that a test takes away, to see what the others hold alone.
//!
//! `SECATEUR_ENGINE_WITHOUT` is a list with commas of `preflight` and `operators` (the allow-list that is checked after loading).
//! Only an engine that was built with debug assertions looks at it; any other keeps both layers and [`ignored_switch`] says so.
//! A worker does not hand the variable on: a test starts the engine with it. The sandbox has a switch of its own, `--sandbox off`.

pub const VARIABLE: &str = "SECATEUR_ENGINE_WITHOUT";

/// A layer that stands by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layer {
    Preflight,
    Operators,
}

impl Layer {
    fn as_str(self) -> &'static str {
        match self {
            Self::Preflight => "preflight",
            Self::Operators => "operators",
        }
    }

    /// Whether the layer is in force, which it is unless a test build is told otherwise.
    pub fn is_on(self) -> bool {
        !self.is_taken_away(&std::env::var(VARIABLE).unwrap_or_default(), cfg!(debug_assertions))
    }

    fn is_taken_away(self, switched: &str, is_test_build: bool) -> bool {
        is_test_build && switched.split(',').any(|name| name.trim() == self.as_str())
    }
}

/// A sentence for the log of a build that does not look at the variable, when it is set.
pub fn ignored_switch() -> Option<String> {
    let is_set = !cfg!(debug_assertions) && std::env::var_os(VARIABLE).is_some();
    is_set.then(|| format!("{VARIABLE} is ignored: this build keeps every layer of the guard"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_layer_is_taken_away_by_its_whole_name() {
        assert!(Layer::Operators.is_taken_away("preflight, operators", true));
        assert!(!Layer::Operators.is_taken_away("preflight", true));
        assert!(!Layer::Preflight.is_taken_away("preflights,all", true));
    }

    #[test]
    fn a_release_build_keeps_every_layer() {
        assert!(!Layer::Operators.is_taken_away("preflight,operators", false));
    }
}
