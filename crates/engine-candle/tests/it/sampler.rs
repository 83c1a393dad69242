use adapter_host::Sampling;
use engine_candle::{REPEAT_WINDOW, SampleError, Sampler, uniform};
use proptest::prelude::*;

/// How often each token is drawn with the seeds 0 to 3,999, as first token of an answer.
fn shares(sampling: &Sampling, logits: &[f32]) -> Vec<f64> {
    let mut counts = vec![0; logits.len()];
    for seed in 0..4000 {
        let mut sampler = Sampler::new(Sampling { seed, ..sampling.clone() }, &[], &[]).unwrap();
        counts[sampler.sample(&mut logits.to_vec()).unwrap() as usize] += 1;
    }
    counts.into_iter().map(|count| f64::from(count) / 4000.0).collect()
}

/// Holds the shares against hand-computed probabilities; four standard deviations are at most 0.032.
fn check(sampling: &Sampling, logits: &[f32], expected: &[f64]) {
    let shares = shares(sampling, logits);
    for (share, expected) in shares.iter().zip(expected) {
        let is_close = (share - expected).abs() < 0.032 && (*expected > 0.0 || *share == 0.0);
        assert!(is_close, "{shares:?} for {sampling:?}");
    }
}

/// Probabilities 0.5, 0.25, 0.15 and 0.1.
fn logits() -> Vec<f32> {
    [0.5_f32, 0.25, 0.15, 0.1].map(f32::ln).to_vec()
}

/// Verifies: ORCH-023
#[test]
fn each_parameter_shapes_the_draw() {
    let neutral = Sampling::default;
    check(&neutral(), &logits(), &[0.5, 0.25, 0.15, 0.1]);
    // Squared and summed to one again.
    let cool = Sampling { temperature: 0.5, ..neutral() };
    check(&cool, &logits(), &[0.7246, 0.1812, 0.0652, 0.0290]);
    check(&Sampling { temperature: 0.0, ..neutral() }, &logits(), &[1.0, 0.0, 0.0, 0.0]);
    check(&Sampling { top_k: 2, ..neutral() }, &logits(), &[0.6667, 0.3333, 0.0, 0.0]);
    check(&Sampling { top_p: 0.7, ..neutral() }, &logits(), &[0.6667, 0.3333, 0.0, 0.0]);
    check(&Sampling { top_p: 0.8, ..neutral() }, &logits(), &[0.5556, 0.2778, 0.1667, 0.0]);
    check(&Sampling { min_p: 0.25, ..neutral() }, &logits(), &[0.5556, 0.2778, 0.1667, 0.0]);
    // Of the three that top_k leaves, the first two have 0.833 of the probability.
    let both = Sampling { top_k: 3, top_p: 0.8, ..neutral() };
    check(&both, &logits(), &[0.6667, 0.3333, 0.0, 0.0]);
    // Truncation looks at the model's own probabilities, before the temperature.
    let warm = Sampling { top_p: 0.7, temperature: 2.0, ..neutral() };
    check(&warm, &logits(), &[0.5858, 0.4142, 0.0, 0.0]);
}

/// The greedy choice among `logits` after `prompt` and `accepted`.
fn choice(sampling: Sampling, logits: &[f32], prompt: &[u32], accepted: &[u32]) -> u32 {
    let sampling = Sampling { temperature: 0.0, ..sampling };
    Sampler::new(sampling, prompt, accepted).unwrap().sample(&mut logits.to_vec()).unwrap()
}

/// Verifies: ORCH-023
#[test]
fn penalties_change_the_logits_by_their_rules() {
    let with = |repeat_penalty, presence_penalty, frequency_penalty| Sampling {
        repeat_penalty,
        presence_penalty,
        frequency_penalty,
        ..Sampling::default()
    };
    // Repetition divides what is positive and multiplies what is not, in prompt and answer alike.
    assert_eq!(choice(with(2.0, 0.0, 0.0), &[3.0, 1.6], &[0], &[]), 1);
    assert_eq!(choice(with(1.8, 0.0, 0.0), &[3.0, 1.6], &[0], &[]), 0);
    assert_eq!(choice(with(2.0, 0.0, 0.0), &[3.0, 1.6], &[], &[0]), 1);
    assert_eq!(choice(with(2.0, 0.0, 0.0), &[-1.0, -1.9], &[0], &[]), 1);
    assert_eq!(choice(with(1.8, 0.0, 0.0), &[-1.0, -1.9], &[0], &[]), 0);
    assert_eq!(choice(with(2.0, 0.0, 0.0), &[3.0, 1.6], &[0], &[0, 0]), 1, "once for each token");
    // Presence counts the answer only, and once.
    assert_eq!(choice(with(1.0, 1.5, 0.0), &[3.0, 1.6], &[], &[0]), 1);
    assert_eq!(choice(with(1.0, 1.3, 0.0), &[3.0, 1.6], &[], &[0, 0, 0]), 0);
    assert_eq!(choice(with(1.0, 1.5, 0.0), &[3.0, 1.6], &[0], &[]), 0);
    assert_eq!(choice(with(1.0, -1.5, 0.0), &[3.0, 1.6], &[], &[1]), 1, "below zero it rewards");
    // Frequency counts the answer only, each time.
    assert_eq!(choice(with(1.0, 0.0, 0.5), &[3.0, 1.6], &[], &[0, 0, 0]), 1);
    assert_eq!(choice(with(1.0, 0.0, 0.5), &[3.0, 1.6], &[], &[0, 0]), 0);
    assert_eq!(choice(with(1.0, 0.0, 0.5), &[3.0, 1.6], &[0, 0, 0], &[]), 0);
}

#[test]
fn repetition_forgets_what_is_further_back_than_its_window() {
    let sampling = Sampling { repeat_penalty: 2.0, ..Sampling::default() };
    let mut prompt = vec![0];
    prompt.resize(REPEAT_WINDOW, 7);
    assert_eq!(choice(sampling.clone(), &[3.0, 1.6], &prompt, &[]), 1);
    prompt.push(7);
    assert_eq!(choice(sampling, &[3.0, 1.6], &prompt, &[]), 0);
}

#[test]
fn of_equally_likely_tokens_the_lower_id_comes_first() {
    assert_eq!(choice(Sampling::default(), &[1.0, 2.0, 2.0, 2.0], &[], &[]), 1);
    let one = Sampling { top_k: 1, ..Sampling::default() };
    check(&one, &[1.0, 2.0, 2.0, 2.0], &[0.0, 1.0, 0.0, 0.0]);
    let two = Sampling { top_p: 0.5, ..Sampling::default() };
    check(&two, &[2.0; 4], &[0.5, 0.5, 0.0, 0.0]);
}

#[test]
fn numbers_that_are_none_are_an_error() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for temperature in [0.0, 1.0] {
            let sampling = Sampling { temperature, ..Sampling::default() };
            let mut sampler = Sampler::new(sampling, &[], &[]).unwrap();
            assert_eq!(sampler.sample(&mut [0.0, bad]), Err(SampleError::NotFinite { id: 1 }));
        }
    }
    let mut sampler = Sampler::new(Sampling::default(), &[], &[]).unwrap();
    assert_eq!(sampler.sample(&mut []), Err(SampleError::Empty));
}

#[test]
fn parameters_out_of_range_are_named() {
    let neutral = Sampling::default;
    for (sampling, parameter) in [
        (Sampling { temperature: -0.1, ..neutral() }, "temperature"),
        (Sampling { top_p: 0.0, ..neutral() }, "top_p"),
        (Sampling { top_p: f32::NAN, ..neutral() }, "top_p"),
        (Sampling { min_p: 1.1, ..neutral() }, "min_p"),
        (Sampling { repeat_penalty: 0.0, ..neutral() }, "repeat_penalty"),
        (Sampling { presence_penalty: f32::INFINITY, ..neutral() }, "presence_penalty"),
        (Sampling { frequency_penalty: f32::NAN, ..neutral() }, "frequency_penalty"),
    ] {
        let error = Sampler::new(sampling, &[], &[]).err();
        assert_eq!(error, Some(SampleError::OutOfRange { parameter }));
    }
}

#[test]
fn random_numbers_are_spread_evenly_over_seeds_and_indices() {
    for numbers in [
        (0..10_000).map(|index| uniform(0, index)).collect::<Vec<_>>(),
        (0..10_000).map(|seed| uniform(seed, 0)).collect(),
        (0..10_000).map(|i| uniform(i, i)).collect(),
    ] {
        assert!(numbers.iter().all(|number| (0.0..1.0).contains(number)));
        let is_in = |tenth: i32, number: f64| (number * 10.0).floor() == f64::from(tenth);
        let tenths = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
            .map(|tenth| numbers.iter().filter(|number| is_in(tenth, **number)).count());
        // Five standard deviations of a binomial count are 150.
        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    }
}

proptest! {
    /// A restart makes a new sampler in the middle of an answer; it must not be told from the first.
    #[test]
    fn a_sampler_made_in_the_middle_goes_on_like_the_first(
        seed: u64,
        cut in 0_usize..40,
        temperature in prop_oneof![Just(0.0_f32), 0.1_f32..2.0],
        (top_k, top_p, min_p) in (0_u32..8, 0.1_f32..=1.0, 0.0_f32..0.3),
        (repeat, presence, frequency) in (0.5_f32..2.0, -2.0_f32..2.0, -2.0_f32..2.0),
    ) {
        let sampling = Sampling {
            temperature, top_p, top_k, min_p, seed,
            repeat_penalty: repeat, presence_penalty: presence, frequency_penalty: frequency,
        };
        let prompt = [1, 2, 3, 2];
        #[expect(clippy::cast_possible_truncation, reason = "any number near it will do")]
        let logit = |index: usize, id: u64| (uniform(index as u64, id) * 8.0) as f32;
        let logits = |index| -> Vec<f32> { (0..300).map(|id| logit(index, id)).collect() };
        let go_on = |mut sampler: Sampler, from: usize| -> Vec<u32> {
            (from..40).map(|index| {
                let id = sampler.sample(&mut logits(index)).unwrap();
                sampler.accept(id);
                id
            }).collect()
        };
        let whole = go_on(Sampler::new(sampling.clone(), &prompt, &[]).unwrap(), 0);
        let rest = go_on(Sampler::new(sampling, &prompt, &whole[..cut]).unwrap(), cut);
        prop_assert_eq!(&rest, &whole[cut..]);
    }
}
