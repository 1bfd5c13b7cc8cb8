//! How much work a submission holds, so that one takes about 50 ms: long enough that submitting costs nothing, short enough that a desktop
//! stays usable and no watchdog ends the run.

use std::collections::VecDeque;

use web_time::{Duration, Instant};

/// What a submission should take.
const SUBMISSION: Duration = Duration::from_millis(50);

/// Work of a submission while the device's speed is not known.
const FIRST: u64 = 1 << 31;

/// A dispatch counts as at least so much work: starting it takes time, too.
const LEAST: u64 = 1 << 20;

/// Operations that a byte counts for. Devices do 20 to 60 of them while they move a byte, at best; kernels that compute reach a third of that.
const A_BYTE: u64 = 16;

/// Measurements that are remembered.
const REMEMBERED: usize = 8;

/// Queued and finished work, in floating-point operations or what counts as such.
///
/// A measurement is the work that was finished since the device was last known to have nothing to do, over the time since then. The device
/// may have waited for the host meanwhile, so each measurement is at most its speed, and the highest of the last few is taken.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    queued: u64,
    finished: u64,
    /// When the queue became busy, and what was finished then.
    busy_since: Option<(Instant, u64)>,
    /// Work a second.
    measured: VecDeque<f64>,
}

impl Pacing {
    /// What a dispatch of so many operations counts for that reads and writes so many bytes: AdamW has next to no operations, and moves
    /// 28 bytes a parameter.
    pub(super) fn work(flops: u64, bytes: u64) -> u64 {
        flops.max(bytes * A_BYTE).max(LEAST)
    }

    /// Work was submitted.
    pub(super) fn submitted(&mut self, work: u64, now: Instant) {
        self.busy_since.get_or_insert((now, self.finished));
        self.queued += work;
    }

    /// All work that was queued so far, as a mark for [`Pacing::finished`].
    pub(super) fn queued(&self) -> u64 {
        self.queued
    }

    /// All work up to a mark is done.
    pub(super) fn finished(&mut self, mark: u64, now: Instant) {
        let mark = mark.min(self.queued);
        if mark <= self.finished {
            return;
        }
        self.finished = mark;
        let Some((since, before)) = self.busy_since else { return };
        let seconds = now.duration_since(since).as_secs_f64();
        if seconds > 0.0 {
            self.measured.push_back((mark - before) as f64 / seconds);
            if self.measured.len() > REMEMBERED {
                self.measured.pop_front();
            }
        }
        if self.finished == self.queued {
            self.busy_since = None;
        }
    }

    /// Work that a submission may hold.
    pub(super) fn submission(&self) -> u64 {
        if self.measured.is_empty() {
            return FIRST;
        }
        let speed = self.measured.iter().copied().fold(0.0, f64::max);
        ((speed * SUBMISSION.as_secs_f64()) as u64).clamp(1 << 24, 1 << 45)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, milliseconds: u64) -> Instant {
        start + Duration::from_millis(milliseconds)
    }

    /// Three micro-steps of different lengths are one optimiser step: what counts is all that was queued.
    #[test]
    fn accumulated_micro_steps_of_different_lengths_count_together() {
        let (start, mut pacing) = (Instant::now(), Pacing::default());
        assert_eq!(pacing.submission(), FIRST);
        for work in [3_000_000_000, 1_000_000_000, 2_000_000_000] {
            pacing.submitted(work, start);
        }
        let mark = pacing.queued();
        pacing.finished(mark, after(start, 1000));
        // 6 GFLOP a second: 50 ms are 300 MFLOP.
        assert_eq!(pacing.submission(), 300_000_000);
    }

    /// An update's kernels fill submissions too, and a large product counts by its operations.
    #[test]
    fn moved_bytes_count_as_work() {
        let parameters = 134_515_008;
        assert!(Pacing::work(0, 28 * parameters) > 10 * FIRST, "AdamW for SmolLM2-135M");
        let (m, n, k) = (2048, 576, 576);
        assert_eq!(Pacing::work(2 * m * n * k, 4 * (m * n + n * k + m * k)), 2 * m * n * k);
        assert_eq!(Pacing::work(0, 4), LEAST);
    }

    /// From the second step on a submission takes about 50 ms, whatever the batches of a step are.
    #[test]
    fn one_step_suffices_to_know_the_speed() {
        for (speed, micro_steps) in [(30e9, vec![4_000_000_000]), (2e12, vec![1_000_000_000; 8]), (5e9, vec![100_000_000, 3_000_000_000])] {
            let (start, mut pacing) = (Instant::now(), Pacing::default());
            let mut done = 0.0;
            for step in 0..4 {
                for work in &micro_steps {
                    pacing.submitted(*work, start + Duration::from_secs_f64(done));
                }
                done += micro_steps.iter().sum::<u64>() as f64 / speed;
                pacing.finished(pacing.queued(), start + Duration::from_secs_f64(done));
                let seconds = pacing.submission() as f64 / speed;
                assert!((0.045..0.055).contains(&seconds), "step {step}: {seconds} s at {speed}");
            }
        }
    }

    /// Steps are queued before the results of earlier ones are read.
    #[test]
    fn steps_in_flight_are_measured_from_when_the_device_began() {
        let (start, mut pacing) = (Instant::now(), Pacing::default());
        let mut marks = Vec::new();
        for _ in 0..3 {
            pacing.submitted(1_000_000_000, start);
            marks.push(pacing.queued());
        }
        for (i, mark) in marks.iter().enumerate() {
            pacing.finished(*mark, after(start, 100 * (i as u64 + 1)));
            assert_eq!(pacing.submission(), 500_000_000, "10 GFLOP a second, at every step");
        }
    }

    /// The host was away for ten seconds while the device had long finished: that says nothing about the device, neither then nor when the
    /// results that waited are read all at once.
    #[test]
    fn a_pause_of_the_host_changes_nothing() {
        let (start, mut pacing) = (Instant::now(), Pacing::default());
        pacing.submitted(1_000_000_000, start);
        pacing.finished(pacing.queued(), after(start, 100));
        let mut marks = Vec::new();
        for _ in 0..2 {
            pacing.submitted(1_000_000_000, after(start, 200));
            marks.push(pacing.queued());
        }
        pacing.finished(marks[0], after(start, 10_200));
        pacing.finished(marks[1], after(start, 10_201));
        assert_eq!(pacing.submission(), 500_000_000);
    }
}
