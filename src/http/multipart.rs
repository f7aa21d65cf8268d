//! Multipart form bodies, as InfluxDB takes a query from one: fields are parameters, and a file named `q` is the query.

/// One part of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub is_file: bool,
    pub value: String,
}

/// The parts of a body; none, if it is not well formed, which is what InfluxDB makes of it.
pub fn parse(content_type: &str, body: &[u8]) -> Vec<Part> {
    parts(content_type, body).unwrap_or_default()
}

fn parts(content_type: &str, body: &[u8]) -> Option<Vec<Part>> {
    let mark = [b"--", parameter(content_type, "boundary")?.as_bytes()].concat();
    let later = [b"\r\n", &mark[..]].concat();
    let mut rest = &body[memchr::memmem::find(body, &mark)? + mark.len()..];
    let mut parts = Vec::new();
    while !rest.starts_with(b"--") {
        let part = rest.strip_prefix(b"\r\n")?;
        let end = memchr::memmem::find(part, &later)?;
        let (head_end, value) = match part.starts_with(b"\r\n") {
            true => (0, 2),
            false => memchr::memmem::find(&part[..end], b"\r\n\r\n").map(|head_end| (head_end, head_end + 4))?,
        };
        let head = String::from_utf8_lossy(&part[..head_end]).into_owned();
        if head.split("\r\n").any(|line| !line.is_empty() && !line.contains(':')) {
            return None;
        }
        let is_disposition = |line: &&str| line.to_ascii_lowercase().starts_with("content-disposition:");
        let disposition = head.split("\r\n").find(is_disposition).unwrap_or_default();
        let value = String::from_utf8_lossy(part.get(value..end)?).into_owned();
        // Others have no name.
        let is_form_data = |disposition: &str| {
            let kind = disposition.split_once(':').map_or("", |(_, said)| said).split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("form-data")
        };
        if let Some(name) = parameter(disposition, "name").filter(|_| is_form_data(disposition)) {
            parts.push(Part { name, is_file: parameter(disposition, "filename").is_some(), value });
        }
        rest = &part[end + later.len()..];
    }
    Some(parts)
}

/// The value of `name=` in a header, plain or quoted.
fn parameter(header: &str, name: &str) -> Option<String> {
    let pair = |piece: &str| {
        let (key, value) = piece.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    };
    let (mut quoted, mut escaped) = (false, false);
    let ends = |letter: char| {
        if std::mem::take(&mut escaped) {
            return false;
        }
        escaped = quoted && letter == '\\';
        quoted ^= letter == '"';
        letter == ';' && !quoted
    };
    header.split(ends).skip(1).find_map(pair)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_quotes_or_has_no_name() {
        let body = b"--x\r\n\r\nno head\r\n--x\r\nContent-Type: text/plain\r\n\r\nno name\r\n--x\r\nContent-Disposition: form-data; filename=\"a\\\"; name=b\"; name=\"q\"\r\n\r\nSHOW\r\n--x--";
        assert_eq!(
            parse("multipart/form-data; boundary=x", body),
            [Part { name: "q".into(), is_file: true, value: "SHOW".into() }]
        );
        let no_header = b"--x\r\nContent-Disposition form-data; name=q\r\n\r\nSHOW\r\n--x--";
        assert_eq!(parse("multipart/form-data; boundary=x", no_header), []);
    }

    #[test]
    fn fields_and_files() {
        let body = b"\r\n--x-y\r\nContent-Disposition: form-data; name=\"q\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\nSHOW\r\n--x\r\nSERIES\r\n--x-y\r\ncontent-disposition: form-data; name=db\r\n\r\n\r\n--x-y--\r\n";
        let part = |name: &str, is_file, value: &str| Part { name: name.into(), is_file, value: value.into() };
        let wanted = [part("q", true, "SHOW\r\n--x\r\nSERIES"), part("db", false, "")];
        assert_eq!(parse("multipart/form-data; boundary=\"x-y\"", body), wanted);
        for cut in 0..body.len() - 4 {
            assert_eq!(parse("multipart/form-data; boundary=x-y", &body[..cut]), []);
        }
        assert_eq!(parse("multipart/form-data", body), []);
    }
}
