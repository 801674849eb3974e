//! The window that is offered, and the memory behind it.

use tapping_stack::TcpOptions;

use crate::talk::*;

conformance! {
    "RFC 9293", "Our window (§3.8.6)";

    ShouldNot "RFC9293-SHLD-14" "3.8.6" "The right edge of the window never moves left."
        => the_window_is_never_shrunk;
    Linux "RFC9293-3.8.6-shrink" "3.8.6" "With tcp_shrink_window it does, when memory is short; never without a window scale."
        => the_window_is_shrunk_on_demand;
    May "RFC9293-MAY-8" "3.8.6.1" "The window may stay closed as long as nobody reads."
        => our_window_may_stay_closed;
    Must "RFC9293-MUST-39" "3.8.6.2.2" "Small openings of the window are not announced."
        => small_openings_are_not_announced;
    Rule "RFC9293-3.8.6.2.2-update" "3.8.6.2.2" "Reading that frees enough is announced without waiting for data."
        => reading_announces_the_window;
    Linux "RFC9293-3.8.6-initial" "3.8.6" "The first window is of whole segments within 64 KiB: 64240 bytes of 1460 each, and scaled by 7 from then on."
        => the_first_window_is_that_of_linux;
    Linux "RFC9293-3.8.6-autotune" "3.8.6" "The receive buffer grows with what is read per round trip, up to tcp_rmem's maximum."
        => the_receive_buffer_grows;
    Linux "RFC9293-3.8.6-truesize" "3.8.6" "Memory counts by true size: tiny segments are merged and the bound holds."
        => tiny_segments_do_not_exceed_memory;
    Linux "RFC9293-3.8.6-ofo-prune" "3.8.6" "Under pressure the out-of-order queue is dropped from its highest number."
        => out_of_order_data_is_pruned_from_the_end;
    Rule "RFC9293-3.8.6-cut" "3.10.7.4" "Of a segment that reaches beyond the window the part inside is taken."
        => what_reaches_beyond_the_window_is_cut;
    Must "RFC9293-3.8.6-wrap" "3.4" "A window that lies across the wrap of the numbers is like any other."
        => a_window_across_the_wrap_works;
}

fn small_buffer(bytes: usize) -> Setup {
    let options = TcpOptions { receive_buffer: Some(bytes), ..TcpOptions::default() };
    Setup { options, ..Setup::default() }
}

/// Fills the window; returns how many bytes that took.
fn fill(t: &mut Talk, size: usize) -> usize {
    let mut sent = 0;
    for _ in 0..10_000 {
        let room = t.info().rcv_wnd as usize;
        if room == 0 {
            t.heard();
            return sent;
        }
        let len = size.min(room);
        let seg = t.data(len);
        t.inject(seg);
        t.run(millis(200));
        sent += len;
    }
    panic!("the window does not close: {:?}", t.info());
}

fn the_window_is_never_shrunk() {
    for (seed, setup) in [
        (1u64, Setup::default()),
        (2, Setup::modern()),
        (3, small_buffer(3000)),
        (4, Setup { wscale: Some(7), ..small_buffer(100_000) }),
    ] {
        let mut t = Talk::passive(setup);
        let scale = t.info().wscale.map_or(0, |(_, ours)| ours);
        let (mut state, mut edge) = (seed, t.peer_nxt + t.info().rcv_wnd);
        let first = edge;
        for step in 0..1500 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let random = (state >> 33) as usize;
            match random % 8 {
                0 => drop(t.try_read(random >> 4 & 0x3ff)),
                1 if step % 10 == 0 => drop(t.read_all()),
                2 => t.run(millis(60)),
                _ => {
                    let room = (edge.max(t.peer_nxt) - t.peer_nxt) as usize;
                    let size = if random & 8 == 0 { 1 } else { 1460 };
                    let seg = t.data(size.min(room));
                    t.inject(seg);
                }
            }
            if step == 700 {
                t.set(|options| options.receive_buffer = Some(2000));
            }
            for seg in t.heard() {
                let right = seg.ack + (u32::from(seg.win) << scale);
                assert!(right >= edge, "seed {seed}, step {step}: {right} is left of {edge}");
                edge = right;
            }
        }
        assert!(edge > first, "the window moved");
    }
}

/// Segments that take more memory than was foreseen.
fn the_window_is_shrunk_on_demand() {
    let shrinks = |shrink: bool, wscale: Option<u8>| {
        let mut setup = Setup { wscale, ..small_buffer(140_000) };
        setup.config.tcp.shrink_window = shrink;
        let mut t = Talk::passive(setup);
        let (mut edge, mut shrunk) = (0, false);
        for _ in 0..5000 {
            let seg = t.data(100.min(t.info().rcv_wnd as usize).max(1));
            t.inject(seg);
            t.run(millis(200));
            for ack in t.heard() {
                let scale = t.info().wscale.map_or(0, |(_, ours)| ours);
                let offered = ack.ack + (u32::from(ack.win) << scale);
                shrunk |= offered < edge;
                edge = offered;
            }
            if t.info().rcv_wnd == 0 {
                break;
            }
        }
        assert_eq!(t.info().rcv_wnd, 0, "it closes in the end");
        shrunk
    };
    assert!(!shrinks(false, Some(7)));
    assert!(!shrinks(true, None));
    assert!(shrinks(true, Some(7)));
}

fn our_window_may_stay_closed() {
    let mut t = Talk::passive(small_buffer(4096));
    fill(&mut t, 1000);
    for minute in 0..24 * 60 {
        t.run(secs(60));
        t.silent();
        // In turn a probe without data and one with a byte beyond the window.
        let probe = match minute % 2 {
            0 => Seg { seq: t.peer_nxt - 1, ..t.seg() },
            _ => t.data(1),
        };
        let end = t.peer_nxt;
        let answer = t.exchange(probe);
        t.peer_nxt = end;
        assert_eq!(answer.len(), 1, "{answer:?}");
        assert_eq!((answer[0].is_ack(), answer[0].ack, answer[0].win), (true, end, 0));
    }
    assert!(t.read_all() > 0, "what had come is there");
}

fn small_openings_are_not_announced() {
    let mut t = Talk::passive(small_buffer(16_384));
    let whole = fill(&mut t, 1460);
    let mut read = 0;
    loop {
        t.try_read(1).expect("a byte");
        read += 1;
        let heard = t.heard();
        if let [update] = &heard[..] {
            let least = 1460.min(whole / 2);
            assert!(usize::from(update.win) >= least, "{} is silly", update.win);
            assert!(read >= least && usize::from(update.win) <= whole, "after {read} bytes");
            break;
        }
        assert_eq!(heard, []);
        assert!(read < whole, "the window is announced at last");
    }
    // Not again with every byte that follows.
    for _ in 0..1000 {
        t.try_read(1).expect("a byte");
    }
    t.silent();
}

fn reading_announces_the_window() {
    let mut t = Talk::passive(small_buffer(16_384));
    let whole = fill(&mut t, 1460);
    assert_eq!(t.read_all(), whole);
    let updates = t.heard();
    let last = updates.last().expect("an update");
    assert!(last.is_ack() && usize::from(last.win) >= whole / 2, "{last:?}");
    // A window that is open wide is not announced again.
    let seg = t.data(10);
    t.inject(seg);
    t.run(secs(1));
    t.heard();
    t.read_all();
    t.silent();
}

fn the_first_window_is_that_of_linux() {
    let syn = Talk::connecting(Setup::default()).first;
    assert_eq!((syn.win, syn.wscale), (64_240, Some(7)));
    let t = Talk::active(Setup::modern());
    assert_eq!(t.handshake_ack.as_ref().map(|ack| ack.win), Some(502), "64240 rounded up by 128");
    // The options of timestamps take from each segment.
    let syn_ack = Talk::passive(Setup::modern()).first;
    assert_eq!((syn_ack.win, syn_ack.wscale), (65_160, Some(7)));
    let syn_ack = Talk::passive(Setup::default()).first;
    assert_eq!((syn_ack.win, syn_ack.wscale), (64_240, None));
    let syn = Talk::connecting(Setup { mtu: 9000, ..Setup::default() }).first;
    assert_eq!(syn.win, 62_720, "seven of 8960");
}

/// Sends as much as the window allows, round trip after round trip of 100 ms; returns the window.
fn bulk(t: &mut Talk, rounds: usize) -> u32 {
    let scale = t.info().wscale.map_or(0, |(_, ours)| ours);
    for _ in 0..rounds {
        let edge = t.peer_nxt + t.info().rcv_wnd;
        while t.peer_nxt + 1448 <= edge {
            let seg = Seg { flags: ACK, ..t.data(1448) };
            t.inject(seg);
        }
        t.read_all();
        t.run(millis(100));
    }
    t.heard().last().map_or(0, |seg| u32::from(seg.win) << scale)
}

fn the_receive_buffer_grows() {
    let mut t = Talk::passive(Setup { rtt: millis(100), ..Setup::modern() });
    let before = t.info();
    let window = bulk(&mut t, 15);
    let after = t.info();
    assert!(window > 1_000_000, "from 64 KiB to {window}");
    assert!(after.buffers.1 > before.buffers.1 && after.buffers.1 <= 6 << 20, "{after:?}");
    // Not beyond the maximum, however long.
    bulk(&mut t, 5);
    assert!(t.info().buffers.1 <= 6 << 20);
    // Not with a buffer of a size that was asked for.
    let fixed = TcpOptions { receive_buffer: Some(65_536), ..TcpOptions::default() };
    let mut t = Talk::passive(Setup { rtt: millis(100), options: fixed, ..Setup::modern() });
    bulk(&mut t, 10);
    assert_eq!(t.info().buffers.1, 131_072);
    // Nor when nobody reads.
    let mut t = Talk::passive(Setup { rtt: millis(100), ..Setup::modern() });
    for _ in 0..10 {
        let edge = t.peer_nxt + t.info().rcv_wnd;
        while t.peer_nxt + 1448 <= edge {
            let seg = t.data(1448);
            t.inject(seg);
        }
        t.run(millis(100));
    }
    assert_eq!(t.info().buffers.1, before.buffers.1);
}

fn tiny_segments_do_not_exceed_memory() {
    let mut t = Talk::passive(small_buffer(8192));
    let limit = t.info().buffers.1;
    let mut most = 0;
    let mut sent = 0;
    while t.info().rcv_wnd > 0 && sent < 20_000 {
        let seg = t.data(1);
        t.inject(seg);
        most = most.max(t.info().rmem_alloc);
        sent += 1;
        if sent % 64 == 0 {
            t.run(millis(200));
        }
    }
    assert!(most <= limit + limit / 4 + 4096 + 2048, "{most} bytes for a limit of {limit}");
    assert!(sent > 1000, "they are merged: {sent} bytes fit");
    // What was acknowledged is there.
    t.run(secs(1));
    let acked = t.heard().last().expect("an ACK").ack - 1;
    assert_eq!(t.read_all(), acked as usize);
    assert_eq!(t.info().rmem_alloc, 0);
}

fn out_of_order_data_is_pruned_from_the_end() {
    let options = TcpOptions { receive_buffer: Some(16_384), ..TcpOptions::default() };
    let mut t = Talk::passive(Setup { options, ..Setup::modern() });
    let (window, limit) = (t.info().rcv_wnd, t.info().buffers.1);
    // Every second byte of the window behind a gap: as much memory for as little as can be.
    let mut seq = 101;
    while seq < window {
        let seg = t.data_at(seq, 1);
        t.inject(seg);
        let used = t.info().rmem_alloc;
        assert!(used <= limit + limit / 4 + 4096 + 2048, "{used} bytes for {limit}");
        seq += 2;
    }
    let ext = t.stack.snapshot().tcp_ext;
    assert!(ext.ofo_pruned > 0 && ext.prune_called > 0, "{ext:?}");
    t.run(secs(1));
    // The lowest are still reported.
    let acks = t.heard();
    assert!(acks.iter().all(|ack| ack.ack == 1), "nothing is in order");
    // The peer sends everything again, as nothing was acknowledged.
    t.peer_nxt = 1;
    for _ in 0..100 {
        let room = t.info().rcv_wnd.min(1000) as usize;
        let seg = t.data(room);
        t.inject(seg);
        t.run(millis(200));
        t.read_all();
    }
    assert!(t.read > window, "{} bytes arrived whole", t.read);
}

fn what_reaches_beyond_the_window_is_cut() {
    let mut t = Talk::passive(small_buffer(4096));
    let window = t.info().rcv_wnd as usize;
    let seg = Seg { flags: ACK | PSH | FIN, ..t.data(window - 1000) };
    let seg = Seg { flags: ACK | PSH, ..seg };
    t.inject(seg);
    t.run(secs(1));
    t.heard();
    let room = t.info().rcv_wnd as usize;
    let seg = Seg { flags: ACK | PSH | FIN, ..t.data(room + 300) };
    t.inject(seg);
    t.run(secs(1));
    let ack = t.heard().pop().expect("an ACK");
    assert_eq!(ack.ack as usize, 1 + window - 1000 + room, "neither what is beyond nor FIN");
    assert_eq!(t.read_all(), window - 1000 + room);
}

/// The peer's numbers wrap within the first window, at every place of a segment in turn.
fn a_window_across_the_wrap_works() {
    for before in [0, 1, 2, 500, 999, 1000, 1001, 5000] {
        let mut t = Talk::passive(Setup { isn: 0u32.wrapping_sub(before + 1), ..Setup::modern() });
        // Out of order first, on both sides of the wrap and across it.
        for seq in [3001, 1001, 5001] {
            let seg = t.data_at(seq, 1000);
            let ack = &t.exchange(seg)[0];
            assert_eq!((ack.ack, ack.sack[0]), (1, (seq, seq + 1000)), "{before} before");
        }
        for (seq, ack) in [(1, 2001), (2001, 4001), (4001, 6001)] {
            let seg = t.data_at(seq, 1000);
            let acks = t.exchange(seg);
            assert_eq!(acks[0].ack, ack, "{before} before the wrap");
        }
        assert_eq!(t.read_all(), 6000);
        // What is outside the window is refused on both sides, too.
        for seq in [6001 + t.info().rcv_wnd + 1_000_000, 0u32.wrapping_sub(70_000)] {
            let seg = Seg { flags: ACK, seq, data: bytes(1, 10), ..t.seg() };
            let next = t.peer_nxt;
            t.inject(seg);
            t.peer_nxt = next;
        }
        assert_eq!((t.read_all(), t.info().rcv_ooopack), (0, 3));
        let seg = t.data(100);
        t.inject(seg);
        assert_eq!(t.read_all(), 100);
    }
}
