//! Scenarios, and both hosts side by side.

use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tapping_drivers::testing::skip;

use super::harness::parse::Script;
use super::harness::stack::Endpoint;
use super::kernel::Kernel;
use super::known::{DIFFERENCES, LOOSE_PUSH, WINDOWS};
use super::record::{Live, Recording, Sent, Step, Virtual, record};

/// Settings of both hosts, as a distribution may have changed the kernel's.
const SETTINGS: [(&str, &str); 18] = [
    ("tcp_congestion_control", "reno"),
    ("tcp_ecn", "2"),
    ("tcp_early_retrans", "3"),
    ("tcp_fin_timeout", "60"),
    ("tcp_frto", "2"),
    ("tcp_moderate_rcvbuf", "1"),
    ("tcp_mtu_probing", "0"),
    ("tcp_reordering", "3"),
    ("tcp_rfc1337", "0"),
    ("tcp_rmem", "4096 131072 6291456"),
    ("tcp_sack", "1"),
    ("tcp_slow_start_after_idle", "1"),
    ("tcp_syn_retries", "6"),
    ("tcp_synack_retries", "5"),
    ("tcp_syncookies", "1"),
    ("tcp_timestamps", "1"),
    ("tcp_window_scaling", "1"),
    ("tcp_wmem", "4096 16384 4194304"),
];

/// Scenarios that run at once: most of the time they wait.
const AT_ONCE: usize = 24;
/// A busy machine may have let the kernel's timers and the script meet in another order: what
/// differs is tried again.
const ATTEMPTS: usize = 3;

/// A script for both.
pub struct Scenario {
    pub name: String,
    script: String,
}

/// How exactly packets are compared.
#[derive(Debug, Clone, Copy)]
struct Tolerance {
    /// How far windows may differ, in percent.
    window: u32,
    /// PSH may be anywhere.
    push: bool,
}

impl Scenario {
    pub fn new(name: impl Into<String>, script: impl Into<String>) -> Self {
        Scenario { name: name.into(), script: script.into() }
    }

    /// Why the stack does not do as the kernel here.
    fn differs(&self) -> Option<&'static str> {
        let found = DIFFERENCES.iter().find(|(_, names)| names.contains(&self.name.as_str()));
        found.map(|(why, _)| *why)
    }

    fn tolerance(&self) -> Tolerance {
        let window = WINDOWS.iter().find(|(start, _)| self.name.starts_with(start));
        let push = LOOSE_PUSH.contains(&self.name.as_str());
        Tolerance { window: window.map_or(0, |(_, percent)| *percent), push }
    }
}

/// A listener on port 8080.
pub const LISTEN: &str = "0 socket ; bind 8080 ; listen 4\n";

/// A connection that a peer with all options opened; timestamps of the host begin at 1000.
pub fn accepted(rest: &str) -> String {
    format!(
        "{LISTEN}
        +0 < S 0:0(0) win 65535 <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 7>
        +.02 < . 1:1(0) ack 1 win 512 <nop,nop,TS val 120 ecr 1000>
        +0 accept
        {rest}"
    )
}

/// A connection that a peer with these options opened, and no timestamps.
pub fn accepted_with(options: &str, window: u32, rest: &str) -> String {
    format!(
        "{LISTEN}
        +0 < S 0:0(0) win 65535 <{options}>
        +.02 < . 1:1(0) ack 1 win {window}
        +0 accept
        {rest}"
    )
}

/// A connection without timestamps, with SACK and window scale 7, so that windows are as large as
/// they need to be.
pub fn plain(rest: &str) -> String {
    accepted_with("mss 1460,nop,nop,sackOK,nop,wscale 7", 512, rest)
}

/// A connection that the host opened to a peer with all options.
pub fn connected(rest: &str) -> String {
    format!(
        "0 socket ; connect
        +.02 < S. 0:0(0) ack 1 win 65535 <mss 1460,sackOK,TS val 100 ecr 1000,nop,wscale 7>
        {rest}"
    )
}

/// Runs all, and tells of every difference.
pub fn compare(scenarios: Vec<Scenario>) {
    let only = std::env::var("TAPPING_SCENARIO").ok();
    let verbose = only.is_some();
    let scenarios: Vec<_> = scenarios
        .into_iter()
        .filter(|scenario| only.as_ref().is_none_or(|only| scenario.name.contains(only)))
        .collect();
    let total = scenarios.len();
    let queue = Mutex::new(scenarios.into_iter());
    let (wrong, no_tap) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE.min(total) {
            scope.spawn(|| {
                while let Some(scenario) = { queue.lock().expect("nobody panics").next() } {
                    match judge(&scenario, verbose) {
                        Ok(true) => {}
                        Ok(false) => no_tap.store(true, Ordering::Relaxed),
                        Err(error) => wrong.lock().expect("nobody panics").push(error),
                    }
                }
            });
        }
    });
    if no_tap.into_inner() {
        return skip("nobody may have a TAP interface here");
    }
    let mut wrong = wrong.into_inner().expect("nobody panics");
    wrong.sort();
    assert!(wrong.is_empty(), "{} of {total} scenarios:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether both are as they should be; `false` without a TAP.
fn judge(scenario: &Scenario, verbose: bool) -> Result<bool, String> {
    let mut report = String::new();
    for _ in 0..ATTEMPTS {
        let broken = |error: String| format!("== {}: {error}", scenario.name);
        let Some((kernel, stack)) = both(scenario).map_err(broken)? else { return Ok(false) };
        let different = kernel
            .steps
            .iter()
            .zip(&stack.steps)
            .any(|(kernel, stack)| !same(kernel, stack, scenario.tolerance()));
        if verbose {
            println!("{}", side_by_side(&kernel, &stack, scenario.tolerance()));
        }
        match (different, scenario.differs()) {
            (false, None) | (true, Some(_)) => return Ok(true),
            (false, Some(why)) => report = format!("== {}: no longer so: {why}", scenario.name),
            (true, None) => {
                let both = side_by_side(&kernel, &stack, scenario.tolerance());
                report = format!("== {}\n{both}", scenario.name);
            }
        }
    }
    Err(report)
}

fn both(scenario: &Scenario) -> Result<Option<(Recording, Recording)>, String> {
    let mut script = Script::parse(&scenario.script)?;
    let own = std::mem::take(&mut script.settings);
    let mut settings: Vec<(String, String)> =
        SETTINGS.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    settings.retain(|(name, _)| own.iter().all(|(of, _)| of != name));
    settings.extend(own);
    // A namespace is a thread's: one more for each attempt.
    let kernel = std::thread::scope(|scope| {
        let run = || -> Result<_, String> {
            let Some(kernel) = Kernel::new(&settings)? else { return Ok(None) };
            record(&script, &mut Live::new(kernel), None).map(Some)
        };
        scope.spawn(run).join().map_err(|_| "the kernel's side panicked")?
    })?;
    let Some(kernel) = kernel else { return Ok(None) };
    let endpoint = Endpoint::new(&settings)?;
    let stack = record(&script, &mut Virtual::new(endpoint), Some(&kernel))?;
    Ok(Some((kernel, stack)))
}

fn same(kernel: &Step, stack: &Step, tolerance: Tolerance) -> bool {
    let mut pairs = kernel.sent.iter().zip(&stack.sent);
    let packets = kernel.sent.len() == stack.sent.len()
        && pairs.all(|(kernel, stack)| same_packet(kernel, stack, tolerance));
    packets && kernel.results == stack.results
}

fn same_packet(kernel: &Sent, stack: &Sent, tolerance: Tolerance) -> bool {
    // What is offered at first has no received data in it.
    let slack = if kernel.text.starts_with('S') { 0 } else { tolerance.window };
    let near = match (kernel.window, stack.window) {
        (Some(kernel), Some(stack)) => {
            u32::from(kernel.abs_diff(stack)) * 100 <= slack * u32::from(kernel.max(stack))
        }
        (kernel, stack) => kernel == stack,
    };
    let text = |sent: &Sent| match tolerance.push {
        true => sent.text.replacen("P.", ".", 1),
        false => sent.text.clone(),
    };
    near && text(kernel) == text(stack)
}

/// What both did, and where they differ.
fn side_by_side(kernel: &Recording, stack: &Recording, tolerance: Tolerance) -> String {
    let mut text = String::new();
    for (k, s) in kernel.steps.iter().zip(&stack.steps) {
        let same = same(k, s, tolerance);
        let _ = writeln!(text, "{:9.4} {}", k.at.as_secs_f64(), k.text);
        let all = if same { vec![("", k)] } else { vec![("KERNEL", k), ("STACK ", s)] };
        for (who, step) in all {
            if !step.results.is_empty() {
                let _ = writeln!(text, "   {who}          = {}", step.results.join(", "));
            }
            for sent in &step.sent {
                let window = sent.window.map_or(String::new(), |window| format!(" win {window}"));
                let at = sent.at.as_secs_f64();
                let _ = writeln!(text, "   {who} {at:9.4} > {}{window}", sent.text);
            }
            if !same && step.sent.is_empty() {
                let _ = writeln!(text, "   {who}           > nothing");
            }
        }
    }
    text
}

/// Adds scenarios of one kind.
pub fn group<'a>(
    all: &mut Vec<Scenario>,
    kind: &str,
    scripts: impl IntoIterator<Item = (&'a str, &'a str)>,
) {
    all.extend(
        scripts.into_iter().map(|(name, script)| Scenario::new(format!("{kind}: {name}"), script)),
    );
}
