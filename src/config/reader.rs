//! Reads a TOML text key by key and remembers every fault with its line.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::values::{Emptiable, Value};

/// One fault of a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// From 1; 0: about the file as a whole.
    pub line: usize,
    /// The key's full name, like `write.lanes`; empty when it is about no key.
    pub key: String,
    pub text: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.text)
    }
}

/// The text being read, and its faults so far.
pub struct Reader<'a> {
    text: &'a str,
    pub faults: Vec<Fault>,
}

/// One table; keys are taken out as they are read, so that what is left over is unknown.
pub struct Section<'a> {
    name: String,
    pub line: usize,
    table: DeTable<'a>,
}

impl<'a> Reader<'a> {
    /// Begins with the text's root table; syntax errors are faults already.
    pub fn new(text: &'a str) -> (Reader<'a>, Section<'a>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader { text, faults: Vec::new() };
        for error in errors {
            let line = error.span().map_or(0, |span| reader.line(span.start));
            reader.fault(line, "", error.message().to_owned());
        }
        (reader, Section { name: String::new(), line: 0, table: root.into_inner() })
    }

    pub fn fault(&mut self, line: usize, key: &str, text: String) {
        self.faults.push(Fault { line, key: key.to_owned(), text });
    }

    /// Takes a key's value; `base` stands in for an absent one, without it that is a fault.
    pub fn value<T: Value>(&mut self, section: &mut Section<'_>, key: &str, base: Option<T>) -> T {
        let Some((line, value)) = self.take(section, key) else {
            if base.is_none() {
                self.fault(section.line, &section.full(key), "is missing".to_owned());
            }
            return base.unwrap_or_default();
        };
        T::read(&value).unwrap_or_else(|text| {
            self.fault(line, &section.full(key), text);
            T::default()
        })
    }

    /// The same, where nothing, or 0, is a fault.
    pub fn some<T: Emptiable>(&mut self, section: &mut Section<'_>, key: &str, base: Option<T>) -> T {
        self.checked(section, key, base, |value| match value.is_empty() {
            true => Err("must not be empty or 0".to_owned()),
            false => Ok(()),
        })
    }

    /// The same, where `check` may have something against the value.
    pub fn checked<T: Value>(
        &mut self,
        section: &mut Section<'_>,
        key: &str,
        base: Option<T>,
        check: impl Fn(&T) -> Result<(), String>,
    ) -> T {
        let known = self.faults.len();
        let line = section.line_of(key, self);
        let value = self.value(section, key, base);
        if self.faults.len() == known
            && let Err(text) = check(&value)
        {
            self.fault(line, &section.full(key), text);
        }
        value
    }

    /// Takes a table; an absent one is empty.
    pub fn section<'s>(&mut self, section: &mut Section<'s>, key: &str) -> Section<'s> {
        let name = section.full(key);
        match self.take(section, key) {
            Some((line, DeValue::Table(table))) => Section { name, line, table },
            Some((line, _)) => {
                self.fault(line, &name, format!("a section [{name}] is wanted"));
                Section { name, line, table: DeTable::default() }
            }
            None => Section { name, line: section.line, table: DeTable::default() },
        }
    }

    /// Takes a list of tables; `None` when there is none.
    pub fn sections<'s>(&mut self, section: &mut Section<'s>, key: &str) -> Option<Vec<Section<'s>>> {
        let name = section.full(key);
        let (line, value) = self.take(section, key)?;
        let DeValue::Array(list) = value else {
            self.fault(line, &name, format!("sections [[{name}]] are wanted"));
            return None;
        };
        let mut sections = Vec::new();
        for item in list {
            let line = self.line(item.span().start);
            match item.into_inner() {
                DeValue::Table(table) => sections.push(Section { name: name.clone(), line, table }),
                _ => self.fault(line, &name, format!("sections [[{name}]] are wanted")),
            }
        }
        Some(sections)
    }

    /// Every key that nobody took is unknown.
    pub fn end(&mut self, section: Section<'_>) {
        for key in section.table.keys() {
            let line = self.line(key.span().start);
            self.fault(line, &section.full(key.get_ref()), "unknown key".to_owned());
        }
    }

    fn take<'s>(&self, section: &mut Section<'s>, key: &str) -> Option<(usize, DeValue<'s>)> {
        let own = section.table.keys().find(|own| own.get_ref() == key)?.clone();
        let value: Spanned<DeValue<'s>> = section.table.remove(&own)?;
        Some((self.line(own.span().start), value.into_inner()))
    }

    fn line(&self, offset: usize) -> usize {
        1 + self.text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count()
    }
}

impl Section<'_> {
    fn line_of(&self, key: &str, reader: &Reader<'_>) -> usize {
        let own = self.table.keys().find(|own| own.get_ref() == key);
        own.map_or(self.line, |own| reader.line(own.span().start))
    }

    pub fn full(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}
