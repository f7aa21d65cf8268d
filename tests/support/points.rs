//! Points of which many are alike.

/// When they begin, in seconds.
pub const T0: i64 = 1_600_000_000;
/// Values of the tag `host`; with "" it is not there.
pub const HOSTS: [&str; 7] = ["h0", "h1", "h2", "h3", "h12", "h24", ""];

/// Points of one week, thus of one storage shard. Most times are those of every series, some are not; few values, so that many
/// are equal; fields that are missing now and then.
pub fn few_values(seed: u64, measurements: &[(&str, &[&str])]) -> String {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut body = String::new();
    for (measurement, regions) in measurements {
        for host in HOSTS {
            for region in *regions {
                let mut key = (*measurement).to_owned();
                for (name, value) in [("host", host), ("region", region)] {
                    if !value.is_empty() {
                        key.push_str(&format!(",{name}={value}"));
                    }
                }
                let beside = if random.bool() { 0 } else { random.i64(1..9_000_000_000) };
                for step in 0..12 {
                    if random.f64() < 0.2 {
                        continue;
                    }
                    let time = (T0 + 10 * step) * 1_000_000_000 + beside;
                    let mut fields = vec![format!("v={}", f64::from(random.i32(-8..24)) / 4.0)];
                    if random.f64() < 0.8 {
                        fields.push(format!("n={}i", random.i32(-3..9)));
                    }
                    if random.f64() < 0.7 {
                        fields.push(format!("s=\"{}\"", ["x", "y", ""][random.usize(..3)]));
                    }
                    if random.f64() < 0.5 {
                        fields.push(format!("ok={}", random.bool()));
                    }
                    body.push_str(&format!("{key} {} {time}\n", fields.join(",")));
                }
            }
        }
    }
    body
}
