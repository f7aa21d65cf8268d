//! How long the heads are of the answers that come over a connection. InfluxDB sends the head of an answer when its query begins
//! and the body when that is done: whoever is woken for both is woken once more than there is anything to do. Where a head came
//! alone, the next answer's is awaited with the beginning of its body. A whole answer may be shorter than that where heads vary
//! (a proxy has some of its own): one is late for it on a connection, and none after that. Pure: `stream` tells the kernel.

/// Of one connection.
#[derive(Default)]
pub struct Heads {
    now: Now,
    /// Of a head that came alone, with a body behind it, or of a shorter one since.
    alone: Option<usize>,
    /// It has been waited for long enough.
    overdue: bool,
    /// A whole answer was waited for in vain.
    vary: bool,
}

/// What is known of the answer that comes.
#[derive(Default)]
enum Now {
    /// None is to come, or enough of it is there.
    #[default]
    Enough,
    Nothing,
    /// What came first ends as a head does, after so many bytes.
    Head(usize),
}

const END: &[u8] = b"\r\n\r\n";

impl Heads {
    /// An answer is to come. `alike`: it was asked for as the one before was, so that its head may be as long.
    pub fn awaited(&mut self, alike: bool) {
        if !alike {
            self.alone = None;
        }
        self.begin(Now::Nothing);
    }

    /// An answer is to come that is a head alone: it is told, and nothing is learnt of it.
    pub fn bodiless(&mut self) {
        self.begin(Now::Enough);
    }

    fn begin(&mut self, now: Now) {
        // The one before had no body: another such would be awaited in vain.
        if matches!(self.now, Now::Head(_)) {
            self.alone = None;
        }
        (self.now, self.overdue) = (now, false);
    }

    /// Its head shall be told if it is there alone.
    pub fn overdue(&mut self) {
        self.overdue = true;
    }

    /// With how many bytes the answer has a head and some of its body; `None`: whatever comes is of use.
    pub fn least(&self) -> Option<usize> {
        (matches!(self.now, Now::Nothing) && !self.overdue && !self.vary).then_some(self.alone? + 1)
    }

    /// So much has come.
    pub fn came(&mut self, bytes: &[u8]) {
        self.now = match self.now {
            Now::Nothing => match head_length(bytes) {
                Some(length) if length == bytes.len() => Now::Head(length),
                Some(length) => {
                    self.vary |= self.overdue && self.alone.is_some_and(|alone| bytes.len() <= alone);
                    self.alone = self.alone.map(|alone| alone.min(length));
                    Now::Enough
                }
                None => Now::Enough,
            },
            Now::Head(length) => {
                self.alone = Some(self.alone.map_or(length, |alone| alone.min(length)));
                Now::Enough
            }
            Now::Enough => Now::Enough,
        };
    }
}

/// Of what begins with a head, if that is whole.
fn head_length(bytes: &[u8]) -> Option<usize> {
    let mut ends = memchr::memchr_iter(b'\n', bytes).map(|at| at + 1);
    ends.find(|end| bytes[..*end].ends_with(END))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\n\r\n";

    /// What is waited for of an answer that comes in these pieces.
    fn waited_for(heads: &mut Heads, alike: bool, pieces: &[&[u8]]) -> Option<usize> {
        heads.awaited(alike);
        let least = heads.least();
        pieces.iter().for_each(|piece| heads.came(piece));
        assert_eq!(heads.least(), None, "the rest is told as it comes");
        least
    }

    #[test]
    fn a_head_that_came_alone_is_awaited_with_its_body() {
        let heads = &mut Heads::default();
        let with_body = [HEAD, b"2\r\n{}\r\n0\r\n\r\n"].concat();
        assert_eq!(heads.least(), None);
        assert_eq!(waited_for(heads, true, &[HEAD, b"{}", b"{}"]), None);
        assert_eq!(waited_for(heads, true, &[&with_body]), Some(HEAD.len() + 1));
        assert_eq!(waited_for(heads, true, &[&with_body]), Some(HEAD.len() + 1));
        assert_eq!(waited_for(heads, false, &[&with_body]), None, "another format, another head");
        assert_eq!(waited_for(heads, true, &[&with_body]), None, "this one need not be there alone");
    }

    #[test]
    fn an_answer_without_a_body_is_not_awaited_with_one() {
        let heads = &mut Heads::default();
        for _ in 0..3 {
            assert_eq!(waited_for(heads, true, &[HEAD]), None);
        }
        assert_eq!(waited_for(heads, true, &[HEAD, b"{}"]), None);
        assert_eq!(waited_for(heads, true, &[HEAD]), Some(HEAD.len() + 1));
        assert_eq!(waited_for(heads, true, &[HEAD]), None);
    }

    #[test]
    fn a_head_that_is_overdue_is_told_and_counts_as_before() {
        let heads = &mut Heads::default();
        waited_for(heads, true, &[HEAD, b"{}"]);
        for _ in 0..2 {
            heads.awaited(true);
            assert_eq!(heads.least(), Some(HEAD.len() + 1));
            heads.overdue();
            assert_eq!(heads.least(), None);
            [HEAD, b"{}"].iter().for_each(|piece| heads.came(piece));
        }
        assert_eq!(waited_for(heads, true, &[HEAD]), Some(HEAD.len() + 1));
        assert_eq!(waited_for(heads, true, &[HEAD]), None);
    }

    #[test]
    fn an_answer_that_is_shorter_than_a_head_was_is_late_once() {
        let heads = &mut Heads::default();
        let long = [&HEAD[..HEAD.len() - 2], b"X-Cache: of a proxy, and it says much\r\n\r\n"].concat();
        let short = [HEAD, b"2\r\n{}\r\n0\r\n\r\n"].concat();
        waited_for(heads, true, &[&long, b"{}"]);
        assert!(short.len() <= long.len());
        heads.awaited(true);
        assert_eq!(heads.least(), Some(long.len() + 1));
        heads.overdue();
        heads.came(&short);
        for alike in [true, true, false, true, true] {
            assert_eq!(waited_for(heads, alike, &[&long, b"{}"]), None);
        }
    }

    #[test]
    fn a_shorter_head_counts_from_then_on() {
        let heads = &mut Heads::default();
        let long = [&HEAD[..HEAD.len() - 2], b"X-Cache: miss\r\n\r\n"].concat();
        let longer_answer = [HEAD, &[b'x'; 200][..]].concat();
        waited_for(heads, true, &[&long, b"{}"]);
        assert_eq!(waited_for(heads, true, &[&longer_answer]), Some(long.len() + 1), "it is long enough");
        assert_eq!(waited_for(heads, true, &[&long, b"{}"]), Some(HEAD.len() + 1));
        assert_eq!(waited_for(heads, true, &[HEAD, b"{}"]), Some(HEAD.len() + 1));
    }

    #[test]
    fn a_late_answer_says_nothing_of_its_head() {
        let heads = &mut Heads::default();
        let with_body = [HEAD, b"2\r\n{}\r\n0\r\n\r\n"].concat();
        waited_for(heads, true, &[HEAD, b"{}"]);
        heads.awaited(true);
        heads.overdue();
        heads.came(&with_body);
        assert_eq!(waited_for(heads, true, &[&with_body]), Some(HEAD.len() + 1));
    }

    #[test]
    fn an_answer_that_is_a_head_alone_is_told_and_forgotten() {
        let heads = &mut Heads::default();
        waited_for(heads, true, &[HEAD, b"{}"]);
        heads.bodiless();
        assert_eq!(heads.least(), None);
        heads.came(&HEAD[2..]);
        assert_eq!(waited_for(heads, true, &[HEAD, b"{}"]), Some(HEAD.len() + 1));
    }
}
