//! Places: the connections there are, by address, and who must go when there is none left.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::activity::Activity;
use super::limits::ConnectionLimits;

/// All places; clones share them.
#[derive(Debug, Clone)]
pub(super) struct Places {
    limits: Arc<ConnectionLimits>,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    by_number: HashMap<u64, Holder>,
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Holder {
    address: IpAddr,
    activity: Arc<Activity>,
}

/// A connection's place, free again when it is dropped or given up.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    places: Places,
    pub(super) activity: Arc<Activity>,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Everywhere,
    OfAddress,
}

impl Places {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self { limits: Arc::new(limits), taken: Arc::default() }
    }

    pub(super) fn limits(&self) -> &ConnectionLimits {
        &self.limits
    }

    /// A place for a new connection; the one that has waited longest is given up for it when there is no other.
    pub(super) fn take(&self, address: IpAddr) -> Result<Place, Full> {
        let address = network_of(address);
        let mut taken = self.lock();
        if taken.by_address.get(&address).is_some_and(|&count| count >= self.limits.of(address)) {
            taken.give_up_longest(|holder| holder.address == address).ok_or(Full::OfAddress)?;
        }
        if taken.by_number.len() >= self.limits.total {
            taken.give_up_longest(|_| true).ok_or(Full::Everywhere)?;
        }
        let number = taken.next;
        taken.next += 1;
        let activity = Arc::new(Activity::new(self.limits.head, self.limits.idle));
        taken.by_number.insert(number, Holder { address, activity: activity.clone() });
        *taken.by_address.entry(address).or_default() += 1;
        Ok(Place { number, places: self.clone(), activity })
    }

    /// Frees the place that has been waited on longest, for files that the process cannot open otherwise.
    pub(super) fn give_up_one(&self) -> bool {
        self.lock().give_up_longest(|_| true).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn give_up_longest(&mut self, among: impl Fn(&Holder) -> bool) -> Option<()> {
        let waiting = self.by_number.iter().filter(|(_, holder)| among(holder));
        let waiting = waiting.filter_map(|(&number, holder)| Some((holder.activity.waiting_since()?, number)));
        let (_, number) = waiting.min()?;
        let holder = self.free(number)?;
        holder.activity.give_up();
        Some(())
    }

    fn free(&mut self, number: u64) -> Option<Holder> {
        let holder = self.by_number.remove(&number)?;
        let count = self.by_address.get_mut(&holder.address)?;
        *count -= 1;
        if *count == 0 {
            self.by_address.remove(&holder.address);
        }
        Some(holder)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.lock().free(self.number);
    }
}

/// Whom an address stands for: a host has a whole /64 of IPv6 addresses to choose from.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(total: usize, per_address: usize) -> Places {
        Places::new(ConnectionLimits { total, per_address, ..ConnectionLimits::default() })
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_waiting_connection_makes_room_and_a_busy_one_never_does() {
        let places = places(3, 3);
        let busy = places.take(address(1)).unwrap();
        let request = busy.activity.begin();
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
        let longest = places.take(address(2)).unwrap();
        tokio::time::advance(std::time::Duration::from_millis(1)).await;
        let waiting = places.take(address(3)).unwrap();

        let newcomer = places.take(address(4)).unwrap();
        assert!(longest.activity.is_over() && !waiting.activity.is_over() && !busy.activity.is_over());

        let _requests = (request, waiting.activity.begin(), newcomer.activity.begin());
        assert_eq!(places.take(address(5)).unwrap_err(), Full::Everywhere);
        drop(waiting);
        assert!(places.take(address(5)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_makes_room_only_among_its_own() {
        let places = places(10, 1);
        let other = places.take(address(1)).unwrap();
        let first = places.take(address(2)).unwrap();
        let second = places.take(address(2)).unwrap();
        assert!(first.activity.is_over() && !other.activity.is_over());
        let _request = second.activity.begin();
        assert_eq!(places.take(address(2)).unwrap_err(), Full::OfAddress);
        assert!(places.take(address(3)).is_ok());
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_address_and_a_mapped_address_as_itself() {
        let of = |text: &str| network_of(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.7"), address(7));
        assert!(of("::1").is_loopback() && of("127.0.0.1").is_loopback());
    }
}
