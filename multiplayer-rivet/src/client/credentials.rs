//! Who a client says that it is.

use std::fmt;

use serde_json::{Map, Value};

/// Who a client says that it is, to the host's hook.
///
/// It travels with the connection, in a header: keep it small.
#[derive(Clone, Default)]
pub struct Credentials {
    params: Map<String, Value>,
}

impl Credentials {
    /// Somebody who says nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// A bearer token.
    #[must_use]
    pub fn token(self, token: impl Into<String>) -> Self {
        self.param("token", token.into())
    }

    /// Something else, such as a name.
    #[must_use]
    pub fn param(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.params.insert(name.into(), value.into());
        self
    }

    pub(super) fn params(&self) -> Value {
        self.params.clone().into()
    }
}

/// Without what may be secret.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}
