//! When something is due in a test.

use std::time::Duration;

use super::meter::Role;
use super::params::{Params, Until};

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// An interval is over.
    Interval,
    /// From now on it counts.
    Counting,
    /// The test is over.
    End,
}

/// The moments of a test, since it began.
#[derive(Debug, Clone)]
pub struct Timeline {
    role: Role,
    interval: Option<Duration>,
    /// The next interval's end.
    tick: Option<Duration>,
    /// Until when nothing counts.
    omit: Option<Duration>,
    /// How long it counts.
    time: Option<Duration>,
    end: Option<Duration>,
}

impl Timeline {
    /// Of a test with reports every `interval`.
    pub fn new(role: Role, params: &Params, interval: Option<Duration>) -> Self {
        let time = match params.until {
            Until::Time(seconds) if seconds > 0 => Some(Duration::from_secs(seconds.into())),
            _ => None,
        };
        let omit = (params.omit > 0).then(|| Duration::from_secs(params.omit.into()));
        let mut timeline = Timeline { role, interval, tick: None, omit, time, end: None };
        timeline.count_from(Duration::ZERO);
        timeline
    }

    /// When something is due next.
    pub fn next(&self) -> Option<Duration> {
        [self.tick, self.omit, self.end].into_iter().flatten().min()
    }

    /// What is due by now, one after the other.
    pub fn due(&mut self, now: Duration) -> Option<Due> {
        let next = self.next().filter(|next| *next <= now)?;
        if self.tick == Some(next) {
            let interval = self.interval.unwrap_or(Duration::MAX);
            // Whoever was held up for long does not tell one interval after the other.
            let behind = (now - next).as_nanos() / interval.as_nanos().max(1);
            let passed = u32::try_from(behind).unwrap_or(u32::MAX).saturating_add(1);
            self.tick = next.checked_add(interval.saturating_mul(passed));
            self.stop_ticking();
            return Some(Due::Interval);
        }
        if self.omit == Some(next) {
            self.omit = None;
            self.count_from(now);
            return Some(Due::Counting);
        }
        self.end = None;
        Some(Due::End)
    }

    fn count_from(&mut self, now: Duration) {
        self.tick = self.interval.and_then(|interval| now.checked_add(interval));
        if self.omit.is_none() {
            self.end = self.time.and_then(|time| now.checked_add(time));
            self.stop_ticking();
        }
    }

    /// The last interval ends with the test. The client tells the server when that is.
    fn stop_ticking(&mut self) {
        if let (Some(tick), Some(end)) = (self.tick, self.end)
            && tick >= end
        {
            self.tick = None;
        }
        if self.role == Role::Server && self.tick.is_none() {
            self.end = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn all(mut timeline: Timeline, until: u64) -> Vec<(u64, Due)> {
        let mut events = Vec::new();
        while let Some(next) = timeline.next().filter(|next| next.as_secs() <= until) {
            while let Some(due) = timeline.due(next) {
                events.push((next.as_millis() as u64, due));
            }
        }
        events
    }

    #[test]
    fn a_client_ends_with_its_last_interval() {
        let params = Params { until: Until::Time(2), omit: 1, ..Params::default() };
        let timeline = Timeline::new(Role::Client, &params, Some(SECOND));
        use Due::*;
        let expected = [(1000, Interval), (1000, Counting), (2000, Interval), (3000, End)];
        assert_eq!(all(timeline, 9), expected);
        let quiet = Timeline::new(Role::Client, &params, None);
        assert_eq!(all(quiet, 9), [(1000, Counting), (3000, End)]);
    }

    #[test]
    fn a_server_waits_for_the_end() {
        let params = Params { until: Until::Time(2), ..Params::default() };
        let timeline = Timeline::new(Role::Server, &params, Some(SECOND / 2));
        let ends: Vec<u64> = all(timeline, 9).into_iter().map(|(at, _)| at).collect();
        assert_eq!(ends, [500, 1000, 1500]);
        let forever = Params { until: Until::Time(0), ..params };
        let timeline = Timeline::new(Role::Server, &forever, Some(SECOND));
        assert_eq!(all(timeline, 9).len(), 9);
    }

    #[test]
    fn a_long_pause_is_one_interval() {
        let params = Params { until: Until::Bytes(1), ..Params::default() };
        let mut timeline = Timeline::new(Role::Client, &params, Some(SECOND));
        assert_eq!(timeline.due(SECOND * 7 / 2), Some(Due::Interval));
        assert_eq!(timeline.due(SECOND * 7 / 2), None);
        assert_eq!(timeline.next(), Some(SECOND * 4));
    }
}
