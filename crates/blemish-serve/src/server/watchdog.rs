//! What tells systemd that the server is alive: not that it answers, but that its scoring goes on.

use crate::models::{Models, Served};
use sd_notify::NotifyState;
use std::sync::Arc;
use std::time::Duration;

/// Feeds the watchdog as long as no model hangs; does nothing where there is no watchdog. Never ends.
pub(super) async fn feed(models: Arc<Models>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut is_told = false;
    loop {
        match stuck(&models, limit) {
            None => {
                let _ = sd_notify::notify(&[NotifyState::Watchdog]);
            }
            Some(served) if !is_told => {
                is_told = true;
                tracing::error!(
                    model = served.name(),
                    "the scoring of a batch does not end; systemd will restart the server"
                );
            }
            Some(_) => {}
        }
        tokio::time::sleep(limit / 3).await;
    }
}

/// A model whose thread has been at one batch for so long.
fn stuck(models: &Models, limit: Duration) -> Option<Arc<Served>> {
    models.all().into_iter().find(|served| served.is_stuck(limit))
}
