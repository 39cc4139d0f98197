//! Each keyword, and what a misfit is told; both looks must agree.

use super::*;
use serde_json::json;

fn fits(schema: &Value, value: &Value) {
    assert_eq!(check_schema(schema), Ok(()), "{schema}");
    assert_eq!(check(schema, value), Ok(()), "{schema}: {value}");
    assert!(Plan::new(schema.clone()).surely_fits(&value.to_string()), "{schema}: {value}");
}

fn misfits(schema: &Value, value: &Value, reason: &str) {
    assert_eq!(check_schema(schema), Ok(()), "{schema}");
    assert_eq!(check(schema, value), Err(reason.into()), "{schema}");
    assert!(!Plan::new(schema.clone()).surely_fits(&value.to_string()), "{schema}: {value}");
}

#[test]
fn every_keyword() {
    for (schema, good, bad, reason) in [
        (json!({"type": "integer"}), json!(1.0), json!(1.5), "1.5, wants integer"),
        (json!({"type": ["string", "null"]}), json!(null), json!(1), "1, wants string, null"),
        (json!({"type": "object"}), json!({}), json!([1]), "a list of 1, wants object"),
        (json!({"const": 1}), json!(1), json!(2), "2, wants 1"),
        (json!({"enum": ["a", 2]}), json!(2), json!("b"), "\"b\", wants one of \"a\", 2"),
        (json!({"minimum": 2}), json!(2), json!(1), "1, wants at least 2"),
        (json!({"maximum": 2}), json!(2.0), json!(2.5), "2.5, wants at most 2"),
        (json!({"exclusiveMinimum": 2}), json!(3), json!(2), "2, wants more than 2"),
        (json!({"exclusiveMaximum": 2}), json!(1), json!(2), "2, wants less than 2"),
        (
            json!({"maximum": u64::MAX}),
            json!(u64::MAX),
            json!(1e30),
            "1e+30, wants at most 18446744073709551615",
        ),
        (json!({"multipleOf": 3}), json!(-9), json!(4), "4, wants a multiple of 3"),
        (json!({"multipleOf": 0.5}), json!(1.5), json!(0.7), "0.7, wants a multiple of 0.5"),
        (json!({"minLength": 2}), json!("éé"), json!("é"), "1 characters, wants at least 2"),
        (json!({"maxLength": 1}), json!("é"), json!("ab"), "2 characters, wants at most 1"),
        (json!({"minItems": 1}), json!([0]), json!([]), "0 items, wants at least 1"),
        (json!({"maxItems": 1}), json!([0]), json!([0, 0]), "2 items, wants at most 1"),
        (json!({"uniqueItems": true}), json!([1, "1"]), json!([1, 2, 1]), "1 twice"),
        (
            json!({"contains": {"const": 1}}),
            json!([2, 1]),
            json!([2]),
            "no item is as one has to be",
        ),
        (
            json!({"items": {"type": "null"}}),
            json!([null]),
            json!([null, 1]),
            "`[1]`: 1, wants null",
        ),
        (
            json!({"prefixItems": [true, {"type": "null"}], "items": {"const": 1}}),
            json!([0, null, 1]),
            json!([0, null, 2]),
            "`[2]`: 2, wants 1",
        ),
        (json!({"prefixItems": [{"const": 1}]}), json!([1, 2]), json!([2]), "`[0]`: 2, wants 1"),
        (json!({"minProperties": 1}), json!({"a": 1}), json!({}), "0 fields, wants at least 1"),
        (json!({"maxProperties": 0}), json!({}), json!({"a": 1}), "1 fields, wants at most 0"),
        (json!({"required": ["a"]}), json!({"a": null}), json!({"b": 1}), "missing field `a`"),
        (
            json!({"properties": {"a": {"items": {"minimum": 1}}}, "additionalProperties": false}),
            json!({"a": [1]}),
            json!({"a": [1, 0]}),
            "`a[1]`: 0, wants at least 1",
        ),
        (
            json!({"properties": {"a": true}, "additionalProperties": false}),
            json!({}),
            json!({"b": 1}),
            "unknown field `b`; there is `a`",
        ),
        (
            json!({"additionalProperties": {"type": "null"}}),
            json!({"a": null}),
            json!({"a": 1}),
            "`a`: 1, wants null",
        ),
        (
            json!({"patternProperties": {r"^-?\d+$": {"minimum": 1}}, "additionalProperties": false}),
            json!({"-7": 1}),
            json!({"7": 0}),
            "`7`: 0, wants at least 1",
        ),
        (
            json!({"patternProperties": {r"^\d+$": true}, "additionalProperties": false}),
            json!({"7": 1}),
            json!({"-7": 1}),
            "unknown field `-7`; there is nothing",
        ),
        (
            json!({"allOf": [{"minimum": 1}, {"maximum": 3}]}),
            json!(2),
            json!(4),
            "4, wants at most 3",
        ),
        (json!({"not": {"const": 1}}), json!(2), json!(1), "1, which must not be"),
        (
            json!({"anyOf": [{"type": "null"}, {"const": 1}]}),
            json!(1),
            json!(2),
            "2, wants one of null, 1",
        ),
        (
            json!({"oneOf": [{"minimum": 1}, {"maximum": 3}]}),
            json!(5),
            json!(2),
            "fits 2 forms, wants to fit one",
        ),
        (
            json!({"$ref": "#/$defs/List", "$defs": {"List": {"items": {"$ref": "#/$defs/List"}, "maxItems": 1}}}),
            json!([[[]]]),
            json!([[[], []]]),
            "`[0]`: 2 items, wants at most 1",
        ),
        (
            json!({"format": "uint8", "title": "t", "description": "d", "default": 1, "examples": [1]}),
            json!("anything"),
            json!(null),
            "",
        ),
    ] {
        fits(&schema, &good);
        match reason {
            "" => fits(&schema, &bad),
            reason => misfits(&schema, &bad, reason),
        }
    }
}

#[test]
fn of_forms_the_one_that_was_meant_is_named() {
    let form = |name: &str, rule: Value| json!({"type": "object", "required": [name], "properties": {name: rule}, "additionalProperties": false});
    let tagged = |tag: &str, rule: Value| json!({"type": "object", "required": ["kind"], "properties": {"kind": {"const": tag}, "n": rule}});
    let external = json!({"oneOf": [
        form("add", json!({"minimum": 1})),
        form("sub", json!({"maximum": 1})),
        {"enum": ["reset"], "type": "string"},
    ]});
    let internal = json!({"oneOf": [tagged("a", json!({"minimum": 1})), tagged("b", json!(true))]});
    for (schema, value, reason) in [
        (&external, json!({"add": 0}), "`add`: 0, wants at least 1"),
        (
            &external,
            json!({"mul": 0}),
            "an object of `mul`, wants one of \"add\", \"sub\", \"reset\"",
        ),
        (&external, json!("stop"), "\"stop\", wants one of \"add\", \"sub\", \"reset\""),
        (&internal, json!({"kind": "a", "n": 0}), "`n`: 0, wants at least 1"),
        (&internal, json!({"kind": "c"}), "an object of `kind`, wants one of \"a\", \"b\""),
    ] {
        misfits(schema, &value, reason);
    }
    fits(&external, &json!("reset"));
    fits(&internal, &json!({"kind": "b", "n": -1}));
}

#[test]
fn what_cannot_be_checked_is_an_error_wherever_it_stands() {
    for below in [
        json!({"unevaluatedProperties": false}),
        json!({"propertyNames": {"maxLength": 1}}),
        json!({"pattern": "("}),
        json!({"$ref": "#/$defs/Nobody"}),
    ] {
        for schema in [
            json!({"properties": {"a": {"items": below}}}),
            json!({"oneOf": [true, {"additionalProperties": below}]}),
            json!({"$defs": {"A": below}}),
        ] {
            assert!(check_schema(&schema).is_err(), "{schema}");
        }
        assert!(check(&below, &json!("text")).is_err() || below.get("pattern").is_none());
        assert!(check(&below, &json!({})).is_err() || below.get("pattern").is_some());
    }
}

#[test]
fn a_schema_that_only_refers_to_itself_ends() {
    let schema = json!({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}});
    assert_eq!(check(&schema, &json!(1)), Err("nested too deep".into()));
}

#[test]
fn patterns_are_a_feature() {
    let schema = json!({"pattern": "^a+$"});
    match cfg!(feature = "pattern") {
        true => {
            fits(&schema, &json!("aa"));
            misfits(&schema, &json!("ab"), "\"ab\", wants the pattern \"^a+$\"");
        }
        false => {
            assert!(check(&schema, &json!("aa")).is_err_and(|e| e.contains("feature `pattern`")))
        }
    }
}

#[test]
fn integers_of_32_bits_are_bounded() {
    #[derive(schemars::JsonSchema)]
    #[allow(dead_code)]
    struct Fields {
        whole: u32,
        signed: Vec<i32>,
        #[schemars(range(max = 10))]
        small: u32,
    }
    let schema = of::<Fields>();
    fits(&schema, &json!({"whole": 4_294_967_295_u32, "signed": [-2_147_483_648], "small": 10}));
    for (field, value, reason) in [
        ("whole", json!(4_294_967_296_u64), "`whole`: 4294967296, wants at most 4294967295"),
        (
            "signed",
            json!([0, -2_147_483_649_i64]),
            "`signed[1]`: -2147483649, wants at least -2147483648",
        ),
        ("small", json!(11), "`small`: 11, wants at most 10"),
    ] {
        let mut fields = json!({"whole": 0, "signed": [], "small": 0});
        fields[field] = value;
        misfits(&schema, &fields, reason);
    }
}
