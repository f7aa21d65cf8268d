//! Targets of requests as people write them by hand (`…&q=SELECT+*+FROM+"m"+WHERE+v>3`): InfluxDB takes characters there that
//! hyper refuses, or takes for the beginning of a fragment. They are percent-encoded before hyper sees them. Pure: `stream`
//! reads.

/// Of the requests that come over one connection.
pub struct Targets {
    /// A request's first line comes, not what is behind it.
    in_line: bool,
    /// What has come last ends with an empty line, as a head does, and has no other.
    at_end: bool,
    /// The last bytes that have come.
    last: [u8; 2],
}

impl Default for Targets {
    fn default() -> Targets {
        Targets { in_line: true, at_end: false, last: [0; 2] }
    }
}

impl Targets {
    /// A request has come that has no body, and nothing has been read since its head was whole: what comes next is another's
    /// first line, unless some of that is here already, be it up to the end of a head that has a body.
    pub fn ended(&mut self) {
        self.in_line |= self.at_end;
    }

    /// What is to be read instead of what has come; `None`: that itself.
    pub fn came(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut newlines = memchr::memchr_iter(b'\n', bytes);
        self.at_end = bytes.last() == Some(&b'\n')
            && self.is_empty_line(bytes, bytes.len() - 1)
            && newlines.find(|newline| self.is_empty_line(bytes, *newline)) == Some(bytes.len() - 1);
        let kept = bytes.len().min(self.last.len());
        self.last.rotate_left(kept);
        let from = self.last.len() - kept;
        self.last[from..].copy_from_slice(&bytes[bytes.len() - kept..]);
        if !std::mem::replace(&mut self.in_line, false) {
            return None;
        }
        let end = memchr::memchr(b'\n', bytes);
        self.in_line = end.is_none();
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        // Without a branch, since there are none in most.
        if !line.iter().fold(false, |found, byte| found | is_special(*byte)) {
            return None;
        }
        let mut encoded = Vec::with_capacity(bytes.len() + 64);
        for byte in line {
            match is_special(*byte) {
                true => encoded.extend(format!("%{byte:02X}").bytes()),
                false => encoded.push(*byte),
            }
        }
        encoded.extend(rest);
        Some(encoded)
    }

    /// Whether nothing stands before the newline at a place of the bytes that come now. As hyper has it, a line may end without
    /// a carriage return.
    fn is_empty_line(&self, bytes: &[u8], newline: usize) -> bool {
        let before = |back: usize| match newline.checked_sub(back) {
            Some(at) => bytes[at],
            None => self.last[self.last.len() + newline - back],
        };
        before(1) == b'\n' || before(1) == b'\r' && before(2) == b'\n'
    }
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'#' | 0x80..)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(targets: &mut Targets, bytes: &str) -> String {
        let read = targets.came(bytes.as_bytes()).unwrap_or_else(|| bytes.as_bytes().to_vec());
        String::from_utf8(read).expect("it is text")
    }

    #[test]
    fn first_lines_are_encoded_wherever_they_are_cut() {
        let (head, encoded) = (
            "GET /query?q=\"é\"#<1> HTTP/1.1\r\nx: \"#\"\r\n\r\n",
            "GET /query?q=%22%C3%A9%22%23%3C1%3E HTTP/1.1\r\nx: \"#\"\r\n\r\n",
        );
        for cut in (0..=head.len()).filter(|cut| head.is_char_boundary(*cut)) {
            let mut targets = Targets::default();
            let (one, other) = head.split_at(cut);
            assert_eq!(read(&mut targets, one) + &read(&mut targets, other), encoded, "{one:?}");
        }
        let plain = "GET /query?q=a HTTP/1.1\r\n\r\n";
        assert_eq!(Targets::default().came(plain.as_bytes()), None);
    }

    #[test]
    fn nothing_but_first_lines_is_encoded() {
        let mut targets = Targets::default();
        let (get, encoded) = ("GET /\"  HTTP/1.1\r\n\r\n", "GET /%22  HTTP/1.1\r\n\r\n");
        assert_eq!(read(&mut targets, get), encoded);
        // Before it is said that it had no body, this may be one.
        assert_eq!(read(&mut targets, get), get);
        targets.ended();
        assert_eq!(read(&mut targets, get), encoded);
        targets.ended();
        let post = "POST /write HTTP/1.1\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(read(&mut targets, &format!("{post}a \"b")), format!("{post}a \"b"));
        assert_eq!(read(&mut targets, "\"\r\n\r\n"), "\"\r\n\r\n");
        // Some of the next has come with this one.
        let mut targets = Targets::default();
        assert_eq!(read(&mut targets, &format!("{get}GET /")), format!("{encoded}GET /"));
        targets.ended();
        assert_eq!(read(&mut targets, "\" HTTP/1.1\r\nx: \"\r\n\r\n"), "\" HTTP/1.1\r\nx: \"\r\n\r\n");
    }

    #[test]
    fn a_body_is_not_taken_for_a_first_line_behind_heads_that_came_at_once() {
        let post = "POST /write HTTP/1.1\r\ncontent-length: 5\r\n\r\n";
        for end in ["\r\n\r\n", "\n\n", "\r\n\n", "\n\r\n"] {
            let heads = format!("GET /\" HTTP/1.1{end}{post}");
            let length = heads.len() - post.len();
            // The head of the first is whole with the last piece.
            for cut in 0..length {
                let mut targets = Targets::default();
                let (one, other) = heads.split_at(cut);
                assert_eq!(read(&mut targets, one) + &read(&mut targets, other), heads.replace('"', "%22"));
                targets.ended();
                assert_eq!(read(&mut targets, "a \"b\""), "a \"b\"", "{one:?}");
            }
        }
        // What comes behind a body is known again once it has come alone.
        let mut targets = Targets::default();
        read(&mut targets, post);
        read(&mut targets, "a \"b\"");
        read(&mut targets, "GET /a HTTP/1.1\r\n");
        read(&mut targets, "\r\n");
        targets.ended();
        assert_eq!(read(&mut targets, "GET /\""), "GET /%22");
    }
}
