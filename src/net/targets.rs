//! Targets of requests as people write them by hand (`…&q=SELECT+*+FROM+"m"+WHERE+v>3`): InfluxDB takes characters there that
//! hyper refuses, or takes for the beginning of a fragment. They are percent-encoded before hyper sees them. Pure: `stream`
//! reads.

/// Longer ones are not looked for where a body may come, which is not searched in vain.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// Of the requests that come over one connection.
pub struct Targets {
    place: Place,
    /// What has come behind the head that is whole now.
    behind: Option<u64>,
    /// The last bytes that have come.
    last: [u8; 2],
}

/// What comes next.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// A request's first line, or the rest of it.
    Line,
    /// The rest of its head.
    Head,
    /// So much of its body, which is not all there.
    Body(u64),
    Unknown,
}

impl Default for Targets {
    fn default() -> Targets {
        Targets { place: Place::Line, behind: None, last: *b"\n\n" }
    }
}

impl Targets {
    /// A request has come that has a body of so many bytes, if that is known, and nothing has been read since its head was
    /// whole: what comes next is the rest of its body, or another's first line, unless some of that is here already.
    pub fn begun(&mut self, body: Option<u64>) {
        self.place = match (self.behind.take(), body) {
            (Some(behind), Some(body)) if behind == body => Place::Line,
            (Some(behind), Some(body)) if behind < body => Place::Body(body - behind),
            _ => Place::Unknown,
        };
    }

    /// What is to be read instead of what has come; `None`: that itself.
    pub fn came(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if let Place::Body(rest) = self.place {
            self.place = match rest.checked_sub(bytes.len() as u64) {
                Some(0) => Place::Line,
                Some(rest) => Place::Body(rest),
                None => Place::Unknown,
            };
            self.last = *b"\n\n";
            return None;
        }
        let in_line = self.place == Place::Line;
        let end = memchr::memchr(b'\n', bytes).filter(|_| in_line);
        if let Some(end) = end {
            // Before it empty lines may stand.
            self.place = if self.is_empty_line(bytes, end) { Place::Unknown } else { Place::Head };
        }
        let behind = || {
            let mut newlines = memchr::memchr_iter(b'\n', bytes);
            let empty = newlines.find(|newline| self.is_empty_line(bytes, *newline));
            empty.map(|newline| (bytes.len() - newline - 1) as u64)
        };
        self.behind = match (self.place, self.behind) {
            // It may be a body's.
            (Place::Unknown, _) if bytes.ends_with(b"\n") && bytes.len() <= HEAD_BYTES_MAX => {
                behind().filter(|behind| *behind == 0)
            }
            (Place::Unknown, _) => None,
            (_, Some(behind)) => Some(behind + bytes.len() as u64),
            (_, None) => behind(),
        };
        let kept = bytes.len().min(self.last.len());
        self.last.rotate_left(kept);
        let from = self.last.len() - kept;
        self.last[from..].copy_from_slice(&bytes[bytes.len() - kept..]);
        if !in_line {
            return None;
        }
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
        targets.begun(Some(0));
        assert_eq!(read(&mut targets, get), get);
        targets.begun(Some(0));
        assert_eq!(read(&mut targets, get), encoded);
        targets.begun(Some(0));
        let post = "POST /write HTTP/1.1\r\ncontent-length: 5\r\n\r\n";
        assert_eq!(read(&mut targets, &format!("{post}a \"b")), format!("{post}a \"b"));
        assert_eq!(read(&mut targets, "\"\r\n\r\n"), "\"\r\n\r\n");
        // Some of the next has come with this one.
        let mut targets = Targets::default();
        assert_eq!(read(&mut targets, &format!("{get}GET /")), format!("{encoded}GET /"));
        targets.begun(Some(0));
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
                targets.begun(Some(0));
                assert_eq!(read(&mut targets, "a \"b\""), "a \"b\"", "{one:?}");
            }
        }
        // What comes behind such a body is known again once it has come alone.
        let mut targets = Targets::default();
        read(&mut targets, post);
        targets.begun(None);
        read(&mut targets, "a \"b\"");
        read(&mut targets, "GET /a HTTP/1.1\r\n");
        read(&mut targets, "\r\n");
        targets.begun(Some(0));
        assert_eq!(read(&mut targets, "GET /\""), "GET /%22");
        // A first line that is empty is none.
        for (one, other) in [("\r\n", post), ("\r", &format!("\n{post}")), ("\n\r\n", post)] {
            let mut targets = Targets::default();
            read(&mut targets, one);
            read(&mut targets, &format!("{other}a "));
            targets.begun(Some(5));
            assert_eq!(read(&mut targets, "\"b\""), "\"b\"");
            assert_eq!(read(&mut targets, "GET /\""), "GET /\"");
        }
    }

    #[test]
    fn a_first_line_is_known_behind_a_body() {
        let post = "POST /\" HTTP/1.1\r\ncontent-length: 9\r\n\r\n\"\r\n\r\n\n\n\"\"";
        let (head, body) = post.split_at(post.len() - 9);
        let (get, encoded) = ("GET /\" HTTP/1.1\r\n\r\n", "GET /%22 HTTP/1.1\r\n\r\n");
        let encoded_post = head.replace('"', "%22") + body;
        for (first, second) in (0..=9).flat_map(|first| (first..=9).map(move |second| (first, second))) {
            let mut targets = Targets::default();
            for _ in 0..2 {
                let mut seen = read(&mut targets, &format!("{head}{}", &body[..first]));
                targets.begun(Some(9));
                for piece in [&body[first..second], &body[second..]].into_iter().filter(|piece| !piece.is_empty()) {
                    seen += &read(&mut targets, piece);
                }
                assert_eq!(seen, encoded_post, "{first} {second}");
                assert_eq!(read(&mut targets, get), encoded);
                targets.begun(Some(0));
            }
        }
    }
}
