use prefetch::Lines;

#[test]
fn a_range_is_that_of_the_value_itself() {
    let values = vec![1_u64, 2, 3];
    assert_eq!(Lines::of(&values[..]), Lines::at(values.as_ptr(), 24));
    assert_eq!(Lines::of(&values).len_bytes(), size_of::<Vec<u64>>());
    assert_eq!(Lines::of(&values[..]).first(8), Lines::of(&values[0]));
    assert_eq!(Lines::of(&values[..]).first(100), Lines::of(&values[..]));
    assert_eq!(Lines::NONE, Lines::default());
}

#[test]
fn memory_that_is_gone_or_never_was_can_be_asked_for() {
    let gone = Lines::of(&*Box::new([0_u8; 1 << 20]));
    let never = Lines::at(std::ptr::without_provenance::<u8>(usize::MAX - 7), 4096);
    for lines in [gone, never, Lines::NONE, Lines::at(std::ptr::null::<u8>(), 64)] {
        lines.fetch();
    }
}
