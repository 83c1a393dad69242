use std::collections::BTreeMap;

use orchestrator_core::{Class, Event, Experience, Offer, ServiceSample, Waits, Work};
use proptest::prelude::*;

use crate::{
    house::{House, batch, by, id, model, of, offer},
    shop::{Shop, constant},
};

/// Runs some tasks, so that there is something to go by.
fn warm(slots: u32, script: impl Fn(u64) -> ServiceSample + 'static) -> Shop {
    let mut shop = Shop::new(slots, script);
    for number in 1..=20 {
        shop.admit(offer(number));
    }
    shop.run_to_the_end();
    shop
}

/// Share by which a prediction was off, of what really came.
fn off(predicted_ms: u64, real_ms: u64) -> f64 {
    let (predicted, real) = (f64::from(u32::try_from(predicted_ms).unwrap()), real_ms.max(1));
    (predicted - f64::from(u32::try_from(real).unwrap())).abs()
        / f64::from(u32::try_from(real).unwrap())
}

/// Verifies: ORCH-021, ORCH-048
#[test]
fn nothing_is_predicted_before_it_was_measured_or_while_nothing_serves_the_model() {
    let mut house = House::new();
    house.admit(offer(1));
    let sample = constant((10, 1), (10, 10))(0);
    for _ in 0..3 {
        assert_eq!(house.scheduler.forecast(id(1), 0), None);
        house.step(Event::Measured { model: model("m"), sample });
    }
    assert_eq!(house.scheduler.forecast(id(1), 0), None, "nothing serves it");
    house.serve("pool.0", &["m"], 1);
    house.admit(offer(2));
    let forecast = house.scheduler.forecast(id(2), 0).unwrap();
    assert_eq!((forecast.start_ms, forecast.samples, forecast.slots), (110, 3, 1));
    house.serve("pool.0", &["m"], 0);
    assert_eq!(house.scheduler.forecast(id(2), 0), None);
    // Times of one model say nothing about another.
    house.serve("pool.0", &["m", "other"], 1);
    house.admit(of("other", 3));
    assert_eq!(house.scheduler.forecast(id(3), 0), None);
}

/// Verifies: ORCH-048
#[test]
fn prefill_and_decode_are_told_apart() {
    // A prompt token takes 2 ms, one of the answer 30; a start costs 40.
    let mut house = House::new();
    for (prompt, answer) in [(10, 5), (200, 50), (1000, 20), (50, 10), (400, 30)] {
        let sample = ServiceSample {
            prompt_tokens: prompt,
            prefill_ms: 40 + 2 * prompt,
            answer_tokens: answer,
            decode_ms: 30 * answer,
        };
        house.step(Event::Measured { model: model("m"), sample });
    }
    house.serve("pool.0", &["m"], 1);
    let told = |work: Work| {
        let forecast = house.scheduler.foresee(&Offer { work, ..offer(1) }, 0).unwrap();
        (forecast.start_ms, forecast.prefill_ms, forecast.decode_ms)
    };
    let prompt = Work { prompt_tokens: Some(500), ..Work::default() };
    assert_eq!(told(prompt), (0, 1040, 600), "the middle answer has 20 tokens");
    let expected = Work { expected_tokens: Some(100), ..prompt };
    assert_eq!(told(expected), (0, 1040, 3000));
    let bounded = Work { answer_tokens_max: Some(7), ..prompt };
    assert_eq!(told(bounded), (0, 1040, 210));
    let roomy = Work { answer_tokens_max: Some(100_000), ..prompt };
    assert_eq!(told(roomy), (0, 1040, 600), "what an answer may have is not what it has");
}

/// Verifies: ORCH-048
#[test]
fn what_runs_already_is_done_sooner_the_longer_it_has_run() {
    let mut shop = warm(1, constant((100, 1), (10, 90)));
    shop.admit(offer(101));
    shop.admit(offer(102));
    let began_ms = shop.house.now_ms;
    for after_ms in [0, 250, 999] {
        shop.run_until(began_ms + after_ms);
        assert_eq!(shop.forecast(102).unwrap().start_ms, 1000 - after_ms);
    }
    assert_eq!(shop.forecast(101), None, "it runs");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Verifies: ORCH-048
    #[test]
    fn at_depth_50_an_engine_of_constant_rate_is_foreseen_within_20_percent(
        slots in 1..7_u32,
        prompt in (1..500_u64, 1..5_u64),
        answer in (1..400_u64, 1..60_u64),
        identities in 1..6_u64,
        batches in 0..25_u64,
        into_it_ms in 0..2000_u64,
    ) {
        let mut shop = warm(slots, constant(prompt, answer));
        // Long enough that nobody is taken to come.
        shop.run_until(shop.house.now_ms + 60_000);
        for number in 101..=150 + u64::from(slots) {
            let who = format!("i{}", number % identities);
            let class = if number % 50 < batches { Class::Batch } else { Class::Interactive };
            shop.admit(Offer { class, ..by(&who, number) });
        }
        shop.run_until(shop.house.now_ms + into_it_ms);
        // No clients but those that are there.
        let now_ms = shop.house.now_ms;
        let is_interactive = |number: u64| number % 50 >= batches;
        let told: BTreeMap<u64, _> = (101..=150 + u64::from(slots))
            .filter(|number| shop.house.position(*number).is_some())
            .filter(|number| is_interactive(*number))
            .map(|number| (number, (shop.house.position(number).unwrap(), shop.forecast(number).unwrap())))
            .collect();
        shop.run_to_the_end();
        for (number, (position, forecast)) in told {
            let real_ms = shop.started[&number] - now_ms;
            // Where few are ahead, one whole task more or less is a large share.
            if position >= 30 {
                prop_assert!(off(forecast.start_ms, real_ms) <= 0.2, "{number}: {forecast:?}, came {real_ms}");
            }
            prop_assert!(forecast.start_ms_earliest <= forecast.start_ms);
            prop_assert!(forecast.start_ms <= forecast.start_ms_latest);
        }
    }
}

/// Verifies: ORCH-048
#[test]
fn batch_is_foreseen_with_the_interactive_tasks_that_keep_coming() {
    let mut shop = Shop::new(1, constant((10, 1), (10, 9)));
    // 100 ms each, five a second: half of the time is taken.
    let mut number = 1000;
    let mut interactive = |shop: &mut Shop| {
        shop.run_until(shop.house.now_ms + 200);
        number += 1;
        shop.admit(offer(number));
    };
    for _ in 0..10 {
        interactive(&mut shop);
    }
    shop.admit(batch(1));
    assert_eq!(shop.forecast(1), None, "who passes is not known yet");
    let mut wave = |shop: &mut Shop, first: u64| {
        for number in first..=first + 50 {
            shop.admit(batch(number));
        }
        let (last, began_ms) = (first + 50, shop.house.now_ms);
        let forecast = shop.forecast(last);
        while !shop.started.contains_key(&last) {
            interactive(shop);
        }
        (forecast, shop.started[&last] - began_ms)
    };
    for first in [500_000, 600_000, 700_000] {
        wave(&mut shop, first);
    }
    let (forecast, real_ms) = wave(&mut shop, 800_000);
    let forecast = forecast.unwrap();
    assert!(real_ms > 9_000, "without the others it would be 5 seconds");
    assert!(off(forecast.start_ms, real_ms) <= 0.2, "{forecast:?}, came {real_ms}");
}

/// Verifies: ORCH-048
#[test]
fn four_of_five_start_within_their_interval() {
    // Answers between 1 and 400 tokens, any length as likely.
    let length = |number: u64| {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        ((mixed >> 33) ^ (mixed >> 17)) % 400 + 1
    };
    let mut shop = Shop::new(2, move |number| ServiceSample {
        prompt_tokens: 100,
        prefill_ms: 50,
        answer_tokens: length(number),
        decode_ms: 10 * length(number),
    });
    let mut told = BTreeMap::new();
    for number in 1..=2000 {
        shop.admit(offer(number));
        if let Some(forecast) = shop.forecast(number) {
            told.insert(number, (shop.house.now_ms, forecast));
        }
        // A little faster than they are done, so that the queue has every depth.
        shop.run_until(shop.house.now_ms + 1000);
    }
    shop.run_to_the_end();
    told.retain(|_, (_, forecast)| forecast.start_ms > 0);
    let is_within = |(number, (at_ms, forecast)): &(&u64, &(u64, orchestrator_core::Forecast))| {
        let real_ms = shop.started[*number] - at_ms;
        (forecast.start_ms_earliest..=forecast.start_ms_latest).contains(&real_ms)
    };
    let within = told.iter().filter(is_within).count();
    assert!(told.len() > 300, "{} waited", told.len());
    let percent = within * 100 / told.len();
    assert!((70..=99).contains(&percent), "{percent} %");
}

/// Verifies: ORCH-048
#[test]
fn what_was_learned_can_be_told_to_a_later_scheduler() {
    let length = |number: u64| number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    let script = move |number| ServiceSample {
        prompt_tokens: 100,
        prefill_ms: 50,
        answer_tokens: length(number) + 1,
        decode_ms: 10 * (length(number) + 1),
    };
    let mut shop = Shop::new(2, script);
    for number in 1..=400 {
        let class = if number % 3 == 0 { Class::Batch } else { Class::Interactive };
        shop.admit(Offer { class, ..offer(number) });
        shop.run_until(shop.house.now_ms + 600);
    }
    shop.run_to_the_end();
    let learned = shop.house.scheduler.experience();
    assert!(learned[0].samples.len() == 64 && learned[0].waits.len() > 3, "{learned:?}");
    let mut later = Shop::new(2, script);
    later.house.scheduler.recall(&learned);
    assert_eq!(later.house.scheduler.experience(), learned);
    // Both stand before the same queue now, and say the same of it.
    for number in 1001..=1050 {
        for shop in [&mut shop, &mut later] {
            shop.admit(Offer { waiting_since_ms: shop.house.now_ms, ..offer(number) });
        }
        assert_eq!(later.forecast(number), shop.forecast(number));
    }
    later.admit(batch(2000));
    assert!(later.forecast(2000).is_some(), "it knows who passes batch");
}

/// Verifies: ORCH-048
#[test]
fn what_nobody_can_have_learned_is_not_believed() {
    let mut house = House::new();
    let sample = constant((10, 1), (10, 10))(0);
    let waits = |factors: &[f64], tails| Waits {
        class: Class::Interactive,
        depth: 1,
        factors: factors.to_vec(),
        tails,
    };
    let strange = [
        waits(&[f64::NAN, f64::INFINITY, -1.0], [0.1, 0.1]),
        waits(&[1.0], [f64::NAN, 0.1]),
        waits(&[1.0], [0.1, 7.0]),
        Waits { depth: 99, ..waits(&[1.0], [0.1, 0.1]) },
    ];
    let learned = |waits: &[Waits]| Experience {
        model: model("m"),
        samples: vec![sample; 3],
        waits: waits.to_vec(),
    };
    house.scheduler.recall(&[learned(&strange)]);
    assert_eq!(house.scheduler.experience(), [learned(&[])]);
    let many: Vec<f64> = (0..100).map(f64::from).collect();
    house.scheduler.recall(&[learned(&[waits(&many, [0.1, 0.05])])]);
    let kept = &house.scheduler.experience()[0].waits;
    assert_eq!(*kept, [waits(&many[36..], [0.1, 0.05])], "the last ones");
}

/// Verifies: ORCH-021
#[test]
fn what_runs_ends_when_answers_like_it_did_and_nothing_is_said_beyond() {
    // Answers of 10, 20 and 90 tokens, 10 ms each, behind 100 ms.
    let mut house = House::new();
    house.serve("pool.0", &["m"], 3);
    house.admit(offer(1));
    let left = |house: &House, number, at_ms| house.scheduler.remaining_ms(id(number), at_ms);
    assert_eq!(left(&house, 1, 0), None, "nothing was measured");
    for answer_tokens in [10, 20, 90] {
        let sample = ServiceSample {
            prompt_tokens: 10,
            prefill_ms: 100,
            answer_tokens,
            decode_ms: 10 * answer_tokens,
        };
        house.step(Event::Measured { model: model("m"), sample });
    }
    // The middle one of all; then of those that took longer, and nothing where none did.
    assert_eq!(left(&house, 1, 0), Some(300));
    assert_eq!(left(&house, 1, 250), Some(750));
    assert_eq!(left(&house, 1, 999), Some(1));
    assert_eq!(left(&house, 1, 1000), None);
    let expecting = |expected_tokens, answer_tokens_max| Work {
        prompt_tokens: None,
        expected_tokens: Some(expected_tokens),
        answer_tokens_max,
    };
    house.admit(Offer { work: expecting(50, None), ..offer(2) });
    assert_eq!(left(&house, 2, 100), Some(500));
    assert_eq!(left(&house, 2, 600), None, "longer than the client expects");
    house.admit(Offer { work: expecting(50, Some(5)), ..offer(3) });
    assert_eq!(left(&house, 3, 0), Some(150));
    house.admit(offer(4));
    assert_eq!(left(&house, 4, 0), None, "it waits");
    house.finish(1, 1);
    assert_eq!(left(&house, 1, 0), None, "it is over");
}
