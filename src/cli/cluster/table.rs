//! Tables and colours as commands print them: colours on a terminal only, and tables no wider than it.

use std::io::IsTerminal;

use super::super::columns::in_one_line;

/// A cell, and how it is coloured on a terminal.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// One line.
    text: String,
    paint: Paint,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Paint {
    #[default]
    Plain,
    Good,
    Warning,
    Bad,
    Dim,
    /// One of many that shall look different from its neighbours.
    Number(usize),
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        painted(text, Paint::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        text.to_owned().into()
    }
}

pub fn painted(text: impl Into<String>, paint: Paint) -> Cell {
    Cell { text: in_one_line(&text.into()).into_owned(), paint }
}

/// Where the output goes.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    pub colours: bool,
    /// Lines are cut there; `None`: nowhere.
    pub columns: Option<usize>,
}

/// A terminal that does not tell its width.
const COLUMNS: usize = 80;
/// Foregrounds that are told apart on dark and on light.
const NUMBERED: [&str; 6] = ["36", "33", "35", "32", "34", "31"];

impl Screen {
    /// Standard output.
    pub fn stdout() -> Screen {
        let terminal = std::io::stdout().is_terminal();
        let colours = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Screen { colours, columns: terminal.then(|| width().unwrap_or(COLUMNS)) }
    }

    pub fn paint(&self, text: &str, paint: Paint) -> String {
        let code = match paint {
            Paint::Plain => "",
            Paint::Good => "32",
            Paint::Warning => "33",
            Paint::Bad => "31;1",
            Paint::Dim => "2",
            Paint::Number(number) => NUMBERED[number % NUMBERED.len()],
        };
        if self.colours && !code.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// Each column as wide as its widest cell; the first row is the head. Where that is too wide, the widest columns are
    /// cut.
    pub fn table<const N: usize>(&self, rows: &[[Cell; N]]) -> String {
        let width = |column: usize| rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or(0);
        let mut widths: [usize; N] = std::array::from_fn(width);
        if let Some(columns) = self.columns {
            let gaps = 2 * N.saturating_sub(1);
            while widths.iter().sum::<usize>() + gaps > columns {
                match widths.iter_mut().max() {
                    Some(widest) if *widest > 4 => *widest -= 1,
                    _ => break,
                }
            }
        }
        let line = |(number, row): (usize, &[Cell; N])| {
            let mut text = String::new();
            let last = row.iter().rposition(|cell| !cell.text.is_empty()).unwrap_or(0);
            for (at, (cell, width)) in row.iter().zip(widths).enumerate().take(last + 1) {
                let cut = cut(&cell.text, width);
                let pad = if at == last { 0 } else { width - cut.chars().count() + 2 };
                text.push_str(&self.paint(&cut, if number == 0 { Paint::Dim } else { cell.paint }));
                text.extend(std::iter::repeat_n(' ', pad));
            }
            text + "\n"
        };
        rows.iter().enumerate().map(line).collect()
    }
}

fn cut(text: &str, width: usize) -> String {
    match text.chars().count() > width {
        true => text.chars().take(width.saturating_sub(1)).chain(['…']).collect(),
        false => text.to_owned(),
    }
}

/// The terminal's.
fn width() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the call writes into `size` only, which outlives it.
    let told = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &mut size) };
    (told == 0 && size.ws_col > 0).then_some(usize::from(size.ws_col))
}

/// `1234567` as `1,234,567`.
pub fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fits_and_is_coloured_on_a_terminal_only() {
        let rows = [["A".into(), "B".into()], [painted("a long cell", Paint::Good), "b".into()]];
        let plain = Screen { colours: false, columns: None };
        assert_eq!(plain.table(&rows), "A            B\na long cell  b\n");
        let narrow = Screen { colours: true, columns: Some(10) };
        assert_eq!(narrow.table(&rows), "\x1b[2mA\x1b[0m        \x1b[2mB\x1b[0m\n\x1b[32ma long…\x1b[0m  b\n");
        assert_eq!(Cell::from("a\u{1b}[2J\n").text, "a\\u{1b}[2J\\n");
        assert_eq!([thousands(7), thousands(1000), thousands(12345678)], ["7", "1,000", "12,345,678"]);
    }
}
