//! JSON whose fields keep their order: what is said first in a report stands first in it.

use std::fmt;

use serde_json::Value;

/// A JSON value to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i128),
    /// Any other number; one that JSON has no word for is written as 0.
    Float(f64),
    /// A string.
    Text(String),
    /// Values in a row.
    Array(Vec<Json>),
    /// Named values.
    Object(Vec<(&'static str, Json)>),
    /// A value that came from somebody else.
    Foreign(Value),
}

impl Json {
    /// Adds a field to an object.
    pub fn push(&mut self, name: &'static str, value: impl Into<Json>) {
        if let Json::Object(fields) = self {
            fields.push((name, value.into()));
        }
    }
}

/// On one line, or with `{:#}` indented.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pretty = f.alternate();
        write(self, f, pretty.then_some(0))
    }
}

fn write(json: &Json, f: &mut fmt::Formatter<'_>, depth: Option<usize>) -> fmt::Result {
    match json {
        Json::Bool(value) => write!(f, "{value}"),
        Json::Int(value) => write!(f, "{value}"),
        Json::Float(value) if !value.is_finite() => f.write_str("0"),
        Json::Float(value) => write!(f, "{}", Value::from(*value)),
        Json::Text(text) => write!(f, "{}", Value::from(text.as_str())),
        Json::Foreign(value) => write!(f, "{value}"),
        Json::Array(values) => list(f, depth, '[', ']', values, write),
        Json::Object(fields) => list(f, depth, '{', '}', fields, |(name, value), f, depth| {
            let gap = if depth.is_some() { " " } else { "" };
            write!(f, "\"{name}\":{gap}")?;
            write(value, f, depth)
        }),
    }
}

fn list<T>(
    f: &mut fmt::Formatter<'_>,
    depth: Option<usize>,
    open: char,
    close: char,
    items: &[T],
    each: impl Fn(&T, &mut fmt::Formatter<'_>, Option<usize>) -> fmt::Result,
) -> fmt::Result {
    let line = |f: &mut fmt::Formatter<'_>, depth: Option<usize>| match depth {
        Some(depth) => write!(f, "\n{:1$}", "", depth * 2),
        None => Ok(()),
    };
    let inner = depth.map(|depth| depth + 1);
    write!(f, "{open}")?;
    for (n, item) in items.iter().enumerate() {
        if n > 0 {
            f.write_str(",")?;
        }
        line(f, inner)?;
        each(item, f, inner)?;
    }
    if !items.is_empty() {
        line(f, depth)?;
    }
    write!(f, "{close}")
}

/// An object of fields given as `name => value`.
macro_rules! object {
    ($($name:literal => $value:expr),* $(,)?) => {
        $crate::iperf3::tree::Json::Object(vec![$(($name, $value.into())),*])
    };
}
pub(crate) use object;

macro_rules! from_whole {
    ($($number:ty)*) => {$(
        impl From<$number> for Json {
            fn from(value: $number) -> Self {
                Json::Int(value as i128)
            }
        }
    )*};
}
from_whole!(u8 u16 u32 u64 i32 i64 usize);

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl From<f64> for Json {
    fn from(value: f64) -> Self {
        Json::Float(value)
    }
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Json::Text(text.into())
    }
}

impl From<String> for Json {
    fn from(text: String) -> Self {
        Json::Text(text)
    }
}

impl From<Vec<Json>> for Json {
    fn from(values: Vec<Json>) -> Self {
        Json::Array(values)
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Json::Foreign(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_escapes_survive() {
        let mut json = object! {
            "z" => 1u8, "a" => vec![Json::from(true), 1.5.into(), Json::from("say \"é\"\n")],
            "empty" => Vec::new(), "none" => object! {}, "nan" => f64::NAN,
        };
        json.push("big", u64::MAX);
        let flat = json.to_string();
        assert_eq!(
            flat,
            "{\"z\":1,\"a\":[true,1.5,\"say \\\"é\\\"\\n\"],\"empty\":[],\"none\":{},\"nan\":0,\
             \"big\":18446744073709551615}"
        );
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        assert_eq!(read(&flat), read(&format!("{json:#}")));
        assert_eq!(format!("{:#}", object! { "a" => 1u8 }), "{\n  \"a\": 1\n}");
        assert_eq!(Json::from(read("[null]")).to_string(), "[null]");
    }
}
