//! What every agent is held to: settings that are chosen, a permission, a plan, and taking the session up again.

use futures::StreamExt;
use sandbox_agent_sdk::acp_schema::{PlanEntryStatus, ToolCallStatus};
use sandbox_agent_sdk::{
    PermissionAnswer, PermissionReply, ResumeOutcome, Session, SessionView, TurnState, What,
};

use super::stage::{Stage, chosen, times_said, view};
use crate::support::{assert_sound, request, stored};

/// In what agents differ.
pub struct Ways<'a> {
    /// The mode that it begins in.
    pub mode: &'a str,
    /// A model to choose, and what is in the name under which it is asked.
    pub model: (&'a str, &'a str),
    /// Whether it reminds its model of the mode with each prompt, and not only when that has changed.
    pub reminds: bool,
    /// The option by which it lets something be allowed once.
    pub once: &'a str,
    pub resumed: ResumeOutcome,
}

/// Plays a session on a stage whose model runs `touch made` and plans to `look`.
pub async fn play(stage: &Stage, ways: Ways<'_>) {
    let (sdk, driver) = stage.sdk().await;
    let session = sdk.create_session(request("one").cwd(stage.repo())).await.unwrap();
    assert_eq!(chosen(&session).0.as_deref(), Some(ways.mode));
    session.prompt("SAY a plum").await.unwrap();
    let turn = session.prompt("RUN");
    let asked = session.permission_requests().next().await.unwrap();
    assert!(!stage.has_made());
    session.respond(&asked.id, PermissionReply::Once).await.unwrap();
    turn.await.unwrap();
    assert!(stage.has_made(), "the command ran");
    session.prompt("TODO").await.unwrap();

    session.set_model(ways.model.0).await.unwrap();
    session.set_mode("plan").await.unwrap();
    let error = session.set_mode("dance").await.unwrap_err();
    assert!(error.offered().iter().any(|mode| mode == ways.mode), "{error}");
    assert_is(&session, ways.model.1, true).await;
    assert_shows(&view(&session).await, ways.once);
    sdk.close().await.unwrap();

    let before = stored(&driver, "one").await;
    let (sdk, _) = stage.sdk().await;
    let opened = sdk.resume_session("one").await.unwrap();
    assert_eq!((opened.outcome, opened.not_restored), (ways.resumed, Vec::new()));
    let session = opened.session;
    assert_eq!(chosen(&session), (Some("plan".to_owned()), Some(ways.model.0.to_owned())));
    assert_is(&session, ways.model.1, ways.reminds).await;
    let events = stored(&driver, "one").await;
    assert_sound(&events);
    assert_eq!(events[..before.len()], before[..]);
    assert_eq!(times_said(&events, "a plum"), 1, "what was stored is not stored again");
    sdk.close().await.unwrap();
}

/// The model that answers is the one that was chosen, and is told only to plan.
async fn assert_is(session: &Session, model: &str, reminded: bool) {
    session.prompt("WHO").await.unwrap();
    let said = view(session).await.answer();
    assert!(said.contains(model) && (!reminded || said.ends_with(", planning")), "{said}");
}

fn assert_shows(view: &SessionView, once: &str) {
    let of = |is: fn(&What) -> bool| view.entries().map(|entry| &entry.what).filter(move |what| is(what));
    let shown = view.to_plain_text();
    let tools = of(|what| matches!(what, What::Tool(call) if call.title.contains("touch made")));
    let tools: Vec<_> = tools.collect();
    let [What::Tool(call)] = tools[..] else { panic!("{shown}") };
    assert_eq!(call.status, ToolCallStatus::Completed, "{shown}");
    let permissions: Vec<_> = of(|what| matches!(what, What::Permission(_))).collect();
    let [What::Permission(permission)] = permissions[..] else { panic!("{shown}") };
    assert_eq!(permission.answer, PermissionAnswer::Option(once.to_owned()));
    assert!(permission.title.contains("touch made"), "{shown}");
    let plan = &view.plan().unwrap().entries[0];
    assert_eq!((plan.content.as_str(), &plan.status), ("look", &PlanEntryStatus::InProgress));
    assert!(view.turns().all(|turn| turn.state == TurnState::Ended("end_turn".to_owned())), "{shown}");
    assert_eq!(of(|what| matches!(what, What::Unknown(_))).count(), 0, "{shown}");
    assert!(!view.commands().is_empty());
}
