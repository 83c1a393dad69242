//! Templates from strangers. Each ends with a typed error; none may hang, crash or fill the memory.

use prompt::{ChatMessage, PromptError};

use crate::models::with_template;

fn refuse(template: &str) -> PromptError {
    let messages =
        [ChatMessage::new("user", "hello"), ChatMessage::new("assistant", "x".repeat(1_000))];
    match with_template(template).render_chat(&messages, true) {
        Err(error) => error,
        Ok(prompt) => panic!("{template}: rendered {} bytes", prompt.len()),
    }
}

fn over_limit(template: &str, what: &str) {
    match refuse(template) {
        PromptError::TemplateLimit { what: found, .. } => assert_eq!(found, what, "{template}"),
        other => panic!("{template}: {other}"),
    }
}

fn invalid(template: &str) {
    let error = refuse(template);
    assert!(matches!(error, PromptError::InvalidTemplate { .. }), "{template}: {error}");
}

fn rejected(template: &str) {
    let error = refuse(template);
    assert!(matches!(error, PromptError::TemplateRejected { .. }), "{template}: {error}");
}

/// Verifies: ORCH-247
#[test]
fn endless_loops_run_out_of_steps() {
    let nested = "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}\
                  {% endfor %}{% endfor %}{% endfor %}";
    over_limit(nested, "steps");
    over_limit(
        "{% macro m() %}{% for i in range(9999) %}{{ loop.index }}{% endfor %}{% endmacro %}{% for i in range(9999) %}{{ m() }}{% endfor %}",
        "steps",
    );
}

/// Verifies: ORCH-247
#[test]
fn calls_without_an_end_run_out_of_levels() {
    over_limit("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "levels of recursion");
    over_limit("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "levels of recursion");
}

/// Verifies: ORCH-247
#[test]
fn too_much_output_is_stopped() {
    let raw = format!("{{% for i in range(1000) %}}{}{{% endfor %}}", "a".repeat(10_000));
    over_limit(&raw, "bytes of output");
    over_limit(
        "{% for i in range(9999) %}{{ messages[1].content }}{% endfor %}",
        "bytes of output",
    );
    let captured = format!("{{% set x %}}{raw}{{% endset %}}");
    over_limit(&captured, "bytes of output");
    let in_macro = format!("{{% macro m() %}}{raw}{{% endmacro %}}{{% set y = m() %}}");
    over_limit(&in_macro, "bytes of output");
}

/// Verifies: ORCH-247
#[test]
fn texts_that_double_are_stopped() {
    let doubling = |grow: &str| {
        format!(
            "{{% set ns = namespace(x='abcdefgh') %}}{{% for i in range(99) %}}{grow}{{% endfor %}}"
        )
    };
    for grow in [
        "{% set ns.x = ns.x ~ ns.x %}",
        "{% set ns.x = ns.x + ns.x %}",
        "{% set ns.x = ns.x * 2 %}",
        "{% set ns.x = ns.x | replace('a', ns.x) %}",
        "{% set ns.x = ns.x.replace('a', ns.x) %}",
        "{% set ns.x = [ns.x, ns.x] | join %}",
        "{% set ns.x = ns.x.join(['a', 'b', 'c']) %}",
        "{% set ns.x = [ns.x, ns.x] | string %}",
        "{% set ns.x = [ns.x, ns.x] | tojson %}",
        "{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}{% set ns.x = y %}",
    ] {
        over_limit(&doubling(grow), "bytes of output");
    }
}

/// Verifies: ORCH-247
#[test]
fn values_that_double_are_stopped() {
    let doubling = |grow: &str, then: &str| {
        format!(
            "{{% set ns = namespace(x=[1]) %}}{{% for i in range(50) %}}{grow}{{% endfor %}}{then}"
        )
    };
    over_limit(&doubling("{% set ns.x = ns.x + ns.x %}", ""), "units of work");
    over_limit(&doubling("{% set ns.x = [ns.x, ns.x] %}", ""), "units of work");
    over_limit(&doubling("{% set ns.x = {'a': ns.x, 'b': ns.x} %}", ""), "units of work");
    over_limit(
        "{% set ns = namespace(x=range(99999)) %}{% for i in range(999) %}{% set y = ns.x | list %}{% endfor %}",
        "units of work",
    );
    let repeated = "{% set list = [0] %}{% set n = 9999 %}{% set x = list * n %}";
    rejected(repeated);
}

/// Verifies: ORCH-247
#[test]
fn values_that_are_too_deep_are_stopped() {
    let deep = "{% set ns = namespace(x=[]) %}{% for i in range(9999) %}{% set ns.x = [ns.x] %}{% endfor %}";
    over_limit(deep, "levels of values");
    // Namespaces can be chained without building a list.
    let chain = "{% set ns = namespace(x=0) %}{% for i in range(900) %}{% set n = namespace() %}\
                 {% set n.x = ns.x %}{% set ns.x = n %}{% endfor %}";
    over_limit(&format!("{chain}{{{{ ns.x }}}}"), "levels of values");
    let more = chain.replace("900", "9999");
    over_limit(&more, "namespaces");
    // A namespace may hold itself.
    for show in [
        "{{ ns }}",
        "{{ ns | tojson }}",
        "{{ ns ~ '' }}",
        "{{ ns == ns }}",
        "{% if ns in [ns] %}{% endif %}",
    ] {
        over_limit(
            &format!("{{% set ns = namespace() %}}{{% set ns.me = ns %}}{show}"),
            "levels of values",
        );
    }
}

/// Namespaces are filled after they were put into a list, so no value was ever too deep when it was built.
/// Dropping the chain recurses through all of it.
///
/// Verifies: ORCH-247
#[test]
fn the_deepest_chain_that_the_limits_allow_is_dropped_without_a_crash() {
    let levels = 30;
    let template = format!(
        "{{% set ns = namespace(last=0) %}}{{% for i in range(990) %}}{{% set n = namespace() %}}\
         {{% set list = {}n{} %}}{{% set n.x = ns.last %}}{{% set ns.last = list %}}{{% endfor %}}done",
        "[".repeat(levels),
        "]".repeat(levels)
    );
    assert_eq!(with_template(&template).render_chat(&[], true).unwrap(), "done");
}

/// Verifies: ORCH-247
#[test]
fn constants_are_not_multiplied_by_the_compiler() {
    for product in [
        "{{ 'a' * 100000000 }}",
        "{{ 100000000 * 'a' }}",
        "{{ [1] * 100000000 }}",
        "{{ ('a') * 100000000 }}",
        "{{ 100000000 * ('a' ~ 'b') }}",
        "{{ (1, 2) * 100000000 }}",
    ] {
        invalid(product);
    }
}

/// Verifies: ORCH-247
#[test]
fn attributes_outside_the_data_are_refused() {
    for template in [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.__class__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
        "{{ ''.__len__() }}",
    ] {
        invalid(template);
    }
    // Nothing of this is there.
    rejected("{{ self._TemplateReference__context }}");
    rejected("{{ ''['__class__']['__mro__'] }}");
    rejected("{{ lipsum('x') }}");
    rejected("{{ messages | attr('__class__') }}");
    rejected("{{ debug() }}");
    rejected("{{ 'x'.encode() }}");
    rejected("{{ '%s' | format('x') }}");
    rejected("{{ '{}'.format('x') }}");
}

/// Verifies: ORCH-247
#[test]
fn other_templates_are_not_loaded() {
    for template in [
        "{% include '/etc/passwd' %}",
        "{% import 'x' as y %}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% block a %}x{% endblock %}",
    ] {
        invalid(template);
    }
}

#[test]
fn what_is_no_template_is_invalid() {
    invalid("{{ unclosed");
    invalid("{% for %}");
    invalid("{% unknown_tag %}");
    invalid(&"{{ ".repeat(100));
    invalid(&format!("{{{{ {}1{} }}}}", "(".repeat(10_000), ")".repeat(10_000)));
    invalid(&format!("{{{{ f({}) }}}}", "a,".repeat(70_000)));
    invalid("{{ 1 < x < 3 }}");
    invalid("{{ f(*messages) }}");
}

/// Verifies: ORCH-247
#[test]
fn a_template_that_is_too_long_is_not_compiled() {
    over_limit(&"a".repeat(300 << 10), "bytes of source");
}

#[test]
fn date_formats_are_bounded() {
    let model = with_template("{{ strftime_now('%Y' * 1) }}");
    assert!(matches!(model.render_chat_at(&[], true, 0), Err(PromptError::InvalidTemplate { .. })));
    let long = format!("{{{{ strftime_now('{}') }}}}", "%255Y".repeat(100));
    let error = with_template(&long).render_chat_at(&[], true, 0).unwrap_err();
    assert!(matches!(error, PromptError::TemplateRejected { .. }));
    let error = with_template("{{ strftime_now('%!') }}").render_chat_at(&[], true, 0).unwrap_err();
    assert!(matches!(error, PromptError::TemplateRejected { .. }));
}
