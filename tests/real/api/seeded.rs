//! Bytes that look like chance and are the same for the same seed, and what they hash to.

#![allow(dead_code, reason = "each feature's tests use a part")]

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

const AT_ONCE: usize = 1024 * 1024;

/// SplitMix64.
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// One of so many.
    pub(super) fn below(&mut self, count: usize) -> usize {
        usize::try_from(self.next() % count as u64).unwrap()
    }

    pub(super) fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&self.next().to_le_bytes()[..part.len()]);
        }
        bytes
    }

    /// A file of so many bytes; their SHA-256.
    pub(super) fn file(&mut self, path: &Path, length: usize) -> String {
        let (mut file, mut hash) = (File::create_new(path).unwrap(), Sha256::new());
        let mut left = length;
        while left > 0 {
            let part = self.bytes(left.min(AT_ONCE));
            hash.update(&part);
            file.write_all(&part).unwrap();
            left -= part.len();
        }
        hex(hash)
    }
}

pub(super) fn sha256(path: &Path) -> String {
    let (mut file, mut hash, mut part) = (File::open(path).unwrap(), Sha256::new(), vec![0; AT_ONCE]);
    loop {
        match file.read(&mut part).unwrap() {
            0 => return hex(hash),
            length => hash.update(&part[..length]),
        }
    }
}

pub(super) fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
