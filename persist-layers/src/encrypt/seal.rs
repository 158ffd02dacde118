//! One value, encrypted, as JSON.

use std::fmt::Display;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::XNonce;
use chacha20poly1305::aead::{Aead, Generate, Payload};
use sandbox_agent_persist::{PersistError, PersistErrorKind};
use serde::Deserialize;

use super::Keys;

/// The member that an encrypted value is known by.
pub(super) const MEMBER: &str = sandbox_agent_persist::envelope::ENCRYPTED;
const VERSION: u32 = 1;
const NONCE: usize = 24;

/// An encrypted value as it is stored: which key, and nonce and ciphertext in one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sealed {
    v: u32,
    pub(super) key: String,
    data: String,
}

/// Encrypts a value and binds it to a place; gives the JSON of the sealed value.
pub(super) fn seal(keys: &Keys, value: &[u8], place: &[u8], name: &str) -> Result<String, PersistError> {
    let id = keys.current_id();
    let nonce = XNonce::try_generate().map_err(|error| {
        let message = format!("{name} can't be encrypted: the system gives no random numbers: {error}");
        PersistError::new(PersistErrorKind::Other, message)
    })?;
    let encrypted =
        keys.cipher(id).and_then(|cipher| cipher.encrypt(&nonce, Payload { msg: value, aad: place }).ok());
    let Some(encrypted) = encrypted else {
        return Err(PersistError::new(
            PersistErrorKind::TooLarge,
            format!("{name} has {} bytes, which are too many to be encrypted", value.len()),
        ));
    };
    let mut data = Vec::with_capacity(NONCE + encrypted.len());
    data.extend_from_slice(&nonce);
    data.extend_from_slice(&encrypted);
    Ok(print(VERSION, id, &STANDARD_NO_PAD.encode(data)))
}

impl Sealed {
    /// Reads a sealed value. It is one as [`seal`] prints them, or none.
    pub(super) fn read(json: &str) -> Option<Self> {
        let sealed: Self = serde_json::from_str(json).ok()?;
        (print(sealed.v, &sealed.key, &sealed.data) == json).then_some(sealed)
    }

    /// Decrypts the value of this place.
    pub(super) fn open(&self, keys: &Keys, place: &[u8], name: &str) -> Result<Vec<u8>, PersistError> {
        if self.v != VERSION {
            let message = format!(
                "{name} is encrypted in the form {}, and this program knows the form {VERSION}; update it",
                self.v
            );
            return Err(corrupt(message));
        }
        let id = &self.key;
        let Some(cipher) = keys.cipher(id) else {
            return Err(corrupt(format!(
                "{name} is encrypted with the key {id:?}, which is not given; add it to the keys"
            )));
        };
        let data = STANDARD_NO_PAD.decode(&self.data).ok();
        let opened = data.as_deref().and_then(|data| {
            let (nonce, encrypted) = data.split_at_checked(NONCE)?;
            let nonce = XNonce::try_from(nonce).ok()?;
            cipher.decrypt(&nonce, Payload { msg: encrypted, aad: place }).ok()
        });
        opened.ok_or_else(|| {
            corrupt(format!(
                "{name} can't be decrypted with the key {id:?}: the key is another one, or the value was changed or moved; \
                 give the right key, or restore it from a backup"
            ))
        })
    }
}

fn print(version: u32, key: &str, data: &str) -> String {
    // A string always prints.
    let key = serde_json::to_string(key).unwrap_or_default();
    format!(r#"{{"v":{version},"key":{key},"data":"{data}"}}"#)
}

/// The error of a value that can't be read. The message names the session, of which there is always this way out.
pub(super) fn corrupt(message: impl Display) -> PersistError {
    let message = format!("{message}; or give the session up: delete_session deletes it unread");
    PersistError::new(PersistErrorKind::Corrupt, message)
}
