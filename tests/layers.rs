//! Holds the source against the map of `src/lib.rs`: which module may use which, and that every file says what it is.
//!
//! Reads `src/**/*.rs` as text. Code under `#[cfg(test)]` may use what it likes.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// One row a module, in the map's order, lowest first: the module, and every other module that it uses. A row names only
/// modules of rows above it, so that dependencies point one way only. `ingest` and `query` never use each other.
const TABLE: &[Row] = &[
    // Pure: no clock, socket, file, thread, async.
    ("lineprotocol", &[]),
    ("topology", &["lineprotocol"]),
    ("influxql", &[]),
    ("http", &[]),
    ("memory", &[]),
    ("gate", &[]),
    ("stats", &["gate"]),
    ("databases", &[]),
    ("config", &["lineprotocol", "topology"]),
    ("batch", &["lineprotocol", "topology"]),
    ("merge", &["influxql", "http", "memory"]),
    ("plan", &["influxql", "topology", "merge"]),
    ("timeshift", &["influxql", "plan", "merge"]),
    ("spool", &["lineprotocol", "influxql", "stats", "config"]),
    ("fuzz", &["lineprotocol", "topology", "influxql", "batch", "merge", "spool"]),
    // The shell, feature "server".
    ("net", &[]),
    ("backend", &["lineprotocol", "topology", "http", "stats", "gate", "config", "batch", "net"]),
    (
        "deliver",
        &["topology", "influxql", "http", "stats", "gate", "config", "databases", "batch", "spool", "net", "backend"],
    ),
    ("ingest", &["lineprotocol", "topology", "http", "stats", "config", "batch", "net", "backend", "deliver"]),
    (
        "query",
        &[
            "lineprotocol",
            "topology",
            "influxql",
            "http",
            "stats",
            "config",
            "databases",
            "batch",
            "plan",
            "merge",
            "timeshift",
            "net",
            "backend",
            "deliver",
        ],
    ),
    ("admin", &["topology", "stats", "databases", "spool", "net", "backend", "deliver"]),
    ("control", &["topology"]),
    (
        "shard",
        &[
            "topology",
            "influxql",
            "http",
            "stats",
            "config",
            "databases",
            "merge",
            "net",
            "backend",
            "deliver",
            "ingest",
            "query",
            "admin",
        ],
    ),
    (
        "server",
        &[
            "topology",
            "influxql",
            "stats",
            "config",
            "databases",
            "spool",
            "net",
            "backend",
            "deliver",
            "admin",
            "control",
            "shard",
        ],
    ),
    (
        "cli",
        &[
            "lineprotocol",
            "topology",
            "influxql",
            "http",
            "gate",
            "config",
            "batch",
            "plan",
            "merge",
            "spool",
            "net",
            "control",
            "server",
        ],
    ),
    // The program.
    ("main", &["memory", "cli"]),
];

/// A module, and what it may use.
type Row = (&'static str, &'static [&'static str]);

/// A module that uses another, and where it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Edge {
    file: PathBuf,
    line: usize,
    from: String,
    to: String,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Edge { file, line, from, to } = self;
        write!(f, "{}:{line}: `{from}` uses `{to}`", file.display())
    }
}

#[test]
fn modules_use_only_what_their_rows_name() {
    let sources = sources();
    let faults = faults(TABLE, &declared(&lib()), &edges(&sources));
    assert!(sources.len() > TABLE.len(), "only {} files found under src", sources.len());
    assert!(faults.is_empty(), "against the table of tests/layers.rs:\n{}", faults.join("\n"));
}

#[test]
fn dependencies_point_one_way() {
    for (at, (module, uses)) in TABLE.iter().enumerate() {
        for used in *uses {
            let above = TABLE[..at].iter().any(|(lower, _)| lower == used);
            assert!(above, "the row of `{module}` names `{used}`, which has no row above it");
        }
    }
}

#[test]
fn the_map_is_the_table() {
    let lib = lib();
    let rows = map(&lib);
    let missing: Vec<String> =
        declared(&lib).into_iter().filter(|name| !rows.iter().any(|row| row.0 == *name)).collect();
    assert!(missing.is_empty(), "the `//!` map of src/lib.rs has no row `| `name` | …` for: {}", missing.join(", "));
    let on_map: Vec<&str> = rows.iter().map(|(module, _)| *module).collect();
    let in_table: Vec<&str> = TABLE.iter().map(|(module, _)| *module).filter(|module| *module != "main").collect();
    assert_eq!(on_map, in_table, "the map of src/lib.rs (left) and the table here have the same rows in one order");
    for ((module, said), (_, uses)) in rows.iter().zip(TABLE) {
        if let Some(said) = said {
            assert_eq!(said, uses, "what `{module}` uses: the map of src/lib.rs (left) and the table here agree");
        }
    }
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<String> = sources()
        .into_iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.file.display().to_string())
        .collect();
    assert!(silent.is_empty(), "without a `//!` on the first line:\n{}", silent.join("\n"));
}

/// One file under `src`.
struct Source {
    /// From the package's root on.
    file: PathBuf,
    text: String,
}

impl Source {
    /// The path of the module that the file holds: `["plan", "params"]`; `["main"]` for the program, empty for the
    /// library's root.
    fn module(&self) -> Vec<String> {
        let parts = self.file.with_extension("");
        let parts = parts.iter().skip(1).map(|part| part.to_string_lossy().into_owned());
        parts.filter(|part| part != "lib" && part != "mod").collect()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn lib() -> String {
    fs::read_to_string(root().join("src/lib.rs")).expect("the library has a root")
}

/// Every Rust file under `src`, in order.
fn sources() -> Vec<Source> {
    let mut sources = Vec::new();
    let mut folders = vec![root().join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the package can be listed") {
            let path = entry.expect("a folder of the package can be listed").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file is text");
                let file = path.strip_prefix(root()).expect("it was found below the root").to_owned();
                sources.push(Source { file, text });
            }
        }
    }
    sources.sort_by(|a, b| a.file.cmp(&b.file));
    sources
}

/// The modules that `lib.rs` declares.
fn declared(lib: &str) -> Vec<String> {
    let names = lib.lines().filter_map(|line| line.trim_start_matches("pub ").strip_prefix("mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

/// The rows of `lib.rs`'s map, `//! | `module` | what it is |` or with a third column `| `used`, `used` |`.
fn map(lib: &str) -> Vec<(&str, Option<Vec<&str>>)> {
    lib.lines().filter_map(map_row).collect()
}

fn map_row(line: &str) -> Option<(&str, Option<Vec<&str>>)> {
    let cells: Vec<&str> = line.strip_prefix("//! |")?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let module = cells[0].strip_prefix('`')?.strip_suffix('`')?;
    // Every second part stands between backticks.
    let uses = cells.get(2).map(|cell| cell.split('`').skip(1).step_by(2).collect());
    Some((module, uses))
}

/// Everything in which rows, declared modules and edges disagree.
fn faults(table: &[Row], declared: &[String], edges: &[Edge]) -> Vec<String> {
    let row = |module: &str| table.iter().find(|(name, _)| *name == module);
    let rowless = declared.iter().filter(|module| row(module).is_none());
    let gone = table.iter().filter(|(name, _)| *name != "main" && !declared.iter().any(|module| module == name));
    let forbidden =
        edges.iter().filter(|edge| row(&edge.from).is_none_or(|(_, uses)| !uses.contains(&edge.to.as_str())));
    let mut faults: Vec<String> = rowless.map(|module| format!("`{module}` has no row")).collect();
    faults.extend(gone.map(|(name, _)| format!("`{name}` has a row, but src/lib.rs does not declare it")));
    faults.extend(forbidden.map(Edge::to_string));
    faults
}

/// The edges of all files, those of test code left out.
fn edges(sources: &[Source]) -> Vec<Edge> {
    let test_modules: BTreeSet<Vec<String>> = sources.iter().flat_map(test_modules).collect();
    let modules: BTreeSet<String> = sources.iter().filter_map(|source| source.module().first().cloned()).collect();
    let is_test = |path: &[String]| (1..=path.len()).any(|length| test_modules.contains(&path[..length]));
    sources.iter().filter(|source| !is_test(&source.module())).flat_map(|source| file_edges(source, &modules)).collect()
}

/// The modules in files of their own that a file declares for tests only.
fn test_modules(source: &Source) -> Vec<Vec<String>> {
    let text = code(&source.text);
    let items = test_items(&text).into_iter().map(|(start, end)| &text[start..end]);
    let names = items.filter_map(|item| item.strip_suffix(';')?.rsplit_once("mod ").map(|(_, name)| name.trim()));
    let path = |name: &str| source.module().into_iter().chain([name.to_owned()]).collect();
    names.map(path).collect()
}

/// The edges of one file: `crate::x`, `use crate::{x, y}`, `super::super::x` where that reaches the root, and in the
/// program `slotline::x`. `modules` are those that exist at the root.
fn file_edges(source: &Source, modules: &BTreeSet<String>) -> Vec<Edge> {
    let module = source.module();
    // The library's root declares modules; it is above the table.
    let Some(from) = module.first() else { return Vec::new() };
    let text = without_tests(code(&source.text));
    let library = if from == "main" { "slotline::" } else { "crate::" };
    let to_root = "super::".repeat(module.len());
    let mut edges = Vec::new();
    for (start, _) in text.match_indices("::").map(|(at, colons)| (at + colons.len(), colons)) {
        let reaches = |prefix: &str| {
            let before = text[..start].strip_suffix(prefix);
            before.is_some_and(|before| !before.ends_with(is_word) && !before.ends_with("::"))
        };
        let by_super = reaches(&to_root);
        if !by_super && !reaches(library) {
            continue;
        }
        for (at, to) in heads(&text, start) {
            let own = to == *from || to == "self" || to == "super";
            // In a module within the file `super` stops short of the root.
            if own || (by_super && !modules.contains(&to)) {
                continue;
            }
            let line = text[..at].matches('\n').count() + 1;
            edges.push(Edge { file: source.file.clone(), line, from: from.clone(), to });
        }
    }
    edges
}

/// The first names of what stands at `start`: one, or those of a group in braces, with where they stand.
fn heads(text: &str, start: usize) -> Vec<(usize, String)> {
    if !text[start..].starts_with('{') {
        return head(text, start).into_iter().collect();
    }
    let mut heads = Vec::new();
    let mut depth = 0;
    for (at, letter) in text[start..].char_indices().map(|(at, letter)| (start + at, letter)) {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && matches!(letter, '{' | ',') {
            heads.extend(head(text, at + 1));
        }
    }
    heads
}

/// The name at `start`, white space skipped; `*` for a glob.
fn head(text: &str, start: usize) -> Option<(usize, String)> {
    let rest = text[start..].trim_start();
    let at = text.len() - rest.len();
    let end = rest.find(|letter: char| !is_word(letter)).unwrap_or(rest.len());
    let end = if rest.starts_with('*') { 1 } else { end };
    (end > 0).then(|| (at, rest[..end].to_owned()))
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// Where items under `#[cfg(test)]` begin and end, in text without comments and strings.
fn test_items(text: &str) -> Vec<(usize, usize)> {
    const MARK: &str = "#[cfg(test)]";
    let end = |start: usize| {
        let mut depth = 0;
        for (at, letter) in text[start + MARK.len()..].char_indices() {
            match letter {
                '{' | '(' | '[' => depth += 1,
                '}' | ')' | ']' => depth -= 1,
                _ => {}
            }
            if depth == 0 && matches!(letter, '}' | ';') {
                return start + MARK.len() + at + 1;
            }
        }
        text.len()
    };
    text.match_indices(MARK).map(|(start, _)| (start, end(start))).collect()
}

/// Blanks what is under `#[cfg(test)]`; lines stay lines.
fn without_tests(text: String) -> String {
    let mut bytes = text.clone().into_bytes();
    for (start, end) in test_items(&text) {
        blank(&mut bytes[start..end]);
    }
    String::from_utf8(bytes).expect("blanking whole items leaves text")
}

/// Blanks comments, strings and characters; lines stay lines, and everything keeps its place.
fn code(text: &str) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match opaque_end(text, at) {
            Some(end) => end,
            None => {
                at += 1;
                continue;
            }
        };
        blank(&mut bytes[at..end]);
        at = end;
    }
    String::from_utf8(bytes).expect("blanking whole literals leaves text")
}

fn blank(bytes: &mut [u8]) {
    bytes.iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
}

/// The end of the comment, string or character literal that starts at `at`, if one does.
fn opaque_end(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at..)?;
    let after = |found: Option<usize>, length: usize| found.map_or(text.len(), |found| at + found + length);
    let word_before = text[..at].ends_with(is_word);
    if rest.starts_with("//") {
        return Some(after(rest.find('\n'), 0));
    }
    if rest.starts_with("/*") {
        return Some(after(rest.find("*/"), 2));
    }
    if let Some(hashes) = rest.strip_prefix('r').filter(|_| !word_before || text[..at].ends_with('b')) {
        let count = hashes.bytes().take_while(|byte| *byte == b'#').count();
        if hashes[count..].starts_with('"') {
            let close = format!("\"{}", "#".repeat(count));
            let open = count + 2;
            return Some(after(rest[open..].find(&close).map(|found| open + found), close.len()));
        }
    }
    if rest.starts_with('"') {
        return Some(after(closing(rest, b'"'), 1));
    }
    // A lifetime has no closing quote behind its first letter.
    let letter = rest.strip_prefix('\'')?.chars().next()?;
    let closes = letter == '\\' || rest[1 + letter.len_utf8()..].starts_with('\'');
    closes.then(|| after(closing(rest, b'\''), 1))
}

/// The unescaped `quote` that closes the literal which starts at 0.
fn closing(literal: &str, quote: u8) -> Option<usize> {
    let bytes = literal.as_bytes();
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            byte if byte == quote => return Some(at),
            _ => at += 1,
        }
    }
    None
}

/// The finder on samples: that the tests above can fail.
mod finder {
    use super::*;

    fn source(file: &str, text: &str) -> Source {
        Source { file: file.into(), text: text.to_owned() }
    }

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source> = files.iter().map(|(file, text)| source(file, text)).collect();
        edges(&sources).iter().map(Edge::to_string).collect()
    }

    #[test]
    fn paths_and_groups_are_found() {
        let text = "//! x\nuse crate::b::{self, C};\nuse crate::{\n    c::{d, e},\n    f, self,\n};\n\
                    fn g(x: crate::h::I) -> Vec<crate::a::K> { crate::j() }\nuse mycrate::l; use other::crate_::m;\n";
        let want = ["2: `a` uses `b`", "4: `a` uses `c`", "5: `a` uses `f`", "7: `a` uses `h`", "7: `a` uses `j`"];
        assert_eq!(found(&[("src/a/n.rs", text)]), want.map(|edge| format!("src/a/n.rs:{edge}")));
    }

    #[test]
    fn the_root_is_reached_in_other_ways_too() {
        let files = [
            ("src/a/mod.rs", "use super::b;\nmod inner { use super::Own; }\n"),
            ("src/a/deep.rs", "use super::b;\nuse super::super::{b, Own};\n"),
            ("src/b.rs", "use crate::*;\nmacro_rules! m { () => { $crate::a::x() } }\n"),
            ("src/main.rs", "fn main() { slotline::b::main() }\n"),
        ];
        let want = [
            "src/a/mod.rs:1: `a` uses `b`",
            "src/a/deep.rs:2: `a` uses `b`",
            "src/b.rs:1: `b` uses `*`",
            "src/b.rs:2: `b` uses `a`",
            "src/main.rs:1: `main` uses `b`",
        ];
        assert_eq!(found(&files), want);
    }

    #[test]
    fn tests_comments_and_strings_are_not_code() {
        let text = "//! crate::a\n/* crate::b */\nconst S: &str = \"\\\"crate::c\"; // crate::d\n\
                    const R: &str = r#\"crate::e \" crate::f\"#;\nconst Q: char = '\"';\n\
                    #[cfg(test)]\nuse crate::g;\n#[cfg(test)]\n#[allow(x)]\nfn t<'a>(_: [u8; 2]) { crate::h() }\n\
                    use crate::real;\n#[cfg(test)]\nmod tests {\n    use crate::{i, j};\n}\nuse crate::last;\n";
        let want = ["src/m.rs:11: `m` uses `real`", "src/m.rs:16: `m` uses `last`"];
        assert_eq!(found(&[("src/m.rs", text)]), want);
    }

    #[test]
    fn test_modules_in_files_of_their_own_are_not_code() {
        let files = [
            ("src/m/mod.rs", "#[cfg(test)]\npub mod naive;\n#[cfg(test)]\nmod tests;\nmod real;\n"),
            ("src/m/naive.rs", "use crate::a;\n"),
            ("src/m/real.rs", "use crate::b;\n"),
            ("src/m/tests/mod.rs", "use crate::c;\n"),
            ("src/m/tests/more.rs", "use crate::d;\n"),
        ];
        assert_eq!(found(&files), ["src/m/real.rs:1: `m` uses `b`"]);
    }

    #[test]
    fn what_the_table_does_not_allow_is_a_fault() {
        let edges = edges(&[
            source("src/query/show.rs", "use crate::plan;\n\nuse crate::ingest::write;\n"),
            source("src/novel.rs", "use crate::plan;\n"),
        ]);
        let table: &[Row] = &[("main", &[]), ("query", &["plan"]), ("ingest", &[]), ("plan", &[])];
        let declared = ["query", "plan", "novel"].map(str::to_owned);
        let want = [
            "`novel` has no row",
            "`ingest` has a row, but src/lib.rs does not declare it",
            "src/query/show.rs:3: `query` uses `ingest`",
            "src/novel.rs:1: `novel` uses `plan`",
        ];
        assert_eq!(faults(table, &declared, &edges), want);
    }

    #[test]
    fn the_maps_rows_are_read() {
        let lib = "//! | module | is | uses |\n//! |---|---|---|\n//! | `a` | speaks `b` | |\n\
                   //! | `c` | x | `a`, `b` |\n//! `d` is prose\n//! | `e` | y |\n";
        let want = [("a", Some(vec![])), ("c", Some(vec!["a", "b"])), ("e", None)];
        assert_eq!(map(lib), want);
    }
}
