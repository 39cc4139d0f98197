//! A first look at a text, without making a value of it: most of what fits is known to fit after it.
//!
//! What cannot be told on the way, such as which of some forms a value has, is read into a value there
//! and checked in full. Why something does not fit is not for this look to say.

use super::{
    ANNOTATIONS, DEPTH_MAX, Schema,
    rules::compare,
    words::{items, string},
};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value};
use std::{cmp::Ordering, collections::BTreeMap, fmt};

/// A schema, ready to be looked through.
#[derive(Debug)]
pub(crate) struct Plan {
    schema: Value,
    /// Its parts, the whole of it first. They refer to each other by their places.
    nodes: Vec<Node>,
}

/// What is demanded of a value.
#[derive(Debug)]
enum Node {
    /// Nothing.
    Any,
    /// What can be told one after the other.
    Plain(Box<Plain>),
    /// What only the full check can tell.
    Full(Value),
}

#[derive(Debug)]
struct Plain {
    types: u8,
    bounds: Vec<(Bound, Number)>,
    /// In characters.
    text: Size,
    list: Size,
    object: Size,
    item: Option<usize>,
    named: BTreeMap<String, Field>,
    /// The bits of all fields that must be there.
    required: u64,
    other: Other,
}

const NULL: u8 = 1;
const BOOLEAN: u8 = 2;
const INTEGER: u8 = 4;
const NUMBER: u8 = 8;
const STRING: u8 = 16;
const ARRAY: u8 = 32;
const OBJECT: u8 = 64;

/// Whether a number is within, by how it compares with the limit.
type Bound = fn(Ordering) -> bool;

#[derive(Debug, Default)]
struct Size {
    min: usize,
    max: Option<usize>,
}

impl Size {
    fn fits(&self, size: usize) -> bool {
        size >= self.min && self.max.is_none_or(|max| size <= max)
    }
}

/// A field with a name.
#[derive(Clone, Copy, Debug)]
struct Field {
    node: usize,
    /// Of a field that must be there; else none.
    bit: u64,
}

/// What a field without a name may be.
#[derive(Clone, Copy, Debug)]
enum Other {
    Any,
    Nothing,
    Node(usize),
}

impl Plan {
    pub(crate) fn new(schema: Value) -> Self {
        let mut maker = Maker { root: &schema, nodes: Vec::new(), referred: BTreeMap::new() };
        maker.add(&schema);
        let nodes = maker.nodes;
        Self { schema, nodes }
    }

    /// What it was made of.
    pub(crate) fn schema(&self) -> &Value {
        &self.schema
    }

    /// Whether the JSON `text` is known to fit. If not, it may fit nevertheless.
    pub(crate) fn surely_fits(&self, text: &str) -> bool {
        let mut json = serde_json::Deserializer::from_str(text);
        self.at(0).deserialize(&mut json).is_ok() && json.end().is_ok()
    }

    fn at(&self, place: usize) -> Look<'_> {
        Look { plan: self, node: &self.nodes[place] }
    }

    fn at_or_any(&self, place: Option<usize>) -> Look<'_> {
        place.map_or(Look { plan: self, node: &Node::Any }, |place| self.at(place))
    }
}

struct Maker<'a> {
    root: &'a Value,
    nodes: Vec<Node>,
    /// Parts that others refer to, and their places.
    referred: BTreeMap<String, usize>,
}

impl Maker<'_> {
    /// The place of `schema`.
    fn add(&mut self, schema: &Value) -> usize {
        let reference = reference(schema);
        if let Some(place) = reference.and_then(|to| self.referred.get(to)) {
            return *place;
        }
        let place = self.nodes.len();
        self.nodes.push(Node::Any);
        let schema = match reference {
            Some(to) => {
                self.referred.insert(to.to_owned(), place);
                Schema { root: self.root }.referred(to).unwrap_or(schema)
            }
            None => schema,
        };
        self.nodes[place] = match schema {
            Value::Bool(true) => Node::Any,
            Value::Object(keywords) => match self.plain(keywords) {
                Some(plain) => Node::Plain(Box::new(plain)),
                None => Node::Full(schema.clone()),
            },
            _ => Node::Full(schema.clone()),
        };
        place
    }

    /// None when there is a keyword that takes the full check.
    fn plain(&mut self, keywords: &Map<String, Value>) -> Option<Plain> {
        let mut plain = Plain {
            types: u8::MAX,
            bounds: Vec::new(),
            text: Size::default(),
            list: Size::default(),
            object: Size::default(),
            item: None,
            named: BTreeMap::new(),
            required: 0,
            other: Other::Any,
        };
        for (keyword, rule) in keywords {
            match (keyword.as_str(), rule) {
                ("type", rule) => plain.types = types(rule),
                ("minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum", rule) => {
                    plain.bounds.push((bound(keyword), rule.as_number()?.clone()));
                }
                ("minLength", rule) => plain.text.min = size(rule)?,
                ("maxLength", rule) => plain.text.max = Some(size(rule)?),
                ("minItems", rule) => plain.list.min = size(rule)?,
                ("maxItems", rule) => plain.list.max = Some(size(rule)?),
                ("minProperties", rule) => plain.object.min = size(rule)?,
                ("maxProperties", rule) => plain.object.max = Some(size(rule)?),
                ("items", rule) => plain.item = Some(self.add(rule)),
                ("properties", Value::Object(rules)) => {
                    for (name, rule) in rules {
                        let field = Field { node: self.add(rule), bit: 0 };
                        plain.named.insert(name.clone(), field);
                    }
                }
                ("additionalProperties", Value::Bool(false)) => plain.other = Other::Nothing,
                ("additionalProperties", rule) => plain.other = Other::Node(self.add(rule)),
                // Below, once all names are known.
                ("required", _) => {}
                (name, _) if ANNOTATIONS.contains(&name) => {}
                _ => return None,
            }
        }
        let required = keywords.get("required").map_or(&[][..], items);
        for (at, name) in required.iter().enumerate() {
            let bit = 1u64.checked_shl(at as u32)?;
            plain.named.get_mut(string(name))?.bit = bit;
            plain.required |= bit;
        }
        Some(plain)
    }
}

/// What `schema` refers to, if it does nothing else.
fn reference(schema: &Value) -> Option<&str> {
    let keywords = schema.as_object()?;
    let is_alone =
        keywords.keys().all(|name| name == "$ref" || ANNOTATIONS.contains(&name.as_str()));
    keywords.get("$ref").filter(|_| is_alone)?.as_str()
}

fn types(rule: &Value) -> u8 {
    let of = |name: &Value| match string(name) {
        "null" => NULL,
        "boolean" => BOOLEAN,
        "integer" => INTEGER,
        "number" => NUMBER,
        "string" => STRING,
        "array" => ARRAY,
        "object" => OBJECT,
        _ => 0,
    };
    match rule {
        Value::Array(names) => names.iter().map(of).fold(0, |types, one| types | one),
        name => of(name),
    }
}

fn bound(keyword: &str) -> Bound {
    match keyword {
        "minimum" => |order| order != Ordering::Less,
        "maximum" => |order| order != Ordering::Greater,
        "exclusiveMinimum" => |order| order == Ordering::Greater,
        _ => |order| order == Ordering::Less,
    }
}

fn size(rule: &Value) -> Option<usize> {
    rule.as_u64().and_then(|size| size.try_into().ok())
}

/// A look at one value.
#[derive(Clone, Copy)]
struct Look<'a> {
    plan: &'a Plan,
    node: &'a Node,
}

impl<'de> DeserializeSeed<'de> for Look<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        match self.node {
            Node::Any => IgnoredAny::deserialize(json).map(drop),
            Node::Plain(plain) => json.deserialize_any(Visit { plan: self.plan, plain }),
            Node::Full(schema) => {
                let value = Value::deserialize(json)?;
                let root = &self.plan.schema;
                fits(Schema { root }.fits(schema, &value, DEPTH_MAX).is_ok())
            }
        }
    }
}

fn fits<E: Error>(fits: bool) -> Result<(), E> {
    if fits { Ok(()) } else { Err(E::custom("")) }
}

#[derive(Clone, Copy)]
struct Visit<'a> {
    plan: &'a Plan,
    plain: &'a Plain,
}

impl Visit<'_> {
    fn is<E: Error>(self, types: u8) -> Result<(), E> {
        fits(self.plain.types & types != 0)
    }

    fn number<E: Error>(self, types: u8, number: &Number) -> Result<(), E> {
        let is_within =
            |(bound, limit): &(Bound, Number)| compare(number, limit).is_some_and(bound);
        self.is(types).and_then(|()| fits(self.plain.bounds.iter().all(is_within)))
    }
}

impl<'de> Visitor<'de> for Visit<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.is(NULL)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.is(BOOLEAN)
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<(), E> {
        self.number(INTEGER | NUMBER, &n.into())
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<(), E> {
        self.number(INTEGER | NUMBER, &n.into())
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<(), E> {
        let types = if n.fract() == 0.0 { INTEGER | NUMBER } else { NUMBER };
        match Number::from_f64(n) {
            Some(n) => self.number(types, &n),
            None => fits(false),
        }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        let size = &self.plain.text;
        let is_any = size.min == 0 && size.max.is_none();
        self.is(STRING).and_then(|()| fits(is_any || size.fits(text.chars().count())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        self.is(ARRAY)?;
        let item = self.plan.at_or_any(self.plain.item);
        let mut count = 0;
        while list.next_element_seed(item)?.is_some() {
            count += 1;
        }
        fits(self.plain.list.fits(count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        self.is(OBJECT)?;
        let (mut count, mut seen) = (0, 0);
        while let Some(field) = fields.next_key_seed(Name(&self.plain.named))? {
            let node = match (field, self.plain.other) {
                (Some(field), _) => {
                    seen |= field.bit;
                    Some(field.node)
                }
                (None, Other::Node(node)) => Some(node),
                (None, Other::Any) => None,
                (None, Other::Nothing) => return fits(false),
            };
            fields.next_value_seed(self.plan.at_or_any(node))?;
            count += 1;
        }
        fits(seen == self.plain.required && self.plain.object.fits(count))
    }
}

/// A look at the name of a field.
struct Name<'a>(&'a BTreeMap<String, Field>);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = Option<Field>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<Field>, D::Error> {
        json.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = Option<Field>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Option<Field>, E> {
        Ok(self.0.get(name).copied())
    }
}
