//! Slots and groups, worked out from the contract alone.

/// CRC-32 (IEEE) of `db \0 measurement`, and of `\0 value` for each tag of a rule, modulo 1024.
pub fn slot(db: &str, measurement: &str, tag_values: &[&str]) -> u32 {
    let mut key = format!("{db}\0{measurement}");
    for value in tag_values {
        key.push('\0');
        key.push_str(value);
    }
    crc32fast::hash(key.as_bytes()) % 1024
}

/// The group, counted from 0, that owns `slot` when `groups` share the slots in the default way:
/// the i-th has `floor(1024*i/n)` to `floor(1024*(i+1)/n) - 1`.
pub fn group_of(slot: u32, groups: usize) -> usize {
    (0..groups).find(|&group| (slot as usize) < 1024 * (group + 1) / groups).expect("slots end at 1023")
}

/// `count` measurements of `db` that live in group `group` of `groups`, named `{stem}{number}`.
pub fn measurements_of(db: &str, stem: &str, group: usize, groups: usize, count: usize) -> Vec<String> {
    assert!(group < groups, "there are {groups} groups");
    (0..)
        .map(|number| format!("{stem}{number}"))
        .filter(|name| group_of(slot(db, name, &[]), groups) == group)
        .take(count)
        .collect()
}
