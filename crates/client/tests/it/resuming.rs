use std::time::Duration;

use client::{Client, ClientError, EventBody, EventStream, Loss, TaskEvent, Update};
use tokio::time::Instant;

use crate::{
    canned_daemon::{
        Asked, CannedDaemon, Reply, Step, broken_stream, json as reply, nothing_left, stream, write,
    },
    wire::{TASK, accepted, client, end, error, event, started, token},
};

const METRICS: &str = "event: metrics\ndata: {\"queue_position\":3,\"from_the_future\":1}\n\n";

/// The stored events of a task; its text has characters of two, three and four bytes.
fn log() -> Vec<String> {
    vec![started(), token(2, "Grüße"), token(3, " – "), token(4, "🦊\n"), end(5)]
}

/// The stored events behind `after`, as one text.
fn log_after(after: u64) -> String {
    log()[usize::try_from(after).unwrap()..].concat()
}

/// What a sound daemon answers, with `metrics` and heartbeats among the events.
fn sound(asked: &Asked) -> Reply {
    stream([write(METRICS), write(": still here\n\n"), write(&log_after(asked.last_event_id()))])
}

async fn all(stream: &mut EventStream) -> Result<Vec<TaskEvent>, ClientError> {
    let mut events = Vec::new();
    while let Some(event) = stream.next().await? {
        events.push(event);
    }
    Ok(events)
}

/// Ids and texts of the stored events.
fn gist(events: &[TaskEvent]) -> (Vec<u64>, String) {
    let text = events.iter().filter_map(|event| match &event.body {
        EventBody::Token(token) => Some(token.t.as_str()),
        _ => None,
    });
    (events.iter().filter_map(|event| event.id).collect(), text.collect())
}

fn whole() -> (Vec<u64>, String) {
    (vec![1, 2, 3, 4, 5], "Grüße – 🦊\n".to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_read_to_its_last_event_with_what_is_not_stored_in_between() {
    let daemon = CannedDaemon::start(sound).await;
    let mut stream = client(&daemon).events(TASK, 0);
    let events = all(&mut stream).await.unwrap();
    assert_eq!(gist(&events), whole());
    assert_eq!((events[0].id, events[0].name.as_str()), (None, "metrics"));
    assert_eq!(events[0].data, r#"{"queue_position":3,"from_the_future":1}"#);
    assert!(events.last().unwrap().body.is_terminal());
    assert_eq!((stream.last_event_id(), stream.next().await.unwrap()), (5, None));
    let asked = daemon.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].line, format!("GET /v2/tasks/{TASK}/events"));
    assert_eq!(asked[0].header("last-event-id"), None);
    assert_eq!(asked[0].header("accept"), Some("text/event-stream"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_starts_behind_the_event_that_is_asked_for() {
    let daemon = CannedDaemon::start(sound).await;
    let events = all(&mut client(&daemon).events(TASK, 3)).await.unwrap();
    assert_eq!(gist(&events), (vec![4, 5], "🦊\n".to_owned()));
    assert_eq!(daemon.asked()[0].last_event_id(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_connection_may_break_at_any_byte() {
    let bytes = log_after(0).into_bytes();
    for cut in 0..bytes.len() {
        let mut first = Some(broken_stream(&bytes[..cut]));
        let daemon =
            CannedDaemon::start(move |asked| first.take().unwrap_or_else(|| sound(asked))).await;
        let events = all(&mut client(&daemon).events(TASK, 0)).await.unwrap();
        assert_eq!(gist(&events), whole(), "cut at {cut}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_survives_the_death_and_return_of_the_daemon() {
    let daemon = CannedDaemon::start(|_| {
        stream([write(&log()[..3].concat()), write("id: 4\nevent: tok"), Step::Hold])
    })
    .await;
    let addr = daemon.addr;
    let mut stream = client(&daemon).events(TASK, 0);
    let mut events = Vec::new();
    while stream.last_event_id() < 3 {
        events.extend(stream.next().await.unwrap());
    }
    daemon.kill().await;
    let returned = async {
        tokio::time::sleep(Duration::from_secs(40)).await;
        CannedDaemon::start_at(addr, sound).await
    };
    let (rest, daemon) = tokio::join!(all(&mut stream), returned);
    events.extend(rest.unwrap());
    assert_eq!(gist(&events), whole());
    let asked = daemon.asked();
    assert_eq!((asked.len(), asked[0].last_event_id()), (1, 3));
}

#[tokio::test(start_paused = true)]
async fn interruptions_are_told_to_those_who_ask() {
    let mut first = Some(broken_stream(log()[0].as_bytes()));
    let daemon =
        CannedDaemon::start(move |asked| first.take().unwrap_or_else(|| sound(asked))).await;
    let mut stream = client(&daemon).events(TASK, 0);
    let start = Instant::now();
    assert!(matches!(stream.next_update().await.unwrap(), Some(Update::Event(_))));
    let Some(Update::Interrupted { cause, resume_in_ms }) = stream.next_update().await.unwrap()
    else {
        panic!("the connection broke");
    };
    assert!(matches!(cause, ClientError::Unreachable { loss: Loss::Broken(_), .. }), "{cause}");
    assert!((100..200).contains(&resume_in_ms), "{resume_in_ms}");
    assert!(matches!(stream.next_update().await.unwrap(), Some(Update::Event(_))));
    assert!(start.elapsed() >= Duration::from_millis(resume_in_ms));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_closes_before_the_end_is_left_alone_for_as_long_as_it_asks() {
    let mut first = Some(stream([write(&log()[0])]));
    let daemon =
        CannedDaemon::start(move |asked| first.take().unwrap_or_else(|| sound(asked))).await;
    let events = all(&mut client(&daemon).events(TASK, 0)).await.unwrap();
    assert_eq!(gist(&events), whole());
    let asked = daemon.asked();
    let wait = asked[1].at - asked[0].at;
    assert!((1000..1200).contains(&wait.as_millis()), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_is_opened_anew_and_one_with_heartbeats_is_not() {
    let pause = |seconds| Step::Pause(Duration::from_secs(seconds));
    let beats = vec![[pause(15), write(": still here\n\n")]; 20].concat();
    let mut first = Some(stream(beats.into_iter().chain([write(&log()[0]), Step::Hold])));
    let daemon =
        CannedDaemon::start(move |asked| first.take().unwrap_or_else(|| sound(asked))).await;
    let events = all(&mut client(&daemon).events(TASK, 0)).await.unwrap();
    assert_eq!(gist(&events), whole());
    let asked = daemon.asked();
    assert_eq!((asked.len(), (asked[1].at - asked[0].at).as_secs()), (2, 15 * 20 + 45));
}

#[tokio::test(start_paused = true)]
async fn a_future_that_is_dropped_loses_nothing() {
    let daemon = CannedDaemon::start(|asked| {
        let pause = Step::Pause(Duration::from_millis(700));
        let events = log().into_iter().skip(usize::try_from(asked.last_event_id()).unwrap());
        stream(events.flat_map(|event| [pause.clone(), write(&event)]))
    })
    .await;
    let mut stream = client(&daemon).events(TASK, 0);
    let mut events = Vec::new();
    while events.last().is_none_or(|event: &TaskEvent| !event.body.is_terminal()) {
        let next = tokio::time::timeout(Duration::from_millis(100), stream.next()).await;
        events.extend(next.ok().and_then(|event| event.unwrap()));
    }
    assert_eq!(gist(&events), whole());
    assert_eq!(daemon.asked().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_left_is_the_end_of_a_stream_that_began_there() {
    let daemon = CannedDaemon::start(|_| nothing_left()).await;
    assert_eq!(client(&daemon).events(TASK, 5).next().await.unwrap(), None);
    assert_eq!(daemon.asked().len(), 1);
}

/// Verifies: ORCH-289
#[tokio::test(start_paused = true)]
async fn event_types_of_the_future_are_handed_out_as_unknown() {
    let lines = "event: mood\ndata: happy\n\n";
    let numbered = event(2, "mood", &serde_json::json!({"mood": "happy"}));
    let text = [lines, &started(), lines, &numbered, lines, &end(3)].concat();
    let daemon = CannedDaemon::start(move |_| stream([write(&text)])).await;
    let events = all(&mut client(&daemon).events(TASK, 0)).await.unwrap();
    let ids: Vec<_> = events.iter().map(|event| (event.id, event.name.as_str())).collect();
    let mood = (None, "mood");
    let wanted = [mood, (Some(1), "started"), mood, (Some(2), "mood"), mood, (Some(3), "end")];
    assert_eq!(ids, wanted);
    assert_eq!(events[3].body, EventBody::Unknown);
}

/// Follows a stream of this client until it gives up, and says after how long.
async fn given_up(client: &Client) -> (ClientError, Duration) {
    let start = Instant::now();
    let mut stream = client.events(TASK, 0);
    let error = all(&mut stream).await.unwrap_err();
    assert_eq!(stream.next().await.unwrap(), None, "an error is the end");
    (error, start.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_stays_away_is_given_up() {
    let daemon = CannedDaemon::start(|_| reply("202 Accepted", &[], &accepted())).await;
    let client = client(&daemon);
    client.submit(&api_types::TaskRequest::default(), None).await.unwrap();
    daemon.kill().await;
    let (error, waited) = given_up(&client).await;
    assert!(error.is_unreachable(), "{error}");
    assert!((120..121).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_opens_streams_only_to_close_them_is_given_up() {
    let daemon = CannedDaemon::start(|_| stream([])).await;
    let (error, waited) = given_up(&client(&daemon)).await;
    assert!(matches!(error, ClientError::Unreachable { loss: Loss::Closed { .. }, .. }), "{error}");
    // A try that the daemon asked to be later than the limit is not made.
    assert!((119..121).contains(&waited.as_secs()), "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_that_waits_long_is_waited_for_over_many_connections() {
    // Each connection dies after its second heartbeat, for an hour: far longer than patience.
    let beat = [Step::Pause(Duration::from_secs(15)), write(": still here\n\n")];
    let beats = [beat.clone(), beat].concat();
    let mut count = 0;
    let daemon = CannedDaemon::start(move |asked| {
        count += 1;
        if count <= 120 { stream(beats.clone()) } else { sound(asked) }
    })
    .await;
    let events = all(&mut client(&daemon).events(TASK, 0)).await.unwrap();
    assert_eq!((gist(&events), daemon.asked().len()), (whole(), 121));
}

#[tokio::test(start_paused = true)]
async fn a_refused_stream_is_over_at_once_unless_time_may_help() {
    let gone = CannedDaemon::start(|_| reply("410 Gone", &[], &error("EVENTS_GONE", false))).await;
    let (refused, _) = given_up(&client(&gone)).await;
    assert!(matches!(refused, ClientError::Refused { status: 410, .. }), "{refused}");
    assert_eq!(gone.asked().len(), 1);

    let too_many = error("TOO_MANY_STREAMS", true);
    let mut first = Some(reply("429 Too Many Requests", &["X-Backoff-Ms: 5000"], &too_many));
    let busy = CannedDaemon::start(move |asked| first.take().unwrap_or_else(|| sound(asked))).await;
    let events = all(&mut client(&busy).events(TASK, 0)).await.unwrap();
    assert_eq!(gist(&events), whole());
    assert_eq!((busy.asked()[1].at - busy.asked()[0].at).as_secs(), 5);
}
