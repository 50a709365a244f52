//! Listening sockets that outlive whoever accepts from them.
//!
//! Connections wait in the queue of a listening socket until they are accepted. The queue lives as
//! long as anybody holds the socket: workers that hand their sockets to the next ones lose nobody,
//! whether the next ones are threads of this process or of another one.

use std::os::fd::OwnedFd;

/// Listening sockets by the name of what they listen for, such as `tcp/0.0.0.0:8000`; several for
/// one name where each worker has its own.
#[derive(Debug, Default)]
pub struct Sockets(Vec<(String, Vec<OwnedFd>)>);

impl Sockets {
    /// Adds sockets under a name.
    pub fn add(&mut self, name: String, sockets: Vec<OwnedFd>) {
        self.0.push((name, sockets));
    }

    /// Takes out the first group of sockets with this name; none when there is no such group.
    pub fn take(&mut self, name: &str) -> Vec<OwnedFd> {
        match self.0.iter().position(|(own, _)| own == name) {
            Some(at) => self.0.remove(at).1,
            None => Vec::new(),
        }
    }

    /// Adds everything that others hold.
    pub fn append(&mut self, others: Self) {
        self.0.extend(others.0);
    }

    /// Each group with its name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[OwnedFd])> {
        self.0
            .iter()
            .map(|(name, sockets)| (name.as_str(), sockets.as_slice()))
    }

    /// Further handles of the same sockets.
    ///
    /// # Errors
    /// When the system has no file left for another handle.
    pub fn try_clone(&self) -> std::io::Result<Self> {
        let copy = |(name, sockets): &(String, Vec<OwnedFd>)| {
            let copies = sockets.iter().map(OwnedFd::try_clone);
            Ok((name.clone(), copies.collect::<std::io::Result<_>>()?))
        };
        self.0
            .iter()
            .map(copy)
            .collect::<std::io::Result<_>>()
            .map(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn groups_are_taken_in_the_order_in_which_they_came() {
        let listener = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (one, two) = (listener(), listener());
        let addresses = [&one, &two].map(|socket| socket.local_addr().unwrap());
        let mut sockets = Sockets::default();
        sockets.add("a".to_owned(), vec![one.into()]);
        sockets.add("a".to_owned(), vec![two.into()]);
        let copy = sockets.try_clone().unwrap();
        for address in addresses {
            let taken = sockets.take("a").pop().unwrap();
            assert_eq!(TcpListener::from(taken).local_addr().unwrap(), address);
        }
        assert!(sockets.take("a").is_empty());
        assert_eq!(copy.iter().count(), 2);
    }
}
