//! Gathers lines into batches, group by group, while they come in: of one request (`frame`, then `finish`), of a stream
//! (`frame`, with `take` every now and then) or of datagrams (`datagram`, with `take`).
//!
//! Neighbouring lines of one group grow one range of the frame; short ranges are copied, since sending many slices
//! costs more than copying them, and since a short slice would keep its whole frame alive. Nothing is allocated per
//! line.

use bytes::{Bytes, BytesMut};

use crate::lineprotocol::{End, Precision, Rest, Splitter};
use crate::topology::GroupIndex;

use super::{Router, Stamps};

/// Ranges up to this length are copied.
const COPY_MAX: usize = 4096;
/// Copies go into chunks of at least and (unless a line is longer) at most these lengths.
const CHUNK_MIN: usize = 2048;
const CHUNK_MAX: usize = 128 * 1024;

/// Points for one group: lines, each with its newline.
#[derive(Clone, Debug)]
pub struct Batch {
    pub group: GroupIndex,
    pub pieces: Vec<Bytes>,
    /// The pieces' lengths added up.
    pub bytes: usize,
    pub points: u32,
    /// The last line ends inside quotes or behind a backslash, or without a newline: nothing may follow it.
    pub open: bool,
}

/// Lines that followed each other in the request and went the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub group: GroupIndex,
    pub lines: u32,
    /// They got the request's stamp.
    pub stamped: bool,
}

/// The batches of one request, those of one group in the request's order.
#[derive(Debug)]
pub struct Batches {
    pub list: Vec<Batch>,
    /// How the request's lines lie in the batches, in the request's order.
    pub runs: Vec<Run>,
    /// What the last stamped lines got, with the space before it.
    pub stamp: String,
    pub points: u64,
}

/// One group's lines so far.
#[derive(Default)]
struct Growing {
    pieces: Vec<Bytes>,
    /// Copied lines that are not yet a piece.
    chunk: BytesMut,
    bytes: usize,
    points: u32,
}

/// Builds batches.
pub struct Builder {
    router: Router,
    splitter: Splitter,
    stamps: Stamps,
    /// By group.
    growing: Vec<Growing>,
    done: Vec<Batch>,
    runs: Vec<Run>,
    points: u64,
    bytes: usize,
    limits: BatchLimits,
    line_bytes_max: usize,
    /// A line was longer; nothing is taken any more.
    too_long: Option<usize>,
}

/// A group's batch that reaches one of these is closed and a further one begun.
#[derive(Clone, Copy, Debug)]
pub struct BatchLimits {
    pub bytes_max: usize,
    pub points_max: usize,
}

/// A range of the frame that is still growing.
struct Range {
    group: GroupIndex,
    start: usize,
    end: usize,
    lines: u32,
}

impl Builder {
    pub fn new(router: Router, stamps: Stamps, limits: BatchLimits) -> Builder {
        let growing = growing(&router);
        let splitter = Splitter::default();
        let (done, runs) = (Vec::new(), Vec::new());
        let (points, bytes, line_bytes_max, too_long) = (0, 0, usize::MAX, None);
        Builder { router, splitter, stamps, growing, done, runs, points, bytes, limits, line_bytes_max, too_long }
    }

    /// A longer line ends the stream: nothing is taken from it on.
    pub fn limit_lines(&mut self, bytes_max: usize) {
        self.line_bytes_max = bytes_max;
    }

    /// How many bytes had come of a line that is too long, if there was one.
    pub fn too_long(&self) -> Option<usize> {
        self.too_long
    }

    /// What follows arrived at this moment.
    pub fn arrived(&mut self, now_ns: i64) {
        self.stamps.arrived(now_ns);
    }

    /// How many points have been gathered since the last `take`.
    pub fn points(&self) -> u64 {
        self.points
    }

    /// How many bytes they have.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many bytes of a line have come whose end has not.
    pub fn carried(&self) -> usize {
        self.splitter.carried()
    }

    /// Takes the next frame of a body or a stream.
    pub fn frame(&mut self, frame: &Bytes) {
        if self.too_long.is_some() {
            return;
        }
        if let Some((carried, at)) = self.splitter.begin_frame(frame) {
            if at > 0 && self.is_short(carried.len()) {
                self.add_alone(&carried);
            }
            let rest = self.add_lines(frame, at, Some(frame));
            if self.too_long.is_none() {
                self.splitter.end_frame(&frame[rest..]);
            }
        }
        self.is_short(self.splitter.carried());
    }

    #[inline]
    fn is_short(&mut self, line_bytes: usize) -> bool {
        if line_bytes > self.line_bytes_max {
            self.too_long = Some(line_bytes);
        }
        self.too_long.is_none()
    }

    /// Takes a datagram, whose last line needs no newline. `false`: that line was dropped, since it ends inside quotes or
    /// behind a backslash and would swallow what follows.
    pub fn datagram(&mut self, datagram: &[u8]) -> bool {
        let rest = self.add_lines(datagram, 0, None);
        if rest == datagram.len() {
            return true;
        }
        let mut splitter = Splitter::default();
        splitter.end_frame(&datagram[rest..]);
        match splitter.finish() {
            Some(rest) if rest.end == End::Clean => self.add_alone(&rest.line),
            Some(_) => return false,
            None => {}
        }
        true
    }

    /// All whole lines so far, and no more of the line that has begun. What follows goes by `router`.
    pub fn take(&mut self, router: Router) -> Batches {
        (0..self.growing.len()).for_each(|group| self.close_batch(group, false));
        self.growing = growing(&router);
        self.router = router;
        self.taken()
    }

    /// The body has ended properly.
    pub fn finish(mut self) -> Batches {
        let open = std::mem::take(&mut self.splitter).finish().and_then(|rest| self.add_rest(&rest));
        self.end(open)
    }

    /// `open`: the group of the line that nothing may follow.
    fn end(mut self, open: Option<GroupIndex>) -> Batches {
        for group in 0..self.growing.len() {
            self.close_batch(group, open == Some(group as GroupIndex));
        }
        self.taken()
    }

    fn taken(&mut self) -> Batches {
        self.bytes = 0;
        Batches {
            list: std::mem::take(&mut self.done),
            runs: std::mem::take(&mut self.runs),
            stamp: self.stamps.last().to_owned(),
            points: std::mem::take(&mut self.points),
        }
    }

    /// Adds the whole lines of `text` from `at` on; where its rest begins. Long ranges are slices of `shared`, which is
    /// the same text.
    fn add_lines(&mut self, text: &[u8], at: usize, shared: Option<&Bytes>) -> usize {
        let mut range: Option<Range> = None;
        let mut lines = Splitter::lines(text, at);
        while let Some((start, end)) = lines.next_range() {
            if !self.is_short(end - start) {
                break;
            }
            let line_text = &text[start..end];
            let Some(line) = self.router.read(line_text) else { continue };
            let group = self.router.group(&line);
            if line.lacks_timestamp() {
                self.close(range.take(), text, shared);
                self.add_stamped(group, line_text, line.gap());
                continue;
            }
            match &mut range {
                Some(open) if open.group == group && open.end == start => {
                    open.end = end + 1;
                    open.lines += 1;
                }
                _ => {
                    self.close(range.take(), text, shared);
                    range = Some(Range { group, start, end: end + 1, lines: 1 });
                }
            }
        }
        self.close(range, text, shared);
        lines.rest()
    }

    /// Adds a line that is not part of a frame.
    fn add_alone(&mut self, text: &[u8]) {
        let Some(line) = self.router.read(text) else { return };
        let group = self.router.group(&line);
        if line.lacks_timestamp() {
            self.add_stamped(group, text, line.gap());
        } else {
            self.count(group, 1, false);
            self.copy(group, &[text, b"\n"]);
        }
    }

    /// Adds the end of a body; its group if nothing may follow it. InfluxDB refuses what ends inside quotes or, without
    /// fields, behind a backslash, in words that must be about this very text.
    fn add_rest(&mut self, rest: &Rest) -> Option<GroupIndex> {
        let line = self.router.read(&rest.line)?;
        let stamped = rest.end == End::Backslash && line.lacks_timestamp();
        if rest.end == End::Clean || stamped {
            self.add_alone(&rest.line);
            return None;
        }
        let group = self.router.group(&line);
        self.count(group, 1, false);
        self.copy(group, &[&rest.line]);
        Some(group)
    }

    /// Adds a line that was built before; its group if nothing may follow it.
    fn add_again(&mut self, sent: &Sent<'_>, stamped: bool) -> Option<GroupIndex> {
        let line = self.router.read(sent.text)?;
        let group = self.router.group(&line);
        self.count(group, 1, stamped);
        if sent.open {
            self.copy(group, &[sent.text]);
            return Some(group);
        }
        self.copy(group, &[sent.text, b"\n"]);
        self.close_full(group);
        None
    }

    fn add_stamped(&mut self, group: GroupIndex, text: &[u8], gap: &[u8]) {
        self.count(group, 1, true);
        let growing = &mut self.growing[usize::from(group)];
        self.bytes += growing.copy(&[text, gap, self.stamps.take().as_bytes(), b"\n"]);
        self.close_full(group);
    }

    fn copy(&mut self, group: GroupIndex, parts: &[&[u8]]) {
        self.bytes += self.growing[usize::from(group)].copy(parts);
    }

    fn close(&mut self, range: Option<Range>, text: &[u8], shared: Option<&Bytes>) {
        let Some(Range { group, start, end, lines }) = range else { return };
        self.count(group, lines, false);
        match shared.filter(|_| end - start > COPY_MAX) {
            None => self.copy(group, &[&text[start..end]]),
            Some(shared) => {
                let growing = &mut self.growing[usize::from(group)];
                growing.close_chunk();
                growing.bytes += end - start;
                growing.pieces.push(shared.slice(start..end));
                self.bytes += end - start;
            }
        }
        self.close_full(group);
    }

    fn count(&mut self, group: GroupIndex, lines: u32, stamped: bool) {
        self.points += u64::from(lines);
        self.growing[usize::from(group)].points += lines;
        match self.runs.last_mut() {
            Some(run) if run.group == group && run.stamped == stamped => run.lines += lines,
            _ => self.runs.push(Run { group, lines, stamped }),
        }
    }

    fn close_full(&mut self, group: GroupIndex) {
        let growing = &self.growing[usize::from(group)];
        if growing.bytes >= self.limits.bytes_max || growing.points as usize >= self.limits.points_max {
            self.close_batch(usize::from(group), false);
        }
    }

    fn close_batch(&mut self, group: usize, open: bool) {
        let mut whole = std::mem::take(&mut self.growing[group]);
        whole.close_chunk();
        if whole.points > 0 {
            let Growing { pieces, bytes, points, .. } = whole;
            self.done.push(Batch { group: group as GroupIndex, pieces, bytes, points, open });
        }
    }
}

fn growing(router: &Router) -> Vec<Growing> {
    router.topology().groups().iter().map(|_| Growing::default()).collect()
}

impl Growing {
    /// How many bytes that were.
    #[inline]
    fn copy(&mut self, parts: &[&[u8]]) -> usize {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.chunk.capacity() - self.chunk.len() < length {
            let next = (self.chunk.capacity() * 2).clamp(CHUNK_MIN, CHUNK_MAX).max(length);
            self.close_chunk();
            self.chunk = BytesMut::with_capacity(next);
        }
        parts.iter().for_each(|part| self.chunk.extend_from_slice(part));
        self.bytes += length;
        length
    }

    fn close_chunk(&mut self) {
        if !self.chunk.is_empty() {
            self.pieces.push(std::mem::take(&mut self.chunk).freeze());
        }
    }
}

/// A line as it stands in a batch.
struct Sent<'a> {
    text: &'a [u8],
    /// Nothing may follow it.
    open: bool,
}

/// The lines of a batch's piece.
fn sent(piece: &[u8]) -> impl Iterator<Item = Sent<'_>> {
    let mut lines = Splitter::lines(piece, 0);
    let mut ended = false;
    std::iter::from_fn(move || match lines.next_range() {
        Some((start, end)) => Some(Sent { text: &piece[start..end], open: false }),
        None => {
            let rest = piece.get(lines.rest()..).filter(|rest| !rest.is_empty() && !ended)?;
            ended = true;
            Some(Sent { text: rest, open: true })
        }
    })
}

impl Batches {
    /// Other batches of the same request.
    pub fn with(&self, list: Vec<Batch>) -> Batches {
        let points = list.iter().map(|batch| u64::from(batch.points)).sum();
        Batches { list, runs: Vec::new(), stamp: self.stamp.clone(), points }
    }

    /// Without any line one empty batch, for the given group to say whether the database exists.
    pub fn or_empty(mut self, group: GroupIndex) -> Batches {
        if self.list.is_empty() {
            self.list.push(Batch { group, pieces: Vec::new(), bytes: 0, points: 0, open: false });
        }
        self
    }

    /// The same request as another topology has it.
    pub fn by(&self, router: Router, limits: BatchLimits) -> Batches {
        let mut builder = Builder::new(router, Stamps::same(Precision::Nanoseconds, 0), limits);
        let of = |group| self.list.iter().filter(move |batch| batch.group == group).flat_map(|batch| &batch.pieces);
        let groups = self.list.iter().map(|batch| usize::from(batch.group) + 1).max().unwrap_or_default();
        let mut lines: Vec<_> =
            (0..groups).map(|group| of(group as GroupIndex).flat_map(|piece| sent(piece))).collect();
        let mut open = None;
        for run in &self.runs {
            let lines = lines.get_mut(usize::from(run.group)).into_iter().flatten();
            for line in lines.take(run.lines as usize) {
                open = builder.add_again(&line, run.stamped).or(open);
            }
        }
        let batches = builder.end(open);
        Batches { stamp: self.stamp.clone(), ..batches }
    }

    /// The same lines by another topology. All have their timestamps, and none is open.
    pub fn routed_anew(&self, router: Router, limits: BatchLimits) -> Batches {
        let mut builder = Builder::new(router, Stamps::same(Precision::Nanoseconds, 0), limits);
        self.list.iter().flat_map(|batch| &batch.pieces).for_each(|piece| builder.frame(piece));
        builder.finish()
    }
}

impl Batch {
    /// Its first lines and the others, or itself if it is one line. Only for batches of whole lines.
    pub fn halves(&self) -> Vec<Batch> {
        let bytes = Bytes::from(self.joined());
        let mut lines = Splitter::lines(&bytes, 0);
        let half = self.points / 2;
        let end = (0..half).filter_map(|_| lines.next_range()).last().map_or(0, |(_, end)| end + 1);
        if end == 0 {
            return vec![self.clone()];
        }
        let part = |bytes: Bytes, points| Batch {
            group: self.group,
            bytes: bytes.len(),
            pieces: vec![bytes],
            points,
            open: false,
        };
        vec![part(bytes.slice(..end), half), part(bytes.slice(end..), self.points - half)]
    }

    /// All its bytes in one, for what is off the fast path.
    pub fn joined(&self) -> Vec<u8> {
        self.pieces.concat()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::lineprotocol::naive;
    use crate::topology::{GroupSpec, ReplicaSpec, Spec, Topology, evenly};

    pub fn three_groups() -> Arc<Topology> {
        let group = |id| {
            let (name, url) = (format!("g{id}"), "http://h:1".to_owned());
            let (username, password, state) = (String::new(), String::new(), "serving".to_owned());
            GroupSpec { id, replicas: vec![ReplicaSpec { name, url, username, password, state }] }
        };
        let spec = Spec { groups: vec![group(1), group(2), group(3)], slots: evenly(&[1, 2, 3]), rules: vec![] };
        Arc::new(spec.build(1).expect("a sound topology"))
    }

    fn build(frames: &[&[u8]], bytes_max: usize) -> Batches {
        let mut builder = Builder::new(
            Router::new(three_groups(), "db"),
            Stamps::same(Precision::Nanoseconds, 77),
            BatchLimits { bytes_max, points_max: 100 },
        );
        frames.iter().for_each(|frame| builder.frame(&Bytes::copy_from_slice(frame)));
        builder.finish()
    }

    /// What each group should get, line by line.
    fn expected(body: &[u8]) -> Vec<Vec<u8>> {
        let topology = three_groups();
        let mut groups = vec![Vec::new(); 3];
        for text in naive::lines(body) {
            let mut router = Router::new(topology.clone(), "db");
            let Some(line) = router.read(text) else { continue };
            let stamp: &[u8] = if line.lacks_timestamp() { b" 77" } else { b"" };
            groups[usize::from(router.group(&line))].extend([text, stamp, b"\n"].concat());
        }
        groups
    }

    proptest! {
        #[test]
        fn every_line_goes_to_its_group(
            lines in prop::collection::vec("[a-f]{1,2}(,t=[xyz])? (v=[0-9]|s=\"[a-c \n,=]{0,9}\")( [0-9]{1,3})?|#c|", 0..80),
            cuts in prop::collection::vec(0usize..900, 0..5),
            bytes_max in 1usize..300,
        ) {
            let body = lines.join("\n").into_bytes();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(body.len())).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let frames: Vec<&[u8]> = cuts.windows(2).map(|cut| &body[cut[0]..cut[1]]).collect();
            let batches = build(&frames, bytes_max);
            let mut found = vec![Vec::new(); 3];
            for batch in &batches.list {
                prop_assert!(!batch.open);
                prop_assert_eq!(batch.bytes, batch.joined().len());
                found[usize::from(batch.group)].extend(batch.joined());
            }
            prop_assert_eq!(found, expected(&body));
            let points: u32 = batches.list.iter().map(|batch| batch.points).sum();
            let lines: u32 = batches.runs.iter().map(|run| run.lines).sum();
            prop_assert_eq!((u64::from(points), u64::from(lines)), (batches.points, batches.points));
        }
    }

    fn two_of_three() -> Arc<Topology> {
        let mut spec = three_groups().spec().clone();
        spec.slots = evenly(&[3, 1]);
        Arc::new(spec.build(2).expect("a sound topology"))
    }

    /// What a client's answer hangs on: what each group gets, and where the lines come from.
    fn of_each_group(batches: &Batches) -> (Vec<Vec<u8>>, Vec<bool>, &[Run], &str, u64) {
        let (mut lines, mut open) = (vec![Vec::new(); 3], vec![false; 3]);
        for batch in &batches.list {
            lines[usize::from(batch.group)].extend(batch.joined());
            open[usize::from(batch.group)] |= batch.open;
        }
        (lines, open, &batches.runs, &batches.stamp, batches.points)
    }

    proptest! {
        #[test]
        fn another_topology_has_the_request_as_if_it_had_come_by_it(
            lines in prop::collection::vec("[a-f]{1,2}(,t=[xyz])? (v=[0-9]|s=\"[a-c \n,=]{0,9}\")( [0-9]{1,3})?|#c|[a-c]|v=\\\\", 0..80),
            end in "(\n|\\\\|\"| s=\"a|[a-c]{0,2})",
            bytes_max in 1usize..300,
        ) {
            let body = Bytes::from(lines.join("\n") + &end);
            let limits = BatchLimits { bytes_max, points_max: 100 };
            let built = |topology: Arc<Topology>| {
                let stamps = Stamps::same(Precision::Nanoseconds, 77);
                let mut builder = Builder::new(Router::new(topology, "db"), stamps, limits);
                builder.frame(&body);
                builder.finish()
            };
            let moved = built(three_groups()).by(Router::new(two_of_three(), "db"), limits);
            let anew = built(two_of_three());
            prop_assert_eq!(of_each_group(&moved), of_each_group(&anew));
            for batch in &moved.list {
                prop_assert_eq!(batch.bytes, batch.joined().len());
            }
        }
    }

    #[test]
    fn long_ranges_are_not_copied() {
        let body = Bytes::from("cpu v=1 1\n".repeat(1000));
        let mut builder = Builder::new(
            Router::new(three_groups(), "db"),
            Stamps::same(Precision::Nanoseconds, 0),
            BatchLimits { bytes_max: usize::MAX, points_max: usize::MAX },
        );
        builder.frame(&body);
        let batches = builder.finish();
        assert_eq!(batches.list.len(), 1);
        assert_eq!(batches.list[0].pieces.len(), 1);
        assert_eq!(batches.list[0].pieces[0].as_ptr(), body.as_ptr(), "the frame itself");
    }

    #[test]
    fn open_ends_are_left_as_they_are() {
        let stamped = build(&[b"m s=\"x\"\\\n"], usize::MAX);
        assert!(!stamped.list[0].open);
        assert_eq!(stamped.list[0].joined(), b"m s=\"x\"\\  77\n");
        for (body, sent) in
            [("m s=\"a", "m s=\"a"), ("m s=\"a\n", "m s=\"a\n"), ("m\\\n", "m\\"), ("m s=\"a\\\"", "m s=\"a\\\"")]
        {
            let batches = build(&[body.as_bytes()], usize::MAX);
            assert_eq!(batches.list.len(), 1, "{body:?}");
            assert!(batches.list[0].open, "{body:?}");
            assert_eq!(batches.list[0].joined(), sent.as_bytes(), "{body:?}");
        }
    }

    fn builder() -> Builder {
        let limits = BatchLimits { bytes_max: usize::MAX, points_max: usize::MAX };
        Builder::new(Router::new(three_groups(), "db"), Stamps::rising(Precision::Nanoseconds, 7), limits)
    }

    fn text(batches: &Batches) -> String {
        let bytes: Vec<u8> = batches.list.iter().flat_map(Batch::joined).collect();
        String::from_utf8(bytes).expect("test lines are text")
    }

    #[test]
    fn a_stream_is_taken_in_parts_that_hold_whole_lines() {
        let mut builder = builder();
        builder.frame(&Bytes::from("cpu v=1\ncpu v=2 3\ncpu v"));
        assert_eq!((builder.points(), builder.bytes(), builder.carried()), (2, 20, 5));
        let router = || Router::new(three_groups(), "db");
        assert_eq!(text(&builder.take(router())), "cpu v=1 7\ncpu v=2 3\n");
        assert_eq!((builder.points(), builder.bytes(), builder.carried()), (0, 0, 5));
        builder.frame(&Bytes::from("=4\n"));
        assert_eq!(text(&builder.take(router())), "cpu v=4 8\n");
    }

    #[test]
    fn a_line_that_is_too_long_ends_the_stream() {
        let frames: [&[&str]; 4] = [
            &["cpu v=1 1\ncpu v=111111111 2\ncpu v=3 3\n", "cpu v=4 4\n"],
            &["cpu v=1 1\ncpu v=1111", "11111 2\ncpu v=3 3\n"],
            &["cpu v=1 1\ncpu v=1111", "11111"],
            &["cpu v=1 1\ncpu v=111111111 2"],
        ];
        for frames in frames {
            let mut builder = builder();
            builder.limit_lines(12);
            frames.iter().for_each(|frame| builder.frame(&Bytes::from_static(frame.as_bytes())));
            assert!(builder.too_long().is_some_and(|bytes| bytes > 12), "{frames:?}");
            let batches = builder.take(Router::new(three_groups(), "db"));
            assert_eq!(text(&batches), "cpu v=1 1\n", "{frames:?}");
        }
    }

    #[test]
    fn a_batch_falls_apart_down_to_its_lines() {
        let mut builder = builder();
        builder.frame(&Bytes::from("cpu v=1 1\ncpu s=\"a\nb\" 2\ncpu v=3 3\n"));
        let whole = builder.take(Router::new(three_groups(), "db"));
        let mut parts = whole.list[0].halves();
        let rest = parts.pop().expect("two halves");
        parts.extend(rest.halves());
        let texts: Vec<String> =
            parts.iter().map(|part| String::from_utf8_lossy(&part.joined()).into_owned()).collect();
        assert_eq!(texts, ["cpu v=1 1\n", "cpu s=\"a\nb\" 2\n", "cpu v=3 3\n"]);
        assert!(parts.iter().all(|part| part.points == 1 && part.bytes == part.joined().len()));
        assert_eq!(parts[0].halves().len(), 1);
    }

    #[test]
    fn datagrams_end_as_bodies_do_and_swallow_nothing() {
        let mut builder = builder();
        assert!(builder.datagram(b"cpu v=1 1\ncpu v=2 2"));
        assert!(!builder.datagram(b"cpu v=3 3\ncpu s=\"open"));
        assert!(!builder.datagram(b"cpu v=4\\"));
        assert!(builder.datagram(b"cpu v=5 5\n"));
        assert!(builder.datagram(b""));
        let batches = builder.take(Router::new(three_groups(), "db"));
        assert_eq!(text(&batches), "cpu v=1 1\ncpu v=2 2\ncpu v=3 3\ncpu v=5 5\n");
        assert_eq!(batches.points, 4);
    }
}
