use super::{Executor, PerWorker, Pieces, Rows, Stopped, Strided};
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};

/// Serial, and rayon with more threads than most machines that run this have.
fn executors() -> Vec<Executor> {
    #[cfg_attr(not(feature = "threads"), expect(unused_mut, reason = "only the serial one"))]
    let mut all = vec![Executor::Serial];
    #[cfg(feature = "threads")]
    all.extend((0..=8).map(|threads| Executor::Rayon { threads }));
    all
}

thread_local! {
    /// Calls of `progress` on this thread.
    pub(crate) static PROGRESS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

const ROUNDS: usize = if cfg!(miri) { 2 } else { 200 };

#[test]
fn each_unit_runs_exactly_once() {
    for executor in executors() {
        for units in [0, 1, 2, 3, 7, 8, 9, 64, 257] {
            for _ in 0..ROUNDS {
                let counts: Vec<AtomicUsize> = (0..units).map(|_| AtomicUsize::new(0)).collect();
                let workers = executor.workers(units);
                let result = executor.run(units, None, (), |worker, unit, ()| {
                    assert!(worker < workers, "worker {worker} of {workers}");
                    counts[unit].fetch_add(1, Ordering::Relaxed);
                });
                assert_eq!(result, Ok(()));
                let seen: Vec<usize> = counts.into_iter().map(AtomicUsize::into_inner).collect();
                assert_eq!(seen, vec![1; units], "{executor:?}");
            }
        }
    }
}

#[test]
fn rows_cover_the_buffer_and_the_last_unit_is_short() {
    for executor in executors() {
        for (rows, width, per_unit) in [(1, 1, 1), (7, 3, 2), (8, 3, 2), (9, 5, 4), (256, 4, 1), (3, 2, 100)]
        {
            let mut buffer = vec![usize::MAX; rows * width];
            let units = rows.div_ceil(per_unit);
            let outputs = Rows::new(&mut buffer, width, per_unit);
            let result = executor.run(units, None, outputs, |_, unit, part| {
                assert_eq!(part.len(), width * per_unit.min(rows - unit * per_unit));
                part.fill(unit);
            });
            assert_eq!(result, Ok(()));
            for (at, &unit) in buffer.iter().enumerate() {
                assert_eq!(unit, at / width / per_unit, "{executor:?} element {at}");
            }
        }
    }
}

#[test]
fn pieces_cover_the_rows_and_the_last_of_a_row_has_what_is_left() {
    for executor in executors() {
        for (rows, width, length, pieces) in [(1, 1, 1, 1), (3, 10, 3, 3), (3, 10, 3, 4), (2, 7, 100, 1)] {
            let mut buffer = vec![usize::MAX; rows * width];
            let outputs = Pieces::new(&mut buffer, width, length, pieces);
            let result = executor.run(rows * pieces, None, outputs, |_, unit, part| part.fill(unit));
            assert_eq!(result, Ok(()));
            for (at, &unit) in buffer.iter().enumerate() {
                let piece = (at % width / length).min(pieces - 1);
                assert_eq!(unit, at / width * pieces + piece, "{executor:?} element {at}");
            }
        }
    }
}

#[test]
fn strided_tiles_cover_the_planes() {
    for executor in executors() {
        for (outer, classes, inner, width) in [(1, 1, 1, 1), (2, 3, 10, 4), (3, 5, 8, 8), (2, 2, 7, 100)] {
            let mut buffer = vec![(0, 0); outer * classes * inner];
            let tiles = Strided::<(usize, usize)>::tiles(inner, width);
            let outputs = Strided::new(&mut buffer, classes, inner, width);
            let result = executor.run(outer * tiles, None, outputs, |_, unit, mut part| {
                assert_eq!(part.plane(0).len(), width.min(inner - unit % tiles * width));
                for class in 0..classes {
                    part.plane(class).fill((unit, class + 1));
                    assert!(part.read(class).iter().all(|&seen| seen == (unit, class + 1)));
                }
            });
            assert_eq!(result, Ok(()));
            for (at, &seen) in buffer.iter().enumerate() {
                let (position, class, image) = (at % inner, at / inner % classes, at / inner / classes);
                assert_eq!(seen, (image * tiles + position / width, class + 1), "{executor:?} element {at}");
            }
        }
    }
}

#[test]
fn tiles_within_some_positions_leave_the_others_alone() {
    let (classes, inner, width) = (3, 10, 4);
    for executor in executors() {
        let mut buffer = vec![0; classes * inner];
        let outputs = Strided::new(&mut buffer, classes, inner, width).within(3..9);
        let result = executor.run(2, None, outputs, |_, unit, mut part| {
            assert_eq!(part.plane(0).len(), [4, 2][unit]);
            (0..classes).for_each(|class| part.plane(class).fill(unit + 1));
        });
        assert_eq!(result, Ok(()));
        for line in buffer.chunks(inner) {
            assert_eq!(line, [0, 0, 0, 1, 1, 1, 1, 2, 2, 0], "{executor:?}");
        }
    }
}

#[test]
fn a_group_of_planes_is_those_planes_and_ends_with_the_last() {
    let (outer, classes, inner, width) = (2, 5, 10, 4);
    let mut buffer = vec![0; outer * classes * inner];
    let tiles = Strided::<usize>::tiles(inner, width);
    let outputs = Strided::new(&mut buffer, classes, inner, width);
    let result = Executor::Serial.run(outer * tiles, None, outputs, |_, _, mut part| {
        let [a, b] = part.neighbours::<2>(0);
        a.fill(1);
        b.fill(2);
        part.neighbours::<3>(2).into_iter().zip(3..).for_each(|(plane, mark)| plane.fill(mark));
        let beyond = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            part.neighbours::<2>(4);
        }));
        assert!(beyond.is_err(), "there is no sixth plane");
    });
    assert_eq!(result, Ok(()));
    for (at, &seen) in buffer.iter().enumerate() {
        assert_eq!(seen, at / inner % classes + 1, "element {at}");
    }
}

#[test]
fn scratch_belongs_to_one_worker() {
    for executor in executors() {
        let units = 100;
        let workers = executor.workers(units);
        let mut scratch = vec![0_usize; workers * 16];
        let mut sums = vec![0_usize; units];
        let outputs =
            (PerWorker::new(&mut scratch, 16), Some(Rows::new(&mut sums, 1, 1)), None::<Rows<'_, u8>>);
        let result = executor.run(units, None, outputs, |worker, unit, (scratch, sum, absent)| {
            assert!(absent.is_none(), "an absent output stays absent");
            assert_eq!(scratch.len(), 16);
            scratch.fill(worker * 1000 + unit);
            std::hint::black_box(&scratch);
            if let Some([sum]) = sum {
                *sum = scratch.iter().sum::<usize>() - 16 * 1000 * worker;
            }
        });
        assert_eq!(result, Ok(()));
        assert_eq!(sums, (0..units).map(|unit| 16 * unit).collect::<Vec<_>>());
    }
}

#[test]
fn cancel_stops_before_the_next_unit() {
    for executor in executors() {
        let set = AtomicI32::new(1);
        let result = executor.run(10, Some(&set), (), |_, _, ()| panic!("a unit ran after the flag was set"));
        assert_eq!(result, Err(Stopped::Cancelled));

        let flag = AtomicI32::new(0);
        let ran = AtomicUsize::new(0);
        let result = executor.run(10_000, Some(&flag), (), |_, unit, ()| {
            ran.fetch_add(1, Ordering::Relaxed);
            if unit == 3 {
                flag.store(1, Ordering::Relaxed);
            }
        });
        assert_eq!(result, Err(Stopped::Cancelled), "{executor:?}");
        assert!(ran.into_inner() < 10_000, "some unit was left out");

        let late = AtomicI32::new(0);
        let result = executor.run(1, Some(&late), (), |_, _, ()| late.store(1, Ordering::Relaxed));
        assert_eq!(result, Ok(()), "a flag that stopped nothing is no failure");
    }
}

#[test]
#[should_panic(expected = "every unit needs rows to write")]
fn too_few_rows_are_refused() {
    let mut buffer = [0_u8; 4];
    let _ = Executor::Serial.run(3, None, Rows::new(&mut buffer, 2, 1), |_, _, _| {});
}

#[test]
#[should_panic(expected = "every worker needs its own scratch")]
fn too_little_scratch_is_refused() {
    let mut buffer = [0_u8; 4];
    let _ = Executor::Serial.run(1, None, PerWorker::new(&mut buffer, 5), |_, _, _| {});
}

#[cfg(feature = "threads")]
mod threads {
    use super::{Executor, Ordering, ROUNDS, Rows, Stopped};
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    /// Units enough for a helper to get one, with `slow` on the caller: other tests use the same pool.
    const MANY: usize = 20_000;

    /// Slows the caller down until a helper has had a unit.
    fn slow(helped: &AtomicUsize) {
        if helped.load(Ordering::Relaxed) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn panic_of_a_helper_is_lost_and_the_next_run_works() {
        let executor = Executor::Rayon { threads: 2 };
        for _ in 0..3 {
            let helped = AtomicUsize::new(0);
            let result = executor.run(MANY, None, (), |worker, _, ()| {
                if worker == 0 {
                    slow(&helped);
                } else {
                    helped.store(1, Ordering::Relaxed);
                    panic!("a helper panics, as this test wants");
                }
            });
            assert_eq!(result, Err(Stopped::Lost));
        }
        assert_eq!(executor.run(100, None, (), |_, _, ()| {}), Ok(()));
    }

    #[test]
    fn panic_of_the_caller_waits_for_helpers_and_goes_on() {
        let executor = Executor::Rayon { threads: 8 };
        let mut buffer = vec![0_u32; MANY];
        let helped = AtomicUsize::new(0);
        let result = catch_unwind(AssertUnwindSafe(|| {
            executor.run(MANY, None, Rows::new(&mut buffer, 1, 1), |worker, _, part| {
                if worker == 0 {
                    slow(&helped);
                    assert_eq!(helped.load(Ordering::Relaxed), 0, "the caller panics, as this test wants");
                    return;
                }
                helped.store(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
                part.fill(1);
            })
        }));
        assert!(result.is_err(), "the panic reaches the caller");
        let before = buffer.clone();
        std::thread::sleep(Duration::from_millis(10));
        assert_eq!(before, buffer, "no helper wrote after the run");
    }

    #[test]
    fn runs_at_the_same_time_keep_apart() {
        std::thread::scope(|scope| {
            for caller in 1..=4_usize {
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let mut buffer = vec![0; 50];
                        let outputs = Rows::new(&mut buffer, 1, 1);
                        let executor = Executor::Rayon { threads: caller + 1 };
                        let result =
                            executor.run(50, None, outputs, |_, unit, part| part.fill(caller * unit + round));
                        assert_eq!(result, Ok(()));
                        assert!(buffer.iter().enumerate().all(|(unit, &seen)| seen == caller * unit + round));
                    }
                });
            }
        });
    }

    #[test]
    fn a_run_inside_a_pool_that_is_busy_ends() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let total = AtomicUsize::new(0);
        pool.scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|_| {
                    let result = Executor::Rayon { threads: 4 }.run(20, None, (), |_, _, ()| {
                        total.fetch_add(1, Ordering::Relaxed);
                    });
                    assert_eq!(result, Ok(()));
                });
            }
        });
        assert_eq!(total.into_inner(), 160);
    }
}
