//! State changes inside the counters' value: `[key length u16, value length + 1 u16 or 0 for a
//! removal, key, value]…`, little endian. What a power cut kept from the state is made good
//! from here.

/// A change of one state entry.
pub type Change = (Vec<u8>, Option<Vec<u8>>);

/// Appends the changes; the caller checks that lengths fit (see `MAX_STATE_KEY`).
pub fn encode(changes: &[Change], out: &mut Vec<u8>) {
    for (key, value) in changes {
        let value_len = value.as_ref().map_or(0, |value| value.len() + 1);
        out.extend_from_slice(&(key.len() as u16).to_le_bytes());
        out.extend_from_slice(&(value_len as u16).to_le_bytes());
        out.extend_from_slice(key);
        out.extend_from_slice(value.as_deref().unwrap_or_default());
    }
}

/// Reads them back; `None` if the bytes are something else.
pub fn decode(mut bytes: &[u8]) -> Option<Vec<Change>> {
    let mut changes = Vec::new();
    while !bytes.is_empty() {
        let (key_len, rest) = bytes.split_first_chunk()?;
        let (value_len, rest) = rest.split_first_chunk()?;
        let (key, rest) = rest.split_at_checked(u16::from_le_bytes(*key_len).into())?;
        let value_len = usize::from(u16::from_le_bytes(*value_len));
        let (value, rest) = rest.split_at_checked(value_len.saturating_sub(1))?;
        changes.push((key.to_vec(), (value_len > 0).then(|| value.to_vec())));
        bytes = rest;
    }
    Some(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_read_back_and_rubbish_does_not() {
        let changes = vec![
            (b"a".to_vec(), Some(b"value".to_vec())),
            (b"".to_vec(), Some(Vec::new())),
            (b"gone".to_vec(), None),
        ];
        let mut bytes = Vec::new();
        encode(&changes, &mut bytes);
        assert_eq!(decode(&bytes), Some(changes));
        assert_eq!(decode(&[]), Some(Vec::new()));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(&[9]), None);
    }
}
