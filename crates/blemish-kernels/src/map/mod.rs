//! Filters and resizing of anomaly maps.
