//! Memory that all connections share (`tcp_mem`).

use tapping_stack::sim::{Conditions, Lab, Link};
use tapping_stack::time::Duration;
use tapping_stack::{Config, SocketError};

use crate::support::Recorder;

const CONNECTIONS: usize = 8;
const LIMIT: usize = 128 << 10;
const EACH: usize = 100_000;

/// Eight clients send to a server that does not read: together they may queue what `tcp_mem` says
/// and a segment each. Once it reads, everything arrives.
#[test]
fn all_connections_share_a_bounded_memory() {
    let mut lab = Lab::new(5);
    let _recorder = Recorder::new(&mut lab, "memory");
    let mut config = Config::default();
    config.tcp.mem = LIMIT;
    let client = lab.add_host("client", Config::default());
    let server = lab.add_host("server", config);
    let [near, far] = ["10.0.0.1/24", "10.0.0.2/24"].map(|cidr| cidr.parse().unwrap());
    let conditions = Conditions { delay: Duration::from_millis(5), ..Conditions::default() };
    lab.connect((client, near), (server, far), Link::new(conditions)).unwrap();
    let now = lab.now();
    let listener = lab.stack(server).open_tcp().unwrap();
    lab.stack(server).bind(listener, "10.0.0.2:9".parse().unwrap()).unwrap();
    lab.stack(server).listen(now, listener, CONNECTIONS).unwrap();
    let sockets: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let socket = lab.stack(client).open_tcp().unwrap();
            lab.stack(client).connect(now, socket, "10.0.0.2:9".parse().unwrap()).unwrap();
            socket
        })
        .collect();
    lab.run_for(Duration::from_secs(1));
    let now = lab.now();
    let accepted: Vec<_> =
        (0..CONNECTIONS).map(|_| lab.stack(server).accept(now, listener).unwrap().0).collect();

    let mut sent = [0; CONNECTIONS];
    let mut write = |lab: &mut Lab| {
        let now = lab.now();
        for (socket, sent) in sockets.iter().zip(&mut sent) {
            match lab.stack(client).send(now, *socket, &vec![1; EACH - *sent]) {
                Ok(n) => *sent += n,
                Err(SocketError::WouldBlock) => {}
                Err(error) => panic!("{error}"),
            }
        }
    };
    for _ in 0..100 {
        write(&mut lab);
        lab.run_for(Duration::from_millis(100));
    }
    let queued = |lab: &Lab| -> usize {
        let stack = lab.stack_ref(server);
        accepted.iter().map(|socket| stack.tcp_info(*socket).unwrap().rmem_alloc).sum()
    };
    let most = LIMIT + CONNECTIONS * 4096;
    let taken = queued(&lab);
    assert!((LIMIT / 2..=most).contains(&taken), "{taken} bytes of {LIMIT}");

    let mut received = [0; CONNECTIONS];
    let mut buffer = vec![0; EACH];
    for _ in 0..3000 {
        write(&mut lab);
        lab.run_for(Duration::from_millis(100));
        let now = lab.now();
        for (socket, received) in accepted.iter().zip(&mut received) {
            if let Ok(n) = lab.stack(server).receive(now, *socket, &mut buffer) {
                *received += n;
            }
        }
        if received == [EACH; CONNECTIONS] {
            break;
        }
    }
    assert_eq!(received, [EACH; CONNECTIONS], "everything arrives once there is room");
    assert_eq!(queued(&lab), 0);
}
