//! Reads JSON, and refuses what two readers could understand differently.

use super::{
    numbers::{self, Integers},
    write::by_units,
};
use crate::{Error, Result};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use std::{borrow::Cow, cell::Cell, cmp::Ordering, fmt};

/// A value. Its texts are parts of the text that was read, where nothing in them was escaped: to make a
/// map of it takes longer than to read it.
pub(super) enum Form<'a> {
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    List(Vec<Self>),
    /// In the order of a canonical text.
    Fields(Vec<Field<'a>>),
}

type Field<'a> = (Cow<'a, str>, Form<'a>);

impl From<Form<'_>> for Value {
    fn from(form: Form<'_>) -> Self {
        match form {
            Form::Null => Self::Null,
            Form::Bool(value) => Self::Bool(value),
            Form::Number(number) => Self::Number(number),
            Form::Text(text) => Self::String(text.into_owned()),
            Form::List(items) => items.into_iter().map(Self::from).collect(),
            Form::Fields(fields) => {
                fields.into_iter().map(|(key, value)| (key, Self::from(value))).collect()
            }
        }
    }
}

/// The value of `text`.
pub(super) fn strict<'a>(
    what: &str,
    text: &'a [u8],
    depth_max: usize,
    integers: Integers,
) -> Result<Form<'a>> {
    let told = Told { depth_max, integers, has_unsure: Cell::new(false), reason: Cell::new(None) };
    let mut reader = serde_json::Deserializer::from_slice(text);
    let read = Strict { depth: 0, told: &told }
        .deserialize(&mut reader)
        .and_then(|form| reader.end().map(|()| form));
    if read.is_err() || told.has_unsure.get() {
        numbers::check(what, text, integers)?;
    }
    // Its words are those of another crate's version, and this becomes outcomes.
    read.map_err(|e| {
        let reason = told.reason.take().unwrap_or_else(|| match e.is_eof() {
            true => "ends too early to be JSON".to_owned(),
            false if is_json(text) => "has half of a surrogate pair".to_owned(),
            false => "is no JSON".to_owned(),
        });
        Error::invalid(format!("{what}: {reason}"))
    })
}

/// Whether it follows the grammar, which knows nothing of surrogates.
fn is_json(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// What a reader is told, and what it tells.
struct Told {
    depth_max: usize,
    integers: Integers,
    /// Whether there is a number of which only its digits can say that it is understood.
    has_unsure: Cell<bool>,
    /// Why the text was refused here.
    reason: Cell<Option<String>>,
}

#[derive(Clone, Copy)]
struct Strict<'t> {
    depth: usize,
    told: &'t Told,
}

impl Strict<'_> {
    fn refuse<E: serde::de::Error>(self, reason: String) -> E {
        self.told.reason.set(Some(reason));
        E::custom("refused")
    }

    fn below<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == self.told.depth_max {
            return Err(self.refuse(format!("has more than {} levels", self.depth)));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }

    fn number<'a>(self, is_sure: bool, number: Number) -> Form<'a> {
        if !is_sure {
            self.told.has_unsure.set(true);
        }
        Form::Number(number)
    }

    /// Puts the fields into their order.
    fn fields<'a, E: serde::de::Error>(self, mut fields: Vec<Field<'a>>) -> Result<Form<'a>, E> {
        let order = |one: &Field<'_>, other: &Field<'_>| by_units(&one.0, &other.0);
        if !fields.is_sorted_by(|one, other| order(one, other) == Ordering::Less) {
            fields.sort_unstable_by(order);
            if let Some([(key, _), _]) =
                fields.array_windows().find(|[one, other]| one.0 == other.0)
            {
                let shown: String = key.chars().take(40).collect();
                return Err(self.refuse(format!("has the key {shown:?} twice")));
            }
        }
        Ok(Form::Fields(fields))
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Form<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Form<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Form<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Form<'de>, E> {
        Ok(Form::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Form<'de>, E> {
        Ok(Form::Bool(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Form<'de>, E> {
        Ok(Form::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Form<'de>, E> {
        Ok(Form::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Form<'de>, E> {
        Ok(self.number(self.told.integers.take(value.unsigned_abs()), value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Form<'de>, E> {
        Ok(self.number(self.told.integers.take(value), value.into()))
    }

    /// A fraction, or an integer of many digits.
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Form<'de>, E> {
        match Number::from_f64(value) {
            Some(number) => Ok(self.number(false, number)),
            None => Err(self.refuse("has a number that is not finite".to_owned())),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Form<'de>, A::Error> {
        let below = self.below()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(below)? {
            list.push(item);
        }
        Ok(Form::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut items: A) -> Result<Form<'de>, A::Error> {
        let below = self.below()?;
        let mut fields = Vec::new();
        while let Some(field) = items.next_entry_seed(Key, below)? {
            fields.push(field);
        }
        self.fields(fields)
    }
}

/// Reads the key of a field.
struct Key;

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Cow<'de, str>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Key {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}
