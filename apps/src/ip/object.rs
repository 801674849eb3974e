//! JSON objects whose fields stay in the order they were written, as iproute2's are.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

/// An object, or whatever else is JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Json {
    Value(Value),
    List(Vec<Json>),
    Object(Object),
}

/// Fields in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Object(Vec<(&'static str, Json)>);

impl Object {
    /// Adds a field.
    pub fn with(mut self, name: &'static str, value: impl Into<Json>) -> Self {
        self.0.push((name, value.into()));
        self
    }

    /// Adds a field if there is something to say.
    pub fn with_some(self, name: &'static str, value: Option<impl Into<Json>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }
}

impl From<Object> for Json {
    fn from(object: Object) -> Self {
        Json::Object(object)
    }
}

impl From<Vec<Json>> for Json {
    fn from(list: Vec<Json>) -> Self {
        Json::List(list)
    }
}

impl From<Vec<String>> for Json {
    fn from(list: Vec<String>) -> Self {
        Json::Value(json!(list))
    }
}

macro_rules! from_value {
    ($($type:ty)*) => {$(
        impl From<$type> for Json {
            fn from(value: $type) -> Self {
                Json::Value(json!(value))
            }
        }
    )*};
}
from_value!(&str String bool u8 u16 u32 u64 usize std::net::IpAddr);

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Json::Value(value) => value.serialize(serializer),
            Json::List(list) => list.serialize(serializer),
            Json::Object(Object(fields)) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}
