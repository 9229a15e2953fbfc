//! Keys of the stable maps: fields one behind the other, so that byte order is field order.
//!
//! ```text
//!  text       UTF-8 bytes, 00           (texts with control characters are refused at the border)
//!  principal  length byte, bytes
//!  person     00 principal | 01 text
//!  resource   00 | 01 memory id 00 | 02 folder id 00 | 03 gallery id 00
//!  kind       one byte, see RecordKind
//! ```

use types::{PersonRef, RecordKind, Resource};

/// A key under construction.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<u8>);

impl Key {
    /// A key of the relation with this tag.
    pub fn tagged(tag: u8) -> Self {
        Key(vec![tag])
    }

    pub fn text(mut self, text: &str) -> Self {
        self.0.extend_from_slice(text.as_bytes());
        self.0.push(0);
        self
    }

    pub fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub fn kind(self, kind: RecordKind) -> Self {
        self.bytes(&[kind as u8])
    }

    pub fn person(self, person: &PersonRef) -> Self {
        match person {
            PersonRef::Principal(principal) => {
                let bytes = principal.as_slice();
                self.bytes(&[0, bytes.len() as u8]).bytes(bytes)
            }
            PersonRef::Opaque(name) => self.bytes(&[1]).text(name),
        }
    }

    pub fn resource(self, resource: &Resource) -> Self {
        match resource {
            Resource::Capsule => self.bytes(&[0]),
            Resource::Memory(id) => self.bytes(&[1]).text(id),
            Resource::Folder(id) => self.bytes(&[2]).text(id),
            Resource::Gallery(id) => self.bytes(&[3]).text(id),
        }
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// The first key behind all that begin with this one.
    pub fn end(&self) -> Vec<u8> {
        let mut end = self.0.clone();
        while let Some(last) = end.pop() {
            if last < u8::MAX {
                end.push(last + 1);
                return end;
            }
        }
        unreachable!("a key begins with a tag or a kind below 255 or with UTF-8")
    }

    /// The first key behind this very key.
    pub fn next(&self) -> Vec<u8> {
        let mut next = self.0.clone();
        next.push(0);
        next
    }
}

/// Reads the fields of a key from its front; None where the key does not have that field.
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(head)
    }

    pub fn byte(&mut self) -> Option<u8> {
        self.bytes(1).map(|bytes| bytes[0])
    }

    pub fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|&byte| byte == 0)?;
        let text = String::from_utf8(self.bytes(end)?.to_vec()).ok()?;
        self.byte()?;
        Some(text)
    }

    pub fn resource(&mut self) -> Option<Resource> {
        Some(match self.byte()? {
            0 => Resource::Capsule,
            1 => Resource::Memory(self.text()?),
            2 => Resource::Folder(self.text()?),
            3 => Resource::Gallery(self.text()?),
            _ => return None,
        })
    }

    pub fn person(&mut self) -> Option<PersonRef> {
        Some(match self.byte()? {
            0 => {
                let length = self.byte()? as usize;
                PersonRef::Principal(candid::Principal::try_from_slice(self.bytes(length)?).ok()?)
            }
            1 => PersonRef::Opaque(self.text()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candid::Principal;

    #[test]
    fn fields_are_read_back_as_they_were_written() {
        let people = [
            PersonRef::Principal(Principal::anonymous()),
            PersonRef::Principal(Principal::from_slice(&[0, 0, 7])),
            PersonRef::Opaque("Zoë".into()),
        ];
        let resources = [
            Resource::Capsule,
            Resource::Memory("m".into()),
            Resource::Folder("f".into()),
            Resource::Gallery("g".into()),
        ];
        for person in &people {
            for resource in &resources {
                let key = Key::tagged(9)
                    .person(person)
                    .text("capsule")
                    .resource(resource)
                    .bytes(b"tail")
                    .into_bytes();
                let mut fields = Fields(&key);
                assert_eq!(fields.byte(), Some(9));
                assert_eq!(fields.person().as_ref(), Some(person));
                assert_eq!(fields.text().as_deref(), Some("capsule"));
                assert_eq!(fields.resource().as_ref(), Some(resource));
                assert_eq!(fields.0, b"tail");
            }
        }
    }

    #[test]
    fn a_prefix_ends_behind_its_last_key() {
        let prefix = Key::tagged(1).text("a");
        assert!(prefix.clone().bytes(&[0xff; 9]).into_bytes() < prefix.end());
        assert!(
            Key::tagged(1).text("aa").into_bytes() > prefix.end()
                || prefix.end() > prefix.clone().into_bytes()
        );
        assert_eq!(Key::tagged(1).bytes(&[0xff, 0xff]).end(), vec![2]);
    }
}
