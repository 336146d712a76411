//! What an ONNX file may hold: one self-contained network of operators that ONNX Runtime brings.
//!
//! Two things are refused before any library sees the file. *External data* makes the loader
//! open other files, whose bytes no hash covers. An operator of a *foreign domain* needs code
//! from elsewhere. Only the wire format of Protocol Buffers is walked and nothing is copied, so
//! the cost is one pass over the bytes.

use std::collections::BTreeSet;

/// Graphs in attributes of nodes of graphs: more levels than any exporter writes.
pub const MAX_DEPTH: usize = 64;

/// Domains whose operators ONNX Runtime has itself: the standard's two names, and its own.
const DOMAINS: &[&str] = &["", "ai.onnx", "com.microsoft"];

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: u64 = 1;

/// Messages of `onnx.proto3` on the way to tensors and operators.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Function,
    Graph,
    Node,
    Attribute,
    Tensor,
    SparseTensor,
}

impl Message {
    /// What lies in this message's field `number`, if it is on the way.
    fn part(self, number: u64) -> Option<Message> {
        match (self, number) {
            (Message::Model, 7) | (Message::Attribute, 6 | 11) => Some(Message::Graph),
            (Message::Model, 25) => Some(Message::Function),
            (Message::Graph, 1) | (Message::Function, 7) => Some(Message::Node),
            (Message::Node, 5) | (Message::Function, 11) => Some(Message::Attribute),
            (Message::Graph, 5) | (Message::Attribute, 5 | 10) | (Message::SparseTensor, 1 | 2) => {
                Some(Message::Tensor)
            }
            (Message::Graph, 15) | (Message::Attribute, 22 | 23) => Some(Message::SparseTensor),
            _ => None,
        }
    }
}

/// Checks a file's bytes; the error is one sentence.
pub fn check(bytes: &[u8]) -> Result<(), String> {
    let mut own = BTreeSet::new();
    let mut has_graph = false;
    for field in fields(bytes) {
        match field? {
            (25, Value::Bytes(function)) => own.extend(domain_of(function)?),
            (7, Value::Bytes(_)) => has_graph = true,
            _ => {}
        }
    }
    if !has_graph {
        return Err("not an ONNX file: it holds no network".into());
    }
    walk(Message::Model, bytes, &own, MAX_DEPTH)
}

/// The domain of a function that the file itself defines.
fn domain_of(function: &[u8]) -> Result<Option<&[u8]>, String> {
    let mut domain = None;
    for field in fields(function) {
        if let (10, Value::Bytes(name)) = field? {
            domain = Some(name);
        }
    }
    Ok(domain)
}

fn walk(message: Message, bytes: &[u8], own: &BTreeSet<&[u8]>, depth: usize) -> Result<(), String> {
    let deeper = depth
        .checked_sub(1)
        .ok_or_else(|| format!("its graphs lie more than {MAX_DEPTH} levels in each other"))?;
    for field in fields(bytes) {
        let (number, value) = field?;
        match (message, number, value) {
            (Message::Tensor, 13, _) | (Message::Tensor, 14, Value::Number(EXTERNAL)) => {
                return Err("its weights are in another file (external data), which no hash covers; save it as one file".into());
            }
            (Message::Node, 7, Value::Bytes(domain)) => {
                let known = DOMAINS.iter().any(|known| known.as_bytes() == domain);
                if !known && !own.contains(domain) {
                    let domain = String::from_utf8_lossy(domain);
                    let domain: String = domain.chars().take(64).collect();
                    return Err(format!(
                        "it needs operators of {domain:?}, which ONNX Runtime does not bring; export it with standard operators only"
                    ));
                }
            }
            (_, _, Value::Bytes(part)) => {
                if let Some(inner) = message.part(number) {
                    walk(inner, part, own, deeper)?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

enum Value<'b> {
    Number(u64),
    Bytes(&'b [u8]),
    /// Fixed width; nothing that is asked for has it.
    Other,
}

/// A message's fields: number and value.
fn fields(mut rest: &[u8]) -> impl Iterator<Item = Result<(u64, Value<'_>), String>> {
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let field = next(&mut rest).ok_or_else(|| {
            // Nothing after it can be read.
            rest = &[];
            "not an ONNX file, or a damaged one".to_owned()
        });
        Some(field)
    })
}

fn next<'b>(rest: &mut &'b [u8]) -> Option<(u64, Value<'b>)> {
    let key = varint(rest)?;
    let value = match key & 7 {
        0 => Value::Number(varint(rest)?),
        1 => take(rest, 8).map(|_| Value::Other)?,
        2 => {
            let length = usize::try_from(varint(rest)?).ok()?;
            Value::Bytes(take(rest, length)?)
        }
        5 => take(rest, 4).map(|_| Value::Other)?,
        _ => return None,
    };
    // Field zero does not exist.
    (key >> 3 > 0).then_some((key >> 3, value))
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

fn take<'b>(rest: &mut &'b [u8], length: usize) -> Option<&'b [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A field that holds bytes.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        if number > 15 {
            // Two bytes of key.
            out = vec![number << 3 | 2 | 0x80, number >> 4];
        }
        let mut length = bytes.len();
        while length > 0x7f {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend(bytes);
        out
    }

    fn model(graph: &[u8]) -> Vec<u8> {
        [&[8, 8][..], &field(7, graph)].concat()
    }

    #[test]
    fn a_plain_network_passes() {
        let tensor = field(8, b"w");
        let node = [field(4, b"Conv"), field(7, b"com.microsoft")].concat();
        assert_eq!(
            check(&model(&[field(5, &tensor), field(1, &node)].concat())),
            Ok(())
        );
    }

    #[test]
    fn external_data_is_refused_wherever_it_hides() {
        let named = field(13, b"\x0a\x00");
        let located = [14 << 3, 1].to_vec();
        for tensor in [&named, &located] {
            let constant = field(5, &field(5, tensor));
            let in_branch = field(5, &field(6, &field(5, tensor)));
            for graph in [
                field(5, tensor),
                field(1, &constant),
                field(1, &in_branch),
                field(15, &field(1, tensor)),
            ] {
                assert!(check(&model(&graph)).unwrap_err().contains("external data"));
            }
            let function = field(25, &field(7, &constant));
            let whole = [model(&[]), function].concat();
            assert!(check(&whole).unwrap_err().contains("external data"));
        }
        // Location 0 is the file itself.
        assert_eq!(check(&model(&field(5, &[14 << 3, 0]))), Ok(()));
    }

    #[test]
    fn foreign_operators_are_named_and_functions_of_the_file_are_its_own() {
        let node = field(1, &[field(4, b"Foo"), field(7, b"evil.ops")].concat());
        let error = check(&model(&node)).unwrap_err();
        assert!(error.contains("\"evil.ops\""), "{error}");
        let function = field(25, &[field(1, b"Foo"), field(10, b"evil.ops")].concat());
        assert_eq!(check(&[model(&node), function].concat()), Ok(()));
    }

    #[test]
    fn what_is_no_network_is_said_to_be_none() {
        for bytes in [
            &b""[..],
            &[8, 8],
            b"not a network",
            &[7; 100],
            &[0x3a, 9, 1],
        ] {
            assert!(
                check(bytes).unwrap_err().contains("not an ONNX file"),
                "{bytes:?}"
            );
        }
        // A length beyond the end, and a number that never ends.
        assert!(check(&[0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
        assert!(check(&[0x80; 20]).is_err());
    }

    #[test]
    fn nesting_has_a_limit() {
        // Each turn adds three levels; the model and its graph are the first two.
        let nested = |turns: usize| {
            let graph = (0..turns).fold(Vec::new(), |inner: Vec<u8>, _| {
                field(1, &field(5, &field(6, &inner)))
            });
            check(&model(&graph))
        };
        assert_eq!(nested((MAX_DEPTH - 2) / 3), Ok(()));
        for turns in [(MAX_DEPTH - 2) / 3 + 1, MAX_DEPTH * 10] {
            assert!(nested(turns).unwrap_err().contains("levels"));
        }
    }
}
