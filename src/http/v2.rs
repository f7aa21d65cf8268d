//! What InfluxDB 1.8 takes of version 2's API: where `POST /api/v2/write` writes to.
//!
//! A bucket is `DATABASE/POLICY`, or a database with its default policy; `org` means nothing. Used by `ingest`.

use super::params::Params;

/// The database and the retention policy (empty: the default) that a bucket means.
///
/// # Errors
/// InfluxDB's words, for a 404.
pub fn bucket(params: &Params) -> Result<(&str, &str), String> {
    let bucket = params.get("bucket");
    match bucket.split_once('/') {
        None if bucket.is_empty() => {
            Err("bucket name \"\" is missing a slash; not in \"database/retention-policy\" format".to_owned())
        }
        None => Ok((bucket, "")),
        Some(("", _)) => Err(format!("bucket name {bucket:?} is in db/rp form but has an empty database")),
        Some(names) => Ok(names),
    }
}

/// The same precision as `/write` names it.
///
/// # Errors
/// InfluxDB's words, for a 400.
pub fn precision(params: &Params) -> Result<&str, String> {
    match params.get("precision") {
        "ns" => Ok("n"),
        "us" => Ok("u"),
        same @ ("ms" | "s" | "") => Ok(same),
        other => Err(format!("invalid precision {other:?} (use ns, us, ms or s)")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_and_precisions() {
        let of = |text: &str| bucket(&Params::parse(text.as_bytes())).map(|(db, rp)| format!("{db} {rp}"));
        assert_eq!(of("bucket=db").as_deref(), Ok("db "));
        assert_eq!(of("bucket=db%2Frp/x&org=o").as_deref(), Ok("db rp/x"));
        assert_eq!(of("bucket=db/").as_deref(), Ok("db "));
        let error = of("bucket=/rp").expect_err("no database");
        assert_eq!(error, "bucket name \"/rp\" is in db/rp form but has an empty database");
        assert!(of("org=o").is_err_and(|error| error.starts_with("bucket name \"\" is missing a slash")));
        let of = |text: &str| precision(&Params::parse(text.as_bytes())).map(str::to_owned);
        assert_eq!(of("precision=us").as_deref(), Ok("u"));
        assert_eq!(of("precision=h"), Err("invalid precision \"h\" (use ns, us, ms or s)".to_owned()));
    }
}
