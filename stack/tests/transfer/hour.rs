//! An hour of a few quiet connections.

use tapping_stack::Config;
use tapping_stack::sim::{Conditions, Lab, Link, Probability};
use tapping_stack::time::Duration;

use crate::support::Recorder;

const CONNECTIONS: u16 = 4;
const HOUR: u64 = 3600;

/// Each connection sends a line every second or so, and has it answered, over a path that loses one
/// frame in a hundred.
#[test]
fn an_hour_of_conversation_is_a_few_events_for_each_line() {
    let mut lab = Lab::new(11);
    let _recorder = Recorder::new(&mut lab, "hour");
    let client = lab.add_host("client", Config::default());
    let server = lab.add_host("server", Config::default());
    let conditions = Conditions {
        delay: Duration::from_millis(30),
        loss: Probability::new(0.01),
        ..Conditions::default()
    };
    let [near, far] = ["10.0.0.1/24", "10.0.0.2/24"].map(|cidr| cidr.parse().unwrap());
    let wire = lab.connect((client, near), (server, far), Link::new(conditions)).unwrap();
    lab.introduce(wire).unwrap();
    let now = lab.now();
    let listener = lab.stack(server).open_tcp().unwrap();
    lab.stack(server).bind(listener, "10.0.0.2:7".parse().unwrap()).unwrap();
    lab.stack(server).listen(now, listener, CONNECTIONS.into()).unwrap();
    let sockets: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let socket = lab.stack(client).open_tcp().unwrap();
            lab.stack(client).connect(now, socket, "10.0.0.2:7".parse().unwrap()).unwrap();
            socket
        })
        .collect();
    lab.run_for(Duration::from_secs(10));
    let now = lab.now();
    let mut accepted = Vec::new();
    while let Ok((socket, _)) = lab.stack(server).accept(now, listener) {
        accepted.push(socket);
    }
    assert_eq!(accepted.len(), usize::from(CONNECTIONS));

    let (mut events, mut answered) = (0, 0);
    let mut buffer = [0; 1024];
    for second in 0..HOUR {
        let now = lab.now();
        let line = second.to_be_bytes();
        for socket in &sockets {
            assert_eq!(lab.stack(client).send(now, *socket, &line), Ok(line.len()));
        }
        events += lab.run_for(Duration::from_millis(500));
        let now = lab.now();
        for socket in &accepted {
            if let Ok(n) = lab.stack(server).receive(now, *socket, &mut buffer) {
                assert_eq!(lab.stack(server).send(now, *socket, &buffer[..n]), Ok(n));
            }
        }
        events += lab.run_for(Duration::from_millis(500));
        let now = lab.now();
        for socket in &sockets {
            if let Ok(n) = lab.stack(client).receive(now, *socket, &mut buffer) {
                answered += n as u64;
            }
        }
    }
    // What the last second lost may still be on its way.
    let lines = HOUR * u64::from(CONNECTIONS);
    assert!(answered >= (lines - 4 * 8) * 8, "{answered} bytes of {}", lines * 8);
    // A line and its answer are two frames, with an ACK or two and their timers.
    assert!(events < lines * 20, "{events} events for {lines} lines");
}
