use operations::Throughput;

#[test]
fn what_is_left_is_estimated_from_what_came_since_the_first_look() {
    let mut speed = Throughput::default();
    assert_eq!(speed.left_ms(100), None, "nothing was measured");
    speed.note(1000, 0); // was there before
    speed.note(1100, 100);
    assert_eq!(speed.left_ms(3000), None, "the first moments say little");
    speed.note(2000, 1000);
    assert_eq!(speed.left_ms(3000), Some(1000));
    assert_eq!(speed.left_ms(2000), Some(0));
    speed.note(2000, 2000);
    assert_eq!(speed.left_ms(3000), Some(2000), "a stall makes it later");
}

#[test]
fn a_transfer_that_starts_over_is_measured_anew() {
    let mut speed = Throughput::default();
    speed.note(0, 0);
    speed.note(10_000, 1000);
    speed.note(0, 2000);
    assert_eq!(speed.left_ms(100), None);
    speed.note(50, 3000);
    assert_eq!(speed.left_ms(100), Some(1000));
}
