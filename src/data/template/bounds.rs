//! Limits on the nesting of a template, checked on its tokens before it is parsed, because the engine's parser, compiler and values
//! recurse and the page's worker has a stack of one megabyte. The same scan inserts the meters ([`super::meter`]): the engine counts
//! instructions and the bytes that they create, but not the bytes that a comparison, a filter or a slice reads.

use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::meter::{METER, METER_FACTOR, METER_KEPT, METER_TEXT};

/// The longest template, in bytes. Published ones have up to 20,000.
const MAX_BYTES: usize = 1 << 20;
/// Brackets inside each other in one expression. Published templates have up to six.
const MAX_BRACKETS: usize = 24;
/// Operators, filters, attributes, calls and brackets that apply to each other's results in one expression.
const MAX_CHAIN: usize = 250;
/// `for`, `if` and other blocks inside each other, each `elif` inside the branch before it.
const MAX_BLOCKS: usize = 100;

/// Filters that look at no item and no byte of what they are given.
const CHEAP_FILTERS: [&str; 6] = ["length", "count", "first", "d", "default", "safe"];
/// Tests that look at the type only.
const CHEAP_TESTS: [&str; 15] = [
    "defined",
    "undefined",
    "none",
    "string",
    "mapping",
    "iterable",
    "sequence",
    "number",
    "integer",
    "int",
    "float",
    "boolean",
    "true",
    "false",
    "callable",
];

/// The template with its meters inserted; the error is a clause that says why it is refused. Text that has no tokens is returned as it is:
/// the parser reports the syntax error.
pub(super) fn metered(source: &str, syntax: SyntaxConfig) -> Result<String, String> {
    if source.len() > MAX_BYTES {
        return Err(format!("it has {} bytes, and a chat template of more than {MAX_BYTES} is not read", source.len()));
    }
    let mut tokens = Vec::new();
    for token in tokenize(source, false, syntax) {
        let Ok((token, span)) = token else { return Ok(source.to_string()) };
        tokens.push((token, span.start_offset as usize, span.end_offset as usize));
    }
    let mut scan = Scan::default();
    for i in 0..tokens.len() {
        scan.token(&tokens, i).map_err(|what| {
            let line = source[..tokens[i].1].matches('\n').count() + 1;
            format!("{what} at line {line}, more than any chat template needs")
        })?;
        scan.previous_end = tokens[i].2;
    }
    Ok(scan.insert_into(source))
}

type Placed<'a> = (Token<'a>, usize, usize);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bracket {
    /// Not a bracket, but the tag itself.
    Tag,
    Group,
    Call,
    Subscript,
    List,
    Map,
}

/// The expressions in one pair of brackets.
#[derive(Debug)]
struct Level {
    bracket: Bracket,
    /// Where the bracket stands, and where the token before it ends.
    at: usize,
    before: usize,
    /// Operators and the like since the last comma; the deepest brackets since then; the deepest expression before it.
    chain: usize,
    inner: usize,
    deepest: usize,
    /// The operand that is being read.
    operand: Option<Operand>,
    /// The meter that the operator before the operand wants for it.
    wanted: Option<&'static str>,
    /// Whether there is a name in it, so that it is no constant; and whether all of it is one string.
    variable: bool,
    only_text: bool,
}

#[derive(Debug, Clone, Copy)]
struct Operand {
    start: usize,
    /// Whether it is one constant.
    constant: bool,
    /// Whether a test stands in it (`x is in y`): what follows is the test's.
    tested: bool,
}

impl Level {
    fn new(bracket: Bracket, at: usize, before: usize) -> Self {
        let wanted = (bracket == Bracket::Subscript).then_some(METER);
        Level { bracket, at, before, chain: 0, inner: 0, deepest: 0, operand: None, wanted, variable: false, only_text: true }
    }

    fn depth(&self) -> usize {
        self.deepest.max(self.chain + self.inner)
    }

    fn read(&mut self, start: usize, constant: bool) {
        self.variable |= !constant;
        match &mut self.operand {
            Some(operand) => operand.constant = false,
            None => self.operand = Some(Operand { start, constant, tested: false }),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq)]
enum Part {
    #[default]
    Expression,
    /// The names that `for` and `set` give values to.
    Targets,
    /// The word that a block begins with.
    Start,
}

#[derive(Debug, Default)]
struct Scan {
    levels: Vec<Level>,
    part: Part,
    /// `set`, `for` … of the block that is being read.
    word: String,
    /// What `set` stores: where it begins, and its meter.
    stored: Option<(usize, &'static str)>,
    /// Open blocks, each with how many branches it has so far.
    blocks: Vec<usize>,
    /// Whether an operand was read, so that a bracket is a call or a subscript and a minus is an operator.
    after_operand: bool,
    previous_end: usize,
    /// How many tokens from here are the name of a filter, a test or an attribute.
    names: usize,
    insertions: Vec<(usize, String)>,
}

impl Scan {
    fn token(&mut self, tokens: &[Placed<'_>], i: usize) -> Result<(), String> {
        let (token, start, end) = &tokens[i];
        match token {
            Token::TemplateData(_) => {}
            Token::VariableStart => self.open_tag(Part::Expression, *end),
            Token::BlockStart => self.open_tag(Part::Start, *end),
            Token::VariableEnd | Token::BlockEnd => self.close_tag()?,
            _ if self.part == Part::Start => self.first_word(token)?,
            _ if self.part == Part::Targets => self.target(token, *end),
            _ if self.levels.is_empty() => {} // behind a tag's end: the parser refuses it
            _ if self.names > 0 => self.names -= 1,
            _ => self.expression(tokens, i, *start)?,
        }
        Ok(())
    }

    fn open_tag(&mut self, part: Part, end: usize) {
        self.levels = vec![Level::new(Bracket::Tag, end, end)];
        self.part = part;
        self.word.clear();
        self.stored = None;
        self.after_operand = false;
        self.names = 0;
    }

    fn close_tag(&mut self) -> Result<(), String> {
        let constant = self.levels.first().is_none_or(|level| !level.variable);
        self.end_operand();
        match self.stored.take() {
            Some((start, meter)) if !constant => {
                self.insert(start, "(");
                self.insert(self.previous_end, &format!(")|{meter}"));
            }
            None if self.word == "set" => self.blocks.push(1), // {% set name %}…{% endset %}
            _ => {}
        }
        let depth = self.levels.first().map_or(0, Level::depth);
        self.levels.clear();
        self.part = Part::Expression;
        match depth > MAX_CHAIN {
            true => Err(format!("an expression applies more than {MAX_CHAIN} operators, filters or attributes to each other's results")),
            false => Ok(()),
        }
    }

    fn first_word(&mut self, token: &Token<'_>) -> Result<(), String> {
        let Token::Ident(word) = token else { return Ok(()) };
        self.word = (*word).to_string();
        self.part = if matches!(*word, "for" | "set") { Part::Targets } else { Part::Expression };
        match *word {
            "for" | "if" | "macro" | "call" | "filter" | "with" | "autoescape" => self.blocks.push(1),
            "elif" => self.blocks.last_mut().into_iter().for_each(|branches| *branches += 1),
            word if word.starts_with("end") => _ = self.blocks.pop(),
            _ => {}
        }
        match self.blocks.iter().sum::<usize>() > MAX_BLOCKS {
            true => Err(format!("more than {MAX_BLOCKS} blocks (if, elif, for …) stand inside each other")),
            false => Ok(()),
        }
    }

    fn target(&mut self, token: &Token<'_>, end: usize) {
        match (self.word.as_str(), token) {
            ("for", Token::Ident("in")) => self.part = Part::Expression,
            ("set", Token::Assign) => {
                self.part = Part::Expression;
                self.stored = Some((end, self.stored.map_or(METER, |(_, meter)| meter)));
            }
            ("set", Token::Dot) => self.stored = Some((end, METER_KEPT)),
            ("set", Token::Pipe) => (self.part, self.names) = (Part::Expression, 1),
            _ => {}
        }
    }

    fn expression(&mut self, tokens: &[Placed<'_>], i: usize, start: usize) -> Result<(), String> {
        match &tokens[i].0 {
            Token::Ident("not") if self.after_operand => self.end_operand(), // "a not in b"
            Token::Ident("not") => self.level().chain += 1,
            Token::Ident("is") => {
                let negated = matches!(tokens.get(i + 1), Some((Token::Ident("not"), ..)));
                self.names = 1 + usize::from(negated);
                self.apply(tokens.get(i + self.names), &CHEAP_TESTS);
                if let Some(operand) = &mut self.level().operand {
                    operand.tested = true;
                }
                self.after_operand = false; // the test's argument may follow
            }
            Token::Ident("in") => self.operator(Some(METER)),
            Token::Ident("and" | "or" | "if" | "else") => self.operator(None),
            Token::Ident(name) => {
                self.level().only_text = false;
                self.operand(start, matches!(*name, "true" | "false" | "none" | "True" | "False" | "None"));
            }
            Token::Str(_) | Token::String(_) => self.operand(start, true),
            Token::Int(_) | Token::Int128(_) | Token::Float(_) => {
                self.level().only_text = false;
                self.operand(start, true);
            }
            Token::Minus | Token::Plus if !self.after_operand => self.level().chain += 1,
            Token::Mul => self.operator(Some(METER_FACTOR)),
            Token::Plus | Token::Tilde | Token::Eq | Token::Ne | Token::Lt | Token::Lte | Token::Gt | Token::Gte => {
                self.operator(Some(METER))
            }
            Token::Minus | Token::Div | Token::FloorDiv | Token::Pow | Token::Mod => self.operator(None),
            Token::Dot => {
                self.names = 1;
                self.apply(None, &[]);
            }
            Token::Pipe => {
                self.names = 1;
                self.apply(tokens.get(i + 1), &CHEAP_FILTERS);
                self.after_operand = true;
            }
            Token::ParenOpen => self.open(if self.after_operand { Bracket::Call } else { Bracket::Group }, start)?,
            Token::BracketOpen => self.open(if self.after_operand { Bracket::Subscript } else { Bracket::List }, start)?,
            Token::BraceOpen => self.open(Bracket::Map, start)?,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => self.close(),
            Token::Comma => {
                self.end_operand();
                let level = self.level();
                level.deepest = level.depth();
                (level.chain, level.inner) = (0, 0);
            }
            Token::Colon => {
                let level = self.level();
                if level.bracket == Bracket::Map {
                    level.wanted = level.wanted.or(Some(METER)); // a key is looked up
                }
                self.operator(None);
            }
            Token::Assign => (self.level().operand, self.after_operand) = (None, false), // the name of an argument
            _ => {}
        }
        Ok(())
    }

    fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("a tag's own level stays until it is closed")
    }

    fn operand(&mut self, start: usize, constant: bool) {
        self.level().read(start, constant);
        self.after_operand = true;
    }

    /// A filter, a test or an attribute of the operand; it is metered unless its name is one of the `cheap` ones.
    fn apply(&mut self, name: Option<&Placed<'_>>, cheap: &[&str]) {
        let at = self.previous_end;
        let level = self.level();
        level.chain += 1;
        level.only_text = false;
        let Some(operand) = &mut level.operand else { return };
        let metered = !operand.constant && matches!(name, Some((Token::Ident(name), ..)) if !cheap.contains(name));
        operand.constant = false;
        if metered {
            self.insert(at, &format!("|{METER}"));
        }
    }

    /// An operator, and what it wants for the operands on both sides.
    fn operator(&mut self, wants: Option<&'static str>) {
        let level = self.level();
        level.chain += 1;
        level.only_text = false;
        level.wanted = if level.wanted == Some(METER_FACTOR) { level.wanted } else { wants.or(level.wanted) };
        self.end_operand();
        self.level().wanted = wants;
    }

    /// The operand is complete: it gets the meter that is wanted for it.
    fn end_operand(&mut self) {
        let at = self.previous_end;
        self.after_operand = false;
        let Some(level) = self.levels.last_mut() else { return };
        if let (Some(operand), Some(meter)) = (level.operand.take(), level.wanted.take())
            && !operand.constant
        {
            self.insert(at, &format!("|{meter}"));
        }
    }

    fn open(&mut self, bracket: Bracket, at: usize) -> Result<(), String> {
        if self.levels.len() > MAX_BRACKETS {
            return Err(format!("an expression has more than {MAX_BRACKETS} brackets inside each other"));
        }
        self.levels.push(Level::new(bracket, at, self.previous_end));
        self.after_operand = false;
        Ok(())
    }

    fn close(&mut self) {
        self.end_operand();
        if self.levels.len() < 2 {
            return; // one too many: the parser refuses it
        }
        let closed = self.levels.pop().expect("there are two");
        let level = self.level();
        level.inner = level.inner.max(1 + closed.depth());
        match closed.bracket {
            Bracket::Subscript | Bracket::Call => {
                level.chain += 1;
                level.only_text = false;
                if let Some(operand) = &mut level.operand {
                    operand.constant = false;
                    // An attribute's name costs nothing; an index or a slice may run through a text.
                    let base = (closed.bracket == Bracket::Subscript && !closed.only_text && !operand.tested).then_some(operand.start);
                    if let Some(base) = base {
                        self.insert(base, "(");
                        self.insert(closed.before, &format!("|{METER_TEXT})"));
                    }
                }
                self.level().variable = true;
            }
            _ => {
                level.only_text = false;
                level.read(closed.at, !closed.variable);
            }
        }
        self.after_operand = true;
    }

    fn insert(&mut self, at: usize, text: &str) {
        self.insertions.push((at, text.to_string()));
    }

    fn insert_into(mut self, source: &str) -> String {
        self.insertions.sort_by_key(|(at, _)| *at); // stable: what was inserted first at a place stands first
        let mut text = String::with_capacity(source.len() + 16 * self.insertions.len());
        let mut from = 0;
        for (at, inserted) in &self.insertions {
            text.push_str(&source[from..*at]);
            text.push_str(inserted);
            from = *at;
        }
        text + &source[from..]
    }
}
