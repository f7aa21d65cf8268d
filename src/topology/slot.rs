//! Slots: the hash buckets between a measurement and its group.
//!
//! `slot = crc32_ieee(key) mod 1024`; the key is `db \0 measurement` and, for a rule with tags, `\0 value` for each
//! tag of the rule. Every proxy and every script must agree on it, so it is CRC-32 and not a faster hash that differs
//! between machines. Used by `batch` for writes and by `plan` for queries.

use crc32fast::Hasher;

/// How many slots there are, as in Codis.
pub const SLOTS: usize = 1024;

/// One of the 1024 slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(/** < SLOTS */ u16);

impl SlotId {
    /// `None` when there is no such slot.
    pub fn new(number: usize) -> Option<SlotId> {
        (number < SLOTS).then_some(SlotId(number as u16))
    }

    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    pub fn all() -> impl Iterator<Item = SlotId> {
        (0..SLOTS as u16).map(SlotId)
    }
}

impl std::fmt::Display for SlotId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A slot key being hashed. Cheap to clone: the part that many keys share (database, measurement) is hashed once.
#[derive(Clone)]
pub struct SlotKey(Hasher);

impl SlotKey {
    /// Starts a key with its database.
    pub fn database(db: &str) -> SlotKey {
        let mut hasher = Hasher::new();
        hasher.update(db.as_bytes());
        SlotKey(hasher)
    }

    /// Adds the measurement, unescaped, or the next tag value of the rule (empty when the tag is absent).
    pub fn push(&mut self, part: &[u8]) {
        self.push_pieces([part]);
    }

    /// The same, of a part that comes in pieces.
    pub fn push_pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        self.0.update(&[0]);
        pieces.into_iter().for_each(|piece| self.0.update(piece));
    }

    /// Adds several parts at once, each already with the NUL before it.
    #[inline]
    pub fn push_joined(&mut self, parts: &[u8]) {
        debug_assert!(parts.first().is_none_or(|byte| *byte == 0), "a part begins behind a NUL");
        self.0.update(parts);
    }

    pub fn slot(self) -> SlotId {
        SlotId((self.0.finalize() % SLOTS as u32) as u16)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(key: &str) -> usize {
        let mut parts = key.split('\0');
        let mut hash = SlotKey::database(parts.next().unwrap_or_default());
        parts.for_each(|part| hash.push(part.as_bytes()));
        hash.slot().index()
    }

    #[test]
    fn the_contracts_vectors() {
        for (key, want) in [
            ("telegraf\0cpu", 261),
            ("telegraf\0cpu\0web-1", 916),
            ("telegraf\0cpu\0", 219),
            ("telegraf\0cpu\0web-1\0eu", 733),
            ("db\0a,b", 527),
            ("db\0with space", 826),
        ] {
            assert_eq!(slot(key), want, "{key:?}");
        }
    }
}
