//! Slotline over groups, and one influxd with the same data: what both answer to statements over the database `db`.

use serde_json::Value;

use super::client::{self, Http, Request, Response};
use super::cluster::Cluster;
use super::influxd::Influxd;
use super::same::same;

pub struct Judged {
    pub cluster: Cluster,
    pub reference: Influxd,
}

impl Judged {
    /// Of all answers at least four fifths have rows.
    #[track_caller]
    pub fn assert_same(&self, queries: &[String]) {
        self.assert_same_with_rows(queries, 80);
    }

    /// At least so many percent of the answers have rows.
    #[track_caller]
    pub fn assert_same_with_rows(&self, queries: &[String], percent: usize) {
        self.assert_same_as(queries, &[("epoch", "ns")], percent);
    }

    /// The same with these parameters of the request.
    #[track_caller]
    pub fn assert_same_as(&self, queries: &[String], parameters: &[(&str, &str)], percent: usize) {
        let (mut different, mut rows) = (Vec::new(), 0);
        for q in queries {
            let ask = |http: Http| {
                let form = client::form(&[parameters, &[("db", "db"), ("q", q)]].concat());
                http.send(&Request::new("GET", &format!("/query?{form}")))
            };
            let (seen, expected) = (ask(self.cluster.http()), ask(self.reference.http()));
            // An infinite number makes it text.
            let json = |response: &Response| {
                serde_json::from_slice::<Value>(&response.body).unwrap_or_else(|_| Value::String(response.text()))
            };
            let equal = seen.status == expected.status && same(&json(&seen), &json(&expected));
            rows += usize::from(expected.text().contains("\"values\""));
            if !equal {
                let (seen, expected) = (seen.text(), expected.text());
                // From a little before where they part.
                let equal = seen.chars().zip(expected.chars()).take_while(|(a, b)| a == b).count().saturating_sub(150);
                let shown = |text: &str| text.trim().chars().skip(equal).take(900).collect::<String>();
                different.push(format!("`{q}`:\n  {}\ninstead of\n  {}", shown(&seen), shown(&expected)));
            }
        }
        let count = queries.len();
        assert!(different.is_empty(), "{} of {count} differ:\n{}", different.len(), different.join("\n"));
        assert!(rows * 100 >= count * percent, "only {rows} of {count} answers have rows");
        println!("{count} statements are equal, {rows} of them with rows");
    }
}
