//! Sentence 19: the catalogue.

use super::Harness;
use super::kit::{Outcome, Subject, in_order};
use crate::{ListSessionsRequest, Order, SessionFilter, SessionRecord};

/// Sentence 19: a list with a filter gives just the sessions that `SessionFilter::matches`, in the same order and pages.
pub async fn a_filter_picks_what_it_matches(harness: &dyn Harness) -> Outcome {
    let subject = Subject::new(19, harness).await?;
    let mut records: Vec<_> = (0..40).map(varied).collect();
    for record in &records {
        subject.update(record.clone()).await?;
    }
    for (number, filter) in filters().iter().enumerate() {
        picks(&subject, filter, Order::Ascending, &records, [1, 3, 0][number % 3]).await?;
        picks(&subject, filter, Order::Descending, &records, [3, 0, 1][number % 3]).await?;
    }

    // Each one takes on what another one was: some match no more, and some only now.
    for (number, record) in (0..).zip(&mut records) {
        let other = varied(39 - number);
        record.agent = other.agent;
        record.title = other.title;
        record.tags = other.tags;
        record.destroyed_at = other.destroyed_at;
        record.archived_at = other.archived_at;
        record.last_activity_at = other.last_activity_at;
        if number % 5 == 0 {
            record.created_at += 7;
        }
        subject.update(record.clone()).await?;
    }
    let gone = records.split_off(35);
    for record in gone {
        let deleted = subject.store.delete_session(&record.id).await;
        subject.ok(deleted, "delete_session")?;
    }
    for (number, filter) in filters().iter().enumerate() {
        let order = [Order::Ascending, Order::Descending][number % 2];
        picks(&subject, filter, order, &records, [3, 0, 7][number % 3]).await?;
    }
    goes_on_behind_what_left(&subject, records).await
}

/// A page's last session matches no more, and the next page begins behind it all the same.
async fn goes_on_behind_what_left(subject: &Subject, mut records: Vec<SessionRecord>) -> Outcome {
    let filter = SessionFilter::new().agent("codex");
    for order in [Order::Ascending, Order::Descending] {
        let want = picked(&filter, &records, order);
        let request = request(&filter, order).limit(3);
        let page = subject.session_page(request.clone()).await?;
        let Some(cursor) = page.next_cursor else {
            return subject.broken(format!("of {} sessions the first page of 3 is the last", want.len()));
        };
        let left = want[2].id.clone();
        for record in records.iter_mut().filter(|record| record.id == left) {
            record.agent = "left".to_owned();
            subject.update(record.clone()).await?;
        }
        let listed = subject.sessions(request.cursor(cursor)).await?;
        subject.equal(&ids(&listed), &ids(&want[3..]), "the pages behind a session that matches no more")?;
    }
    Ok(())
}

async fn picks(
    subject: &Subject,
    filter: &SessionFilter,
    order: Order,
    records: &[SessionRecord],
    limit: usize,
) -> Outcome {
    let want = picked(filter, records, order);
    let request = request(filter, order).limit(limit);
    let what = format!("list_sessions of {request:?}");
    let first = subject.session_page(request.clone()).await?;
    let full = &want[..want.len().min(request.page_size())];
    subject.equal(&ids(&first.items), &ids(full), &format!("ids of the first page, {what}"))?;
    let listed = subject.sessions(request).await?;
    subject.equal(&ids(&listed), &ids(&want), &format!("ids of all pages, {what}"))?;
    subject.equal(&listed, &want, &what)
}

fn request(filter: &SessionFilter, order: Order) -> ListSessionsRequest {
    let request = ListSessionsRequest::new().filter(filter.clone());
    match order {
        Order::Ascending => request,
        Order::Descending => request.descending(),
    }
}

fn picked(filter: &SessionFilter, records: &[SessionRecord], order: Order) -> Vec<SessionRecord> {
    let mut picked = in_order(records.iter().filter(|record| filter.matches(record)).cloned().collect());
    if order == Order::Descending {
        picked.reverse();
    }
    picked
}

fn ids(records: &[SessionRecord]) -> Vec<&str> {
    records.iter().map(|record| record.id.as_str()).collect()
}

const AGENTS: [&str; 5] = ["codex", "claude", "Codex", "codex-2", ""];

const TITLES: [Option<&str>; 11] = [
    None,
    Some(""),
    Some("Fix the tests"),
    Some("fix THE übergabe"),
    Some("ÜBERGABE: 100% of it_all"),
    Some("100 of it all"),
    Some("a back\\slash, 'quotes' and \"more\""),
    Some("ΟΔΟΣ και ΟΔΟΙ"),
    Some("İstanbul, STRASSE, straße"),
    Some("修复 the 测试 🦀"),
    Some(" spaced  out\nin lines "),
];

const TAGS: [&[&str]; 7] =
    [&[], &["a"], &["a", "b"], &["b", "ab"], &["A", ""], &["a,b", "\"a\"", "ü"], &["a", "b", "c%", "日本"]];

/// Sessions of which each member takes its values at a pace of its own, three to a creation time.
fn varied(number: usize) -> SessionRecord {
    let created_at = 1_000 - 10 * (number as i64 / 3);
    let mut record = SessionRecord::new(format!("s{}", number * 7 % 40), AGENTS[number % 5], created_at);
    record.title = TITLES[number % 11].map(str::to_owned);
    record.tags = TAGS[number % 7].iter().map(|tag| (*tag).to_owned()).collect();
    record.destroyed_at = (number % 3 == 1).then_some(created_at + 5);
    record.archived_at = (number % 4 == 3).then_some(created_at + 6);
    record.last_activity_at = number.is_multiple_of(2).then_some(1_300 - 10 * (number as i64 % 9));
    record
}

fn filters() -> Vec<SessionFilter> {
    let all = SessionFilter::new;
    let mut filters = vec![
        all(),
        all().open(),
        all().destroyed(),
        all().archived(true),
        all().archived(false),
        all().created_from(940),
        all().created_before(940),
        all().created_from(900).created_before(901),
        all().created_from(950).created_before(950),
        all().created_from(i64::MIN).created_before(i64::MAX),
        all().active_from(1_260),
        all().active_before(1_260),
        // Those without a noted activity were last active when they were created.
        all().active_from(900).active_before(960),
        all().active_from(i64::MAX),
        all().tag("a").tag("b"),
        all().tag("b").tag("a").tag("b"),
        all().tag("a").tag("absent"),
        all().agent("codex").open(),
        all().agent("claude").destroyed().archived(true),
        all().agent("codex").title("fix").active_from(900),
        all().open().archived(false).tag("a").created_from(880).created_before(990),
        all().title("the").destroyed().active_before(1_290),
        all().agent("codex").open().archived(false).title("über").tag("a").created_from(0).active_from(0),
    ];
    filters.extend(AGENTS.iter().chain(&["CODEX", "cod", "%"]).map(|agent| all().agent(*agent)));
    let texts = [
        "",
        "fix",
        "FIX the",
        "übergabe",
        "ÜBER",
        "100%",
        "it_all",
        "%",
        "_",
        "\\",
        "'",
        "\"",
        "οδοσ",
        "ΟΔΟΣ",
        "σ",
        "οδοι",
        "istanbul",
        "İ",
        "ß",
        "SS",
        "测试",
        "🦀",
        "  ",
        "\n",
        "t\u{0}",
        "no title has this",
    ];
    filters.extend(texts.map(|text| all().title(text)));
    filters
        .extend(["a", "b", "A", "", "a,b", "\"a\"", "ü", "Ü", "c%", "c", "日本"].map(|tag| all().tag(tag)));
    filters
}
