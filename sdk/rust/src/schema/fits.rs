//! A value against a schema, keyword by keyword.

use super::{
    ANNOTATIONS, Fit, Misfit, PLAIN, Schema,
    forms::{may_be_meant, name_of},
    misfit,
    rules::{bound, has_type, matches, multiple, size, unique},
    unknown,
    words::{cut, items, listed, shown, string},
};
use serde_json::{Map, Value};
use std::cmp::Ordering;

impl Schema<'_> {
    pub(super) fn fits(self, schema: &Value, value: &Value, depth: usize) -> Fit {
        let Some(depth) = depth.checked_sub(1) else { return misfit("nested too deep") };
        match schema {
            Value::Bool(true) => Ok(()),
            Value::Object(keywords) => keywords.iter().try_for_each(|(keyword, rule)| {
                self.fits_one(keywords, keyword, rule, value, depth)
            }),
            _ => misfit("must not be there"),
        }
    }

    fn fits_one(
        self,
        keywords: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        value: &Value,
        depth: usize,
    ) -> Fit {
        match (keyword, value) {
            ("type", _) => has_type(rule, value),
            ("const", _) if rule != value => misfit(format!("{}, wants {rule}", shown(value))),
            ("enum", _) if !items(rule).contains(value) => misfit(format!(
                "{}, wants one of {}",
                shown(value),
                listed(items(rule).iter().map(Value::to_string))
            )),
            ("const" | "enum", _) => Ok(()),
            ("$ref", _) => self.fits(self.referred(string(rule))?, value, depth),
            ("allOf", _) => items(rule).iter().try_for_each(|one| self.fits(one, value, depth)),
            ("anyOf", _) => self.fits_any(rule, value, depth).map(drop),
            ("oneOf", _) => match self.fits_any(rule, value, depth)? {
                1 => Ok(()),
                forms => misfit(format!("fits {forms} forms, wants to fit one")),
            },
            ("not", _) => match self.fits(rule, value, depth) {
                Ok(()) => misfit(format!("{}, which must not be", shown(value))),
                Err(_) => Ok(()),
            },
            ("minimum", Value::Number(n)) => {
                bound(n, rule, |order| order != Ordering::Less, "at least")
            }
            ("maximum", Value::Number(n)) => {
                bound(n, rule, |order| order != Ordering::Greater, "at most")
            }
            ("exclusiveMinimum", Value::Number(n)) => {
                bound(n, rule, |order| order == Ordering::Greater, "more than")
            }
            ("exclusiveMaximum", Value::Number(n)) => {
                bound(n, rule, |order| order == Ordering::Less, "less than")
            }
            ("multipleOf", Value::Number(n)) => multiple(n, rule),
            ("minLength" | "maxLength", Value::String(text)) => {
                size(keyword, rule, text.chars().count(), "characters")
            }
            ("pattern", Value::String(text)) => match matches(string(rule), text) {
                Ok(true) => Ok(()),
                Ok(false) => misfit(format!("{}, wants the pattern {rule}", shown(value))),
                Err(reason) => misfit(reason),
            },
            ("minItems" | "maxItems", Value::Array(list)) => {
                size(keyword, rule, list.len(), "items")
            }
            ("uniqueItems", Value::Array(list)) => unique(list),
            ("items" | "prefixItems", Value::Array(list)) => {
                self.fits_items(keywords, keyword, rule, list, depth)
            }
            ("contains", Value::Array(list)) => {
                match list.iter().any(|item| self.fits(rule, item, depth).is_ok()) {
                    true => Ok(()),
                    false => misfit("no item is as one has to be"),
                }
            }
            ("minProperties" | "maxProperties", Value::Object(fields)) => {
                size(keyword, rule, fields.len(), "fields")
            }
            ("required", Value::Object(fields)) => {
                match items(rule).iter().find(|name| !fields.contains_key(string(name))) {
                    Some(name) => misfit(format!("missing field `{}`", string(name))),
                    None => Ok(()),
                }
            }
            (
                "properties" | "patternProperties" | "additionalProperties",
                Value::Object(fields),
            ) => self.fits_fields(keywords, keyword, rule, fields, depth),
            // What says nothing about values of this kind.
            (
                "pattern"
                | "items"
                | "prefixItems"
                | "contains"
                | "properties"
                | "patternProperties"
                | "additionalProperties",
                _,
            ) => Ok(()),
            (name, _) if PLAIN.contains(&name) => Ok(()),
            (name, _) if ANNOTATIONS.contains(&name) => Ok(()),
            (name, _) => misfit(unknown(name)),
        }
    }

    /// How many of the forms `value` fits; it is an error when it is none.
    fn fits_any(self, forms: &Value, value: &Value, depth: usize) -> Fit<usize> {
        let mut fitting = 0;
        let mut likely = Vec::new();
        for form in items(forms).iter().filter(|form| may_be_meant(form, value)) {
            match self.fits(form, value, depth) {
                Ok(()) => fitting += 1,
                Err(misfit) => likely.push(misfit),
            }
        }
        match (fitting, likely.pop()) {
            // It is clear which one was meant, so what is wrong with it is what helps.
            (0, Some(misfit)) if likely.is_empty() => Err(misfit),
            (0, _) => {
                let names = items(forms).iter().filter_map(name_of);
                misfit(format!("{}, wants one of {}", shown(value), listed(names)))
            }
            (fitting, _) => Ok(fitting),
        }
    }

    fn fits_items(
        self,
        keywords: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        list: &[Value],
        depth: usize,
    ) -> Fit {
        let within = |at: usize| move |misfit: Misfit| misfit.within(format_args!("[{at}]"));
        if keyword == "prefixItems" {
            let pairs = list.iter().zip(items(rule)).enumerate();
            return pairs.into_iter().try_for_each(|(at, (item, rule))| {
                self.fits(rule, item, depth).map_err(within(at))
            });
        }
        let first = keywords.get("prefixItems").map_or(0, |prefix| items(prefix).len());
        let rest = list.iter().enumerate().skip(first);
        rest.into_iter().try_for_each(|(at, item)| self.fits(rule, item, depth).map_err(within(at)))
    }

    fn fits_fields(
        self,
        keywords: &Map<String, Value>,
        keyword: &str,
        rule: &Value,
        fields: &Map<String, Value>,
        depth: usize,
    ) -> Fit {
        let of = |name: &str| keywords.get(name).and_then(Value::as_object);
        let (named, patterns) = (of("properties"), of("patternProperties"));
        for (name, value) in fields {
            let fits = match (keyword, rule) {
                ("properties", _) => match rule.get(name) {
                    Some(rule) => self.fits(rule, value, depth),
                    None => Ok(()),
                },
                ("patternProperties", Value::Object(rules)) => {
                    rules.iter().try_for_each(|(pattern, rule)| match matches(pattern, name) {
                        Ok(true) => self.fits(rule, value, depth),
                        Ok(false) => Ok(()),
                        Err(reason) => misfit(reason),
                    })
                }
                _ => {
                    let is_named = named.is_some_and(|named| named.contains_key(name));
                    let mut patterns = patterns.into_iter().flat_map(Map::keys);
                    let is_known =
                        is_named || patterns.any(|pattern| matches(pattern, name) == Ok(true));
                    match (is_known, rule) {
                        (true, _) => Ok(()),
                        (false, Value::Bool(false)) => return Err(unknown_field(name, named)),
                        (false, rule) => self.fits(rule, value, depth),
                    }
                }
            };
            fits.map_err(|misfit| misfit.within(cut(name)))?;
        }
        Ok(())
    }
}

fn unknown_field(name: &str, named: Option<&Map<String, Value>>) -> Misfit {
    let names = listed(named.into_iter().flat_map(Map::keys).map(|name| format!("`{name}`")));
    let there =
        if names.is_empty() { "there are none".into() } else { format!("there is {names}") };
    Misfit::new(format!("unknown field `{}`; {there}", cut(name)))
}
