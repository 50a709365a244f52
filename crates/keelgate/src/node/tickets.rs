//! What encrypts the tickets of TLS sessions.
//!
//! Ours because the library's keys cannot leave the process: the next process of the node must read
//! the tickets that this one has given out.

use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};
use std::time::Duration;

use anyhow::Context;
use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use rustls::pki_types::UnixTime;
use rustls::server::ProducesTickets;
use serde::{Deserialize, Serialize};

/// How long one key writes tickets at the most, in seconds.
const LONGEST: u64 = 6 * 60 * 60;

/// Bytes that name a key at the beginning of a ticket.
const NAME: usize = 16;

/// Bytes of a key.
const SECRET: usize = 32;

/// Encrypts tickets so that they can be read for a lifetime, and no longer than twelve hours: their
/// keys are thrown away.
pub(crate) struct Ticketer {
    /// A key writes for half the time and is read for the other half, too. In seconds.
    half: u64,
    keys: RwLock<Keys>,
}

struct Keys {
    current: Key,
    previous: Option<Key>,
    /// When the current key stops writing, in seconds since 1970.
    until: u64,
}

/// A ticket is the key's name, a nonce, and the session, which both authenticate.
struct Key {
    material: Material,
    sealing: RandomizedNonceKey,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Material {
    name: [u8; NAME],
    secret: [u8; SECRET],
}

/// The keys, as one process hands them to the next.
#[derive(Serialize, Deserialize)]
pub(crate) struct TicketKeys {
    half: u64,
    until: u64,
    /// The current one, and the one before.
    keys: Vec<Material>,
}

impl Ticketer {
    /// With keys of its own.
    pub(crate) fn new(lifetime: Duration) -> anyhow::Result<Self> {
        Self::at(half_of(lifetime), now()).context("cannot make keys for session tickets")
    }

    fn at(half: u64, now: u64) -> Result<Self, Unspecified> {
        Ok(Self {
            half,
            keys: RwLock::new(Keys {
                current: Key::random()?,
                previous: None,
                until: now + half,
            }),
        })
    }

    /// With the keys of the process before, if they are for the same lifetime; else with its own.
    pub(crate) fn inherit(lifetime: Duration, handed: &TicketKeys) -> anyhow::Result<Self> {
        let lives_too_long = handed.until > now() + handed.half;
        if handed.half != half_of(lifetime) || lives_too_long {
            return Self::new(lifetime);
        }
        let key = |material: &Material| {
            Key::new(*material)
                .ok()
                .context("a ticket key that was handed over cannot be used")
        };
        let mut keys = handed.keys.iter();
        let current = keys.next().context("no ticket key was handed over")?;
        Ok(Self {
            half: handed.half,
            keys: RwLock::new(Keys {
                current: key(current)?,
                previous: keys.next().map(key).transpose()?,
                until: handed.until,
            }),
        })
    }

    /// The keys, for the next process.
    pub(crate) fn keys(&self) -> TicketKeys {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let all = [Some(&keys.current), keys.previous.as_ref()];
        TicketKeys {
            half: self.half,
            until: keys.until,
            keys: all.into_iter().flatten().map(|key| key.material).collect(),
        }
    }

    /// What `with` gives for the keys that are in use now.
    fn ask<T>(&self, now: u64, with: impl Fn(&Keys) -> Option<T>) -> Option<T> {
        {
            let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
            if now <= keys.until {
                return with(&keys);
            }
        }
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        if now > keys.until {
            self.turn(&mut keys, now).ok()?;
        }
        with(&RwLockWriteGuard::downgrade(keys))
    }

    fn turn(&self, keys: &mut Keys, now: u64) -> Result<(), Unspecified> {
        let written = std::mem::replace(&mut keys.current, Key::random()?);
        let is_read = now <= keys.until + self.half;
        keys.previous = is_read.then_some(written);
        keys.until = now + self.half;
        Ok(())
    }

    fn encrypt_at(&self, plain: &[u8], now: u64) -> Option<Vec<u8>> {
        self.ask(now, |keys| keys.current.seal(plain).ok())
    }

    fn decrypt_at(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let (name, sealed) = ticket.split_first_chunk()?;
        self.ask(now, |keys| {
            let mut all = [Some(&keys.current), keys.previous.as_ref()]
                .into_iter()
                .flatten();
            all.find(|key| key.material.name == *name)?.open(sealed)
        })
    }
}

impl Key {
    fn random() -> Result<Self, Unspecified> {
        let mut material = Material {
            name: [0; NAME],
            secret: [0; SECRET],
        };
        rand::fill(&mut material.name)?;
        rand::fill(&mut material.secret)?;
        Self::new(material)
    }

    fn new(material: Material) -> Result<Self, Unspecified> {
        let sealing = RandomizedNonceKey::new(&AES_256_GCM_SIV, &material.secret)?;
        Ok(Self { material, sealing })
    }

    fn seal(&self, plain: &[u8]) -> Result<Vec<u8>, Unspecified> {
        let mut sealed = plain.to_vec();
        let name = Aad::from(self.material.name);
        let nonce = self.sealing.seal_in_place_append_tag(name, &mut sealed)?;
        Ok([&self.material.name[..], nonce.as_ref(), &sealed].concat())
    }

    fn open(&self, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut sealed = sealed.to_vec();
        let name = Aad::from(self.material.name);
        let plain = self
            .sealing
            .open_in_place(Nonce::from(nonce), name, &mut sealed)
            .ok()?;
        Some(plain.to_vec())
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(2 * self.half).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.encrypt_at(plain, now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.decrypt_at(ticket, now())
    }
}

impl fmt::Debug for Ticketer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticketer").finish_non_exhaustive()
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketKeys").finish_non_exhaustive()
    }
}

fn half_of(lifetime: Duration) -> u64 {
    (lifetime.as_secs() / 2).clamp(1, LONGEST)
}

fn now() -> u64 {
    UnixTime::now().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &[u8] = b"session";

    #[test]
    fn a_ticket_is_read_until_its_key_is_thrown_away() {
        let ticketer = Ticketer::at(10, 0).unwrap();
        let first = ticketer.encrypt_at(SESSION, 10).unwrap();
        assert!(!first.windows(SESSION.len()).any(|part| part == SESSION));
        assert_eq!(ticketer.decrypt_at(&first, 10).unwrap(), SESSION);
        let second = ticketer.encrypt_at(SESSION, 11).unwrap();
        assert_ne!(first[..NAME], second[..NAME]);
        assert_eq!(ticketer.decrypt_at(&first, 21).unwrap(), SESSION);
        assert_eq!(ticketer.decrypt_at(&first, 22), None);
        assert_eq!(ticketer.decrypt_at(&second, 22).unwrap(), SESSION);
        // Nobody has looked for long.
        assert_eq!(ticketer.decrypt_at(&second, 1000), None);
    }

    #[test]
    fn a_ticket_that_was_changed_is_not_read() {
        let ticketer = Ticketer::new(Duration::from_secs(60)).unwrap();
        let ticket = ticketer.encrypt(SESSION).unwrap();
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(ticketer.decrypt(&changed), None, "{at}");
            assert_eq!(ticketer.decrypt(&ticket[..at]), None, "{at}");
        }
        assert_eq!(ticketer.decrypt(&ticket).unwrap(), SESSION);
    }

    #[test]
    fn the_next_process_reads_what_this_one_has_written() {
        let day = Duration::from_secs(86400);
        let ticketer = Ticketer::at(half_of(day), now() - 30_000).unwrap();
        let old = ticketer.encrypt_at(SESSION, now() - 30_000).unwrap();
        let new = ticketer.encrypt(SESSION).unwrap();
        assert_ne!(old[..NAME], new[..NAME]);
        let text = serde_json::to_string(&ticketer.keys()).unwrap();
        let handed: TicketKeys = serde_json::from_str(&text).unwrap();
        let next = Ticketer::inherit(day, &handed).unwrap();
        assert_eq!(next.decrypt(&old).unwrap(), SESSION);
        assert_eq!(next.decrypt(&new).unwrap(), SESSION);
        assert_eq!(
            ticketer.decrypt(&next.encrypt(SESSION).unwrap()).unwrap(),
            SESSION
        );
    }

    #[test]
    fn keys_are_not_inherited_for_another_lifetime() {
        let ticketer = Ticketer::new(Duration::from_secs(60)).unwrap();
        let ticket = ticketer.encrypt(SESSION).unwrap();
        let next = Ticketer::inherit(Duration::from_secs(120), &ticketer.keys()).unwrap();
        assert_eq!(next.decrypt(&ticket), None);
    }
}
