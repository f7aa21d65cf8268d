//! MessagePack, in the keys' order and the numbers' widths of InfluxDB's writer. A failed statement says its error and
//! not which one it is, as InfluxDB's does.

use super::super::results::{Answer, Series, StatementResult, Value};
use super::Times;

pub fn print(answer: &Answer, times: Times, out: &mut Vec<u8>) {
    map(1, out);
    if let Some(error) = &answer.error {
        text("error", out);
        return text(error, out);
    }
    text("results", out);
    array(answer.results.len(), out);
    answer.results.iter().for_each(|of| result(of, times, out));
}

fn result(result: &StatementResult, times: Times, out: &mut Vec<u8>) {
    if let Some(error) = &result.error {
        map(1, out);
        text("error", out);
        return text(error, out);
    }
    map(2 + usize::from(!result.messages.is_empty()) + usize::from(result.partial), out);
    text("statement_id", out);
    integer(i64::try_from(result.statement_id).unwrap_or(-1), out);
    if !result.messages.is_empty() {
        text("messages", out);
        array(result.messages.len(), out);
        for message in &result.messages {
            map(2, out);
            for part in ["level", &message.level, "text", &message.text] {
                text(part, out);
            }
        }
    }
    text("series", out);
    array(result.series.len(), out);
    result.series.iter().for_each(|of| series(of, times, out));
    if result.partial {
        text("partial", out);
        out.push(0xc3);
    }
}

fn series(series: &Series, times: Times, out: &mut Vec<u8>) {
    let (has_name, has_tags) = (!series.name.is_empty(), !series.tags.is_empty());
    map(2 + usize::from(has_name) + usize::from(has_tags) + usize::from(series.partial), out);
    if has_name {
        text("name", out);
        text(&series.name, out);
    }
    if has_tags {
        text("tags", out);
        map(series.tags.len(), out);
        for (key, value) in &series.tags {
            text(key, out);
            text(value, out);
        }
    }
    text("columns", out);
    array(series.columns.len(), out);
    series.columns.iter().for_each(|column| text(column, out));
    text("values", out);
    array(series.values.len(), out);
    for row in &series.values {
        array(row.len(), out);
        row.iter().enumerate().for_each(|(column, of)| value(column, of, times, out));
    }
    if series.partial {
        text("partial", out);
        out.push(0xc3);
    }
}

fn value(column: usize, value: &Value, times: Times, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(0xc0),
        Value::Boolean(value) => out.push(if *value { 0xc3 } else { 0xc2 }),
        Value::Integer(number) => integer(*number, out),
        Value::Unsigned(number) => unsigned(*number, out),
        Value::Float(number) => sized(0xcb, &number.to_bits().to_be_bytes(), out),
        Value::String(string) => text(string, out),
        Value::Time(ns) => match times.number(column, *ns) {
            Some(number) => integer(number, out),
            None => {
                out.extend_from_slice(&[0xc7, 12, 5]);
                out.extend_from_slice(&ns.div_euclid(1_000_000_000).to_be_bytes());
                out.extend_from_slice(&(ns.rem_euclid(1_000_000_000) as u32).to_be_bytes());
            }
        },
    }
}

/// The narrowest signed form.
fn integer(number: i64, out: &mut Vec<u8>) {
    match number {
        -32..=127 => out.push(number as u8),
        _ if i8::try_from(number).is_ok() => sized(0xd0, &[number as u8], out),
        _ if i16::try_from(number).is_ok() => sized(0xd1, &(number as i16).to_be_bytes(), out),
        _ if i32::try_from(number).is_ok() => sized(0xd2, &(number as i32).to_be_bytes(), out),
        _ => sized(0xd3, &number.to_be_bytes(), out),
    }
}

fn unsigned(number: u64, out: &mut Vec<u8>) {
    match number {
        _ if number <= 0x7f => out.push(number as u8),
        _ if number <= 0xff => sized(0xcc, &[number as u8], out),
        _ if number <= 0xffff => sized(0xcd, &(number as u16).to_be_bytes(), out),
        _ if number <= 0xffff_ffff => sized(0xce, &(number as u32).to_be_bytes(), out),
        _ => sized(0xcf, &number.to_be_bytes(), out),
    }
}

fn text(text: &str, out: &mut Vec<u8>) {
    let length = text.len();
    match length {
        _ if length <= 31 => out.push(0xa0 | length as u8),
        _ if length <= 0xff => sized(0xd9, &[length as u8], out),
        _ if length <= 0xffff => sized(0xda, &(length as u16).to_be_bytes(), out),
        _ => sized(0xdb, &(length as u32).to_be_bytes(), out),
    }
    out.extend_from_slice(text.as_bytes());
}

fn array(length: usize, out: &mut Vec<u8>) {
    many(0x90, 0xdc, length, out);
}

fn map(length: usize, out: &mut Vec<u8>) {
    many(0x80, 0xde, length, out);
}

fn many(few: u8, marker: u8, length: usize, out: &mut Vec<u8>) {
    match length {
        _ if length <= 15 => out.push(few | length as u8),
        _ if length <= 0xffff => sized(marker, &(length as u16).to_be_bytes(), out),
        _ => sized(marker + 1, &(length as u32).to_be_bytes(), out),
    }
}

fn sized(marker: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(marker);
    out.extend_from_slice(bytes);
}
