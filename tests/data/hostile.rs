//! Chat templates and tokenizers that want too much: each is refused in a sentence, with a bound on memory and on the stack (a page's
//! worker has one megabyte).

use rootstock::data::{ChatTemplate, Message};

use crate::validate::counting::peak_of;

/// What a hostile file may take, in bytes.
const BOUND: usize = 600 << 20;

/// Compiles and renders a template on a thread with the stack of a page's worker; the error, if there is one, and the memory it took.
fn outcome(source: String) -> (Result<String, String>, usize) {
    let run = move || {
        peak_of(|| {
            let template = ChatTemplate::new("chat_template.jinja", &source, vec![], 0).map_err(|error| error.to_string())?;
            template.render(&[Message::new("user", "Who lives here?")], true).map_err(|error| error.to_string())
        })
    };
    let thread = std::thread::Builder::new().stack_size(1 << 20).spawn(run).expect("a thread starts");
    thread.join().expect("no panic")
}

fn refused(name: &str, source: String) {
    let started = std::time::Instant::now();
    let (outcome, peak) = outcome(source);
    let error = outcome.map(|text| text.len()).expect_err(name);
    assert!(error.len() < 1500 && error.contains("chat template"), "{name}: {error}");
    assert!(peak < BOUND, "{name} took {peak} bytes");
    println!("{name}: {} MB, {:?}: {error}", peak >> 20, started.elapsed());
}

#[test]
fn deep_expressions_are_refused_before_they_are_parsed() {
    let n = 30_000;
    for (name, source) in [
        ("not", format!("{{{{ {}1 }}}}", "not ".repeat(n))),
        ("minus", format!("{{{{ {}1 }}}}", "-".repeat(n))),
        ("filters", format!("{{{{ 1{} }}}}", "|string".repeat(n))),
        ("tests", format!("{{{{ 1{} }}}}", " is defined".repeat(n))),
        ("attributes", format!("{{{{ a{} }}}}", ".a".repeat(n))),
        ("items", format!("{{{{ a{} }}}}", "[0]".repeat(n))),
        ("calls", format!("{{{{ a{} }}}}", "()".repeat(n))),
        ("if", format!("{{{{ 1{} }}}}", " if 1 else 1".repeat(n))),
        ("and", format!("{{{{ 1{} }}}}", " and 1".repeat(n))),
        ("comparisons", format!("{{{{ 1{} }}}}", " == 1".repeat(n))),
        ("concatenation", format!("{{{{ 1{} }}}}", " ~ 1".repeat(n))),
        ("sum", format!("{{{{ 1{} }}}}", " + 1".repeat(n))),
        ("power", format!("{{{{ 1{} }}}}", " ** 1".repeat(n))),
        ("brackets", format!("{{{{ {}1{} }}}}", "(".repeat(n), ")".repeat(n))),
        ("lists", format!("{{{{ {}1{} }}}}", "[".repeat(n), "]".repeat(n))),
        ("maps", format!("{{{{ {}1{} }}}}", "{1:".repeat(n), "}".repeat(n))),
        ("brackets behind a chain", format!("{{{{ {}1{} }}}}", "1 + (-".repeat(200), ")".repeat(200))),
        ("blocks", format!("{}1{}", "{% if 1 %}".repeat(n), "{% endif %}".repeat(n))),
        ("branches", format!("{{% if 0 %}}{}{{% endif %}}", "{% elif 0 %}".repeat(n))),
        ("loops", format!("{}1{}", "{% for a in [1] %}".repeat(n), "{% endfor %}".repeat(n))),
        ("size", "{{ 1 }}".repeat(200_000)),
    ] {
        refused(name, source);
    }
}

#[test]
fn what_is_just_within_the_bounds_fits_a_small_stack() {
    let n = 240;
    for (name, source) in [
        ("not", format!("{{{{ {}1 }}}}", "not ".repeat(n))),
        ("minus", format!("{{{{ {}1 }}}}", "-".repeat(n))),
        ("filters", format!("{{{{ messages{} }}}}", "|list".repeat(n))),
        ("if", format!("{{{{ messages{} }}}}", " if messages else messages".repeat(n / 2))),
        ("concatenation", format!("{{{{ messages{} }}}}", " ~ messages".repeat(n))),
        ("sum", format!("{{{{ messages{} }}}}", " + messages".repeat(n))),
        ("brackets", format!("{{{{ {}1{} }}}}", "(".repeat(24), ")".repeat(24))),
        ("lists", format!("{{{{ {}messages{} }}}}", "[".repeat(23), "]".repeat(23))),
        ("blocks", format!("{}1{}", "{% if 1 %}".repeat(99), "{% endif %}".repeat(99))),
        ("loops", format!("{}1{}", "{% for a in [1] %}".repeat(90), "{% endfor %}".repeat(90))),
        ("branches", format!("{{% if 0 %}}{}{{% endif %}}", "{% elif messages[0].role == 'a' %}".repeat(98))),
    ] {
        let (outcome, _) = outcome(source);
        assert!(outcome.is_ok(), "{name}: {outcome:?}");
    }
}

#[test]
fn values_that_nest_or_grow_are_refused() {
    let forever = |body: &str| format!("{{% set ns = namespace(x='', l=[], d={{}}) %}}{}", in_loops(body));
    for (name, source) in [
        ("a list in a list", forever("{% set ns.x = [ns.x] %}") + "{{ ns.x }}"),
        ("many lists in a list", forever("{% set ns.x = [[[[[[[[[[[[ns.x]]]]]]]]]]]] %}")),
        ("a map in a map", forever("{% set ns.x = {'a': ns.x} %}") + "{{ ns.x|tojson }}"),
        ("dict", forever("{% set ns.x = dict(a=ns.x) %}") + "{{ ns.x }}"),
        ("reversed", forever("{% set ns.l = ns.l|reverse %}") + "{{ ns.l }}"),
        ("sliced", forever("{% set ns.l = ns.l[0:] %}") + "{{ ns.l }}"),
        ("items", forever("{% set ns.d = ns.d.items() %}") + "{{ ns.d }}"),
        ("batches", forever("{% set ns.l = ns.l|batch(1) %}{% set ns.l = [ns.l] %}") + "{{ ns.l }}"),
        ("namespaces", forever("{% set ns.x = namespace(a=ns.x) %}") + "{{ ns.x }}"),
        ("itself", "{% set ns = namespace() %}{% set ns.x = ns %}{{ ns }}".into()),
        ("twice", forever("{% set ns.x = [ns.x, ns.x] %}") + "{{ ns.x }}"),
        ("text twice", forever("{% set ns.x = ns.x + ns.x + 'x' %}")),
        ("text twice by ~", forever("{% set ns.x = ns.x ~ ns.x ~ 'x' %}")),
        ("text times", "{{ 'x' * 1000000000 }}".into()),
        ("text times times", "{% set s = 'x' * 100000 %}{{ s * 100000 }}".into()),
        ("list times", "{{ (messages * 100000)|join }}".into()),
        ("list times list", "{{ ([1] * 1000000000)|length }}{{ [[1]*1000000]*1000000 }}".into()),
        ("range", "{{ range(1000000000) }}".into()),
        ("ranges", in_loops("{{ range(10000)|list }}")),
        ("centre", "{{ 'x'|center(1000000000) }}".into()),
        ("format", "{{ '%1000000000d'|format(1) }}".into()),
        ("format method", "{{ '{:1000000000}'.format(1) }}".into()),
        ("format method many", format!("{{{{ '{}'.format('x' * 100000) }}}}", "{0}".repeat(100_000))),
        ("format argument", "{% set s = 'x' * 100000 %}{{ ('%s' * 100000) | format(s) }}{{ ('{0}' * 100000).format(s) }}".into()),
        ("replace", "{% set s = 'x' * 100000 %}{{ s|replace('x', s) }}".into()),
        ("replace method", "{% set s = 'x' * 100000 %}{{ s.replace('x', s) }}".into()),
        ("join", "{% set s = 'x' * 100000 %}{{ s|join(s) }}".into()),
        ("join method", "{% set s = 'x' * 100000 %}{{ s.join(s.split('')) }}".into()),
        ("indent", "{{ ('\n' * 100000)|indent(100000) }}".into()),
        ("tojson", "{{ messages|tojson(indent=1000000000) }}".into()),
        ("tojson separators", "{% set s = 'x' * 1000000 %}{{ range(10000)|list|tojson(separators=[s, s]) }}".into()),
        ("split", "{% set s = 'x' * 30000000 %}{{ s.split('')|length }}".into()),
        ("characters", "{% set s = 'x' * 60000000 %}{{ s|list|length }}".into()),
        ("strftime", "{{ strftime_now('%B' * 10000000) }}{{ strftime_now('%B' * 10000000) }}".into()),
        ("macro", "{% macro f(x) %}{{ f([x, x]) }}{% endmacro %}{{ f(1) }}".into()),
        ("macros", "{% macro f(x) %}{{ f(x) }}{{ f(x) }}{% endmacro %}{{ f(1) }}".into()),
        ("nested with", format!("{}{{{{ x }}}}{}", "{% with x = [x, x] %}".repeat(90), "{% endwith %}".repeat(90))),
        ("nested for", format!("{}{{{{ x ~ '' }}}}{}", "{% for x in [[x, x]] %}".repeat(90), "{% endfor %}".repeat(90))),
        ("output", in_loops("{{ 'x' * 100000 }}")),
        ("captured", in_loops("{% set x %}{{ 'x' * 100000 }}{% endset %}")),
        ("nothing", in_loops("")),
        (
            "long comparisons",
            "{% set s = 'x' * 10000000 %}{% set t = 'x' * 10000000 %}".to_string() + &in_loops("{% if s == t %}{% endif %}"),
        ),
        ("long searches", "{% set s = 'x' * 10000000 %}".to_string() + &in_loops("{% if s.find('y') == 1 %}{% endif %}")),
        ("long slices", "{% set s = 'x' * 10000000 %}".to_string() + &in_loops("{% if s[9999999:] == '' %}{% endif %}")),
        ("long tests", "{% set s = 'x' * 10000000 %}".to_string() + &in_loops("{% if s is upper %}{% endif %}")),
        ("long keys", "{% set s = 'x' * 10000000 %}".to_string() + &in_loops("{% if {'a': 1}[s] %}{% endif %}")),
        ("refusal", "{{ raise_exception('x' * 10000000) }}".into()),
    ] {
        refused(name, source);
    }
}

/// A body that is run as often as ranges allow.
fn in_loops(body: &str) -> String {
    let (open, close): (String, String) =
        (["a", "b", "c"].iter().map(|name| format!("{{% for {name} in range(10000) %}}")).collect(), "{% endfor %}".repeat(3));
    format!("{open}{body}{close}")
}

#[test]
fn a_long_conversation_is_still_rendered() {
    let source = std::fs::read_to_string("tests/fixtures/tokenizer/templates/qwen.jinja").expect("it is committed");
    let template = ChatTemplate::new("chat_template.jinja", &source, vec![], 0).expect("the template is right");
    let many: Vec<Message> = (0..3000).map(|i| Message::new(if i % 2 == 0 { "user" } else { "assistant" }, "A short line.")).collect();
    let text = template.render(&many, true).expect("many messages");
    assert_eq!(text.matches("A short line.").count(), 3000);
    let long = [Message::new("user", "word ".repeat(1 << 20)), Message::new("assistant", "word ".repeat(1 << 20))];
    assert!(template.render(&long, false).expect("long messages").len() > 10 << 20);
}
