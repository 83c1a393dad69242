//! JSON as RFC 8785 wants it: keys sorted by UTF-16 code units, numbers as ECMAScript prints them, no blanks.

use std::fmt::Write;

use serde_json::Value;

/// The canonical text of a value.
pub(crate) fn to_string(value: &Value) -> String {
    let mut text = String::new();
    write_value(&mut text, value);
    text
}

fn write_value(text: &mut String, value: &Value) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(true) => text.push_str("true"),
        Value::Bool(false) => text.push_str("false"),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => write_float(text, float),
            _ => text.push_str(&number.to_string()),
        },
        Value::String(string) => write_string(text, string),
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_value(text, item);
            }
            text.push(']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            text.push('{');
            for (index, (key, value)) in fields.into_iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                write_string(text, key);
                text.push(':');
                write_value(text, value);
            }
            text.push('}');
        }
    }
}

fn write_string(text: &mut String, string: &str) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\u{9}' => text.push_str("\\t"),
            '\u{a}' => text.push_str("\\n"),
            '\u{c}' => text.push_str("\\f"),
            '\u{d}' => text.push_str("\\r"),
            control if control < ' ' => {
                write!(text, "\\u{:04x}", u32::from(control))
                    .expect("writing to a string never fails");
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Number::toString of ECMAScript: the shortest digits that read back as the same number, with an exponent only
/// from 1e21 upwards and below 1e-6.
fn write_float(text: &mut String, float: f64) {
    if float == 0.0 {
        text.push('0');
        return;
    }
    let scientific = format!("{float:e}");
    let (mantissa, exponent) = scientific.split_once('e').expect("the format writes an exponent");
    let exponent: i32 = exponent.parse().expect("the format writes a whole exponent");
    let (sign, mantissa) = match mantissa.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", mantissa),
    };
    let digits = mantissa.replace('.', "");
    let count = i32::try_from(digits.len()).expect("a float has at most 17 digits");
    text.push_str(sign);
    let point = exponent + 1;
    if count <= point && point <= 21 {
        text.push_str(&digits);
        (count..point).for_each(|_| text.push('0'));
    } else if 0 < point && point <= 21 {
        let (whole, fraction) = digits.split_at(point.unsigned_abs() as usize);
        text.push_str(whole);
        text.push('.');
        text.push_str(fraction);
    } else if -6 < point && point <= 0 {
        text.push_str("0.");
        (point..0).for_each(|_| text.push('0'));
        text.push_str(&digits);
    } else {
        let (first, rest) = digits.split_at(1);
        text.push_str(first);
        if !rest.is_empty() {
            text.push('.');
            text.push_str(rest);
        }
        write!(text, "e{}{}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
            .expect("writing to a string never fails");
    }
}
