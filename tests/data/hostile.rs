//! Chat templates and tokenizers that want too much: each is refused in a sentence, with a bound on memory and on the stack (a page's
//! worker has one megabyte).

use rootstock::data::{ChatTemplate, Message, Tokenizer};
use rootstock::platform::{MemoryDirectory, NativeDirectory, block_on};
use serde_json::json;

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

/// The byte-level fixture with its tokenizer.json changed.
fn tokenizer(change: impl FnOnce(&mut serde_json::Value), config: Option<serde_json::Value>) -> (Result<Tokenizer, String>, usize) {
    let text = std::fs::read("tests/fixtures/tokenizer/byte-level/tokenizer.json").expect("it is committed");
    let mut json = serde_json::from_slice(&text).expect("it is JSON");
    change(&mut json);
    let mut dir = MemoryDirectory::new("model").with("tokenizer.json", json.to_string());
    if let Some(config) = config {
        dir = dir.with("tokenizer_config.json", config.to_string());
    }
    peak_of(|| block_on(Tokenizer::load(&dir)).map_err(|error| error.to_string()))
}

#[test]
fn tokenizers_that_want_too_much_are_refused() {
    let replace = |content: &str| json!({ "type": "Replace", "pattern": { "String": "e" }, "content": content });
    type Change = Box<dyn FnOnce(&mut serde_json::Value)>;
    let cases: [(&str, Change); 5] = [
        ("its normalizer may make a text 100000 times", Box::new(move |json| json["normalizer"] = replace(&"x".repeat(100_000)))),
        (
            "its decoder may make",
            Box::new(move |json| json["decoder"] = json!({ "type": "Sequence", "decoders": vec![replace("ee"); 64] })),
        ),
        (
            "its post_processor has",
            Box::new(|json| {
                let piece = json!({ "SpecialToken": { "id": "<|im_end|>", "type_id": 0 } });
                json["post_processor"] =
                    json!({ "type": "TemplateProcessing", "single": vec![piece; 300_000], "pair": [], "special_tokens": {} });
            }),
        ),
        ("values, and more than", Box::new(|json| json["model"]["merges"] = vec![json!(["a", "b"]); 1_100_000].into())),
        ("a token has 100000 bytes", Box::new(|json| json["model"]["vocab"]["x".repeat(100_000)] = json!(307))),
    ];
    for (expected, change) in cases {
        let (outcome, peak) = tokenizer(change, None);
        let error = outcome.map(|_| ()).expect_err(expected);
        assert!(error.starts_with("model/tokenizer.json: ") && error.contains(expected) && error.len() < 500, "{expected}: {error}");
        assert!(peak < BOUND, "{expected} took {peak} bytes");
    }
}

/// The largest vocabularies that are read, several times what any model has.
#[test]
fn a_tokenizer_at_the_limit_takes_less_than_a_gigabyte() {
    // All texts of sixteen letters, the short ones first: what is left of one without its first letter comes before it.
    let text = |id: u32| {
        let (mut rest, mut letters) = (id + 1, String::new());
        while rest > 0 {
            letters.insert(0, char::from(b'a' + ((rest - 1) % 16) as u8));
            rest = (rest - 1) / 16;
        }
        letters
    };
    let vocabulary = |n: u32| (0..n).map(|id| (text(id), json!(id))).collect::<serde_json::Map<_, _>>();
    let pairs = |n: u32| (16..n).map(text).map(|token| json!([token[..1], token[1..]])).collect::<Vec<_>>();
    for (name, tokens, merges) in [("tokens", 1_400_000, 0), ("merges", 600_000, 550_000)] {
        let started = std::time::Instant::now();
        let change = |json: &mut serde_json::Value| {
            (json["model"]["vocab"], json["model"]["merges"]) = (vocabulary(tokens).into(), pairs(merges).into());
            (json["added_tokens"], json["post_processor"]) = (json!([]), json!(null));
        };
        let (outcome, peak) = tokenizer(change, None);
        println!("{name}: {} MB, {:?}: {:?}", peak >> 20, started.elapsed(), outcome.as_ref().err());
        assert!(peak < 1 << 30, "{name} took {peak} bytes");
        assert!(outcome.is_ok(), "{name}: {:?}", outcome.err());
    }
}

#[test]
fn many_added_tokens_are_added_at_once() {
    let added: serde_json::Map<String, serde_json::Value> =
        (307..10_307).map(|id| (id.to_string(), json!({ "content": format!("<|extra {id}|>"), "special": id % 2 == 0 }))).collect();
    let started = std::time::Instant::now();
    let (tokenizer, peak) = tokenizer(|_| {}, Some(json!({ "added_tokens_decoder": added })));
    let tokenizer = tokenizer.expect("they follow those of tokenizer.json");
    assert_eq!(tokenizer.encode("<|extra 10306|><|extra 308|>", false), Ok(vec![10_306, 308]));
    assert!(peak < BOUND, "{peak} bytes");
    // One by one they take minutes.
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
}

#[test]
fn dropout_is_off_and_told() {
    let (tokenizer, _) = tokenizer(|json| json["model"]["dropout"] = json!(0.5), None);
    let tokenizer = tokenizer.expect("it is a tokenizer");
    let ids = tokenizer.encode("the gardener grafts the trees", false);
    assert!((0..20).all(|_| tokenizer.encode("the gardener grafts the trees", false) == ids), "the same tokens each time");
    assert!(tokenizer.warnings().iter().any(|warning| warning.starts_with("sets dropout to 0.5")), "{:?}", tokenizer.warnings());
}

#[test]
fn a_tokenizer_that_expresses_no_text_is_told() {
    let (broken, _) = tokenizer(
        |json| {
            json["model"] = json!({ "type": "WordLevel", "vocab": { "[UNK]": 0 }, "unk_token": "[MISSING]" });
            (json["added_tokens"], json["normalizer"], json["pre_tokenizer"]) = (json!([]), json!(null), json!({ "type": "Whitespace" }));
            (json["post_processor"], json["decoder"]) = (json!(null), json!(null));
        },
        None,
    );
    let reason = broken.expect("it can be read").cannot_encode();
    assert!(reason.is_some(), "{reason:?}");
    let (fine, _) = tokenizer(|_| {}, None);
    assert_eq!(fine.expect("the fixture").cannot_encode(), None);
}

#[test]
fn a_long_text_takes_little_memory() {
    let (tokenizer, _) = tokenizer(|_| {}, None);
    let tokenizer = tokenizer.expect("the fixture");
    let text = "The gardener grafts 17 scions; é too.\n".repeat(100_000);
    let (ids, peak) = peak_of(|| tokenizer.encode(&text, true).expect("any text"));
    let line = tokenizer.encode("The gardener grafts 17 scions; é too.\n", true).expect("any text");
    assert_eq!(ids.len(), 100_000 * line.len());
    assert!(ids.chunks(line.len()).all(|part| part == line), "the same as line by line");
    assert!(peak < 120 * text.len(), "{peak} bytes for a text of {}", text.len());
    let error = tokenizer.encode_with_offsets(&"x".repeat(5 << 20)).expect_err("too long").to_string();
    assert!(error.contains("make several records of it"), "{error}");
}

#[test]
fn large_files_are_refused_unread() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for name in ["tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(format!("tests/fixtures/tokenizer/byte-level/{name}"), dir.path().join(name)).expect("it is committed");
    }
    for name in [
        "chat_template.jinja",
        "special_tokens_map.json",
        "generation_config.json",
        "config.json",
        "tokenizer_config.json",
        "tokenizer.json",
    ] {
        let path = dir.path().join(name);
        let before = std::fs::read(&path).ok();
        std::fs::File::create(&path).and_then(|file| file.set_len(5 << 29)).expect("a sparse file");
        let (outcome, peak) = peak_of(|| block_on(Tokenizer::load(&NativeDirectory::new(dir.path()))));
        let error = outcome.map(|_| ()).expect_err(name).to_string();
        assert!(error.contains(&format!("{name}: this file has 2684354560 bytes, and a {name} of more than")), "{error}");
        assert!(peak < 10 << 20, "{name} took {peak} bytes");
        match before {
            Some(bytes) => std::fs::write(&path, bytes).expect("it is put back"),
            None => std::fs::remove_file(&path).expect("it is there"),
        }
    }
}
