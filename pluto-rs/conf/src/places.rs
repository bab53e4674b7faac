//! Where in the files the words of a conn stand, for whoever explains one after the file has been read.

use crate::Conn;
use crate::diag::Place;
use crate::dialect;
use crate::keywords::Side;
use crate::merge::Conns;
use crate::parse::{Section, SectionKind, Sections};

/// The places of a configuration's words.
pub struct Places<'a> {
    conns: Conns<'a>,
    setup: Option<&'a Section>,
}

impl<'a> Places<'a> {
    /// Those of `sections`, out of which the conns asked for were made.
    pub fn of(sections: &'a Sections) -> Places<'a> {
        Places {
            conns: Conns::new(&sections.list, dialect::of(sections)),
            setup: sections.list.iter().find(|s| s.kind == SectionKind::Setup),
        }
    }

    /// The line `conn NAME`.
    pub fn conn(&self, conn: &Conn) -> Option<Place> {
        let (name, section, _) = self.conns.merged(conn.section?)?;
        let (line, column) = (section.span.line, section.span.column);
        let text = format!("conn {name}");
        Some(Place { line, column, width: 4, text, ..Place::file(&section.span.file) })
    }

    /// The line that gives `conn` the keyword `name` (as the keyword table has it), wherever it comes from.
    pub fn word(&self, conn: &Conn, name: &'static str, side: Side) -> Option<Place> {
        let (_, _, merged) = self.conns.merged(conn.section?)?;
        let slot = (name, side);
        let several = || merged.appended.get(&slot).and_then(|list| list.first()).copied();
        merged.settings.get(&slot).copied().or_else(several).map(|p| p.place())
    }

    /// The line of `config setup` with the keyword `name`.
    pub fn setup(&self, name: &str) -> Option<Place> {
        let is = |key: &str| crate::keywords::find(key, true).is_some_and(|f| f.keyword.name == name);
        self.setup?.params.iter().find(|p| is(&p.key)).map(|p| p.place())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{Config, parse};

    #[test]
    fn a_word_is_found_where_it_was_written() {
        let text = "config setup\n\tvirtual-private=%v4:10.0.0.0/8\nconn a\n\talsoflip=t\n\tleft=192.0.2.1\n\
conn t\n\tleft=%any\n\tleftsubnet=10.0.0.0/8\nconn %default\n\tkeylife=1h\n";
        let sections = parse::read_str(Path::new("f"), text).unwrap();
        let config = Config::of(&sections);
        let places = Places::of(&sections);
        let a = &config.conns[0];
        let line = |place: Option<Place>| place.map(|p| p.line);
        assert_eq!(line(places.conn(a)), Some(3));
        assert_eq!(line(places.word(a, "", Side::Left)), Some(5));
        assert_eq!(line(places.word(a, "subnet", Side::Right)), Some(8));
        assert_eq!(line(places.word(a, "salifetime", Side::Both)), Some(10));
        assert_eq!(line(places.word(a, "subnet", Side::Left)), None);
        assert_eq!(line(places.setup("virtual_private")), Some(2));
    }
}
