//! Gathers the lines of one request into batches, group by group, while its body streams in.
//!
//! Neighbouring lines of one group grow one range of the frame; short ranges are copied, since sending many slices
//! costs more than copying them, and since a short slice would keep its whole frame alive. Nothing is allocated per
//! line.

use bytes::{Bytes, BytesMut};

use crate::lineprotocol::{End, Rest, Splitter};
use crate::topology::GroupIndex;

use super::Router;

/// Ranges up to this length are copied.
const COPY_MAX: usize = 4096;
/// Copies go into chunks of at least and (unless a line is longer) at most these lengths.
const CHUNK_MIN: usize = 2048;
const CHUNK_MAX: usize = 128 * 1024;

/// Points for one group: lines, each with its newline.
#[derive(Debug)]
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
    /// What stamped lines got, with the space before it.
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

/// Builds the batches of one request.
pub struct Builder {
    router: Router,
    splitter: Splitter,
    stamp: String,
    /// By group.
    growing: Vec<Growing>,
    done: Vec<Batch>,
    runs: Vec<Run>,
    points: u64,
    limits: BatchLimits,
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
    /// `stamp` is put behind lines without a timestamp.
    pub fn new(router: Router, stamp: String, limits: BatchLimits) -> Builder {
        let growing = router.topology().groups().iter().map(|_| Growing::default()).collect();
        let splitter = Splitter::default();
        let (done, runs) = (Vec::new(), Vec::new());
        Builder { router, splitter, stamp, growing, done, runs, points: 0, limits }
    }

    /// Takes the next frame of the body.
    pub fn frame(&mut self, frame: &Bytes) {
        let Some((carried, at)) = self.splitter.begin_frame(frame) else { return };
        if at > 0 {
            self.add_alone(&carried);
        }
        let mut range: Option<Range> = None;
        let mut lines = Splitter::lines(frame, at);
        while let Some((start, end)) = lines.next_range() {
            let text = &frame[start..end];
            let Some(line) = self.router.read(text) else { continue };
            let group = self.router.group(&line);
            if line.lacks_timestamp() {
                self.close(range.take(), frame);
                self.add_stamped(group, text, line.gap());
                continue;
            }
            match &mut range {
                Some(open) if open.group == group && open.end == start => {
                    open.end = end + 1;
                    open.lines += 1;
                }
                _ => {
                    self.close(range.take(), frame);
                    range = Some(Range { group, start, end: end + 1, lines: 1 });
                }
            }
        }
        self.close(range, frame);
        self.splitter.end_frame(&frame[lines.rest()..]);
    }

    /// The body has ended properly.
    pub fn finish(mut self) -> Batches {
        let open = std::mem::take(&mut self.splitter).finish().and_then(|rest| self.add_rest(&rest));
        for group in 0..self.growing.len() {
            self.close_batch(group, open == Some(group as GroupIndex));
        }
        Batches { list: self.done, runs: self.runs, stamp: self.stamp, points: self.points }
    }

    /// The same; without any line there is one empty batch, for the given group to say whether the database exists.
    pub fn finish_or_empty(self, group: GroupIndex) -> Batches {
        let mut batches = self.finish();
        if batches.list.is_empty() {
            batches.list.push(Batch { group, pieces: Vec::new(), bytes: 0, points: 0, open: false });
        }
        batches
    }

    /// Adds a line that is not part of a frame.
    fn add_alone(&mut self, text: &[u8]) {
        let Some(line) = self.router.read(text) else { return };
        let group = self.router.group(&line);
        if line.lacks_timestamp() {
            self.add_stamped(group, text, line.gap());
        } else {
            self.count(group, 1, false);
            self.growing[usize::from(group)].copy(&[text, b"\n"]);
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
        self.growing[usize::from(group)].copy(&[&rest.line]);
        Some(group)
    }

    fn add_stamped(&mut self, group: GroupIndex, text: &[u8], gap: &[u8]) {
        self.count(group, 1, true);
        self.growing[usize::from(group)].copy(&[text, gap, self.stamp.as_bytes(), b"\n"]);
        self.close_full(group);
    }

    fn close(&mut self, range: Option<Range>, frame: &Bytes) {
        let Some(Range { group, start, end, lines }) = range else { return };
        self.count(group, lines, false);
        let growing = &mut self.growing[usize::from(group)];
        if end - start <= COPY_MAX {
            growing.copy(&[&frame[start..end]]);
        } else {
            growing.close_chunk();
            growing.bytes += end - start;
            growing.pieces.push(frame.slice(start..end));
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

impl Growing {
    #[inline]
    fn copy(&mut self, parts: &[&[u8]]) {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.chunk.capacity() - self.chunk.len() < length {
            let next = (self.chunk.capacity() * 2).clamp(CHUNK_MIN, CHUNK_MAX).max(length);
            self.close_chunk();
            self.chunk = BytesMut::with_capacity(next);
        }
        parts.iter().for_each(|part| self.chunk.extend_from_slice(part));
        self.bytes += length;
    }

    fn close_chunk(&mut self) {
        if !self.chunk.is_empty() {
            self.pieces.push(std::mem::take(&mut self.chunk).freeze());
        }
    }
}

impl Batch {
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
            " 77".to_owned(),
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

    #[test]
    fn long_ranges_are_not_copied() {
        let body = Bytes::from("cpu v=1 1\n".repeat(1000));
        let mut builder = Builder::new(
            Router::new(three_groups(), "db"),
            String::new(),
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
}
