//! The slow twin of `splitter`: InfluxDB's own loop over a whole body, a byte at a time.

/// Cuts a whole body into lines, newlines left out; a body that ends in a newline has no line behind it.
pub fn lines(body: &[u8]) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let mut start = 0;
    while start < body.len() {
        let end = line_end(body, start);
        lines.push(&body[start..end]);
        start = end + 1;
    }
    lines
}

fn line_end(body: &[u8], mut i: usize) -> usize {
    let (mut quoted, mut fields) = (false, false);
    let (mut equals, mut commas) = (0, 0);
    while i < body.len() {
        if body[i] == b'\\' && i + 2 < body.len() {
            i += 2;
            continue;
        }
        if body[i] == b' ' {
            fields = true;
        }
        if fields {
            if !quoted && body[i] == b'=' {
                equals += 1;
                i += 1;
                continue;
            } else if !quoted && body[i] == b',' {
                commas += 1;
                i += 1;
                continue;
            } else if body[i] == b'"' && equals > commas {
                quoted = !quoted;
                i += 1;
                continue;
            }
        }
        if body[i] == b'\n' && !quoted {
            break;
        }
        i += 1;
    }
    i
}
