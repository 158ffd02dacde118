//! When the provider is asked, on paused time.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use futures::future::join_all;
use tokio::time::sleep;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

type Said = Result<Token, Box<dyn StdError + Send + Sync>>;

/// Gives these answers, a second each, and keeps what it was told.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<Said>>,
    asked: Mutex<Vec<Option<String>>>,
}

#[async_trait]
impl TokenProvider for Arc<Scripted> {
    async fn token(&self, refused: Option<&Token>) -> Said {
        self.asked.lock().unwrap().push(refused.map(|token| token.text.clone()));
        sleep(SECOND).await;
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}

fn tokens(answers: impl IntoIterator<Item = Said>) -> (Arc<Scripted>, Arc<Tokens>) {
    let provider =
        Arc::new(Scripted { answers: Mutex::new(answers.into_iter().collect()), ..Scripted::default() });
    let tokens = Tokens::new(Arc::new(provider.clone()), 30 * SECOND);
    (provider, tokens)
}

fn said(text: &str) -> Said {
    Ok(text.into())
}

fn asked(provider: &Scripted) -> usize {
    provider.asked.lock().unwrap().len()
}

#[tokio::test(start_paused = true)]
async fn it_is_asked_before_each_request() {
    let (provider, tokens) = tokens([said("one"), said("two")]);
    assert_eq!(tokens.current().await.unwrap().text, "one");
    assert_eq!(tokens.current().await.unwrap().text, "two");
    assert_eq!(*provider.asked.lock().unwrap(), [None, None]);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_holds_is_not_asked_for_again_until_it_ends() {
    let (provider, tokens) = tokens([Ok(Token::new("one").valid_for(10 * SECOND)), said("two")]);
    for _ in 0..5 {
        assert_eq!(tokens.current().await.unwrap().text, "one");
    }
    assert_eq!(asked(&provider), 1);
    sleep(10 * SECOND).await;
    assert_eq!(tokens.current().await.unwrap().text, "two");
}

#[tokio::test(start_paused = true)]
async fn who_asks_at_once_shares_one_answer() {
    let (provider, tokens) = tokens([said("one"), Err("away".into()), said("two")]);
    let given = join_all((0..50).map(|_| tokens.current())).await;
    assert!(given.into_iter().all(|token| token.unwrap().text == "one"));
    assert_eq!(asked(&provider), 1);
    let failed = join_all((0..50).map(|_| tokens.current())).await;
    assert!(failed.into_iter().all(|token| *token.unwrap_err().kind() == ErrorKind::TokenUnavailable));
    assert_eq!(asked(&provider), 2, "a failure, too");
    assert_eq!(tokens.current().await.unwrap().text, "two", "and it is not kept");
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once_for_all_who_had_it() {
    let old = Token::new("old").valid_for(1000 * SECOND);
    let (provider, tokens) = tokens([Ok(old.clone()), Ok(Token::new("new").valid_for(1000 * SECOND))]);
    tokens.current().await.unwrap();
    let given = join_all((0..50).map(|_| tokens.in_place_of(&old))).await;
    assert!(given.into_iter().all(|token| token.unwrap().text == "new"));
    // Who hears of the refusal later finds the new one.
    assert_eq!(tokens.in_place_of(&old).await.unwrap().text, "new");
    assert_eq!(*provider.asked.lock().unwrap(), [None, Some("old".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn an_answer_from_before_the_refusal_is_not_the_last_word() {
    let (provider, tokens) = tokens([said("old"), said("new")]);
    let old = Token::new("old");
    let (early, late) = tokio::join!(tokens.current(), tokens.in_place_of(&old));
    assert_eq!((early.unwrap().text, late.unwrap().text), ("old".to_owned(), "new".to_owned()));
    assert_eq!(*provider.asked.lock().unwrap(), [None, Some("old".to_owned())]);
}

/// Gives the old token to whoever doesn't say that it was refused.
struct Stubborn;

#[async_trait]
impl TokenProvider for Stubborn {
    async fn token(&self, refused: Option<&Token>) -> Said {
        sleep(SECOND).await;
        said(if refused.is_some() { "new" } else { "old" })
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_not_sent_again_however_many_ask_in_between() {
    let tokens = Tokens::new(Arc::new(Stubborn), 30 * SECOND);
    let old = Token::new("old");
    let others = async {
        for _ in 0..3 {
            tokens.current().await.unwrap();
        }
    };
    // The others ask first each time, and know of no refusal.
    let ((), token) = futures::future::join(others, tokens.in_place_of(&old)).await;
    assert_eq!(token.unwrap().text, "new");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_nobody_waits_for_is_told_by_who_asks_next() {
    let (provider, tokens) = tokens([
        Ok(Token::new("old").valid_for(1000 * SECOND)),
        Err("away".into()),
        said("new"),
        said("newer"),
    ]);
    let old = tokens.current().await.unwrap();
    tokens.refused(&old);
    assert_eq!(*tokens.current().await.unwrap_err().kind(), ErrorKind::TokenUnavailable);
    assert_eq!(tokens.current().await.unwrap().text, "new");
    assert_eq!(tokens.current().await.unwrap().text, "newer");
    let told = Some("old".to_owned());
    assert_eq!(*provider.asked.lock().unwrap(), [None, told.clone(), told, None]);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_gives_the_refused_token_again_is_asked_once() {
    let (provider, tokens) = tokens([said("old"), said("old")]);
    assert_eq!(tokens.in_place_of(&Token::new("old")).await.unwrap().text, "old");
    assert_eq!(asked(&provider), 1);
}

#[tokio::test(start_paused = true)]
async fn one_who_gives_up_ends_nobody_elses_call() {
    let (provider, tokens) = tokens([said("one"), said("two")]);
    let first = tokio::time::timeout(SECOND / 2, tokens.current());
    let (gave_up, given) = tokio::join!(first, tokens.current());
    assert!(gave_up.is_err());
    assert_eq!((given.unwrap().text.as_str(), asked(&provider)), ("one", 1));
    // With nobody left the call is given up, and the next one begins anew.
    assert!(tokio::time::timeout(SECOND / 2, tokens.current()).await.is_err());
    assert_eq!((tokens.current().await.unwrap().text.as_str(), asked(&provider)), ("two", 3));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_ends_within_its_time() {
    let (_provider, tokens) = tokens([]);
    let begin = Instant::now();
    let error = tokens.current().await.unwrap_err();
    assert_eq!((error.kind(), error.delivery()), (&ErrorKind::TokenUnavailable, Some(Delivery::NotSent)));
    assert_eq!(begin.elapsed(), 30 * SECOND);
}

#[test]
fn no_token_is_in_its_debug_output() {
    let token = Token::new("token-7f3a").valid_for(SECOND);
    assert_eq!(format!("{token:?}"), "Token { valid_for: Some(1s), .. }");
    assert!(!format!("{:?}", token.header().unwrap()).contains("7f3a"));
}
