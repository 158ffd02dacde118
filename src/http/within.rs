//! A bound for what is done with the server, in which the time that a token provider takes doesn't count.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::task::unconstrained;
use tokio::time::{Instant, sleep_until};

use crate::limits::after;

tokio::task_local! {
    /// Of the innermost bound.
    static CLOCK: Arc<Clock>;
}

/// The bound ran out.
#[derive(Debug)]
pub(crate) struct Late;

/// Runs `work` for so long, as tokio's `timeout` does; but the clock stands still while a provider is asked for
/// a token, and so does that of each bound around this one. That has a limit of its own, and a short one for the server would end each call of a slow provider
/// before anything is sent.
pub(crate) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, Late> {
    let around = CLOCK.try_with(Arc::clone).ok();
    let clock = Arc::new(Clock { around, ..Clock::default() });
    let end = after(Instant::now(), limit);
    let mut work = pin!(CLOCK.scope(clock.clone(), work));
    let mut late = pin!(sleep_until(end));
    poll_fn(|context| {
        if let Poll::Ready(done) = work.as_mut().poll(context) {
            return Poll::Ready(Ok(done));
        }
        // Whoever asks is woken by the answer.
        let Some(stood) = clock.stood() else { return Poll::Pending };
        let end = after(end, stood);
        if late.deadline() != end {
            late.as_mut().reset(end);
        }
        // Also where the work has used up what the task may do at once: it could always have more to do.
        Pin::new(&mut unconstrained(late.as_mut())).poll(context).map(|()| Err(Late))
    })
    .await
}

/// Stops the clocks of the bounds around it.
pub(super) async fn unbounded<T>(asking: impl Future<Output = T>) -> T {
    let _stopped = CLOCK.try_with(Arc::clone).ok().map(Stopped::new);
    asking.await
}

/// How long a provider was asked within one bound.
#[derive(Debug, Default)]
struct Clock {
    times: Mutex<Times>,
    /// Of the next bound around this one.
    around: Option<Arc<Clock>>,
}

#[derive(Debug, Default)]
struct Times {
    total: Duration,
    /// Since when, and by how many.
    asking: Option<(Instant, usize)>,
}

impl Clock {
    /// How long it stood still in all; `None` while it does.
    fn stood(&self) -> Option<Duration> {
        let times = self.times();
        times.asking.is_none().then_some(times.total)
    }

    /// Nothing panics while it holds the lock.
    fn times(&self) -> MutexGuard<'_, Times> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A clock and those around it stand still for as long as this lives.
struct Stopped {
    clock: Arc<Clock>,
    _around: Option<Box<Self>>,
}

impl Stopped {
    fn new(clock: Arc<Clock>) -> Self {
        let around = clock.around.clone().map(|around| Box::new(Self::new(around)));
        let mut times = clock.times();
        times.asking.get_or_insert_with(|| (Instant::now(), 0)).1 += 1;
        drop(times);
        Self { clock, _around: around }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let mut times = self.clock.times();
        times.asking = match times.asking.take() {
            Some((since, count)) if count > 1 => Some((since, count - 1)),
            Some((since, _)) => {
                times.total += since.elapsed();
                None
            }
            None => None,
        };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::future::pending;
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_not_asking_has_its_time() {
        let begin = Instant::now();
        assert!(within(2 * SECOND, pending::<()>()).await.is_err());
        assert_eq!(begin.elapsed(), 2 * SECOND);
        assert_eq!(within(2 * SECOND, async { 5 }).await.unwrap(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_stands_still_while_a_provider_is_asked() {
        let begin = Instant::now();
        let work = async {
            for _ in 0..2 {
                unbounded(sleep(30 * SECOND)).await;
                sleep(SECOND / 2).await;
            }
            // Two at once are no longer than one.
            futures::join!(unbounded(sleep(10 * SECOND)), unbounded(sleep(20 * SECOND)));
            pending::<()>().await;
        };
        assert!(within(2 * SECOND, work).await.is_err());
        assert_eq!(begin.elapsed(), 82 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn the_clocks_of_bounds_around_it_stand_still_too() {
        let begin = Instant::now();
        let inner = async {
            let _ = within(2 * SECOND, unbounded(sleep(30 * SECOND))).await;
            within(SECOND, pending::<()>()).await
        };
        assert!(within(3 * SECOND, inner).await.unwrap().is_err(), "the inner one ran out");
        assert_eq!(begin.elapsed(), 31 * SECOND);
        let begin = Instant::now();
        let inner = async {
            let _ = within(9 * SECOND, unbounded(sleep(30 * SECOND))).await;
            pending::<()>().await;
        };
        assert!(within(3 * SECOND, inner).await.is_err());
        assert_eq!(begin.elapsed(), 33 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_asking_has_the_rest_of_the_time() {
        let begin = Instant::now();
        let work = async {
            let _ = tokio::time::timeout(5 * SECOND, unbounded(pending::<()>())).await;
            pending::<()>().await;
        };
        assert!(within(2 * SECOND, work).await.is_err());
        assert_eq!(begin.elapsed(), 7 * SECOND);
    }

    #[tokio::test]
    async fn work_that_never_rests_ends_too() {
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
        let work = async {
            loop {
                sender.send(()).unwrap();
                receiver.recv().await.unwrap();
            }
        };
        assert!(within(SECOND / 10, work).await.is_err());
    }
}
