//! What one operation of the server is: where it is, what it takes and gives, and whether it may be repeated.

use std::marker::PhantomData;

use reqwest::Method;

use crate::error::{Error, Result};

/// One operation of the server, with the types of its query, its body and its answer.
///
/// The types are part of it so that a test can hold each of them against the server's own document.
#[derive(Debug)]
pub(crate) struct Operation<Q, B, R> {
    pub(crate) method: Method,
    /// As the server's document has it, with `{…}` where an argument goes.
    pub(crate) path: &'static str,
    pub(crate) repeats: Repeats,
    types: PhantomData<fn(Q, B) -> R>,
}

/// Whether a call may be sent again when it is not known what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeats {
    /// A second one changes nothing that the first did not.
    Yes,
    /// A second one may do it twice.
    No,
}

/// A body or an answer that is bytes, not JSON.
#[derive(Debug)]
pub(crate) struct Octets;

/// A connection that goes over to another protocol, or that is a stream of events.
#[derive(Debug)]
pub(crate) struct Channel;

impl<Q, B, R> Operation<Q, B, R> {
    const fn new(method: Method, path: &'static str, repeats: Repeats) -> Self {
        Self { method, path, repeats, types: PhantomData }
    }

    pub(crate) const fn get(path: &'static str) -> Self {
        Self::new(Method::GET, path, Repeats::Yes)
    }

    pub(crate) const fn put(path: &'static str) -> Self {
        Self::new(Method::PUT, path, Repeats::Yes)
    }

    pub(crate) const fn delete(path: &'static str) -> Self {
        Self::new(Method::DELETE, path, Repeats::Yes)
    }

    /// A DELETE of something whose absence the server refuses: what a second one says is no answer.
    pub(crate) const fn delete_once(path: &'static str) -> Self {
        Self::new(Method::DELETE, path, Repeats::No)
    }

    pub(crate) const fn post(path: &'static str) -> Self {
        Self::new(Method::POST, path, Repeats::No)
    }

    /// A POST that sets something, so that a second one changes nothing.
    pub(crate) const fn post_idempotent(path: &'static str) -> Self {
        Self::new(Method::POST, path, Repeats::Yes)
    }

    /// The segments of the path, with the arguments in their places.
    ///
    /// An argument that is empty or that stands for a folder would be dropped from the address, and the
    /// call would go to another operation.
    pub(crate) fn segments<'a>(&self, arguments: &[&'a str]) -> Result<Vec<&'a str>>
    where
        'static: 'a,
    {
        let mut arguments = arguments.iter();
        let segments = self.path.split('/').skip(1).map(|segment| match segment.strip_prefix('{') {
            None => Ok(segment),
            Some(name) => match arguments.next() {
                Some(&("" | "." | "..")) | None => {
                    let name = name.trim_end_matches('}');
                    Err(Error::invalid(format!(
                        "{name} of {} must be an id, such as the server gave",
                        self.path
                    )))
                }
                Some(argument) => Ok(*argument),
            },
        });
        segments.collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const INPUT: Operation<(), (), ()> = Operation::post("/v1/processes/{id}/input");

    #[test]
    fn arguments_go_where_the_path_has_them() {
        assert_eq!(INPUT.segments(&["a/b"]).unwrap(), ["v1", "processes", "a/b", "input"]);
    }

    #[test]
    fn an_argument_that_would_change_the_path_is_refused() {
        for id in ["", ".", ".."] {
            assert!(INPUT.segments(&[id]).unwrap_err().to_string().contains("id of"), "{id:?}");
        }
        assert!(INPUT.segments(&[]).is_err());
    }
}
