//! `slotline route`: where lines or a query would go.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use crate::batch::Router;
use crate::influxql::{Params, Select, Statement, parse_query};
use crate::lineprotocol::split;
use crate::merge::combine::ask::ask;
use crate::plan::gather::{Gathering, named};
use crate::plan::names::Step;
use crate::plan::outline::{Outline, outline};
use crate::plan::show::{self, Show};
use crate::plan::{Circumstances, Place, Plan, plan};
use crate::topology::{GroupIndex, Topology};

use super::{ConfigFile, EXIT_BAD_START, read_config};

/// Prints a line, as `print` does: whoever leaves early, like `head`, is no reason to panic.
macro_rules! say {
    ($($text:tt)*) => { super::print(format!("{}\n", format_args!($($text)*))) };
}

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// The database of the lines or of the query.
    #[arg(long)]
    db: String,
    /// Show the plan of this query instead.
    #[arg(long, value_name = "Q", conflicts_with = "lines")]
    query: Option<String>,
    /// Lines of line protocol; without any they are read from standard input.
    #[arg(value_name = "LINE")]
    lines: Vec<String>,
}

pub fn run(args: Args) -> ExitCode {
    let config = match read_config(&args.file.config) {
        Ok(config) => config,
        Err(code) => return code,
    };
    let Some(topology) = config.topology else {
        let path = args.file.config.display();
        eprintln!("slotline: {path}: no [[group]]: route works on the topology that stands in the file");
        return ExitCode::from(EXIT_BAD_START);
    };
    let may_write = config.auth.trust_clients || !topology.has_credentials();
    let topology = Arc::new(topology);
    match &args.query {
        Some(query) => route_query(&topology, &args.db, may_write, query),
        None => route_lines(&topology, &args.db, args.lines),
    }
}

fn route_lines(topology: &Arc<Topology>, db: &str, lines: Vec<String>) -> ExitCode {
    let mut body = lines.join("\n").into_bytes();
    if body.is_empty()
        && let Err(error) = std::io::stdin().lock().read_to_end(&mut body)
    {
        eprintln!("slotline: standard input: {error}");
        return ExitCode::FAILURE;
    }
    let mut router = Router::new(topology.clone(), db);
    for text in split(&body) {
        let Some(line) = router.read(text) else { continue };
        let slot = router.slot(&line);
        let group = topology.owner(slot);
        let name = line.name();
        say!(
            "slot={slot} group={} replicas={} measurement={}",
            topology.group(group).id,
            replicas(topology, group),
            String::from_utf8_lossy(&name)
        );
    }
    ExitCode::SUCCESS
}

fn replicas(topology: &Topology, group: GroupIndex) -> String {
    let names: Vec<&str> = topology.group(group).replicas.iter().map(|replica| replica.name.as_str()).collect();
    names.join(",")
}

/// A line for each group and statement. What only the groups know (which measurements a regular expression means, which
/// columns there are) is left as it stands.
fn route_query(topology: &Topology, db: &str, may_write: bool, text: &str) -> ExitCode {
    let query = match parse_query(text, &Params::new()) {
        Ok(query) => query,
        Err(error) => {
            eprintln!("slotline: error parsing query: {error}");
            return ExitCode::FAILURE;
        }
    };
    let circumstances = Circumstances { topology, db, may_write };
    let print = |kind: &str, groups: &[GroupIndex], query: &dyn std::fmt::Display| print(topology, kind, groups, query);
    match plan(&query, circumstances) {
        Plan::Whole(groups) => print(if groups.len() == 1 { "one-group" } else { "any-group" }, &groups, &query),
        Plan::Everywhere(groups) => print("everywhere", &groups, &query),
        Plan::Each(places) => {
            for (statement, place) in query.statements.iter().zip(places) {
                let (statement, place) = match (statement, place) {
                    (Statement::Select(select), Place::Into(place)) => {
                        let target = select.into.as_ref().map(ToString::to_string).unwrap_or_default();
                        say!("plan=into target={target}");
                        let read = Select { into: None, ..select.as_ref().clone() };
                        (Statement::Select(Box::new(read)), *place)
                    }
                    (statement, place) => (statement.clone(), place),
                };
                let statement = &statement;
                match place {
                    Place::One(groups) if groups.len() == 1 => print("one-group", &groups, statement),
                    Place::One(groups) => print("any-group", &groups, statement),
                    Place::Everywhere(groups) => print("everywhere", &groups, statement),
                    Place::Show => print_show(topology, statement, circumstances),
                    Place::Here => say!("plan=proxy query={statement}"),
                    Place::Into(_) => return refused("only a SELECT writes into a measurement"),
                    Place::Asks => match outline(statement, circumstances) {
                        Ok(outline) => {
                            if let Err(reason) = print_outline(topology, statement, outline) {
                                return refused(&reason);
                            }
                        }
                        Err(reason) => return refused(&reason),
                    },
                }
            }
        }
        Plan::Refuse(reason) => return refused(&reason),
    }
    ExitCode::SUCCESS
}

/// What is asked before a SELECT is planned, or of each group for its part.
fn print_outline(topology: &Topology, statement: &Statement, outline: Outline) -> Result<(), String> {
    let print = |kind: &str, parts: &[(GroupIndex, Select)]| {
        parts.iter().for_each(|(group, part)| print(topology, kind, &[*group], part));
    };
    match outline {
        Outline::Regexes => {
            self::print(topology, "ask-measurements", &topology.group_indexes().collect::<Vec<_>>(), statement);
        }
        Outline::One(group) => self::print(topology, "one-group", &[group], statement),
        Outline::Parts(parts) => print("concatenate", &parts),
        Outline::Gather(gathering) => {
            for (kind, group, part) in combined(&gathering)? {
                self::print(topology, kind, &[group], &part);
            }
        }
        Outline::Nest(parts) => print("gather", &parts),
        Outline::Nothing => say!("plan=proxy query={statement}"),
        Outline::Lists(listings, then) => {
            print("list-series", &listings);
            print_outline(topology, statement, *then)?;
        }
    }
    Ok(())
}

fn print(topology: &Topology, kind: &str, groups: &[GroupIndex], query: &dyn std::fmt::Display) {
    for group in groups {
        let id = topology.group(*group).id;
        say!("plan={kind} group={id} replicas={} query={query}", replicas(topology, *group));
    }
}

/// What each group is asked for: what it makes of its own points, or these.
fn combined(gathering: &Gathering) -> Result<Vec<(&'static str, GroupIndex, Select)>, String> {
    let fields = named(&gathering.select);
    let (kind, parts) = match ask(&gathering.select).part(&gathering.select, &fields) {
        Some((part, wider)) => ("combine", gathering.parts(part, wider)?),
        None => ("gather", gathering.rows(&fields)?),
    };
    Ok(parts.into_iter().map(|(group, part)| (kind, group, part)).collect())
}

/// What is asked of each server, and that the proxy itself answers the rest.
fn print_show(topology: &Topology, statement: &Statement, circumstances: Circumstances<'_>) {
    match show::plan(statement, circumstances) {
        Some(Show::Groups(groups, part)) => print_merged(topology, &groups, &part.statement),
        Some(Show::Names(groups, names)) => {
            for step in &names.steps {
                if let Step::Ask(statement) = step {
                    print_merged(topology, &groups, statement);
                }
            }
        }
        Some(Show::Replicas(_)) => {
            for group in topology.group_indexes() {
                let id = topology.group(group).id;
                say!("plan=every-replica group={id} replicas={} query={statement}", replicas(topology, group));
            }
        }
        Some(Show::Queries | Show::Kill(_)) | None => say!("plan=proxy query={statement}"),
    }
}

fn print_merged(topology: &Topology, groups: &[GroupIndex], asked: &Statement) {
    for group in groups {
        let id = topology.group(*group).id;
        say!("plan=merge group={id} replicas={} query={asked}", replicas(topology, *group));
    }
}

fn refused(reason: &str) -> ExitCode {
    say!("plan=refused reason={reason}");
    ExitCode::FAILURE
}
