//! Importance of channels.
