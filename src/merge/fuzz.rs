//! The fuzz body of groups' answers in MessagePack; see `src/fuzz.rs`.

use super::format::{Format, Printer, Times};
use super::msgpack::{DecodeError, Decoder};
use super::results::Answer;

/// A stream is read alike however it is cut, prints in every format, and what MessagePack prints reads as the same.
pub fn msgpack(input: &[u8]) {
    let whole = read([input]);
    let cut = input.first().map_or(0, |byte| usize::from(*byte) % input.len());
    assert_eq!(whole, read([&input[..cut], &input[cut..]]));
    assert_eq!(whole, read(input.chunks(1)));
    for document in &whole.0 {
        let text = printed(document, Format::MessagePack, Times::Rfc3339);
        let (again, error) = read([&text[..]]);
        assert_eq!(error, None, "{document:?}");
        // A request's error leaves nothing beside it, nor does a statement's: not even which one it is.
        assert_eq!(again.len(), 1);
        assert_eq!(printed(&again[0], Format::MessagePack, Times::Rfc3339), text);
        for format in [Format::Json { pretty: false }, Format::Json { pretty: true }, Format::Csv] {
            let text = printed(document, format, Times::Epoch(1_000));
            assert!(std::str::from_utf8(&text).is_ok());
        }
    }
}

/// Documents up to the first fault, with NaNs as text so that they can be compared.
fn read<'a>(frames: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Answer>, Option<DecodeError>) {
    let mut decoder = Decoder::new(4096);
    let mut documents = Vec::new();
    for frame in frames {
        decoder.push(frame);
        loop {
            match decoder.next_document() {
                Ok(Some(document)) => documents.push(without_nans(document)),
                Ok(None) => break,
                Err(error) => return (documents, Some(error)),
            }
        }
    }
    (documents, decoder.finish().err())
}

fn without_nans(mut answer: Answer) -> Answer {
    let series = answer.results.iter_mut().flat_map(|result| &mut result.series);
    for value in series.flat_map(|series| &mut series.values).flatten() {
        if matches!(value, super::results::Value::Float(number) if number.is_nan()) {
            *value = super::results::Value::from("NaN");
        }
    }
    answer
}

fn printed(answer: &Answer, format: Format, times: Times) -> Vec<u8> {
    let mut out = Vec::new();
    Printer::new(format, times).print(answer, &mut out);
    out
}
