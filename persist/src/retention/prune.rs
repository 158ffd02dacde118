//! Deletes the sessions that a retention picks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{PruneReport, PruneRule, Pruned, Retention, Spared, SparedBecause};
use crate::roll::{self, Passed};
use crate::{
    ListPage, ListSessionsRequest, PersistError, SessionLease, SessionPersistDriver, SessionRecord,
    SessionUpkeep, Usage, walk,
};

/// What is remembered of each session, so that millions fit into memory.
struct Candidate {
    id: String,
    created_at: i64,
    active: i64,
    usage: Option<Usage>,
}

enum Verdict {
    Goes(Usage),
    Stays(SparedBecause),
    IsGone,
}

/// Deletes the sessions that the retention picks, and tells which.
///
/// It reads all that it may pick first, and looks at each again before it deletes it: a session that
/// came to life meanwhile stays, and one that is gone is no error. Sessions that can't be read or
/// deleted are named in the report, and the others go all the same; so is one whose record can't be read, whatever
/// the limits, where the store's lists [go on behind it](PersistError::unreadable).
///
/// # Errors
/// `Unavailable`, and any error of listing. What was deleted before is gone; called again, it goes on.
///
/// # Cancellation
/// Dropped, it has deleted some of the sessions, each one whole.
pub async fn prune<D>(driver: &D, retention: &Retention) -> Result<PruneReport, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    let now = retention.at.unwrap_or_else(now_ms);
    let mut report = PruneReport { dry_run: retention.dry_run, ..PruneReport::default() };
    let mut candidates = gather(driver, retention, &mut report).await?;
    candidates.sort_unstable_by(|a, b| (a.active, a.created_at, &a.id).cmp(&(b.active, b.created_at, &b.id)));

    let cutoff = retention.older_than.map(|age| before(now, age));
    let bytes_of = |candidate: &Candidate| candidate.usage.map_or(0, |usage| usage.bytes);
    let mut sessions = candidates.len() + report.spared.len();
    let mut bytes: u64 = candidates.iter().map(bytes_of).sum();
    let floor = candidates.len().saturating_sub(retention.keep_newest);
    for candidate in candidates.into_iter().take(floor) {
        let rule = if cutoff.is_some_and(|cutoff| candidate.active < cutoff) {
            PruneRule::Age
        } else if retention.max_sessions.is_some_and(|most| sessions > most) {
            PruneRule::Count
        } else if retention.max_bytes.is_some_and(|most| bytes > most) {
            PruneRule::Bytes
        } else {
            // The others are newer, and the figures only fall.
            break;
        };
        let size = bytes_of(&candidate);
        let usage = match remove(driver, retention, &candidate, rule, now).await? {
            Verdict::Goes(usage) => Some(usage),
            Verdict::IsGone => None,
            Verdict::Stays(because) => {
                report.spared.push(Spared { session_id: candidate.id, because });
                continue;
            }
        };
        sessions -= 1;
        bytes -= size;
        if let Some(Usage { events, bytes }) = usage {
            let Candidate { id: session_id, active: last_active, .. } = candidate;
            report.pruned.push(Pruned { session_id, events, bytes, last_active, rule });
        }
    }
    report.kept = sessions;

    if retention.vacuum
        && !retention.dry_run
        && !report.pruned.is_empty()
        && let Some(upkeep) = driver.upkeep()
    {
        SessionUpkeep::vacuum(upkeep).await?;
        report.vacuumed = true;
    }
    Ok(report)
}

/// The sessions that may go, with the figures that the limits need.
async fn gather<D>(
    driver: &D,
    retention: &Retention,
    report: &mut PruneReport,
) -> Result<Vec<Candidate>, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    let Retention { older_than, max_sessions, max_bytes, among, .. } = retention;
    let mut candidates = Vec::new();
    if older_than.is_none() && max_sessions.is_none() && max_bytes.is_none() {
        return Ok(candidates);
    }
    let mut request = ListSessionsRequest::new().filter(among.clone());
    loop {
        let page = match roll::page(driver, &request).await? {
            Ok(page) => page,
            Err((Passed { session_id, error }, behind)) => {
                report.spared.push(Spared { session_id, because: SparedBecause::Failed(error) });
                ListPage::new(Vec::new(), behind)
            }
        };
        for record in page.items {
            match measure(driver, &record, max_bytes.is_some()).await {
                Ok((active, usage)) => {
                    let SessionRecord { id, created_at, .. } = record;
                    candidates.push(Candidate { id, created_at, active, usage });
                }
                Err(error) if error.is_unavailable() => return Err(error),
                Err(error) => {
                    let because = SparedBecause::Failed(error);
                    report.spared.push(Spared { session_id: record.id, because });
                }
            }
        }
        match page.next_cursor {
            Some(cursor) => request.cursor = Some(cursor),
            None => return Ok(candidates),
        }
    }
}

async fn measure<D>(
    driver: &D,
    record: &SessionRecord,
    weigh: bool,
) -> Result<(i64, Option<Usage>), PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    let active = match record.last_activity_at {
        Some(active) => active,
        None => walk::newest(driver, &record.id).await?.map_or(record.created_at, |event| event.created_at),
    };
    let usage = match weigh {
        true => Some(walk::usage(driver, &record.id).await?),
        false => None,
    };
    Ok((active, usage))
}

/// Deletes the session if it may go, or only says whether.
async fn remove<D>(
    driver: &D,
    retention: &Retention,
    candidate: &Candidate,
    rule: PruneRule,
    now: i64,
) -> Result<Verdict, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    let removed = async {
        let verdict = look_again(driver, retention, candidate, rule, now).await?;
        if let Verdict::Goes(_) = verdict
            && !retention.dry_run
        {
            driver.delete_session(&candidate.id).await?;
        }
        Ok(verdict)
    };
    match removed.await {
        Err(error) if PersistError::is_unavailable(&error) => Err(error),
        // Whoever acquired it meanwhile has it.
        Err(error) if error.is_fenced() => Ok(Verdict::Stays(SparedBecause::Leased)),
        Err(error) => Ok(Verdict::Stays(SparedBecause::Failed(error))),
        verdict => verdict,
    }
}

async fn look_again<D>(
    driver: &D,
    retention: &Retention,
    candidate: &Candidate,
    rule: PruneRule,
    now: i64,
) -> Result<Verdict, PersistError>
where
    D: SessionPersistDriver + ?Sized,
{
    let Some(record) = driver.get_session(&candidate.id).await? else {
        return Ok(Verdict::IsGone);
    };
    if let Some(leases) = driver.leases()
        && SessionLease::holder(leases, &candidate.id).await?.is_some()
    {
        return Ok(Verdict::Stays(SparedBecause::Leased));
    }
    let usage = match candidate.usage {
        Some(usage) => usage,
        None => walk::usage(driver, &candidate.id).await?,
    };
    // The last look is at the newest event, so that little time passes until the deletion.
    let newest = walk::newest(driver, &candidate.id).await?;
    let active = newest.map_or(i64::MIN, |event| event.created_at).max(record.last_active());
    let too_young = match (rule, retention.older_than) {
        (PruneRule::Age, Some(age)) => active >= before(now, age),
        _ => false,
    };
    if too_young || active > before(now, retention.guard) || !retention.among.matches(&record) {
        return Ok(Verdict::Stays(SparedBecause::Active));
    }
    Ok(Verdict::Goes(usage))
}

fn before(now: i64, period: Duration) -> i64 {
    now.saturating_sub(i64::try_from(period.as_millis()).unwrap_or(i64::MAX))
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
