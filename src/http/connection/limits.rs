//! The limits of connections.

use std::net::IpAddr;
use std::time::Duration;

use super::pace::Pace;

/// A busy connection has its socket and at most one file, of an upload or an artifact.
const DESCRIPTORS_OF_A_CONNECTION: usize = 2;
/// A server with so few places could not be asked how it is.
const LEAST_TOTAL: usize = 8;

/// How many connections there may be, and how patient the server is with each.
#[derive(Debug, Clone)]
pub struct ConnectionLimits {
    /// In all.
    pub total: usize,
    /// From one address; from loopback, where a proxy may stand for everybody, as many as in all.
    pub per_address: usize,
    /// From the first byte of a request, or from the connection's begin, to the end of the request's head.
    pub head: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// How long an answer may find no room in the socket.
    pub stall: Duration,
    /// The least rate of a request's body.
    pub body: Pace,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: 1024,
            per_address: 64,
            head: Duration::from_secs(10),
            idle: Duration::from_mins(1),
            stall: Duration::from_mins(1),
            body: Pace { bytes: 30 << 10, within: Duration::from_secs(30) },
        }
    }
}

impl ConnectionLimits {
    /// As many as fit when the process may open `descriptors` files, of which it needs `reserved` for everything else.
    #[must_use]
    pub fn within(mut self, descriptors: usize, reserved: usize) -> Self {
        let fitting = descriptors.saturating_sub(reserved) / DESCRIPTORS_OF_A_CONNECTION;
        self.total = self.total.min(fitting.max(LEAST_TOTAL));
        self
    }

    pub(super) fn of(&self, address: IpAddr) -> usize {
        if address.is_loopback() { self.total } else { self.per_address.min(self.total) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_follow_from_the_files_that_may_be_open() {
        let total = |descriptors| ConnectionLimits::default().within(descriptors, 100).total;
        assert_eq!(total(256), 78);
        assert_eq!(total(20_000), 1024);
        assert_eq!(total(64), LEAST_TOTAL);
    }
}
