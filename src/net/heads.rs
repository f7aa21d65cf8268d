//! How long the heads are of the answers that come over a connection. InfluxDB sends the head of an answer when its query begins
//! and the body when that is done: whoever is woken for both is woken once more than there is anything to do. Where a head came
//! alone, the next answer's is awaited with the beginning of its body. Pure: `stream` tells the kernel.

/// Of one connection.
#[derive(Default)]
pub struct Heads {
    now: Now,
    /// Of a head that came alone, with a body behind it.
    alone: Option<usize>,
    /// It has been waited for long enough.
    overdue: bool,
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
        // One that has no body would be awaited in vain.
        if !alike || matches!(self.now, Now::Head(_)) {
            self.alone = None;
        }
        (self.now, self.overdue) = (Now::Nothing, false);
    }

    /// Its head shall be told if it is there alone.
    pub fn overdue(&mut self) {
        self.overdue = true;
    }

    /// With how many bytes the answer has a head and some of its body; `None`: whatever comes is of use.
    pub fn least(&self) -> Option<usize> {
        (matches!(self.now, Now::Nothing) && !self.overdue).then_some(self.alone? + 1)
    }

    /// So much has come.
    pub fn came(&mut self, bytes: &[u8]) {
        self.now = match self.now {
            Now::Nothing if is_head(bytes) => Now::Head(bytes.len()),
            Now::Head(length) => {
                self.alone = Some(length);
                Now::Enough
            }
            Now::Nothing | Now::Enough => Now::Enough,
        };
    }
}

/// Whether it is a head and nothing else: a body may end as a head does.
fn is_head(bytes: &[u8]) -> bool {
    memchr::memmem::find(bytes, END).is_some_and(|at| at + END.len() == bytes.len())
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
}
