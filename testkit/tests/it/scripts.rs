use testkit::{Alphabet, Directives, Fault, FaultKind, Script};

fn script(prompt: &str) -> Script {
    Script::new(prompt, &Directives::read(prompt))
}

#[test]
fn a_script_depends_on_prompt_and_index_only() {
    assert_eq!(script("Name three colors.").text(4), ", quartz quartz stone");
    assert_eq!(script("Name three colors.").tokens(), 28);
    assert_ne!(script("Name three colours.").text(4), script("Name three colors.").text(4));
}

#[test]
fn the_first_tokens_of_a_script_are_a_prefix_of_it() {
    let script = script("[[tokens=30]] count");
    let whole = script.text(u32::MAX);
    assert_eq!((0..30).map(|index| script.token(index)).collect::<String>(), whole);
    assert!(whole.starts_with(&script.text(7)));
}

#[test]
fn special_alphabets_are_made_of_long_characters() {
    assert!(script("[[emoji]]").text(20).chars().all(|c| c.len_utf8() > 2));
    assert!(script("[[cjk]]").text(20).chars().all(|c| c.len_utf8() > 2));
}

#[test]
fn directives_are_found_anywhere_and_the_rest_is_text() {
    let read = Directives::read(
        "a [[tokens=5]] [b [[emoji]]c[[nothing]] [[die_after=x]] [[stall_after=2]",
    );
    let expected =
        Directives { tokens: Some(5), alphabet: Alphabet::Emoji, ..Directives::default() };
    assert_eq!(read, expected);
    let fault = Directives::read("[[close_after=3]]").fault;
    assert_eq!(fault, Some(Fault { after_tokens: 3, kind: FaultKind::Close }));
}
