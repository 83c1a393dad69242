use prompt::{ChatMessage, PromptError};
use serde::Deserialize;

use crate::models::{read, starter, tiny_builder, with_template};

#[derive(Deserialize)]
struct Goldens {
    chats: Vec<Golden>,
}

#[derive(Deserialize)]
struct Golden {
    name: String,
    messages: Vec<Message>,
    prompt: String,
    ids: Vec<u32>,
}

#[derive(Deserialize)]
struct Message {
    role: String,
    content: String,
}

fn turns(turns: &[(&str, &str)]) -> Vec<ChatMessage> {
    turns.iter().map(|(role, content)| ChatMessage::new(*role, *content)).collect()
}

/// What `template` makes of two turns.
fn rendered(template: &str) -> String {
    let messages = turns(&[("user", "Hi <b>"), ("assistant", "Hé")]);
    with_template(template).render_chat(&messages, true).unwrap()
}

/// Verifies: ORCH-027, ORCH-247
#[test]
fn the_starter_models_template_and_ids_are_those_of_llama_cpp() {
    let goldens: Goldens = serde_json::from_str(include_str!("data/smollm2_chats.json")).unwrap();
    assert!(goldens.chats.len() >= 3);
    for golden in goldens.chats {
        let messages: Vec<ChatMessage> = golden
            .messages
            .into_iter()
            .map(|message| ChatMessage::new(message.role, message.content))
            .collect();
        let prompt = starter().render_chat(&messages, true).unwrap();
        assert_eq!(prompt, golden.prompt, "{}", golden.name);
        assert_eq!(starter().encode_prompt(&prompt), golden.ids, "{}", golden.name);
    }
}

#[test]
fn the_generation_prompt_is_added_only_when_asked_for() {
    let messages = turns(&[("system", "s"), ("user", "u")]);
    let without = starter().render_chat(&messages, false).unwrap();
    let with = starter().render_chat(&messages, true).unwrap();
    assert_eq!(without, "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\nu<|im_end|>\n");
    assert_eq!(with, without + "<|im_start|>assistant\n");
}

/// Verifies: ORCH-247
#[test]
fn the_digest_of_a_template_is_shown() {
    let model = with_template("abc");
    let digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(model.template_digest().as_deref(), Some(digest));
    assert_eq!(model.template_source(), Some("abc"));
}

/// Verifies: ORCH-247
#[test]
fn a_model_without_a_template_refuses_messages() {
    let model = read(&tiny_builder()).unwrap();
    let refused = model.render_chat(&turns(&[("user", "u")]), true);
    assert!(matches!(refused, Err(PromptError::NoTemplate)));
    assert_eq!(model.template_digest(), None);
}

#[test]
fn a_template_may_refuse_messages_in_its_own_words() {
    let model = with_template(
        "{% if messages[0]['role'] != 'user' %}{{ raise_exception('talk to me') }}{% endif %}ok",
    );
    assert_eq!(model.render_chat(&turns(&[("user", "u")]), true).unwrap(), "ok");
    match model.render_chat(&turns(&[("system", "s")]), true).unwrap_err() {
        PromptError::TemplateRejected { message } => assert_eq!(message, "talk to me"),
        other => panic!("{other}"),
    }
}

#[test]
fn the_date_is_the_one_that_was_handed_in() {
    let template =
        "{% if strftime_now is defined %}{{ strftime_now('%d %b %Y') }}{% else %}none{% endif %}";
    let model = with_template(template);
    assert_eq!(model.render_chat(&[], true).unwrap(), "none");
    assert_eq!(model.render_chat_at(&[], true, 1_700_000_000_000).unwrap(), "14 Nov 2023");
}

/// What published templates use, with the results of Hugging Face's renderer (Jinja2).
#[test]
fn templates_can_do_what_published_ones_do() {
    let cases = [
        // Output.
        ("{{ none }}|{{ true }}|{{ 1 }}|{{ 1.5 }}|{{ undefined_name }}|", "None|True|1|1.5||"),
        ("{{ bos_token }}{{ eos_token }}", "<s></s>"),
        ("a\n{% if true %}\n  b\n  {% endif %}\nc\n", "a\n  b\nc"),
        ("{{ messages[0].content }}", "Hi <b>"),
        // Operators.
        ("{{ 'a' + 'b' ~ 1 ~ none }}", "ab1None"),
        (
            "{{ 1 + 2 * 3 }} {{ 7 % 3 }} {{ 7 // 2 }} {{ 2.5 + 1 }} {{ messages | length * 2 }}",
            "7 1 3 3.5 4",
        ),
        ("{{ ([1] + [2, 3]) | join(',') }}", "1,2,3"),
        (
            "{{ 'x' in 'axb' }} {{ 'x' in ['y'] }} {{ 'role' in messages[0] }} {{ 'q' not in 'abc' }}",
            "True False True True",
        ),
        ("{{ 1 < 2 }} {{ 'b' >= 'a' }} {{ [1] == [1] }} {{ 1 != 1 }}", "True True True False"),
        // Slices.
        (
            "{{ 'hello'[1:3] }} {{ 'hello'[::-1] }} {{ 'hello'[-3:] }} {{ 'hello'[:-1] }} {{ 'hello'[3:1] }}|",
            "el olleh llo hell |",
        ),
        (
            "{% for m in messages[1:] %}{{ m.role }}{% endfor %}|{% for m in messages[::-1] %}{{ m.role }} {% endfor %}",
            "assistant|assistant user ",
        ),
        ("{{ [1,2,3,4,5][4:0:-2] | join(' ') }} {{ messages[-1].role }}", "5 3 assistant"),
        // Loops.
        (
            "{% for m in messages %}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {% endfor %}",
            "0TrueFalse2 1FalseTrue2 ",
        ),
        (
            "{% for m in messages if m.role == 'user' %}{{ m.role }}{{ loop.index }}{% else %}none{% endfor %}",
            "user1",
        ),
        (
            "{% for i in range(5) %}{% if i == 1 %}{% continue %}{% endif %}{% if i == 3 %}{% break %}{% endif %}{{ i }}{% endfor %}",
            "02",
        ),
        ("{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}{{ v }}{% endfor %}", "b1a2"),
        (
            "{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined else '-' }} {% endfor %}",
            "- user ",
        ),
        // State.
        (
            "{% set ns = namespace(n=0, t='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.t = ns.t ~ m.role %}{% endfor %}{{ ns.n }}{{ ns.t }}",
            "2userassistant",
        ),
        ("{% set x %}in{{ 1 }}side{% endset %}[{{ x }}]", "[in1side]"),
        (
            "{% macro twice(t, sep='-') %}{{ t }}{{ sep }}{{ t }}{% endmacro %}{{ twice('a') }}{{ twice('b', sep='+') }}",
            "a-ab+b",
        ),
        ("{% if a is not defined and messages %}yes{% elif true %}no{% endif %}", "yes"),
        ("{{ 'a' if tools else 'b' }}{{ tools is none }}{{ documents is not none }}", "bTrueFalse"),
        // Filters, tests and methods.
        (
            "{{ '  x '|trim }}|{{ 'aB'|upper }}|{{ 'aB'|lower }}|{{ 'ab'|capitalize }}|{{ 'a b'|title }}",
            "x|AB|ab|Ab|A B",
        ),
        (
            "{{ 'a-b'|replace('-', '+') }}{{ missing|default('d') }}{{ ''|default('e', true) }}{{ 'x'|string }}",
            "a+bdex",
        ),
        ("{{ messages|map(attribute='role')|join(', ') }}", "user, assistant"),
        (
            "{{ messages|selectattr('role', 'equalto', 'user')|list|length }}{{ messages|rejectattr('role','equalto','user')|first|length }}",
            "12",
        ),
        (
            "{{ (messages|last).role }}{{ messages|first is mapping }}{{ messages is string }}{{ messages is sequence }}",
            "assistantTrueFalseTrue",
        ),
        ("{{ {'b': [1, 'é<'], 'a': none}|tojson }}", "{\"b\": [1, \"é<\"], \"a\": null}"),
        ("{{ messages[0]|tojson }}", "{\"role\": \"user\", \"content\": \"Hi <b>\"}"),
        ("{{ {'a': 1}|tojson(indent=2) }}", "{\n  \"a\": 1\n}"),
        (
            "{{ ' x '.strip() }}{{ 'a,b'.split(',')[1] }}{{ 'ab'.startswith('a') }}{{ 'ab'.endswith('a') }}{{ 'aa'.replace('a','b') }}",
            "xbTrueFalsebb",
        ),
        (
            "{{ '-'.join(['a', 'b']) }}{{ 'ab'.upper() }}{{ {'a': 1}.get('a') }}{{ 'x\ny'.splitlines()|length }}{{ '\n\nx\n'.lstrip('\n').rstrip('\n') }}",
            "a-bAB12x",
        ),
        (
            "{{ 3|int + '4'|int }}{{ 4 is even }}{{ 3 is odd }}{{ 4 is divisibleby(2) }}{{ [3,1,2]|sort|join }}",
            "7TrueTrueTrue123",
        ),
        (
            "{{ dict(a=1).a }}{{ {'a': 1}|items|list|length }}{{ {'b':1,'a':2}|dictsort|first|first }}",
            "11a",
        ),
    ];
    for (template, expected) in cases {
        assert_eq!(rendered(template), expected, "{template}");
    }
}
