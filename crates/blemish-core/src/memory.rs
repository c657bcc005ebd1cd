//! How much memory this process has taken and could still have.

/// The most memory this process has held so far, in bytes; `None` where the system does not say.
pub fn peak() -> Option<u64> {
    entry(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Memory that can be had without swapping, in bytes; `None` where the system does not say.
pub fn available() -> Option<u64> {
    entry(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemAvailable:")
}

/// Linux lists a name and a number of kibibytes in each line.
fn entry(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_high_water_mark_is_read() {
        let peak_in = |text| entry(text, "VmHWM:");
        assert_eq!(peak_in("Name:\tx\nVmHWM:\t   12 kB\nVmRSS:\t 8 kB\n"), Some(12_288));
        assert_eq!(peak_in("Name:\tx\n"), None);
        #[cfg(target_os = "linux")]
        assert!(peak().is_some_and(|bytes| bytes > 1 << 20) && available().is_some());
    }
}
