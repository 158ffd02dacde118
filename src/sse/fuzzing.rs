//! What must hold of any bytes on the socket.

use super::event::{SseEvent, parse};
use super::frame::reference;

/// A stream, with a cap and a size of its chunks in front.
///
/// # Panics
/// When frames depend on how the bytes come, or an event can't be written and read again.
pub fn frames(bytes: &[u8]) {
    let [max, size, input @ ..] = bytes else { return };
    let size = usize::from(*size).max(1);
    reference::check(16 * usize::from(*max), input, &vec![size; input.len() / size]);
    for frame in reference::events(input) {
        if let Ok(Some(event)) = parse(frame)
            && let Some(written) = write(&event)
        {
            assert_eq!(parse(&written).ok().flatten().as_ref(), Some(&event));
        }
    }
}

/// `None` for one that no server sends.
fn write(event: &SseEvent) -> Option<Vec<u8>> {
    let id = event.id.filter(|_| !event.data.is_empty())?;
    let data: String = event.data.split('\n').map(|line| format!("data: {line}\n")).collect();
    Some(format!("id: {id}\n{data}\n").into_bytes())
}
