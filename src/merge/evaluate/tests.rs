//! What influxd 1.6.7 said of the same rows.
