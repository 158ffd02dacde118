//! CBOR, in which the runtime carries arguments, answers and parameters.

use sandbox_agent_multiplayer::{Error, ErrorKind, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T> {
    ciborium::from_reader(bytes).map_err(|error| {
        Error::new(ErrorKind::InvalidInput, format!("{what} can't be read: {error}")).with_source(error)
    })
}

pub(crate) fn write<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).map_err(|error| {
        Error::new(ErrorKind::Protocol, "an answer could not be written as CBOR").with_source(error)
    })?;
    Ok(bytes)
}
