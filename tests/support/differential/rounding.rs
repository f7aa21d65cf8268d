//! Whether two answers are the same but for the last digits of floats: over several groups they are added up in another order.

/// Of the greater one.
const TOLERANCE: f64 = 1e-9;

/// JSON and CSV; text in quotes counts as it is.
pub fn text(mut a: &[u8], mut b: &[u8]) -> bool {
    let mut quoted = false;
    while let (Some(first), Some(other)) = (a.first(), b.first()) {
        let (number, same) = (number(a), number(b));
        if !quoted && !number.is_empty() && !same.is_empty() {
            if !near(number, same) {
                return false;
            }
            (a, b) = (&a[number.len()..], &b[same.len()..]);
            continue;
        }
        if first != other {
            return false;
        }
        // An escaped quote ends no text.
        let length = if quoted && *first == b'\\' { 2 } else { 1 };
        if a.len() < length || !b.starts_with(&a[..length]) {
            return false;
        }
        quoted ^= *first == b'"';
        (a, b) = (&a[length..], &b[length..]);
    }
    a.is_empty() && b.is_empty()
}

/// MessagePack, whose floats have a marker and eight bytes.
pub fn msgpack(mut a: &[u8], mut b: &[u8]) -> bool {
    const FLOAT: u8 = 0xcb;
    while let (Some(first), Some(other)) = (a.first(), b.first()) {
        if first != other {
            return false;
        }
        let float = |bytes: &[u8]| Some(f64::from_be_bytes(bytes.get(1..9)?.try_into().ok()?));
        let length = match (*first == FLOAT, float(a), float(b)) {
            (true, Some(x), Some(y)) if a[1..9] != b[1..9] => {
                if !close(x, y) {
                    return false;
                }
                9
            }
            _ => 1,
        };
        (a, b) = (&a[length..], &b[length..]);
    }
    a.is_empty() && b.is_empty()
}

fn number(bytes: &[u8]) -> &[u8] {
    let part = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e');
    let starts = bytes.first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-');
    let length = if starts { bytes.iter().take_while(|byte| part(byte)).count() } else { 0 };
    &bytes[..length]
}

fn near(a: &[u8], b: &[u8]) -> bool {
    // Whole numbers are counts and times.
    let read = |bytes: &[u8]| std::str::from_utf8(bytes).ok()?.parse::<f64>().ok();
    a == b || (a.contains(&b'.') || b.contains(&b'.')) && read(a).zip(read(b)).is_some_and(|(a, b)| close(a, b))
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= TOLERANCE * a.abs().max(b.abs())
}

#[test]
fn only_the_last_digits_of_floats_may_differ() {
    let json = |value: &str| format!(r#"{{"values":[["2020-09-13T12:26:22.5Z",{value}]]}}"#).into_bytes();
    assert!(text(&json("4.263318319436426,1"), &json("4.263318319436423,1")));
    assert!(text(&json("5.000000000000001"), &json("5")));
    assert!(text(&json(r#""a\"b",5.000000000000001"#), &json(r#""a\"b",5"#)));
    assert!(!text(&json(r#""a\"5.000000000000001""#), &json(r#""a\"5""#)));
    for (a, b) in
        [("4.26", "4.27"), ("1600000000000000001", "1600000000000000002"), ("1.5", "\"1.5\""), ("1.5", "1.5,2")]
    {
        assert!(!text(&json(a), &json(b)), "{a} and {b}");
    }
    assert!(!text(b"\"22.000000001Z\"", b"\"22.000000002Z\""));
    let packed = |value: f64| [&[0x91, 0xcb][..], &value.to_be_bytes(), b"\xa1x"].concat();
    assert!(msgpack(&packed(0.1 + 0.2), &packed(0.3)));
    assert!(!msgpack(&packed(0.1), &packed(0.2)));
}
