//! Exchange and routing key as they stand in `basic.publish` and `basic.deliver`: `u8 length, exchange, u8 length, routing key`.

/// The two as one; none where one is longer than 255 bytes.
pub fn join(exchange: &[u8], routing_key: &[u8]) -> Option<Vec<u8>> {
    let mut both = Vec::with_capacity(2 + exchange.len() + routing_key.len());
    for part in [exchange, routing_key] {
        both.push(u8::try_from(part.len()).ok()?);
        both.extend_from_slice(part);
    }
    Some(both)
}

/// The exchange and the routing key; none where they are cut short.
pub fn split(both: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = both.split_first()?;
    let (exchange, key) = rest.split_at_checked(usize::from(*len))?;
    Some((exchange, key.get(1..)?))
}

/// The two as one, and what stands behind them; none where they are cut short.
pub fn cut(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let exchange_len = usize::from(*bytes.first()?);
    let key_len = usize::from(*bytes.get(1 + exchange_len)?);
    bytes.split_at_checked(2 + exchange_len + key_len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_joined_is_split_again() {
        for (exchange, key) in [("", ""), ("an exchange", "a.key"), ("", "a.key")] {
            let both = join(exchange.as_bytes(), key.as_bytes()).expect("they are short");
            let parts = Some((exchange.as_bytes(), key.as_bytes()));
            assert_eq!(split(&both), parts);
        }
        assert_eq!(join(&[b'x'; 256], b""), None);
        assert_eq!(join(b"", &[b'x'; 256]), None);
    }

    #[test]
    fn what_stands_behind_is_cut_off() {
        for behind in [&b""[..], b"blind"] {
            let both = join(b"an exchange", b"a.key").expect("they are short");
            let bytes = [&both, behind].concat();
            assert_eq!(cut(&bytes), Some((&both[..], behind)));
        }
    }

    #[test]
    fn what_is_cut_short_is_not_split() {
        for short in [&b""[..], b"\x03ab", b"\x02ab"] {
            assert_eq!((split(short), cut(short)), (None, None));
        }
    }
}
