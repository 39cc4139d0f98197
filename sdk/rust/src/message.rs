//! Methods and arguments in, replies out.

use crate::{Error, Result};
use serde::{
    Serialize,
    de::{
        DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer,
        VariantAccess, Visitor, value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

/// What a call returns: JSON, made by [`reply`].
#[derive(Debug)]
pub struct Reply(Vec<u8>);

impl Reply {
    /// Bytes that are not JSON. Callers have to know.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// A reply with `value` as JSON; `reply(())` is `null`.
///
/// # Errors
/// When `value` cannot be JSON, such as a map whose keys are no strings.
pub fn reply(value: impl Serialize) -> Result<Reply> {
    serde_json::to_vec(&value).map(Reply).map_err(|error| Error::new(format!("reply: {error}")))
}

/// The variant of `T` named `method`, with `args` as its fields. Empty args are `{}`.
pub(crate) fn decode<T: DeserializeOwned>(method: &str, args: &[u8]) -> Result<T> {
    T::deserialize(Message { method, args }).map_err(|error| {
        let text = error.to_string();
        match text.strip_prefix("unknown variant ") {
            Some(rest) if error.classify() == serde_json::error::Category::Data => {
                let rest = rest.replacen(", expected", "; there is", 1);
                Error::new(format!("unknown method {rest}"))
            }
            _ => Error::new(format!("args of {method}: {text}")),
        }
    })
}

/// A method and its arguments, as an enum of serde's.
#[derive(Clone, Copy)]
struct Message<'a> {
    method: &'a str,
    args: &'a [u8],
}

impl<'a> Message<'a> {
    /// The arguments, read to their end.
    fn read<T>(
        self,
        read: impl FnOnce(
            &mut serde_json::Deserializer<serde_json::de::SliceRead<'a>>,
        ) -> serde_json::Result<T>,
    ) -> serde_json::Result<T> {
        let args = if self.args.is_empty() { b"{}" } else { self.args };
        let mut json = serde_json::Deserializer::from_slice(args);
        let value = read(&mut json)?;
        json.end()?;
        Ok(value)
    }
}

impl<'de> Deserializer<'de> for Message<'de> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> serde_json::Result<V::Value> {
        visitor.visit_enum(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

impl<'de> EnumAccess<'de> for Message<'de> {
    type Error = serde_json::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        self,
        seed: V,
    ) -> serde_json::Result<(V::Value, Self)> {
        let name: StrDeserializer<'_, Self::Error> = self.method.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

/// A method without arguments: takes none, by any spelling.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct NoArgs {}

impl<'de> VariantAccess<'de> for Message<'de> {
    type Error = serde_json::Error;

    fn unit_variant(self) -> serde_json::Result<()> {
        self.read(|json| <Option<NoArgs> as serde::Deserialize>::deserialize(json)).map(drop)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(
        self,
        seed: T,
    ) -> serde_json::Result<T::Value> {
        self.read(|json| seed.deserialize(json))
    }

    fn tuple_variant<V: Visitor<'de>>(
        self,
        len: usize,
        visitor: V,
    ) -> serde_json::Result<V::Value> {
        self.read(|json| json.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> serde_json::Result<V::Value> {
        self.read(|json| json.deserialize_struct("args", fields, visitor))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(rename_all = "snake_case", deny_unknown_fields)]
    enum Call {
        Reset,
        Increment {
            #[serde(default)]
            by: u64,
        },
        Say(String),
        Pair(u8, u8),
    }

    fn of(method: &str, args: &str) -> Result<Call, String> {
        decode(method, args.as_bytes()).map_err(Error::into_text)
    }

    #[test]
    fn every_shape_of_variant() {
        for none in ["", "{}", "null"] {
            assert_eq!(of("reset", none), Ok(Call::Reset), "{none}");
        }
        assert_eq!(of("increment", ""), Ok(Call::Increment { by: 0 }));
        assert_eq!(of("increment", r#"{"by":2}"#), Ok(Call::Increment { by: 2 }));
        assert_eq!(of("say", r#""hi""#), Ok(Call::Say("hi".into())));
        assert_eq!(of("pair", "[1,2]"), Ok(Call::Pair(1, 2)));
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let error = of("incremant", "{}").unwrap_err();
        assert!(
            error.starts_with("unknown method `incremant`; there is one of `reset`"),
            "{error}"
        );
        let error = of("increment", r#"{"by":2,"of":3}"#).unwrap_err();
        assert!(
            error.starts_with("args of increment: unknown field `of`, expected `by`"),
            "{error}"
        );
        assert!(of("reset", r#"{"by":2}"#).unwrap_err().contains("unknown field `by`"));
        assert!(of("increment", r#"{"by":-1}"#).unwrap_err().contains("invalid value"));
        assert!(of("increment", r#"{"by":1} x"#).unwrap_err().contains("trailing characters"));
    }
}
