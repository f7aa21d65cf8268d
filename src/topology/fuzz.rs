//! Fuzz bodies of the documents that stand in znodes; see `src/fuzz.rs`. A further document is one more body that calls
//! `reads_back`.

use super::{
    DocumentError, SlotId, Topology, UdpListener, changes_that_hide_data, overlap, parse, parse_udp, print, print_udp,
};

/// The `topology` document.
pub fn topology(input: &[u8]) {
    let same = |one: &Topology, two: &Topology| one.epoch == two.epoch && one.spec() == two.spec();
    match reads_back(input, parse, print, same) {
        Ok(topology) => holds_together(&topology),
        Err(DocumentError::Faults(faults)) => {
            assert!(!faults.is_empty() && faults.iter().all(|fault| !fault.text.is_empty()), "{faults:?}");
        }
        Err(DocumentError::NotJson(_)) => {}
    }
}

/// The `udp` document.
pub fn udp(input: &[u8]) {
    let print = |listeners: &Vec<UdpListener>| print_udp(listeners);
    if let Ok(listeners) = reads_back(input, parse_udp, print, |one, two| one == two) {
        let binds: Vec<_> = listeners.iter().map(|listener| listener.bind).collect();
        assert!(listeners.iter().all(|listener| !listener.target.db.is_empty() && listener.bind.port() > 0));
        let twice = |at: usize| binds[..at].iter().any(|other| overlap(*other, binds[at]));
        assert!(!(0..binds.len()).any(twice), "{binds:?}");
    }
}

/// Parses any bytes: what is taken prints as a document that parses to the same and prints the same, what is refused says
/// why.
fn reads_back<T, E: std::fmt::Display>(
    input: &[u8],
    parse: impl Fn(&[u8]) -> Result<T, E>,
    print: impl Fn(&T) -> String,
    same: impl Fn(&T, &T) -> bool,
) -> Result<T, E> {
    let found = parse(input);
    match &found {
        Ok(document) => {
            let printed = print(document);
            let again = parse(printed.as_bytes()).unwrap_or_else(|error| panic!("{error}: {printed}"));
            assert!(same(document, &again), "{printed}");
            assert_eq!(print(&again), printed);
        }
        Err(error) => assert!(!error.to_string().is_empty(), "refused without a reason"),
    }
    found
}

/// What a topology promises to those who use it.
fn holds_together(topology: &Topology) {
    assert!(!topology.groups().is_empty());
    assert!(topology.groups().iter().all(|group| !group.replicas.is_empty()));
    assert!(SlotId::all().all(|slot| usize::from(topology.owner(slot)) < topology.groups().len()));
    for replica in topology.replicas() {
        assert!(!replica.address.host.is_empty() && replica.address.port > 0, "{replica:?}");
        assert_eq!(replica.username.is_empty(), replica.password.is_empty());
    }
    assert_eq!(topology.rules().len(), topology.spec().rules.len());
    assert_eq!(changes_that_hide_data(topology, topology), []);
}
