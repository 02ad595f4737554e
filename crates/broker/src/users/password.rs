//! Password hashes in RabbitMQ's form, so that exported users keep their passwords.
//!
//! A hash is `base64(salt ++ digest(salt ++ password))` with a salt of 4 bytes; the digest is SHA-256, or SHA-512 where the operator chose
//! it. MD5, RabbitMQ's old default, is refused. A hash never shows in debug output, and is compared in constant time.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;
use thiserror::Error;

const SALT: usize = 4;

/// What a password is hashed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// `rabbit_password_hashing_sha256`, the default.
    #[default]
    Sha256,
    /// `rabbit_password_hashing_sha512`.
    Sha512,
}

impl HashAlgorithm {
    /// The algorithm by the name it has in definitions.
    pub fn from_name(name: &str) -> Result<Self, PasswordHashError> {
        match name {
            "rabbit_password_hashing_sha256" => Ok(Self::Sha256),
            "rabbit_password_hashing_sha512" => Ok(Self::Sha512),
            "rabbit_password_hashing_md5" => Err(PasswordHashError::Md5),
            _ => Err(PasswordHashError::UnknownAlgorithm(name.into())),
        }
    }

    /// The name it has in definitions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "rabbit_password_hashing_sha256",
            Self::Sha512 => "rabbit_password_hashing_sha512",
        }
    }

    fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }

    fn digest(self, salt: &[u8], password: &[u8]) -> Box<[u8]> {
        match self {
            Self::Sha256 => Sha256::new()
                .chain_update(salt)
                .chain_update(password)
                .finalize()
                .to_vec(),
            Self::Sha512 => Sha512::new()
                .chain_update(salt)
                .chain_update(password)
                .finalize()
                .to_vec(),
        }
        .into()
    }
}

/// Why a text is not a password hash.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PasswordHashError {
    /// Not base64.
    #[error("the password hash is not base64")]
    NotBase64,
    /// Not a salt and a digest.
    #[error("the password hash has {actual} bytes, {} has {expected}", .algorithm.name())]
    Length {
        /// The algorithm it was said to be made with.
        algorithm: HashAlgorithm,
        /// Bytes of salt and digest.
        expected: usize,
        /// Bytes there are.
        actual: usize,
    },
    /// Made with MD5.
    #[error("MD5 password hashes are not supported: give the user a new password")]
    Md5,
    /// Made with something else.
    #[error("unknown password hashing algorithm '{0}'")]
    UnknownAlgorithm(Box<str>),
}

/// A salted password hash.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    algorithm: HashAlgorithm,
    salt: [u8; SALT],
    digest: Box<[u8]>,
}

impl PasswordHash {
    /// Hashes `password` with the default algorithm and a new random salt.
    pub fn new(password: &[u8]) -> Self {
        let algorithm = HashAlgorithm::default();
        let salt: [u8; SALT] = rand::random();
        Self {
            algorithm,
            salt,
            digest: algorithm.digest(&salt, password),
        }
    }

    /// Reads a hash as it stands in definitions.
    pub fn from_base64(text: &str, algorithm: HashAlgorithm) -> Result<Self, PasswordHashError> {
        let bytes = BASE64
            .decode(text)
            .map_err(|_| PasswordHashError::NotBase64)?;
        let expected = SALT + algorithm.digest_len();
        match bytes.split_first_chunk() {
            Some((salt, digest)) if bytes.len() == expected => Ok(Self {
                algorithm,
                salt: *salt,
                digest: digest.into(),
            }),
            _ => Err(PasswordHashError::Length {
                algorithm,
                expected,
                actual: bytes.len(),
            }),
        }
    }

    /// The hash as it stands in definitions.
    pub fn to_base64(&self) -> String {
        BASE64.encode([&self.salt[..], &self.digest].concat())
    }

    /// What it was made with.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// Whether `password` is the one. **Cost**: one hash, and a comparison in constant time.
    pub fn matches(&self, password: &[u8]) -> bool {
        self.algorithm
            .digest(&self.salt, password)
            .ct_eq(&self.digest)
            .into()
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PasswordHash")
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}
