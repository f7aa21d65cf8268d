//! How InfluxDB cuts a statement's rows into results and puts results together again into one answer.
//!
//! A SELECT, and the SHOW statements that InfluxDB runs as one, come out of an `Emitter`: a result for each series and, of
//! longer ones, for each `chunk_size` rows, with `partial` set wherever more follows: but not in front of a pause, where InfluxDB
//! takes what it has for all. A chunked answer has a document for each result; `gather` puts them into a whole one. Used by
//! `query`.

use super::results::{Series, StatementResult};

/// Rows of a result, also in an answer that is not chunked.
pub const CHUNK_ROWS: usize = 10_000;

/// Cuts one statement's series into results. Holds back what may still be told to be partial: up to a chunk of rows.
pub struct Emitter {
    statement_id: usize,
    chunk_rows: usize,
    /// The last rows that came. Never more than `chunk_rows`.
    held: Option<Series>,
    emitted: bool,
}

impl Emitter {
    /// `chunk_rows` above 0.
    pub fn new(statement_id: usize, chunk_rows: usize) -> Emitter {
        Emitter { statement_id, chunk_rows: chunk_rows.max(1), held: None, emitted: false }
    }

    /// More rows, of the series that came last or of the next one; `partial` of it is not looked at.
    pub fn push(&mut self, mut series: Series, out: &mut Vec<StatementResult>) {
        let pauses = std::mem::take(&mut series.pauses);
        if !pauses.is_empty() {
            let mut rows = std::mem::take(&mut series.values).into_iter();
            let mut pushed = 0;
            for pause in pauses {
                let values: Vec<_> = rows.by_ref().take(pause - pushed).collect();
                if !values.is_empty() {
                    self.push_on(Series { values, ..series.without_rows() }, out);
                }
                if let Some(held) = self.held.take() {
                    self.emit(held, false, out);
                }
                pushed = pause;
            }
            series.values = rows.collect();
        }
        self.push_on(series, out);
    }

    fn push_on(&mut self, mut series: Series, out: &mut Vec<StatementResult>) {
        series.partial = false;
        let Some(mut held) = self.held.take() else { return self.cut(series, out) };
        if !held.same_series(&series) || held.columns != series.columns {
            self.emit(held, true, out);
            return self.cut(series, out);
        }
        if held.values.is_empty() {
            held.values = series.values;
        } else {
            held.values.append(&mut series.values);
        }
        self.cut(held, out);
    }

    /// Nothing more comes of the statement.
    pub fn finish(&mut self, out: &mut Vec<StatementResult>) {
        match self.held.take() {
            Some(held) => self.emit(held, false, out),
            None if self.emitted => {}
            // Something is always said.
            None => out.push(StatementResult { statement_id: self.statement_id, ..StatementResult::default() }),
        }
    }

    fn cut(&mut self, mut series: Series, out: &mut Vec<StatementResult>) {
        if series.values.len() > self.chunk_rows {
            let mut rows = std::mem::take(&mut series.values).into_iter();
            while rows.len() > self.chunk_rows {
                let values = rows.by_ref().take(self.chunk_rows).collect();
                self.emit(Series { values, partial: true, ..series.without_rows() }, true, out);
            }
            series.values = rows.collect();
        }
        self.held = Some(series);
    }

    fn emit(&mut self, series: Series, partial: bool, out: &mut Vec<StatementResult>) {
        self.emitted = true;
        out.push(StatementResult {
            statement_id: self.statement_id,
            series: vec![series],
            partial,
            ..StatementResult::default()
        });
    }
}

/// Puts one more result behind those of an answer that is not chunked. As InfluxDB does: an error takes the place of what
/// the statement had said before, and a series of several results keeps the `partial` of the first.
pub fn gather(results: &mut Vec<StatementResult>, next: StatementResult) {
    let Some(last) = results.last_mut().filter(|last| last.statement_id == next.statement_id) else {
        return results.push(next);
    };
    if next.error.is_some() {
        *last = next;
        return;
    }
    for series in next.series {
        match last.series.last_mut() {
            Some(whole) if whole.same_series(&series) && whole.columns == series.columns => {
                whole.values.extend(series.values);
            }
            _ => last.series.push(series),
        }
    }
    last.messages.extend(next.messages);
    last.partial = next.partial;
}

/// What InfluxDB says of the statements behind one that failed: the failed one "not executed", once for each of them. So that
/// its own error shows in chunks alone, or when it was the last.
pub fn not_executed(failed: usize, statements: usize) -> impl Iterator<Item = StatementResult> {
    (failed + 1..statements).map(move |_| StatementResult::failed(failed, "not executed"))
}
