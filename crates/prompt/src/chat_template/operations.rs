//! What templates can do: the operators, filters, tests, functions and methods that published chat
//! templates use, each metered.

use std::cmp::Ordering;
use std::fmt::{self, Write};
use std::sync::Arc;

use minijinja::functions::Function;
use minijinja::value::{
    FunctionArgs, FunctionResult, Kwargs, Rest, Value, ValueKind, ValueOrKwargs,
};
use minijinja::{Environment, Error, ErrorKind, State, filters, functions, tests};
use minijinja_contrib::pycompat;

use crate::chat_template::meter::{Meter, MeteredText};

/// Most blanks a level that `tojson` may indent by.
const INDENT_MAX: u64 = 8;
/// Longest format that `strftime_now` takes, in bytes.
const DATE_FORMAT_BYTES_MAX: usize = 128;

/// How an operation pays for its operands.
#[derive(Clone, Copy)]
enum Cost {
    /// It looks at them to the bottom.
    Deep,
    /// It counts or picks elements.
    Shallow,
    /// It writes them out.
    Output,
}

/// Gives `environment` everything that a template may use.
pub(crate) fn install(
    environment: &mut Environment<'static>,
    meter: &Arc<Meter>,
    now_ms: Option<u64>,
) {
    install_operators(environment, meter);
    install_filters(environment, meter);
    install_tests(environment, meter);
    install_functions(environment, meter, now_ms);
    let meter = Arc::clone(meter);
    environment.set_unknown_method_callback(move |state, value, method, args| {
        if !METHODS.contains(&method) {
            let message = format!("the method `{method}` is not supported");
            return Err(Error::new(ErrorKind::UnknownMethod, message));
        }
        meter.weigh(value)?;
        for argument in args {
            meter.weigh(argument)?;
        }
        let result = match method {
            "replace" => {
                meter.output(replaced_bytes(value, args)?)?;
                pycompat::unknown_method_callback(state, value, method, args)?
            }
            "join" => join(&meter, args.first().unwrap_or(&Value::UNDEFINED), Some(value))?,
            _ => pycompat::unknown_method_callback(state, value, method, args)?,
        };
        materialize(&meter, result)
    });
}

/// Writes a value as Jinja does: nothing for undefined, Python's names for `none`, `true` and `false`.
pub(crate) fn write_value(into: &mut dyn Write, value: &Value) -> fmt::Result {
    match value.kind() {
        ValueKind::Undefined => Ok(()),
        ValueKind::None => into.write_str("None"),
        ValueKind::Bool => into.write_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String => into.write_str(value.as_str().unwrap_or_default()),
        _ => write!(into, "{value}"),
    }
}

/// Methods of Python's strings and dictionaries.
const METHODS: [&str; 25] = [
    "capitalize",
    "count",
    "endswith",
    "find",
    "get",
    "isalnum",
    "isalpha",
    "islower",
    "isspace",
    "isupper",
    "items",
    "join",
    "keys",
    "lower",
    "lstrip",
    "replace",
    "rfind",
    "rstrip",
    "split",
    "splitlines",
    "startswith",
    "strip",
    "title",
    "upper",
    "values",
];

fn install_operators(environment: &mut Environment<'static>, meter: &Arc<Meter>) {
    let mut operator = |name: &'static str, run: fn(&Meter, &[Value]) -> Result<Value, Error>| {
        let meter = Arc::clone(meter);
        environment.add_function(name, move |operands: Rest<Value>| run(&meter, &operands));
    };
    operator("+", |meter, operands| add(meter, &operands[0], &operands[1]));
    operator("*", |meter, operands| multiply(meter, &operands[0], &operands[1]));
    operator("~", written);
    operator("==", |meter, operands| Ok(Value::from(equal(meter, operands)?)));
    operator("!=", |meter, operands| Ok(Value::from(!equal(meter, operands)?)));
    operator("<", |meter, operands| compare(meter, operands, Ordering::is_lt));
    operator("<=", |meter, operands| compare(meter, operands, Ordering::is_le));
    operator(">", |meter, operands| compare(meter, operands, Ordering::is_gt));
    operator(">=", |meter, operands| compare(meter, operands, Ordering::is_ge));
    operator("in", |meter, operands| contains(meter, &operands[0], &operands[1]));
    operator("[:]", slice);
    operator("[]", |meter, operands| {
        let list = Value::from(operands.to_vec());
        meter.weigh(&list).map(|()| list)
    });
    operator("{}", |meter, operands| {
        let pairs = operands.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        let map = Value::from_pairs(pairs);
        meter.weigh(&map).map(|()| map)
    });
}

fn install_filters(environment: &mut Environment<'static>, meter: &Arc<Meter>) {
    let mut add = |name: &'static str, cost: Cost, filter: Value| {
        environment.add_filter(name, metered(meter, cost, filter));
    };
    add("capitalize", Cost::Deep, function(filters::capitalize));
    add("count", Cost::Shallow, function(filters::length));
    add("d", Cost::Shallow, function(filters::default));
    add("default", Cost::Shallow, function(filters::default));
    add("dictsort", Cost::Deep, function(filters::dictsort));
    add("first", Cost::Shallow, function(filters::first));
    add("float", Cost::Shallow, function(filters::float));
    add("int", Cost::Shallow, function(filters::int));
    add("items", Cost::Shallow, function(filters::items));
    add("last", Cost::Shallow, function(filters::last));
    add("length", Cost::Shallow, function(filters::length));
    add("list", Cost::Deep, function(filters::list));
    add("lower", Cost::Deep, function(filters::lower));
    add("map", Cost::Deep, function(filters::map));
    add("max", Cost::Deep, function(filters::max));
    add("min", Cost::Deep, function(filters::min));
    add("reject", Cost::Deep, function(filters::reject));
    add("rejectattr", Cost::Deep, function(filters::rejectattr));
    add("reverse", Cost::Deep, function(filters::reverse));
    add("round", Cost::Shallow, function(filters::round));
    add("select", Cost::Deep, function(filters::select));
    add("selectattr", Cost::Deep, function(filters::selectattr));
    add("sort", Cost::Deep, function(filters::sort));
    add("split", Cost::Deep, function(filters::split));
    add("title", Cost::Deep, function(filters::title));
    add("trim", Cost::Deep, function(filters::trim));
    add("unique", Cost::Deep, function(filters::unique));
    add("upper", Cost::Deep, function(filters::upper));
    add("tojson", Cost::Output, function(tojson));
    let writing = Arc::clone(meter);
    environment.add_filter("string", move |value: Value| written(&writing, &[value]));
    let replacing = Arc::clone(meter);
    environment.add_filter("replace", move |state: &mut State<'_, '_>, args: Rest<Value>| {
        let Some((value, rest)) = args.split_first() else {
            return Err(Error::from(ErrorKind::MissingArgument));
        };
        replacing.output(replaced_bytes(value, rest)?)?;
        function(filters::replace).call(state, &args)
    });
    let joining = Arc::clone(meter);
    environment.add_filter("join", move |list: Value, separator: Option<Value>| {
        join(&joining, &list, separator.as_ref())
    });
}

fn install_tests(environment: &mut Environment<'static>, meter: &Arc<Meter>) {
    let mut add = |name: &'static str, cost: Cost, test: Value| {
        environment.add_test(name, metered(meter, cost, test));
    };
    add("boolean", Cost::Shallow, function(tests::is_boolean));
    add("defined", Cost::Shallow, function(tests::is_defined));
    add("divisibleby", Cost::Shallow, function(tests::is_divisibleby));
    add("endingwith", Cost::Deep, function(tests::is_endingwith));
    add("even", Cost::Shallow, function(tests::is_even));
    add("false", Cost::Shallow, function(tests::is_false));
    add("float", Cost::Shallow, function(tests::is_float));
    add("in", Cost::Deep, function(tests::is_in));
    add("integer", Cost::Shallow, function(tests::is_integer));
    add("iterable", Cost::Shallow, function(tests::is_iterable));
    add("lower", Cost::Deep, function(tests::is_lower));
    add("mapping", Cost::Shallow, function(tests::is_mapping));
    add("none", Cost::Shallow, function(tests::is_none));
    add("number", Cost::Shallow, function(tests::is_number));
    add("odd", Cost::Shallow, function(tests::is_odd));
    add("sequence", Cost::Shallow, function(tests::is_sequence));
    add("startingwith", Cost::Deep, function(tests::is_startingwith));
    add("string", Cost::Shallow, function(tests::is_string));
    add("true", Cost::Shallow, function(tests::is_true));
    add("undefined", Cost::Shallow, function(tests::is_undefined));
    add("upper", Cost::Deep, function(tests::is_upper));
    for name in ["eq", "equalto", "=="] {
        add(name, Cost::Deep, function(tests::is_eq));
    }
    for name in ["ne", "!="] {
        add(name, Cost::Deep, function(tests::is_ne));
    }
    for name in ["lt", "lessthan", "<"] {
        add(name, Cost::Deep, function(tests::is_lt));
    }
    for name in ["gt", "greaterthan", ">"] {
        add(name, Cost::Deep, function(tests::is_gt));
    }
}

fn install_functions(
    environment: &mut Environment<'static>,
    meter: &Arc<Meter>,
    now_ms: Option<u64>,
) {
    environment.add_function("range", metered(meter, Cost::Shallow, function(functions::range)));
    environment.add_function("dict", metered(meter, Cost::Deep, function(functions::dict)));
    let naming = Arc::clone(meter);
    let namespace = metered(meter, Cost::Deep, function(functions::namespace));
    environment.add_function("namespace", move |state: &mut State<'_, '_>, fields| {
        naming.namespace()?;
        namespace(state, fields)
    });
    environment.add_function("raise_exception", |message: String| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, message))
    });
    if let Some(now_ms) = now_ms {
        environment.add_function("strftime_now", move |format: &str| date(now_ms, format));
    }
}

fn function<F, Rv, Args>(function: F) -> Value
where
    F: Function<Rv, Args>,
    Rv: FunctionResult,
    Args: for<'a> FunctionArgs<'a>,
{
    Value::from_function(function)
}

/// `inner`, paid for before it runs, with a plain list for a lazy result.
fn metered(
    meter: &Arc<Meter>,
    cost: Cost,
    inner: Value,
) -> impl Fn(&mut State<'_, '_>, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync + 'static
{
    let meter = Arc::clone(meter);
    move |state, args| {
        let args = args.into_values();
        for argument in &args {
            match cost {
                Cost::Deep => meter.weigh(argument)?,
                Cost::Shallow => meter.weigh_shallow(argument)?,
                Cost::Output => meter.weigh_output(argument)?,
            }
        }
        materialize(&meter, inner.call(state, &args)?)
    }
}

/// Lazy sequences would be worked out again at each use, and could be chained without an end.
fn materialize(meter: &Meter, value: Value) -> Result<Value, Error> {
    if value.kind() != ValueKind::Iterable {
        return Ok(value);
    }
    let mut items = Vec::new();
    for item in value.try_iter()? {
        meter.work(1)?;
        items.push(item);
    }
    Ok(Value::from(items))
}

fn add(meter: &Meter, left: &Value, right: &Value) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (left.as_str(), right.as_str()) {
        meter.output(left.len() + right.len())?;
        return Ok(Value::from([left, right].concat()));
    }
    if left.kind() == ValueKind::Seq && right.kind() == ValueKind::Seq {
        meter.work(left.len().unwrap_or(0) as u64)?;
        meter.work(right.len().unwrap_or(0) as u64)?;
        return Ok(left.try_iter()?.chain(right.try_iter()?).collect::<Vec<_>>().into());
    }
    numbers("+", left, right, i64::checked_add, |left, right| left + right)
}

fn multiply(meter: &Meter, left: &Value, right: &Value) -> Result<Value, Error> {
    let repeated = left.as_str().zip(right.as_usize());
    if let Some((text, times)) = repeated.or_else(|| right.as_str().zip(left.as_usize())) {
        meter.output(text.len().saturating_mul(times))?;
        return Ok(Value::from(text.repeat(times)));
    }
    numbers("*", left, right, i64::checked_mul, |left, right| left * right)
}

fn numbers(
    operator: &str,
    left: &Value,
    right: &Value,
    whole: fn(i64, i64) -> Option<i64>,
    real: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    let (kind_left, kind_right) = (left.kind(), right.kind());
    let invalid = |why: &str| {
        let message = format!("cannot compute {kind_left} {operator} {kind_right}{why}");
        Error::new(ErrorKind::InvalidOperation, message)
    };
    if kind_left != ValueKind::Number || kind_right != ValueKind::Number {
        return Err(invalid(""));
    }
    if left.is_integer() && right.is_integer() {
        let (left, right) = (i64::try_from(left.clone())?, i64::try_from(right.clone())?);
        return whole(left, right).map(Value::from).ok_or_else(|| invalid(": too large"));
    }
    Ok(Value::from(real(f64::try_from(left.clone())?, f64::try_from(right.clone())?)))
}

fn written(meter: &Meter, values: &[Value]) -> Result<Value, Error> {
    let mut text = String::new();
    for value in values {
        meter.weigh(value)?;
        write_value(&mut MeteredText::new(meter, &mut text), value)?;
    }
    Ok(Value::from(text))
}

fn equal(meter: &Meter, operands: &[Value]) -> Result<bool, Error> {
    weigh_pair(meter, operands)?;
    Ok(operands[0] == operands[1])
}

fn compare(
    meter: &Meter,
    operands: &[Value],
    is_wanted: fn(Ordering) -> bool,
) -> Result<Value, Error> {
    weigh_pair(meter, operands)?;
    Ok(Value::from(operands[0].partial_cmp(&operands[1]).is_some_and(is_wanted)))
}

/// Comparing two texts costs as much as the shorter one has.
fn weigh_pair(meter: &Meter, operands: &[Value]) -> Result<(), Error> {
    let (left, right) = (&operands[0], &operands[1]);
    match (left.as_str(), right.as_str()) {
        (Some(left_text), Some(right_text)) => {
            meter.weigh(if left_text.len() < right_text.len() { left } else { right })
        }
        _ => meter.weigh(left).and_then(|()| meter.weigh(right)),
    }
}

fn contains(meter: &Meter, item: &Value, container: &Value) -> Result<Value, Error> {
    if container.is_undefined() {
        return Ok(Value::from(false));
    }
    meter.weigh(item)?;
    meter.weigh(container)?;
    let found = match (container.as_str(), container.kind()) {
        (Some(text), _) => match item.as_str() {
            Some(part) => text.contains(part),
            None => false,
        },
        (None, ValueKind::Map | ValueKind::Seq) => {
            container.try_iter()?.any(|candidate| candidate == *item)
        }
        (None, kind) => {
            let message = format!("cannot look for something in {kind}");
            return Err(Error::new(ErrorKind::InvalidOperation, message));
        }
    };
    Ok(Value::from(found))
}

/// Python's slices of texts and lists: value, start, stop, step.
fn slice(meter: &Meter, operands: &[Value]) -> Result<Value, Error> {
    let [value, bounds @ ..] = operands else {
        return Err(Error::from(ErrorKind::MissingArgument));
    };
    let bound = |index: usize| match &bounds[index] {
        bound if bound.is_none() || bound.is_undefined() => Ok(None),
        bound => i64::try_from(bound.clone()).map(Some),
    };
    let (start, stop, step) = (bound(0)?, bound(1)?, bound(2)?.unwrap_or(1));
    meter.weigh_shallow(value)?;
    meter.work(value.len().unwrap_or(0) as u64)?;
    if let Some(text) = value.as_str() {
        meter.output(text.len())?;
        let chars: Vec<char> = text.chars().collect();
        let picked = slice_indices(chars.len(), start, stop, step)?;
        return Ok(Value::from(picked.map(|index| chars[index]).collect::<String>()));
    }
    if value.is_undefined() || value.is_none() {
        return Ok(Value::from(Vec::<Value>::new()));
    }
    let items: Vec<Value> = value.try_iter()?.collect();
    let picked = slice_indices(items.len(), start, stop, step)?;
    Ok(Value::from(picked.map(|index| items[index].clone()).collect::<Vec<_>>()))
}

/// The positions that a slice picks from `len` elements, by Python's rules (`slice.indices`).
fn slice_indices(
    len: usize,
    start: Option<i64>,
    stop: Option<i64>,
    step: i64,
) -> Result<impl Iterator<Item = usize>, Error> {
    if step == 0 {
        return Err(Error::new(ErrorKind::InvalidOperation, "a slice needs a step other than 0"));
    }
    let len = i64::try_from(len).unwrap_or(i64::MAX);
    let (lowest, highest) = if step > 0 { (0, len) } else { (-1, len - 1) };
    let clamp = |bound: i64| {
        let from_front = if bound < 0 { bound.saturating_add(len) } else { bound };
        from_front.clamp(lowest, highest)
    };
    let first = start.map_or(if step > 0 { lowest } else { highest }, clamp);
    let last = stop.map_or(if step > 0 { highest } else { lowest }, clamp);
    let mut next = Some(first);
    Ok(std::iter::from_fn(move || {
        let index = next.filter(|&index| if step > 0 { index < last } else { index > last })?;
        next = index.checked_add(step);
        usize::try_from(index).ok()
    }))
}

fn join(meter: &Meter, list: &Value, separator: Option<&Value>) -> Result<Value, Error> {
    meter.weigh(list)?;
    let mut text = String::new();
    if list.is_undefined() || list.is_none() {
        return Ok(Value::from(text));
    }
    for (index, item) in list.try_iter()?.enumerate() {
        let mut into = MeteredText::new(meter, &mut text);
        if let Some(separator) = separator.filter(|_| index > 0) {
            write_value(&mut into, separator)?;
        }
        write_value(&mut into, &item)?;
    }
    Ok(Value::from(text))
}

/// How long a text is after `from` was replaced by `to`.
fn replaced_bytes(value: &Value, args: &[Value]) -> Result<usize, Error> {
    let [from, to, ..] = args else {
        return Err(Error::from(ErrorKind::MissingArgument));
    };
    let texts = value.as_str().zip(from.as_str()).zip(to.as_str());
    let Some(((text, from), to)) = texts else {
        return Err(Error::new(ErrorKind::InvalidOperation, "replace works on texts only"));
    };
    let found = text.matches(from).count();
    Ok(found.saturating_mul(to.len()).saturating_add(text.len()))
}

fn tojson(value: Value, indent: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let indent = match indent {
        Some(indent) => Some(indent),
        None => options.get::<Option<Value>>("indent")?,
    };
    // Only says what Python's own serializer does by default.
    options.get::<Option<bool>>("ensure_ascii")?;
    options.assert_all_used()?;
    let too_wide = indent.as_ref().and_then(Value::as_usize).unwrap_or(0) as u64 > INDENT_MAX;
    if too_wide {
        let message = format!("tojson indents by {INDENT_MAX} at most");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    let json = filters::tojson(&value, indent, Kwargs::from_iter(Vec::<(&str, Value)>::new()))?;
    // The filter escapes for HTML, which Hugging Face's renderer does not.
    let text = json.to_string();
    let plain = [("\\u003c", "<"), ("\\u003e", ">"), ("\\u0026", "&"), ("\\u0027", "'")];
    Ok(Value::from(plain.iter().fold(text, |text, (from, to)| text.replace(from, to))))
}

fn date(now_ms: u64, format: &str) -> Result<String, Error> {
    let invalid = |why: String| Error::new(ErrorKind::InvalidOperation, why);
    if format.len() > DATE_FORMAT_BYTES_MAX {
        let why = format!("strftime_now takes formats of {DATE_FORMAT_BYTES_MAX} bytes at most");
        return Err(invalid(why));
    }
    let now_ms = i64::try_from(now_ms).unwrap_or(i64::MAX);
    let now =
        jiff::Timestamp::from_millisecond(now_ms).map_err(|error| invalid(error.to_string()))?;
    jiff::fmt::strtime::format(format, &now.to_zoned(jiff::tz::TimeZone::UTC))
        .map_err(|error| invalid(error.to_string()))
}
