//! The slow twins: of `splitter`, InfluxDB's own loop over a whole body, a byte at a time; of what `line` says of
//! measurement and tags, everything in copies.

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

/// Measurement and tags as InfluxDB stores them.
#[derive(Debug, PartialEq, Eq)]
pub struct Series {
    pub name: Vec<u8>,
    /// In the line's order.
    pub tags: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Series {
    /// The value of the first tag with that key; empty when there is none.
    pub fn tag(&self, key: &str) -> &[u8] {
        self.tags.iter().find(|(own, _)| own == key.as_bytes()).map_or(b"", |(_, value)| value)
    }
}

/// What a line says before its fields; `None` for blanks and comments.
pub fn series(line: &[u8]) -> Option<Series> {
    let start = line.iter().position(|byte| !b" \t\0".contains(byte))?;
    let line = &line[start..];
    if line[0] == b'#' {
        return None;
    }
    let (name, mut rest) = cut(line, b", ");
    let mut tags = Vec::new();
    while rest.first() == Some(&b',') {
        let (tag, behind) = cut(&rest[1..], b", ");
        let (key, value) = cut(tag, b"=");
        tags.push((unescaped(key, b", ="), unescaped(value.get(1..).unwrap_or_default(), b", =")));
        rest = behind;
    }
    Some(Series { name: unescaped(name, b",\" ="), tags })
}

/// Cuts before the first of `ends` that no backslash stands before.
fn cut<'a>(bytes: &'a [u8], ends: &[u8]) -> (&'a [u8], &'a [u8]) {
    let end = (0..bytes.len()).find(|&at| ends.contains(&bytes[at]) && (at == 0 || bytes[at - 1] != b'\\'));
    bytes.split_at(end.unwrap_or(bytes.len()))
}

fn unescaped(raw: &[u8], special: &[u8]) -> Vec<u8> {
    let mut bytes = raw.iter().copied().peekable();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        let escaped = if byte == b'\\' { bytes.next_if(|next| special.contains(next)) } else { None };
        out.push(escaped.unwrap_or(byte));
    }
    out
}
