use narration::{Fact, HUMAN_CHARS_MAX, human};

fn all<'a>(model: &'a str, pool: &'a str, number: u64) -> Vec<Fact<'a>> {
    let ended = |state, code| Fact::Ended { model, state, code, tokens_out: Some(number) };
    vec![
        Fact::Admitted { model, position: number },
        Fact::Placed { model, pool },
        Fact::Started { model, pool, queue_time_ms: number },
        Fact::AttemptFailed { model, pool },
        Fact::FailedOver { model, pool, attempt: number },
        ended("succeeded", None),
        ended("failed", Some("REPLICA_EXHAUSTED")),
        ended("canceled", None),
        ended("expired", Some("DEADLINE_EXCEEDED")),
        ended(model, Some(pool)),
        Fact::CancelAsked { model },
        Fact::Abandoned { model },
        Fact::Recovered { tasks: number },
        Fact::PoolState { pool, state: model },
        Fact::Reloaded,
        Fact::ReloadRefused,
        Fact::Listening { addr: model },
        Fact::Draining { deadline_ms: number },
        Fact::Verified { model },
        Fact::NotToBeHad { model, retry_in_s: number },
        Fact::HandedOver { pool, model },
        Fact::HandoffReplaced { pool, model },
        Fact::HandoffAwaited { pool },
        Fact::HandoffGone { pool },
        Fact::HandoffSkipped { file: model, outcome: pool },
    ]
}

/// Verifies: ORCH-267
#[test]
fn every_sentence_is_one_line_of_at_most_160_characters() {
    let long = "\u{e4}\n".repeat(300);
    for (name, number) in [("", 0), ("tiny", 1), (long.as_str(), u64::MAX)] {
        for fact in all(name, name, number) {
            let sentence = human(&fact);
            assert!(sentence.chars().count() <= HUMAN_CHARS_MAX, "{sentence}");
            assert!(!sentence.contains('\n') && sentence.ends_with('.'), "{sentence}");
        }
    }
}

/// Verifies: ORCH-267
#[test]
fn sentences_have_names_and_no_opaque_ids() {
    let told = |model| human(&Fact::Placed { model, pool: "gpu" });
    assert_eq!(told("tiny"), "A task for tiny goes to pool gpu.");
    assert_eq!(told("remote:gpu/tiny"), "A task for tiny goes to pool gpu.");
    let digest = format!("sha256:{}", "0123456789abcdef".repeat(4));
    assert_eq!(told(&digest), "A task for sha256:0123456789a\u{2026} goes to pool gpu.");
}

#[test]
fn an_end_says_how() {
    let ended =
        |state, code, tokens_out| human(&Fact::Ended { model: "tiny", state, code, tokens_out });
    assert_eq!(ended("succeeded", None, Some(1)), "A task for tiny is done after 1 token.");
    assert_eq!(ended("canceled", None, Some(0)), "A task for tiny was cancelled.");
    assert_eq!(
        ended("failed", Some("WORKER_RESET"), Some(9)),
        "A task for tiny failed after 9 tokens (WORKER_RESET)."
    );
}
