//! One request of `/query` with all that shapes its answer, and its text form in the list of statements.

use crate::support::client::{Http, Request, Response, form};

/// A request. Empty parameters are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    pub q: String,
    pub db: String,
    pub rp: String,
    pub epoch: String,
    pub chunked: String,
    pub chunk_size: String,
    pub pretty: String,
    pub params: String,
    pub accept: String,
    pub method: String,
    /// Changes what is stored: all judges must hear it.
    pub writes: bool,
}

impl Ask {
    /// A statement over database `d`, by GET.
    pub fn new(q: &str) -> Ask {
        let none = String::new;
        Ask {
            q: q.to_owned(),
            db: "d".to_owned(),
            rp: none(),
            epoch: none(),
            chunked: none(),
            chunk_size: none(),
            pretty: none(),
            params: none(),
            accept: none(),
            method: "GET".to_owned(),
            writes: false,
        }
    }

    /// Reads `STATEMENT` or `[name=value …] STATEMENT`. `db=` alone is a request without a database, `writes` one that
    /// changes what is stored.
    pub fn parse(line: &str) -> Result<Ask, String> {
        let Some((settings, q)) = line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) else {
            return Ok(Ask::new(line));
        };
        let mut ask = Ask::new(q);
        for setting in settings.split_whitespace() {
            ask.set(setting)?;
        }
        Ok(ask)
    }

    /// One `name=value`.
    pub fn set(&mut self, setting: &str) -> Result<(), String> {
        let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
        let place = match name {
            "writes" => {
                (self.writes, self.method) = (true, "POST".to_owned());
                return Ok(());
            }
            "db" => &mut self.db,
            "rp" => &mut self.rp,
            "epoch" => &mut self.epoch,
            "chunked" => &mut self.chunked,
            "chunk_size" => &mut self.chunk_size,
            "pretty" => &mut self.pretty,
            "params" => &mut self.params,
            "accept" => &mut self.accept,
            "method" => &mut self.method,
            _ => return Err(format!("unknown setting {setting:?}")),
        };
        value.clone_into(place);
        Ok(())
    }

    /// The same with this setting besides.
    pub fn with(&self, settings: &str) -> Ask {
        let mut ask = self.clone();
        settings.split_whitespace().for_each(|setting| ask.set(setting).expect("settings of the code are known"));
        ask
    }

    /// As bytes on the wire: by POST the statement is in a form, the rest in the URL.
    fn request(&self) -> Request {
        let shape = [
            ("db", self.db.as_str()),
            ("rp", &self.rp),
            ("epoch", &self.epoch),
            ("chunked", &self.chunked),
            ("chunk_size", &self.chunk_size),
            ("pretty", &self.pretty),
        ];
        let what = [("q", self.q.as_str()), ("params", &self.params)];
        let request = match self.method.as_str() {
            "POST" => Request::new("POST", &format!("/query?{}", form(&shape)))
                .header("Content-Type", "application/x-www-form-urlencoded")
                .body(form(&what)),
            method => Request::new(method, &format!("/query?{}", form(&[&what[..], &shape[..]].concat()))),
        };
        match self.accept.as_str() {
            "" => request,
            accept => request.header("Accept", accept),
        }
    }

    /// The whole answer, or how it broke off.
    pub fn send(&self, http: Http) -> Result<Response, String> {
        let mut connection = http.try_connect().map_err(|error| format!("no connection: {error}"))?;
        connection.try_send(&self.request().to_bytes()).map_err(|error| format!("not sent: {error}"))?;
        connection.try_answer(self.method == "HEAD").map_err(|error| format!("broke off: {error}"))
    }
}

/// As [`Ask::parse`] reads it.
impl std::fmt::Display for Ask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plain = Ask::new(&self.q);
        let named = [
            ("db", &self.db, &plain.db),
            ("rp", &self.rp, &plain.rp),
            ("epoch", &self.epoch, &plain.epoch),
            ("chunked", &self.chunked, &plain.chunked),
            ("chunk_size", &self.chunk_size, &plain.chunk_size),
            ("pretty", &self.pretty, &plain.pretty),
            ("params", &self.params, &plain.params),
            ("accept", &self.accept, &plain.accept),
            ("method", &self.method, &plain.method),
        ];
        let set = named.iter().filter(|(_, own, usual)| own != usual);
        let mut settings: Vec<String> = set.map(|(name, own, _)| format!("{name}={own}")).collect();
        if self.writes {
            settings.push("writes".to_owned());
        }
        match settings.is_empty() {
            true => f.write_str(&self.q),
            false => write!(f, "[{}] {}", settings.join(" "), self.q),
        }
    }
}
