//! CRC-32C (Castagnoli; "CRC-32/ISCSI"), the checksum of every structure in the data folder.
//!
//! It finds what a disk or a memory bank did to bytes; it does not stop anybody who can write to the data folder.

use crc_fast::{CrcAlgorithm, Digest, crc32_iscsi};

#[cfg(test)]
mod tests;

/// The checksum of some bytes. **Cost**: some 8 ns for 64 bytes, 50 GB/s for long ones.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32_iscsi(bytes)
}

/// The checksum of pieces as if they lay one behind the other.
#[inline]
pub fn crc32c_of(pieces: &[&[u8]]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize() as u32
}
