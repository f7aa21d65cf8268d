//! The reasons for which slotline may refuse what InfluxDB would answer, and where each may occur. A refusal that fits none
//! of them, or one where nothing stands in the way, is a difference.

/// How the same data lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Layout {
    /// All in one group.
    OneGroup,
    /// Over three groups, each measurement whole.
    Whole,
    /// Over three groups, some measurements split by rules.
    Split,
}

pub struct Refusal {
    /// What the report calls it.
    pub kind: &'static str,
    /// Part of the reason, with nothing in it that JSON, CSV or MessagePack write differently.
    part: &'static str,
    /// The first layout in which it may occur.
    from: Layout,
}

const fn refusal(kind: &'static str, part: &'static str, from: Layout) -> Refusal {
    Refusal { kind, part, from }
}

const REFUSALS: &[Refusal] = &[
    // What is never done: CONTRACT.
    refusal("DROP SHARD", "DROP SHARD is refused", Layout::OneGroup),
    refusal(
        "continuous queries, subscriptions",
        "is refused: a server would run it over its own part",
        Layout::OneGroup,
    ),
    refusal("_internal", "_internal is every server's own", Layout::Whole),
    refusal("_internal", "_internal is every server\\u0027s own", Layout::Whole),
    refusal(
        "one name in several groups",
        "over several groups is not supported yet: its measurements live",
        Layout::Whole,
    ),
    refusal("regular expression", "over several groups is refused: this expression cannot be read here", Layout::Whole),
    refusal(
        "SLIMIT with a name that is a field elsewhere",
        "over several groups is not supported: in what is read it is neither field nor tag",
        Layout::Whole,
    ),
    refusal("split measurement", "is split over groups by", Layout::Split),
    refusal("fields of some series", "with WHERE or GROUP BY is not supported over measurement", Layout::Split),
];

/// Which refusal an answer is, if it is one that may occur in this layout.
pub fn of(contains: impl Fn(&str) -> bool, layout: Layout) -> Option<&'static Refusal> {
    REFUSALS.iter().find(|refusal| refusal.from <= layout && contains(refusal.part))
}
