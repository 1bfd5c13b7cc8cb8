//! The budget of a render. The engine's fuel counts instructions and the bytes that they create; the meters here charge the same fuel for
//! what operators, filters and methods read, and refuse values that are nested too deep to be printed or dropped on a small stack.

use minijinja::value::{Kwargs, Rest, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat::unknown_method_callback;

/// The filters that [`super::bounds`] puts into a template: for a value that is read, for one that a namespace keeps, for a factor of a
/// product, and for the text that is indexed or sliced.
pub(super) const METER: &str = "__metered";
pub(super) const METER_KEPT: &str = "__kept";
pub(super) const METER_FACTOR: &str = "__factor";
pub(super) const METER_TEXT: &str = "__text";

/// Lists and maps inside each other. JSON from a data set has at most 128.
const MAX_DEPTH: usize = 200;
/// What a render may spend: an instruction costs 1, 64 bytes that are created or read cost 1. An honest message takes some hundreds.
const FUEL: u64 = 2_000_000;
/// Frames of blocks, macros (four each) and loops that call themselves.
const MAX_FRAMES: usize = 120;

/// The fuel for input of so many bytes: long conversations cost more.
pub(super) fn fuel_for(bytes: usize) -> u64 {
    FUEL + bytes as u64 / 2
}

/// Puts the meters into an environment.
pub(super) fn install(environment: &mut Environment<'static>) {
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(MAX_FRAMES);
    environment.add_filter(METER, |state: &State, value: &Value| metered(state, value, true));
    environment.add_filter(METER_KEPT, |state: &State, value: &Value| metered(state, value, false));
    environment.add_filter(METER_FACTOR, factor);
    environment.add_filter(METER_TEXT, text);
    environment.add_filter("format", format);
    environment.add_function("dict", |state: &State, value: Option<Value>, update: Kwargs| {
        value.iter().try_for_each(|value| weigh(state, value, true))?;
        minijinja::functions::dict(value, update)
    });
    environment.add_function("namespace", |state: &State, defaults: Option<ValueOrKwargs>| {
        defaults.iter().try_for_each(|value| weigh(state, value, false))?;
        minijinja::functions::namespace(defaults)
    });
    environment.set_unknown_method_callback(method);
}

/// An error in the template's own terms.
pub(super) fn refused(reason: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason.to_string())
}

/// Pays for `bytes` that are read or created.
pub(super) fn pay(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(bytes as u64 / 64)
}

/// A value that is read, paid for. A sequence that is computed while it is read becomes a list, so that such sequences do not nest.
fn metered(state: &State, value: &Value, namespaces: bool) -> Result<Value, Error> {
    weigh(state, value, namespaces)?;
    if value.kind() == ValueKind::Iterable {
        return value.try_iter()?.map(|item| if item.kind() == ValueKind::Invalid { Err(invalid(&item)) } else { Ok(item) }).collect();
    }
    Ok(value.clone())
}

/// A number or a text; lists are not multiplied.
fn factor(state: &State, value: &Value) -> Result<Value, Error> {
    match value.as_object() {
        Some(_) => Err(refused("it multiplies a list")),
        None => metered(state, value, true),
    }
}

/// What is indexed: a text is run through.
fn text(state: &State, value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Iterable => metered(state, value, true),
        _ => {
            pay(state, value.as_str().map_or(0, str::len))?;
            Ok(value.clone())
        }
    }
}

/// Pays for a value with all that is in it, each time that it is in it: that is what printing or comparing it costs.
///
/// # Errors
/// Out of fuel, and values that are nested too deep.
pub(super) fn weigh(state: &State, value: &Value, namespaces: bool) -> Result<(), Error> {
    let (_, left) = state.fuel_levels().unwrap_or_default();
    let mut scale = Scale { left: left.saturating_mul(64), namespaces };
    let all = scale.left;
    scale.add(value, 0)?;
    pay(state, usize::try_from(all - scale.left).unwrap_or(usize::MAX))
}

struct Scale {
    /// What may still be added, in bytes.
    left: u64,
    /// Whether namespaces may be in it: one that holds itself has no end.
    namespaces: bool,
}

impl Scale {
    fn add(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH {
            return Err(refused(&format!("it nests lists or maps more than {MAX_DEPTH} deep")));
        }
        let Some(object) = value.as_object() else {
            let bytes = value.as_str().map(str::len).or_else(|| value.as_bytes().map(<[u8]>::len)).unwrap_or(0);
            return self.pay(bytes as u64);
        };
        self.pay(16)?;
        if !self.namespaces && object.type_name().ends_with("::Namespace") {
            return Err(refused("it puts a namespace into a namespace"));
        }
        match value.kind() {
            ValueKind::Seq | ValueKind::Iterable => {
                for item in value.try_iter()? {
                    if item.kind() == ValueKind::Invalid {
                        return Err(invalid(&item));
                    }
                    self.pay(16)?;
                    self.add(&item, depth + 1)?;
                }
            }
            ValueKind::Map => {
                for key in value.try_iter()? {
                    self.pay(32)?;
                    self.add(&key, depth + 1)?;
                    self.add(&value.get_item(&key)?, depth + 1)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn pay(&mut self, bytes: u64) -> Result<(), Error> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| Error::from(ErrorKind::OutOfFuel))?;
        Ok(())
    }
}

/// The error that an item of a computed sequence stands for.
fn invalid(item: &Value) -> Error {
    match item.clone().try_iter() {
        Err(error) => error,
        Ok(_) => refused("a sequence could not be computed"),
    }
}

/// Python's methods, paid for by the text that they run through and what they make of it.
fn method(state: &mut State, value: &Value, name: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        pay(state, text.len())?;
        match name {
            "format" => {
                args.iter().try_for_each(|arg| weigh(state, arg, true))?;
                pay(state, formatted(text, args))?;
            }
            "join" => args.iter().try_for_each(|arg| weigh(state, arg, true))?,
            // A part is a value of 24 bytes however short it is.
            "split" => match args.first().and_then(Value::as_str) {
                Some(separator) => pay(state, (1 + text.matches(separator).count()) * 64)?,
                None => pay(state, text.len() * 16)?,
            },
            "splitlines" => pay(state, (1 + text.matches('\n').count()) * 64)?,
            _ => {}
        }
    } else if value.as_object().is_some() && name != "get" {
        weigh(state, value, true)?;
    }
    unknown_method_callback(state, value, name, args)
}

/// At least as many bytes as a format makes of its arguments: each width that it names, and each argument as often as there are fields.
fn formatted(format: &str, args: &[Value]) -> usize {
    let widths = format.split(|c: char| !c.is_ascii_digit()).filter(|digits| !digits.is_empty());
    let widths = widths.map(|digits| digits.parse().unwrap_or(usize::MAX)).fold(0, usize::saturating_add);
    let fields = format.matches(['{', '%']).count();
    let longest = args.iter().map(|arg| arg.as_str().map_or(64, str::len)).max().unwrap_or(0);
    widths.saturating_add(fields.saturating_mul(longest))
}

/// The `format` filter: the engine pays for the widths, and here its arguments are paid for, which are printed.
fn format(state: &mut State, text: &Value, args: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    args.iter().try_for_each(|arg| weigh(state, arg, true))?;
    minijinja::filters::format(state, text, args)
}
