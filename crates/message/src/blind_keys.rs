//! The routing keys of a `BCC` header, which a message keeps for its dead letters and for exchanges that route it later, and shows nobody: `u16 length,
//! key` one behind the other.

/// How many bytes these may take in all.
pub const BLIND_BYTES_MAX: usize = u16::MAX as usize;

/// The keys as one; those that are too many are left out.
pub fn join<'a>(keys: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut joined = Vec::new();
    for key in keys {
        let Ok(len) = u16::try_from(key.len()) else {
            continue;
        };
        if joined.len() + size_of_val(&len) + key.len() > BLIND_BYTES_MAX {
            break;
        }
        joined.extend_from_slice(&len.to_le_bytes());
        joined.extend_from_slice(key);
    }
    joined
}

/// Each key, up to one that is cut short.
pub fn split(mut joined: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (len, rest) = joined.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*len)))?;
        joined = rest;
        Some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_split_again() {
        let keys: [&[u8]; 4] = [b"a.key", b"", &[b'x'; 300], b"another"];
        let joined = join(keys.into_iter());
        assert_eq!(split(&joined).collect::<Vec<_>>(), keys);
        assert_eq!(split(&joined[..joined.len() - 1]).count(), 3);
        assert_eq!(split(&[]).count(), 0);
    }

    #[test]
    fn there_is_a_limit() {
        let long = [b'x'; 20_000];
        let joined = join([&long[..]; 5].into_iter());
        assert_eq!(split(&joined).count(), 3);
        assert!(joined.len() <= BLIND_BYTES_MAX);
        assert_eq!(
            join([&[b'x'; 70_000][..], b"short"].into_iter()),
            join([&b"short"[..]].into_iter())
        );
    }
}
