//! Counts for whoever watches the server: OpenMetrics text at `/metrics`.
//!
//! A registry of its own, so that two servers in one process count apart. Labels never hold what a request says: names of models and sinks
//! come from the options, routes are those of the router, statuses and reasons are of short lists.

use crate::answer::{Answered, Verdict};
use crate::bus::{Event, Happening, Listener};
use crate::server::{Access, AccessHook, MetricsText, Server};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper ends of the buckets of times: from what a small model takes on a large machine to what no line waits for.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Upper ends of the buckets of p-values: on good images the share below x is about x.
const P_VALUES: [f64; 7] = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75];

type Labels = Vec<(&'static str, String)>;

type Counts = Family<Labels, Counter>;

type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Everything that is counted.
pub struct Metrics {
    registry: Registry,
    requests: Counts,
    images: Counts,
    stages: Histograms,
    queue: Family<Labels, Gauge>,
    rejected: Counts,
    p_values: Histograms,
    drift: Family<Labels, Gauge>,
    evidence: Family<Labels, Gauge<f64, AtomicU64>>,
    info: Family<Labels, Gauge>,
    reload_failures: Counts,
    sink_messages: Counts,
    kept: Counts,
    /// The labels of the version of each model that is served.
    served: Mutex<HashMap<String, Labels>>,
}

/// Resident memory, asked for when the metrics are.
#[derive(Debug)]
struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Some(bytes) = resident_bytes() else { return Ok(()) };
        let gauge = ConstGauge::new(i64::try_from(bytes).unwrap_or(i64::MAX));
        let help = "Resident memory";
        gauge.encode(encoder.encode_descriptor(
            "process_resident_memory_bytes",
            help,
            None,
            MetricType::Gauge,
        )?)
    }
}

/// Bytes of this process that are in memory; `None` where the system does not tell.
pub fn resident_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
    // SAFETY: it only reads a constant of the system.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    pages.checked_mul(u64::try_from(page).ok()?)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Self {
        let times: Histograms = Family::new_with_constructor(|| Histogram::new(SECONDS));
        let shares: Histograms = Family::new_with_constructor(|| Histogram::new(P_VALUES));
        let mut metrics = Self {
            registry: Registry::default(),
            requests: Counts::default(),
            images: Counts::default(),
            stages: times,
            queue: Family::default(),
            rejected: Counts::default(),
            p_values: shares,
            drift: Family::default(),
            evidence: Family::default(),
            info: Family::default(),
            reload_failures: Counts::default(),
            sink_messages: Counts::default(),
            kept: Counts::default(),
            served: Mutex::default(),
        };
        let registry = &mut metrics.registry;
        // The encoder puts `_total` behind the names of counters.
        registry.register("blemish_requests", "Requests by route and status", metrics.requests.clone());
        registry.register("blemish_images", "Images by verdict", metrics.images.clone());
        registry.register("blemish_stage_seconds", "Time of an image in each stage", metrics.stages.clone());
        registry.register("blemish_queue_length", "Images that wait for a model", metrics.queue.clone());
        registry.register(
            "blemish_rejected",
            "Images turned away before they were scored",
            metrics.rejected.clone(),
        );
        registry.register(
            "blemish_p_value",
            "P-values; of good images the share below x is about x",
            metrics.p_values.clone(),
        );
        registry.register(
            "blemish_drift",
            "Whether the monitor of a model has found drift",
            metrics.drift.clone(),
        );
        registry.register(
            "blemish_drift_evidence",
            "Evidence of drift, as a share of what a warning needs",
            metrics.evidence.clone(),
        );
        registry.register(
            "blemish_model_info",
            "The version of each model that is served",
            metrics.info.clone(),
        );
        registry.register(
            "blemish_reload_failures",
            "Model files that were not taken into service",
            metrics.reload_failures.clone(),
        );
        registry.register(
            "blemish_sink_messages",
            "Messages to sinks by outcome",
            metrics.sink_messages.clone(),
        );
        registry.register(
            "blemish_kept_images",
            "Originals that should be kept by outcome",
            metrics.kept.clone(),
        );
        registry.register_collector(Box::new(Process));
        metrics
    }

    /// Counts a request that was answered; `route` is the template of the router, such as `/v1/models/{name}/score`, and never the path.
    pub fn request(&self, route: &str, status: u16) {
        count(&self.requests, vec![("route", route.to_owned()), ("status", status.to_string())]);
    }

    /// Counts an image that was turned away; `reason` is the code of the fault.
    pub fn rejected(&self, model: &str, reason: &'static str) {
        count(&self.rejected, vec![("model", model.to_owned()), ("reason", reason.to_owned())]);
    }

    /// Says how many images wait for a model.
    pub fn queue_length(&self, model: &str, images: usize) {
        let length = i64::try_from(images).unwrap_or(i64::MAX);
        self.queue.get_or_create(&vec![("model", model.to_owned())]).set(length);
    }

    /// Adds the time that one image or answer took in a stage: `queue`, `decode`, `score` or `encode`.
    pub fn stage(&self, model: &str, stage: &'static str, time: Duration) {
        let labels = vec![("model", model.to_owned()), ("stage", stage.to_owned())];
        self.stages.get_or_create(&labels).observe(time.as_secs_f64());
    }

    /// Says which version of a model is served; the one before is told no more.
    pub fn loaded(&self, model: &str, version: &str, method: &str) {
        let labels =
            vec![("model", model.to_owned()), ("version", version.to_owned()), ("method", method.to_owned())];
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = served.insert(model.to_owned(), labels.clone())
            && before != labels
        {
            self.info.remove(&before);
        }
        self.info.get_or_create(&labels).set(1);
    }

    /// Says that a model is served no more.
    pub fn unloaded(&self, model: &str) {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(before) = served.remove(model) {
            self.info.remove(&before);
        }
        let labels = vec![("model", model.to_owned())];
        self.queue.remove(&labels);
        self.drift.remove(&labels);
        self.evidence.remove(&labels);
    }

    /// Counts a model file that was not taken into service.
    pub fn reload_failed(&self, model: &str) {
        count(&self.reload_failures, vec![("model", model.to_owned())]);
    }

    /// Counts messages of a sink: `sent`, `dropped` from a full buffer, `failed` for good, or `limited` by its rate.
    pub fn sink_messages(&self, sink: &str, outcome: &'static str, messages: u64) {
        let labels = vec![("sink", sink.to_owned()), ("outcome", outcome.to_owned())];
        self.sink_messages.get_or_create(&labels).inc_by(messages);
    }

    /// Counts an original: `kept`, `dropped` from a full queue, `failed` to be written, `too_large` for the limit, or `no_original` where
    /// pixels came and no file.
    pub fn kept(&self, outcome: &'static str) {
        count(&self.kept, vec![("outcome", outcome.to_owned())]);
    }

    /// Says how a model's monitor of drift stands.
    pub fn drift(&self, model: &str, is_found: bool, evidence: f64) {
        let labels = vec![("model", model.to_owned())];
        self.drift.get_or_create(&labels).set(i64::from(is_found));
        self.evidence.get_or_create(&labels).set(evidence);
    }

    /// OpenMetrics text of everything that was counted.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing into a string does not fail.
        let _ = text::encode(&mut out, &self.registry);
        out
    }

    fn answered(&self, verdict: &Verdict) {
        let said = match verdict.anomalous {
            Some(true) => "anomalous",
            Some(false) => "good",
            None => "undecided",
        };
        let model = &verdict.model;
        count(&self.images, vec![("model", model.clone()), ("verdict", said.to_owned())]);
        let took = &verdict.milliseconds;
        for (stage, milliseconds) in [("queue", took.queue), ("decode", took.decode), ("score", took.score)] {
            let seconds = if milliseconds.is_finite() { milliseconds.max(0.0) / 1000.0 } else { 0.0 };
            self.stage(model, stage, Duration::try_from_secs_f64(seconds).unwrap_or_default());
        }
        if let Some(p_value) = verdict.p_value {
            self.p_values.get_or_create(&vec![("model", model.clone())]).observe(p_value);
        }
    }
}

fn count(family: &Counts, labels: Labels) {
    family.get_or_create(&labels).inc();
}

impl Listener for Metrics {
    fn take(&self, event: &Event) {
        match &event.what {
            Happening::Answered(answered) => {
                let Answered { verdict, is_shadow, .. } = &**answered;
                if !is_shadow {
                    self.answered(verdict);
                }
            }
            Happening::Told(told) if told.kind == "reload_failed" => self.reload_failed(&told.model),
            Happening::Told(_) => {}
        }
    }
}

impl AccessHook for Metrics {
    fn answered(&self, access: &Access) {
        // Paths without a route are data of requests.
        self.request(if access.route.is_empty() { "other" } else { &access.route }, access.status);
        let Some(model) = &access.noted.model else { return };
        if let Some(code) = access.code {
            self.rejected(model, code);
        }
        if let Some(encoded) = access.noted.encoded {
            self.stage(model, "encode", encoded);
        }
    }
}

impl MetricsText for Metrics {
    fn encode(&self, server: &Server) -> String {
        let all = server.models.all();
        for served in &all {
            let version = served.current();
            self.loaded(served.name(), &version.version, &version.header.method);
            self.queue_length(served.name(), served.queued());
        }
        let served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        let gone: Vec<String> =
            served.keys().filter(|name| all.iter().all(|served| served.name() != *name)).cloned().collect();
        drop(served);
        gone.iter().for_each(|model| self.unloaded(model));
        self.text()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::Bus;
    use crate::samples::answered;
    use std::sync::Arc;

    #[test]
    fn counts_are_what_happened_and_versions_replace_each_other() {
        let metrics = Arc::new(Metrics::new());
        let bus = Bus::new(vec![metrics.clone()]);
        for (anomalous, p_value) in [(Some(true), 0.004), (Some(false), 0.3), (Some(false), 0.9)] {
            let mut answer = answered("line");
            answer.verdict.anomalous = anomalous;
            answer.verdict.p_value = Some(p_value);
            bus.tell(Happening::Answered(Arc::new(answer)));
        }
        bus.tell(Happening::Answered(Arc::new(Answered { is_shadow: true, ..answered("line") })));
        metrics.request("/score", 200);
        metrics.request("/score", 503);
        metrics.request("/score", 503);
        metrics.rejected("line", "queue_full");
        metrics.loaded("line", "0123456789ab", "patchcore");
        metrics.loaded("line", "ba9876543210", "patchcore");
        metrics.sink_messages("mqtt", "dropped", 7);
        let text = metrics.text();
        for line in [
            r#"blemish_images_total{model="line",verdict="anomalous"} 1"#,
            r#"blemish_images_total{model="line",verdict="good"} 2"#,
            r#"blemish_requests_total{route="/score",status="503"} 2"#,
            r#"blemish_rejected_total{model="line",reason="queue_full"} 1"#,
            r#"blemish_model_info{model="line",version="ba9876543210",method="patchcore"} 1"#,
            r#"blemish_sink_messages_total{sink="mqtt",outcome="dropped"} 7"#,
            r#"blemish_p_value_bucket{le="0.01",model="line"} 1"#,
            r#"blemish_p_value_bucket{le="0.5",model="line"} 2"#,
            r#"blemish_stage_seconds_count{model="line",stage="score"} 3"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("0123456789ab"), "the version before is told no more");
        assert!(resident_bytes().is_none_or(|bytes| bytes > 1 << 20));
        metrics.unloaded("line");
        assert!(!metrics.text().contains("ba9876543210"));
    }
}
