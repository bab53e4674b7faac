//! What a process has used, out of `/proc` (proc(5)); for the load tools.

use std::fs;

/// `USER_HZ`: the unit of the times in `/proc/PID/stat`, 100 a second on every Linux we run on.
const TICK_MS: f64 = 10.0;

/// A process's use of CPU and memory, all threads, dead ones too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Meter {
    /// In user mode.
    pub user_ms: f64,
    /// In the kernel.
    pub system_ms: f64,
    /// Of children that were waited for.
    pub children_ms: f64,
    /// Resident memory.
    pub rss_bytes: f64,
}

impl Meter {
    /// Reads what process `pid` has used so far.
    ///
    /// # Errors
    /// Words: there is no such process, or it cannot be read.
    pub fn read(pid: u32) -> Result<Meter, String> {
        let read = |name: &str| {
            let path = format!("/proc/{pid}/{name}");
            fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))
        };
        parse(&read("stat")?, &read("status")?).ok_or_else(|| format!("/proc/{pid}: unreadable"))
    }

    /// What was used since `before`.
    #[must_use]
    pub fn since(&self, before: &Meter) -> Meter {
        Meter {
            user_ms: self.user_ms - before.user_ms,
            system_ms: self.system_ms - before.system_ms,
            children_ms: self.children_ms - before.children_ms,
            rss_bytes: self.rss_bytes - before.rss_bytes,
        }
    }
}

fn parse(stat: &str, status: &str) -> Option<Meter> {
    // The name in parentheses may hold blanks; the state, field 3, follows it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<f64>().ok().map(|t| t * TICK_MS);
    let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    Some(Meter {
        user_ms: ticks(14)?,
        system_ms: ticks(15)?,
        children_ms: ticks(16)? + ticks(17)?,
        rss_bytes: rss.split_whitespace().next()?.parse::<f64>().ok()? * 1024.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_those_of_proc_5() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 6 7 20 0 3 0 99 1 2";
        let status = "Name:\ta\nVmHWM:\t 9 kB\nVmRSS:\t    2048 kB\n";
        let want = Meter { user_ms: 1500.0, system_ms: 250.0, children_ms: 130.0, rss_bytes: 2_097_152.0 };
        assert_eq!(parse(stat, status), Some(want));
        assert!(Meter::read(std::process::id()).is_ok());
    }
}
