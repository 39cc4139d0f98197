//! JSON texts made of the tokens at which readers differ, and what is right for each: an oracle that shares
//! nothing with what it is held against.

#![allow(clippy::unwrap_used)]

use super::{canonical, canonical_value, check_canonical, read};
use crate::Kind;
use proptest::prelude::*;

/// What a text should come to.
#[derive(Clone, Debug)]
struct Expected {
    text: String,
    /// The canonical form. None: it is refused.
    form: Option<String>,
    /// Whether it is understood where integers may have 64 bits.
    is_read: bool,
}

impl Expected {
    fn new(text: String, form: Option<String>) -> Self {
        let is_read = form.is_some();
        Self { text, form, is_read }
    }
}

/// The fewest digits that are the positive `number`, of those the nearest ones, of two as near the even ones;
/// and the exponent of the first.
fn shortest(number: f64) -> (String, i32) {
    for places in 0..17 {
        let nearest = format!("{number:.places$e}");
        let (digits, exponent) = nearest.split_once('e').unwrap();
        let digits: u64 = digits.replace('.', "").parse().unwrap();
        let exponent: i32 = exponent.parse().unwrap();
        // Those beside it are further away: below a power of two, doubles are closer than above it.
        for digits in [digits, digits + 1, digits - 1] {
            let shown = format!("{digits}e{}", exponent - places as i32);
            if shown.parse() == Ok(number) {
                let digits = digits.to_string();
                let exponent = exponent - places as i32 + digits.len() as i32 - 1;
                return (digits.trim_end_matches('0').to_owned(), exponent);
            }
        }
    }
    unreachable!("17 digits are enough")
}

/// A number as JavaScript writes it.
fn javascript(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let sign = if number < 0.0 { "-" } else { "" };
    let (digits, exponent) = shortest(number.abs());
    let (len, point) = (digits.len() as i32, exponent + 1);
    let zeros = |count: i32| "0".repeat(count as usize);
    let shown = match point {
        _ if len <= point && point <= 21 => digits + &zeros(point - len),
        1..=21 => format!("{}.{}", &digits[..point as usize], &digits[point as usize..]),
        -5..=0 => format!("0.{}{digits}", zeros(-point)),
        _ => {
            let (first, rest) = digits.split_at(1);
            let dot = if rest.is_empty() { "" } else { "." };
            format!("{first}{dot}{rest}e{:+}", point - 1)
        }
    };
    format!("{sign}{shown}")
}

/// An integer is understood when its digits are those of the nearest double.
fn integer(is_negative: bool, digits: u128) -> Expected {
    let digits_shown = digits.to_string();
    let sign = if is_negative { "-" } else { "" };
    let form = javascript(digits as f64);
    let bits_max = if is_negative { 1 << 63 } else { u128::from(u64::MAX) };
    let form = (form == digits_shown).then(|| match digits {
        0 => form,
        _ => format!("{sign}{form}"),
    });
    let is_read = form.is_some() || digits <= bits_max;
    Expected { text: format!("{sign}{digits_shown}"), form, is_read }
}

/// A number with a point or an exponent is the nearest double, if there is one.
fn fraction(text: String) -> Expected {
    let number: f64 = text.parse().unwrap();
    let form = number.is_finite().then(|| javascript(number));
    Expected::new(text, form)
}

fn numbers() -> BoxedStrategy<Expected> {
    let integers = prop_oneof![
        (1u32..=25).prop_flat_map(|digits| 0..10u128.pow(digits)),
        // Around powers of two, those that doubles are and those that they are not.
        (50u32..84, -3i64..=3)
            .prop_map(|(bits, by)| (1u128 << bits).saturating_add_signed(by.into())),
        (0u32..9, 16u32..=24).prop_map(|(digit, zeros)| u128::from(digit) * 10u128.pow(zeros)),
        Just(u128::from(u64::MAX)),
    ];
    let doubles = any::<u64>().prop_map(f64::from_bits).prop_filter("finite", |n| n.is_finite());
    prop_oneof![
        3 => (any::<bool>(), integers).prop_map(|(is_negative, digits)| integer(is_negative, digits)),
        3 => "-?(0|[1-9][0-9]{0,24})(\\.[0-9]{1,25})([eE][+-]?[0-9]{1,3})?".prop_map(fraction),
        2 => "-?(0|[1-9][0-9]{0,24})[eE][+-]?[0-9]{1,3}".prop_map(fraction),
        // All doubles alike, the smallest among them.
        1 => doubles.prop_map(|number| fraction(format!("{number:e}"))),
        1 => (0u64..1 << 52).prop_map(|bits| fraction(format!("{:e}", f64::from_bits(bits)))),
    ]
    .boxed()
}

/// A part of a string: how it stands in a text, and its UTF-16 units.
fn part() -> impl Strategy<Value = (String, Vec<u16>)> {
    let plain = |c: char| (c.to_string(), c.encode_utf16(&mut [0; 2]).to_vec());
    let escaped = |(unit, is_upper): (u16, bool)| match is_upper {
        true => (format!("\\u{unit:04X}"), vec![unit]),
        false => (format!("\\u{unit:04x}"), vec![unit]),
    };
    let short = [
        ("\\\"", '"'),
        ("\\\\", '\\'),
        ("\\/", '/'),
        ("\\b", '\u{8}'),
        ("\\f", '\u{c}'),
        ("\\n", '\n'),
        ("\\r", '\r'),
        ("\\t", '\t'),
    ];
    let is_plain = |c: &char| *c >= ' ' && !matches!(c, '"' | '\\');
    prop_oneof![
        4 => any::<char>().prop_filter("stands for itself", is_plain).prop_map(plain),
        // What looks like a number, and is none.
        2 => "[0-9]{16,25}".prop_map(|text| (text.clone(), text.encode_utf16().collect())),
        3 => prop::sample::select(short.to_vec()).prop_map(|(text, c)| (text.to_owned(), vec![c as u16])),
        2 => (any::<u16>(), any::<bool>()).prop_map(escaped),
        1 => (0x20u16..0x7f, any::<bool>()).prop_map(escaped),
        1 => any::<char>().prop_map(|c| {
            let units = c.encode_utf16(&mut [0; 2]).to_vec();
            (units.iter().map(|unit| format!("\\u{unit:04x}")).collect(), units)
        }),
        // Half of a pair.
        1 => (0xd800u16..0xe000, any::<bool>()).prop_map(escaped),
    ]
}

/// A string, and its units.
fn string() -> impl Strategy<Value = (Expected, Vec<u16>)> {
    prop::collection::vec(part(), 0..5).prop_map(|parts| {
        let text =
            format!("\"{}\"", parts.iter().map(|(text, _)| text.as_str()).collect::<String>());
        let units: Vec<u16> = parts.into_iter().flat_map(|(_, units)| units).collect();
        (Expected::new(text, String::from_utf16(&units).ok().map(|text| quoted(&text))), units)
    })
}

fn quoted(text: &str) -> String {
    let shown = text.chars().map(|c| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '\u{8}' => "\\b".to_owned(),
        '\u{c}' => "\\f".to_owned(),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c < ' ' => format!("\\u{:04x}", c as u32),
        c => c.to_string(),
    });
    format!("\"{}\"", shown.collect::<String>())
}

fn space() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just(String::new()), 1 => "[ \t\r\n]{1,2}"]
}

/// Parts of a list or of an object, between `open` and `close`.
fn around(open: char, parts: &[Expected], space: &str, close: char) -> Expected {
    let texts: Vec<_> = parts.iter().map(|part| format!("{space}{}", part.text)).collect();
    let forms: Option<Vec<_>> = parts.iter().map(|part| part.form.as_deref()).collect();
    Expected {
        text: format!("{open}{}{space}{close}", texts.join(",")),
        form: forms.map(|forms| format!("{open}{}{close}", forms.join(","))),
        is_read: parts.iter().all(|part| part.is_read),
    }
}

/// Fields are in the order of the units of their keys, and none is there twice.
fn object(mut fields: Vec<((Expected, Vec<u16>), Expected)>, space: &str) -> Expected {
    let field = |((key, _), value): &((Expected, Vec<u16>), Expected)| Expected {
        text: format!("{}{space}:{space}{}", key.text, value.text),
        form: key
            .form
            .as_ref()
            .zip(value.form.as_ref())
            .map(|(key, value)| format!("{key}:{value}")),
        is_read: key.is_read && value.is_read,
    };
    let text = around('{', &fields.iter().map(field).collect::<Vec<_>>(), space, '}').text;
    fields.sort_by(|((_, one), _), ((_, other), _)| one.cmp(other));
    let sorted = around('{', &fields.iter().map(field).collect::<Vec<_>>(), "", '}');
    let is_twice = fields.windows(2).any(|pair| pair[0].0.1 == pair[1].0.1);
    Expected { text, form: sorted.form.filter(|_| !is_twice), is_read: sorted.is_read && !is_twice }
}

fn texts() -> impl Strategy<Value = Expected> {
    let word = |word: &str| Expected::new(word.to_owned(), Some(word.to_owned()));
    let leaf = prop_oneof![
        6 => numbers(),
        3 => string().prop_map(|(string, _)| string),
        1 => prop::sample::select(vec!["null", "true", "false"]).prop_map(word),
    ];
    let nested = leaf.prop_recursive(3, 8, 3, |inner| {
        let field = (string(), inner.clone());
        prop_oneof![
            (prop::collection::vec(inner, 0..3), space())
                .prop_map(|(items, space)| around('[', &items, &space, ']')),
            (prop::collection::vec(field, 0..3), space())
                .prop_map(|(fields, space)| object(fields, &space)),
        ]
    });
    (nested, space()).prop_map(|(expected, space)| Expected {
        text: format!("{space}{}{space}", expected.text),
        ..expected
    })
}

/// Both readers do with a text what the oracle says.
fn check(expected: &Expected) {
    let Expected { text, form, is_read } = expected;
    match (canonical("text", text.as_bytes()), form) {
        (Ok(found), Some(form)) => {
            assert_eq!(String::from_utf8(found).unwrap(), *form, "{text}");
            check_canonical("form", form.as_bytes()).unwrap();
        }
        (Err(error), None) => assert_eq!(error.kind, Kind::Invalid, "{text}: {error}"),
        (found, _) => panic!("{text}: is {found:?}, should be {form:?}"),
    }
    let read = read("text", text.as_bytes());
    assert_eq!(read.is_ok(), *is_read, "{text}: {read:?}");
    if let (Ok(read), Some(form)) = (read, form) {
        assert_eq!(canonical_value("value", &read).unwrap(), form.as_bytes(), "{text}");
    }
}

#[test]
fn the_oracle_knows_what_the_standard_says() {
    // RFC 8785, appendix B, and ECMA-262.
    for (bits, form) in [
        (0x0000_0000_0000_0000, "0"),
        (0x8000_0000_0000_0000, "0"),
        (0x0000_0000_0000_0001, "5e-324"),
        (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
        (0x4340_0000_0000_0000, "9007199254740992"),
        (0x4430_0000_0000_0000, "295147905179352830000"),
        (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
        (0x44b5_2d02_c7e1_4af6, "1e+23"),
        (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
        (0x444b_1ae4_d6e2_ef50, "1e+21"),
        (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
        (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
        (0x41b3_de43_5555_5553, "333333333.3333332"),
        (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
        (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
    ] {
        assert_eq!(javascript(f64::from_bits(bits)), form);
    }
    for (digits, is_double) in
        [(1 << 53, true), ((1 << 53) + 1, false), (1 << 60, false), (10u128.pow(20), true)]
    {
        assert_eq!(integer(true, digits).form.is_some(), is_double, "{digits}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn texts_are_read_as_the_standard_says(expected in texts()) {
        check(&expected);
    }

    #[test]
    fn numbers_are_read_as_the_standard_says(expected in numbers()) {
        check(&expected);
    }
}
