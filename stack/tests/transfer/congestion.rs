//! Bulk flows and a bottleneck.

use tapping_stack::TcpOptions;
use tapping_stack::rng::Rng;
use tapping_stack::route::Route;
use tapping_stack::sim::{Conditions, End, HostId, Lab, Link, Queue, Verdict, WireId};
use tapping_stack::time::Duration;
use tapping_stack::{Config, Packet};

use crate::flow::{Flow, Plan};
use crate::support::Recorder;

const PORT: u16 = 5001;

/// Two senders, a router, and a receiver behind a bottleneck.
fn dumbbell(seed: u64, bottleneck: Conditions) -> (Lab, [HostId; 2], HostId, WireId) {
    let mut lab = Lab::new(seed);
    let [a, b, router, sink] =
        ["a", "b", "router", "sink"].map(|name| lab.add_host(name, Config::default()));
    lab.stack(router).set_forwarding(true);
    let access = Conditions { delay: Duration::from_millis(2), ..Conditions::default() };
    let mut connect = |from, to, subnet: u8, conditions| {
        let [near, far] = [1, 2].map(|n| format!("10.0.{subnet}.{n}/24").parse().expect("one"));
        lab.connect((from, near), (to, far), Link::new(conditions)).expect("a wire")
    };
    connect(a, router, 1, access);
    connect(b, router, 2, access);
    let wire = connect(router, sink, 3, bottleneck);
    for (host, via) in [(a, [10, 0, 1, 2]), (b, [10, 0, 2, 2]), (sink, [10, 0, 3, 1])] {
        let route = Route::via("0.0.0.0/0".parse().expect("a prefix"), via.into());
        lab.stack(host).add_route(route).expect("a route");
    }
    (lab, [a, b], sink, wire)
}

/// A flow without end to 10.0.3.2.
fn bulk(client: HostId, server: HostId, port: u16) -> Plan {
    let (addr, up) = ([10, 0, 3, 2].into(), u64::MAX);
    Plan { client, server, addr, port, up, down: 0, options: TcpOptions::default() }
}

fn run_for(lab: &mut Lab, flows: &mut [Flow], span: Duration) {
    let end = lab.now() + span;
    lab.run_while(end, |lab| {
        for flow in &mut *flows {
            flow.pump(lab);
        }
        true
    });
}

/// Jain's index: 1 when all are equal, 1/n when one has everything.
fn fairness(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|x| x * x).sum::<f64>());
    sum * sum / (shares.len() as f64 * squares)
}

#[test]
fn two_flows_share_a_bottleneck_fairly() {
    // The queue holds what the path holds: 5 Mbit/s over 40 ms.
    let bottleneck = Conditions {
        delay: Duration::from_millis(18),
        rate: Some(5_000_000),
        queue: Queue::Bytes(25_000),
        ..Conditions::default()
    };
    for seed in 1..=3 {
        let (mut lab, [a, b], sink, wire) = dumbbell(seed, bottleneck);
        let _recorder = Recorder::new(&mut lab, "fairness");
        let mut flows = vec![Flow::start(&mut lab, bulk(a, sink, PORT))];
        // The second comes when the first has taken everything.
        let lead = 3000 + Rng::new(seed).below(1000);
        run_for(&mut lab, &mut flows, Duration::from_millis(lead));
        flows.push(Flow::start(&mut lab, bulk(b, sink, PORT + 1)));
        run_for(&mut lab, &mut flows, Duration::from_secs(30));
        let before: Vec<_> = flows.iter().map(Flow::uploaded).collect();
        let span = Duration::from_secs(60);
        run_for(&mut lab, &mut flows, span);
        let shares = flows.iter().zip(before).map(|(flow, before)| flow.uploaded() - before);
        let shares: Vec<_> = shares.map(|bytes| bytes as f64).collect();
        let (jain, total) = (fairness(&shares), shares.iter().sum::<f64>() * 8.0);
        assert!(jain >= 0.9, "shares {shares:?}: {jain}");
        let used = total / span.as_secs_f64() / 5_000_000.0;
        assert!(used >= 0.85, "{used} of the bottleneck was used");
        assert!(lab.link(wire).counters(End::A).queue_full > 0, "they did compete");
    }
}

#[test]
fn a_burst_of_losses_costs_one_round_trip() {
    for burst in [1, 2, 3, 10, 20] {
        recover_from(burst);
    }
}

/// Loses so many segments in a row of a flow that has filled its path.
fn recover_from(burst: u64) {
    let mut lab = Lab::new(burst);
    let [client, server] = ["client", "server"].map(|name| lab.add_host(name, Config::default()));
    let [a, b] = ["10.0.3.1/24", "10.0.3.2/24"].map(|cidr| cidr.parse().expect("one"));
    let conditions = Conditions {
        delay: Duration::from_millis(50),
        rate: Some(10_000_000),
        ..Conditions::default()
    };
    let wire = lab.connect((client, a), (server, b), Link::new(conditions)).expect("a wire");
    let _recorder = Recorder::new(&mut lab, &format!("burst-{burst}"));
    // Nothing is lost but what the script drops: the window ends at the buffers, which hold more
    // than the path does, so that data arrives without a pause.
    let options = TcpOptions {
        send_buffer: Some(256 << 10),
        receive_buffer: Some(256 << 10),
        ..TcpOptions::default()
    };
    let plan = Plan { options, ..bulk(client, server, PORT) };
    let mut flows = [Flow::start(&mut lab, plan)];
    run_for(&mut lab, &mut flows, Duration::from_secs(5));
    let rtt = lab.stack(client).tcp_info(flows[0].client_socket()).expect("a connection").rtt;
    flows[0].server.as_mut().expect("a connection").longest_pause = Duration::ZERO;

    let mut left = burst;
    let script = move |_, packet: &mut Packet| {
        if left == 0 || packet.len() < 1000 {
            return Verdict::Pass;
        }
        left -= 1;
        Verdict::Drop
    };
    lab.link_mut(wire).set_script(End::A, Some(Box::new(script)));
    run_for(&mut lab, &mut flows, Duration::from_secs(3));
    assert_eq!(lab.link(wire).counters(End::A).scripted, burst);

    // The retransmission of the first one comes a round trip after it would have come itself, and
    // a quarter of one later if that long is allowed for reordering (RFC 8985 §6.2).
    let pause = flows[0].server.as_ref().expect("a connection").longest_pause;
    assert!(pause >= rtt / 2, "something was lost: {pause:?} of {rtt:?}");
    assert!(pause <= rtt * 3 / 2, "{burst} lost: {pause:?} of {rtt:?}");
    let info = lab.stack(client).tcp_info(flows[0].client_socket()).expect("a connection");
    assert_eq!(u64::from(info.total_retrans), burst, "nothing else was sent again");
    assert_eq!(lab.stack(client).snapshot().tcp_ext.tcp_timeouts, 0, "no timer did it");
}
