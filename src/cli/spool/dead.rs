//! `slotline spool dead`.

use crate::spool::{DeadLine, look};

use super::{ConfigFile, Failure, Place, json, print, print_json, text};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    file: ConfigFile,
    /// Of this replica alone.
    replica: Option<String>,
    /// At most so many of each replica, the latest.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: usize,
    #[arg(long)]
    json: bool,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let place = Place::of(&args.file)?;
    let names = match args.replica {
        Some(replica) => place.check(&replica).map(|()| vec![replica])?,
        None => place.names()?,
    };
    let mut found: Vec<(String, DeadLine)> = Vec::new();
    for name in names {
        let letters = look::dead_letters(&place.dir, &name);
        let letters = letters.map_err(|error| Failure::Spool(format!("dead letters of replica {name}: {error}")))?;
        let older = letters.len().saturating_sub(args.limit);
        found.extend(letters.into_iter().skip(older).map(|line| (name.clone(), line)));
    }
    match args.json {
        true => {
            print_json(&found.iter().map(|(name, line)| json(line, &[("replica", name.as_str().into())])).collect())
        }
        false => found.iter().for_each(|(name, line)| print(text(line, &format!("replica={name} ")))),
    }
    Ok(())
}
